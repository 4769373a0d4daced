//! What the caller and the process to be say to each other.
//!
//! ```text
//! caller                                   child (clone3)
//!   | writes its id maps, if it has some     |
//!   |---- Mapped --------------------------->|  becomes root in its user namespace
//!   |                                        |  makes the slow namespaces
//!   | opens and clones what the host gives   |
//!   |---- Sources (pid, descriptors) ------->|  mounts
//!   |<--- MapDue (mount, descriptor) --------|  (only if the ids of a part of its tree are mapped)
//!   |---- Continue ------------------------->|
//!   |<--- DevicesDue ------------------------|  (only if it gets network devices)
//!   |---- Continue ------------------------->|
//!   |<--- HooksDue --------------------------|  (only if there are hooks for this point)
//!   |---- Continue ------------------------->|  pivots, limits, looks the program up
//!   |<--- Ready (warnings, console) ---------|  = created
//!   :                                        :
//!   |---- Go ------------------------------->|  filter, execve
//!   |<--- end of stream ---------------------|  = started
//! ```
//!
//! A caller that is not to stay says `Wait` instead of `Go`, with a listening socket, and leaves.
//! The child holds nothing else of the caller's then. Whoever connects to the socket and says
//! `Go` takes the caller's place for the rest, and as long as connecting succeeds the program has
//! not been executed: the listener is closed by execve(2), like all that is the runtime's.
//!
//! ```text
//! caller                                   child
//!   |---- Wait (listener) ------------------>|  accepts
//!   = gone                                   :
//! another caller                             :
//!   |---- connect, Go ---------------------->|  filter, execve
//!   |<--- end of stream ---------------------|  = started
//! ```
//!
//! A process that joins others takes one more step: the drawing is in [`crate::crossing`].
//!
//! At any point the child may say `Failed` instead, and ends. It also ends at the end of the
//! stream, so that nothing of it outlives a caller that died. The socket is a SOCK_SEQPACKET: one
//! message each, first byte its kind.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use rustix::process::{Pid, Signal};

use crate::{ExecError, ExecErrorKind, RuntimeError};

/// The most bytes in one message; texts are cut.
const MAX_BYTES: usize = 8192;

/// What the caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FromCaller {
    /// The id maps are written.
    Mapped = b'm',
    /// Descriptors that the plan names by their order.
    Sources = b's',
    /// Go on after hooks.
    Continue = b'c',
    /// Execute the program.
    Go = b'g',
    /// Somebody else will say so, through this listener.
    Wait = b'w',
}

/// What the child says.
#[derive(Debug)]
pub(crate) enum FromChild {
    /// Before pivot_root, waiting for `Continue`.
    Due(Due),
    /// Everything but the program.
    Ready {
        /// What was not had as asked.
        warnings: Vec<String>,
        /// The near end of the terminal.
        console: Option<OwnedFd>,
    },
    /// As `Ready`, from one that another process will take the place of: see
    /// [`crate::crossing`].
    Away {
        /// What was not had as asked.
        warnings: Vec<String>,
        /// What that process waits on.
        start: OwnedFd,
        /// The near end of the terminal.
        console: Option<OwnedFd>,
    },
    /// That process.
    Born {
        /// Its number in the caller's pid namespace.
        pid: Pid,
        /// A handle of it.
        pidfd: OwnedFd,
    },
    /// The end.
    Failed(RuntimeError),
}

/// What the caller is to do.
#[derive(Debug)]
pub(crate) enum Due {
    /// Move network devices into the child's network.
    Devices,
    /// Call hooks.
    Hooks,
    /// Map the ids of a mount that was cloned from the container's own tree.
    Map {
        /// Which of the plan's.
        mount: u32,
        /// The clone, attached nowhere.
        tree: OwnedFd,
    },
}

const DEVICES_DUE: u8 = b'd';
const HOOKS_DUE: u8 = b'h';
const MAP_DUE: u8 = b'i';
const READY: u8 = b'r';
const AWAY: u8 = b'a';
const BORN: u8 = b'b';
const FAILED: u8 = b'f';

/// Sends `Go`; a child that is gone already is not an error here, since it said why.
pub(crate) fn go(socket: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    match to_child(socket, FromCaller::Go, &[]) {
        Err(RuntimeError::Host { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Ok(())
        }
        other => other,
    }
}

pub(crate) fn to_child(
    socket: BorrowedFd<'_>,
    message: FromCaller,
    fds: &[BorrowedFd<'_>],
) -> Result<(), RuntimeError> {
    sys::socket::send(socket, &[message as u8], fds, SendFlags::empty())
        .map(drop)
        .map_err(|source| RuntimeError::Host { action: "talk to the new process".into(), source })
}

/// Sends a part of what the host gives, and the child's own pid as the caller sees it.
pub(crate) fn sources(
    socket: BorrowedFd<'_>,
    pid: Pid,
    fds: &[BorrowedFd<'_>],
) -> Result<(), RuntimeError> {
    let [a, b, c, d] = pid.as_raw_nonzero().get().to_ne_bytes();
    sys::socket::send(socket, &[FromCaller::Sources as u8, a, b, c, d], fds, SendFlags::empty())
        .map(drop)
        .map_err(|source| RuntimeError::Host { action: "talk to the new process".into(), source })
}

/// Waits for such a part; `None` as with [`await_caller`].
pub(crate) fn await_sources(socket: BorrowedFd<'_>, fds: &mut Vec<OwnedFd>) -> Option<Pid> {
    let mut bytes = [0; 5];
    let max = sys::socket::MAX_FDS;
    let (length, received) =
        sys::socket::receive(socket, &mut bytes, max, RecvFlags::empty()).ok()?;
    fds.extend(received);
    let [kind, a, b, c, d] = bytes;
    let is_it = length == bytes.len() && kind == FromCaller::Sources as u8;
    Pid::from_raw(i32::from_ne_bytes([a, b, c, d])).filter(|_| is_it)
}

/// The child's next message; `None` when it closed its end: it executed its program, or died.
pub(crate) fn from_child(socket: BorrowedFd<'_>) -> Result<Option<FromChild>, RuntimeError> {
    let mut bytes = [0; MAX_BYTES];
    let mut receive = || sys::socket::receive(socket, &mut bytes, 2, RecvFlags::empty());
    let mut unread = false;
    let received = match receive() {
        // It ended with a message of ours unread, which the kernel says first and once; what it
        // said before it ended comes after.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            unread = true;
            receive()
        }
        other => other,
    };
    let (length, fds) = received.map_err(|source| RuntimeError::Host {
        action: "hear from the new process".into(),
        source,
    })?;
    let mut fds = fds.into_iter();
    match bytes[..length].split_first() {
        // A program that runs has read all that was said to it before.
        None if unread => Err(RuntimeError::Died { how: "it did not hear us out".into() }),
        None => Ok(None),
        Some((&DEVICES_DUE, _)) => Ok(Some(FromChild::Due(Due::Devices))),
        Some((&HOOKS_DUE, _)) => Ok(Some(FromChild::Due(Due::Hooks))),
        Some((&MAP_DUE, &[a, b, c, d])) => match fds.next() {
            Some(tree) => {
                let mount = u32::from_ne_bytes([a, b, c, d]);
                Ok(Some(FromChild::Due(Due::Map { mount, tree })))
            }
            None => Err(out_of_turn()),
        },
        Some((&READY, texts)) => Ok(Some(FromChild::Ready {
            warnings: lines(texts).map(str::to_owned).collect(),
            console: fds.next(),
        })),
        Some((&AWAY, texts)) => match fds.next() {
            Some(start) => Ok(Some(FromChild::Away {
                warnings: lines(texts).map(str::to_owned).collect(),
                start,
                console: fds.next(),
            })),
            None => Err(out_of_turn()),
        },
        Some((&BORN, &[a, b, c, d])) => {
            match (Pid::from_raw(i32::from_ne_bytes([a, b, c, d])), fds.next()) {
                (Some(pid), Some(pidfd)) => Ok(Some(FromChild::Born { pid, pidfd })),
                _ => Err(out_of_turn()),
            }
        }
        Some((&FAILED, rest)) => Ok(Some(FromChild::Failed(decode(rest)))),
        Some(_) => Err(out_of_turn()),
    }
}

/// A message that makes no sense at this point.
pub(crate) fn out_of_turn() -> RuntimeError {
    RuntimeError::Host {
        action: "understand the new process".into(),
        source: io::ErrorKind::InvalidData.into(),
    }
}

/// Waits for one message from the caller, with its descriptors. `false` if it is another, or the
/// caller is gone: then nobody wants this process any more.
pub(crate) fn await_caller(
    socket: BorrowedFd<'_>,
    expected: FromCaller,
    fds: &mut Vec<OwnedFd>,
) -> bool {
    let mut byte = [0];
    match sys::socket::receive(socket, &mut byte, sys::socket::MAX_FDS, RecvFlags::empty()) {
        Ok((1, received)) => {
            fds.extend(received);
            byte[0] == expected as u8
        }
        _ => false,
    }
}

/// Waits until somebody wants the program to be executed: the caller itself, or whoever comes to
/// the listener that it left. Answers with whom to tell if that fails; `None` if nobody will come.
pub(crate) fn await_start(socket: OwnedFd) -> Option<OwnedFd> {
    let mut byte = [0];
    let (length, mut fds) =
        sys::socket::receive(socket.as_fd(), &mut byte, 1, RecvFlags::empty()).ok()?;
    match (length, byte[0]) {
        (1, go) if go == FromCaller::Go as u8 => return Some(socket),
        (1, wait) if wait == FromCaller::Wait as u8 => {}
        _ => return None,
    }
    let listener = fds.pop()?;
    drop(socket);
    let signals = Signals::hold();
    loop {
        if !signals.as_ref().is_none_or(|signals| signals.allow_waiting(&listener)) {
            return None;
        }
        let caller = match rustix::net::accept_with(&listener, SocketFlags::CLOEXEC) {
            Ok(caller) => caller,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
            Err(_) => return None,
        };
        // Who goes away without a word only wanted to know whether we are still here.
        if await_caller(caller.as_fd(), FromCaller::Go, &mut Vec::new()) {
            return Some(caller);
        }
    }
}

/// Signals to a process that waits and is the first of its pid namespace. The kernel spares that
/// one whatever it has no handler for, so that nothing but SIGKILL would end a container which is
/// created and not started; engines send SIGTERM, as runc's first process ends by it.
struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// `None` where the kernel's own defaults do.
    fn hold() -> Option<Self> {
        if rustix::process::getpid() != Pid::INIT {
            return None;
        }
        // Without them it waits all the same.
        sys::signals::block_all().ok()?;
        sys::signals::signal_fd(None).ok().map(|fd| Self { fd })
    }

    /// Waits until somebody connects; `false` if a signal came by which a process ends.
    fn allow_waiting(&self, listener: &OwnedFd) -> bool {
        loop {
            let mut fds =
                [PollFd::new(listener, PollFlags::IN), PollFd::new(&self.fd, PollFlags::IN)];
            if poll(&mut fds, None).is_err() {
                continue;
            }
            if !fds[0].revents().is_empty() {
                return true;
            }
            while let Ok(Some(signal)) = sys::signals::read_signal(self.fd.as_fd()) {
                if !HARMLESS.iter().any(|harmless| harmless.as_raw() == signal) {
                    return false;
                }
            }
        }
    }
}

impl Drop for Signals {
    /// For the program to be executed. What came meanwhile is forgotten, as the first process of a
    /// namespace never asked for it.
    fn drop(&mut self) {
        sys::process::reset_signals();
    }
}

/// By default they end nobody. signal(7).
const HARMLESS: [Signal; 7] = [
    Signal::CHILD,
    Signal::CONT,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::URG,
    Signal::WINCH,
];

pub(crate) fn send_due(socket: BorrowedFd<'_>, due: &Due) -> io::Result<()> {
    let send = |bytes: &[u8], fds: &[BorrowedFd<'_>]| {
        sys::socket::send(socket, bytes, fds, SendFlags::empty()).map(drop)
    };
    match due {
        Due::Devices => send(&[DEVICES_DUE], &[]),
        Due::Hooks => send(&[HOOKS_DUE], &[]),
        Due::Map { mount, tree } => {
            let [a, b, c, d] = mount.to_ne_bytes();
            send(&[MAP_DUE, a, b, c, d], &[tree.as_fd()])
        }
    }
}

pub(crate) fn send_ready(
    socket: BorrowedFd<'_>,
    warnings: &[String],
    console: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let bytes = with_warnings(READY, warnings);
    sys::socket::send(socket, &bytes, console.as_slice(), SendFlags::empty()).map(drop)
}

pub(crate) fn send_away(
    socket: BorrowedFd<'_>,
    warnings: &[String],
    start: BorrowedFd<'_>,
    console: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let fds: Vec<_> = [start].into_iter().chain(console).collect();
    let bytes = with_warnings(AWAY, warnings);
    sys::socket::send(socket, &bytes, &fds, SendFlags::empty()).map(drop)
}

pub(crate) fn send_born(socket: BorrowedFd<'_>, pid: Pid, pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let [a, b, c, d] = pid.as_raw_nonzero().get().to_ne_bytes();
    sys::socket::send(socket, &[BORN, a, b, c, d], &[pidfd], SendFlags::empty()).map(drop)
}

/// A kind, and a line for each warning that there is room for.
fn with_warnings(kind: u8, warnings: &[String]) -> Vec<u8> {
    let mut bytes = vec![kind];
    for warning in warnings {
        if bytes.len() + warning.len() < MAX_BYTES {
            bytes.extend_from_slice(warning.replace('\n', " ").as_bytes());
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Tells the caller why this process ends, and answers with its exit code.
pub(crate) fn report(socket: BorrowedFd<'_>, error: &RuntimeError) -> i32 {
    // Nobody may be there any more; that is no matter.
    let _ = sys::socket::send(socket, &encode(error), &[], SendFlags::empty());
    match error {
        RuntimeError::Exec(error) => i32::from(error.kind.exit_code()),
        _ => 1,
    }
}

/// `FAILED`, variant, error number (4 bytes, 0 if none), text.
fn encode(error: &RuntimeError) -> Vec<u8> {
    let (variant, source, text) = match error {
        RuntimeError::Inside { action, source } | RuntimeError::Host { action, source } => {
            (b'i', Some(source), action.clone())
        }
        RuntimeError::Mount { mount, action, source } => {
            (b'm', Some(source), format!("{mount}\0{action}"))
        }
        RuntimeError::Spec { field, problem } => (b's', None, format!("{field}\0{problem}")),
        RuntimeError::Exec(error) => {
            let variant = match error.kind {
                ExecErrorKind::NotFound => b'n',
                ExecErrorKind::NotExecutable => b'x',
                ExecErrorKind::Other => b'o',
            };
            (variant, None, error.text.clone())
        }
        other => (b'r', None, other.to_string()),
    };
    let errno = source.and_then(io::Error::raw_os_error).unwrap_or(0);
    let mut bytes = vec![FAILED, variant];
    bytes.extend_from_slice(&errno.to_ne_bytes());
    let mut room = text.len().min(MAX_BYTES - bytes.len());
    while !text.is_char_boundary(room) {
        room -= 1;
    }
    bytes.extend_from_slice(&text.as_bytes()[..room]);
    bytes
}

fn decode(bytes: &[u8]) -> RuntimeError {
    let Some((&[variant, a, b, c, d], text)) = bytes.split_first_chunk::<5>() else {
        return out_of_turn();
    };
    let errno = i32::from_ne_bytes([a, b, c, d]);
    let text = String::from_utf8_lossy(text).into_owned();
    let exec = |kind| RuntimeError::Exec(ExecError { kind, text: text.clone() });
    let source = || match errno {
        0 => io::ErrorKind::Other.into(),
        errno => io::Error::from_raw_os_error(errno),
    };
    match variant {
        b'i' => RuntimeError::Inside { action: text, source: source() },
        b'm' => {
            let (mount, action) = text.split_once('\0').unwrap_or((&text, ""));
            RuntimeError::Mount { mount: mount.into(), action: action.into(), source: source() }
        }
        b's' => {
            let (field, problem) = text.split_once('\0').unwrap_or((&text, ""));
            RuntimeError::Spec { field: field.to_owned(), problem: problem.to_owned() }
        }
        b'n' => exec(ExecErrorKind::NotFound),
        b'x' => exec(ExecErrorKind::NotExecutable),
        b'o' => exec(ExecErrorKind::Other),
        _ => RuntimeError::Refused(text),
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok().filter(|line| !line.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        sys::socket::pair(rustix::net::SocketType::SEQPACKET).unwrap()
    }

    #[test]
    fn errors_arrive_as_they_were_sent() {
        let exec = ExecError { kind: ExecErrorKind::NotFound, text: "exec: \"x\": gone".into() };
        let errors = [
            RuntimeError::Inside {
                action: "mount /proc".into(),
                source: io::Error::from_raw_os_error(1),
            },
            RuntimeError::Mount {
                mount: "\"a\" to rootfs at \"/b\"".into(),
                action: "attach it".into(),
                source: io::Error::from_raw_os_error(13),
            },
            RuntimeError::Spec { field: "mounts[0]".into(), problem: "bad".into() },
            RuntimeError::Refused("/proc is a symbolic link".into()),
            RuntimeError::Exec(exec),
        ];
        for error in errors {
            let (caller, child) = pair();
            report(child.as_fd(), &error);
            match from_child(caller.as_fd()).unwrap() {
                Some(FromChild::Failed(got)) => {
                    assert_eq!(format!("{got:?}"), format!("{error:?}"))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn texts_of_any_length_fit() {
        for length in [MAX_BYTES - 7, MAX_BYTES - 6, MAX_BYTES, 70_000] {
            let (caller, child) = pair();
            report(child.as_fd(), &RuntimeError::Refused("é".repeat(length)));
            let Some(FromChild::Failed(error)) = from_child(caller.as_fd()).unwrap() else {
                panic!("no error for {length}");
            };
            assert!(error.to_string().starts_with('é'));
        }
        let (caller, child) = pair();
        send_ready(child.as_fd(), &["w".repeat(9000), "one\ntwo".into()], None).unwrap();
        match from_child(caller.as_fd()).unwrap() {
            Some(FromChild::Ready { warnings, .. }) => assert_eq!(warnings, ["one two"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_closed_end_is_the_end() {
        let (caller, child) = pair();
        drop(child);
        assert!(from_child(caller.as_fd()).unwrap().is_none());
        go(caller.as_fd()).unwrap();
        let (caller, child) = pair();
        drop(caller);
        assert!(!await_caller(child.as_fd(), FromCaller::Go, &mut Vec::new()));
    }
}
