//! What the shim and its stage say to each other.
//!
//! ```text
//! shim                                   stage
//!   |<--- Head (the launch's first line) ---|   as soon as the launch has come
//!   |      claims                           |   parses the rest
//!   |---- go (network) -------------------->|   makes the cgroup and the process, starts it
//!   |<--- Socket (what for, the socket) ----|   for each that the client handed over
//!   |<--- Started (descriptors) ------------|   and exits; or
//!   |<--- Failed ---------------------------|   having undone what it made
//! ```
//!
//! A message is `[kind u8][length u32]` with the descriptors, then the payload. The end of the
//! stream stands for the death of the other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, SocketType};

use crate::Failure;
use crate::frame::{HEADER_BYTES, header};
use crate::network::{Handed, Purpose};

/// One end.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
}

/// What the stage says.
#[derive(Debug)]
pub(super) enum Report {
    Head(Vec<u8>),
    Socket(Handed),
    Started(Started),
    Failed(Failure),
}

/// A process that runs, with everything that belongs to it.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    pub(super) ends: Ends,
    /// The file in which the memory controller counts what it killed.
    pub(super) memory_events: Option<OwnedFd>,
    /// The mount namespace of a container's first process: see [`runtime::hold_mounts`].
    pub(super) mounts: Option<OwnedFd>,
    pub(super) warnings: Vec<String>,
}

/// What the stage goes on with.
#[derive(Debug)]
pub(super) struct Go {
    /// A new network namespace.
    pub(super) network: Option<OwnedFd>,
}

/// The near ends of the process's standard streams. None of them waits.
#[derive(Debug)]
pub(super) enum Ends {
    Terminal(OwnedFd),
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
}

const HEAD: u8 = 1;
const STARTED: u8 = 2;
const FAILED: u8 = 3;
const SOCKET: u8 = 4;
/// Which descriptors come with `Started` after the pidfd, in this order.
const TERMINAL: u8 = 1;
const STDIN: u8 = 2;
const MEMORY: u8 = 4;
const MOUNTS: u8 = 8;
const MAX_FDS: usize = 6;
const MAX_BYTES: usize = crate::frame::MAX_LAUNCH_BYTES;

impl Channel {
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (one, two) = sys::socket::pair(SocketType::STREAM)?;
        Ok((Self { socket: one }, Self { socket: two }))
    }

    pub(super) fn head(&self, line: &[u8]) -> io::Result<()> {
        self.send(HEAD, line, &[])
    }

    pub(super) fn failed(&self, failure: &Failure) -> io::Result<()> {
        let message = failure.message.as_bytes();
        self.send(FAILED, &[&[failure.exit_code], message].concat(), &[])
    }

    pub(super) fn socket(&self, handed: &Handed) -> io::Result<()> {
        let text = handed.purpose.to_string();
        self.send(SOCKET, text.as_bytes(), &[handed.socket.as_fd()])
    }

    pub(super) fn started(&self, started: &Started) -> io::Result<()> {
        let mut fds = vec![started.pidfd.as_fd()];
        let mut which = 0;
        match &started.ends {
            Ends::Terminal(console) => {
                which |= TERMINAL;
                fds.push(console.as_fd());
            }
            Ends::Pipes { stdin, stdout, stderr } => {
                if let Some(stdin) = stdin {
                    which |= STDIN;
                    fds.push(stdin.as_fd());
                }
                fds.extend([stdout.as_fd(), stderr.as_fd()]);
            }
        }
        if let Some(events) = &started.memory_events {
            which |= MEMORY;
            fds.push(events.as_fd());
        }
        if let Some(mounts) = &started.mounts {
            which |= MOUNTS;
            fds.push(mounts.as_fd());
        }
        let mut payload = started.pid.to_le_bytes().to_vec();
        payload.push(which);
        payload.extend_from_slice(started.warnings.join("\n").as_bytes());
        self.send(STARTED, &payload, &fds)
    }

    /// Tells the stage to go on, with a network namespace if there is one already.
    pub(super) fn go(&self, network: Option<BorrowedFd<'_>>) -> io::Result<()> {
        sys::socket::send(self.socket.as_fd(), &[1], network.as_slice(), SendFlags::empty())
            .map(drop)
    }

    /// Waits for [`Channel::go`], and gives what came with it; `None` if the shim has gone.
    pub(super) fn wait(&self) -> io::Result<Option<Go>> {
        let mut byte = [0];
        let (count, fds) =
            sys::socket::receive(self.socket.as_fd(), &mut byte, 1, RecvFlags::empty())?;
        Ok((count == 1).then(|| Go { network: fds.into_iter().next() }))
    }

    /// The stage's next word; `None` when it has gone.
    pub(super) fn receive(&self) -> io::Result<Option<Report>> {
        let mut head = [0; HEADER_BYTES];
        let (count, fds) =
            sys::socket::receive(self.socket.as_fd(), &mut head, MAX_FDS, RecvFlags::WAITALL)?;
        if count == 0 {
            return Ok(None);
        }
        let [kind, a, b, c, d] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if count < HEADER_BYTES || length > MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut payload = Vec::new();
        if !receive_exactly(self.socket.as_fd(), &mut payload, length)? {
            return Ok(None);
        }
        let report = match kind {
            HEAD => Some(Report::Head(payload)),
            STARTED => started(&payload, fds).map(Report::Started),
            SOCKET => socket(&payload, fds).map(Report::Socket),
            FAILED => payload.split_first().map(|(exit_code, message)| {
                let message = String::from_utf8_lossy(message).into_owned();
                Report::Failed(Failure { exit_code: *exit_code, message })
            }),
            _ => None,
        };
        report.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn send(&self, kind: u8, payload: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let socket = self.socket.as_fd();
        let head = header(kind, payload.len());
        // Five bytes go into an empty socket in one piece.
        sys::socket::send(socket, &head, fds, SendFlags::empty())?;
        let mut rest = payload;
        while !rest.is_empty() {
            rest = &rest[sys::socket::send(socket, rest, &[], SendFlags::empty())?..];
        }
        Ok(())
    }
}

fn socket(payload: &[u8], mut fds: Vec<OwnedFd>) -> Option<Handed> {
    let purpose = Purpose::parse(str::from_utf8(payload).ok()?)?;
    Some(Handed { purpose, socket: fds.pop()? })
}

fn started(payload: &[u8], fds: Vec<OwnedFd>) -> Option<Started> {
    let (&pid, rest) = payload.split_first_chunk()?;
    let (&which, warnings) = rest.split_first()?;
    let mut fds = fds.into_iter();
    let pidfd = fds.next()?;
    let ends = if which & TERMINAL != 0 {
        Ends::Terminal(fds.next()?)
    } else {
        let stdin = if which & STDIN != 0 { Some(fds.next()?) } else { None };
        Ends::Pipes { stdin, stdout: fds.next()?, stderr: fds.next()? }
    };
    let memory_events = if which & MEMORY != 0 { Some(fds.next()?) } else { None };
    let mounts = if which & MOUNTS != 0 { Some(fds.next()?) } else { None };
    let warnings = str::from_utf8(warnings).ok()?.lines().map(str::to_owned).collect();
    Some(Started { pid: u32::from_le_bytes(pid), pidfd, ends, memory_events, mounts, warnings })
}

/// Reads `length` bytes and not one more; `false` if the stream ends before.
pub(super) fn receive_exactly(
    socket: BorrowedFd<'_>,
    bytes: &mut Vec<u8>,
    length: usize,
) -> io::Result<bool> {
    bytes.clear();
    bytes.resize(length, 0);
    let mut filled = 0;
    while filled < length {
        let room = &mut bytes[filled..];
        let (count, _) = sys::socket::receive(socket, room, 0, RecvFlags::WAITALL)?;
        if count == 0 {
            return Ok(false);
        }
        filled += count;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fd() -> OwnedFd {
        tempfile::tempfile().unwrap().into()
    }

    #[test]
    fn what_the_stage_says_arrives_with_its_descriptors() {
        let (shim, stage) = Channel::pair().unwrap();
        stage.head(b"{}").unwrap();
        assert!(matches!(shim.receive().unwrap(), Some(Report::Head(line)) if line == b"{}"));
        for network in [None, Some(fd())] {
            shim.go(network.as_ref().map(AsFd::as_fd)).unwrap();
            let went = stage.wait().unwrap().unwrap();
            assert_eq!(went.network.is_some(), network.is_some());
        }

        let pipes = |stdin| Ends::Pipes { stdin, stdout: fd(), stderr: fd() };
        for ends in [pipes(Some(fd())), pipes(None), Ends::Terminal(fd())] {
            for (memory_events, mounts) in [(None, Some(fd())), (Some(fd()), None)] {
                let warnings = vec!["one".to_owned(), "two".to_owned()];
                let ends = match &ends {
                    Ends::Terminal(_) => Ends::Terminal(fd()),
                    Ends::Pipes { stdin, .. } => pipes(stdin.as_ref().map(|_| fd())),
                };
                let sent = Started { pid: 7, pidfd: fd(), ends, memory_events, mounts, warnings };
                stage.started(&sent).unwrap();
                let Some(Report::Started(got)) = shim.receive().unwrap() else { panic!() };
                let shape = |started: &Started| {
                    let ends = match &started.ends {
                        Ends::Terminal(_) => None,
                        Ends::Pipes { stdin, .. } => Some(stdin.is_some()),
                    };
                    let more = (started.memory_events.is_some(), started.mounts.is_some());
                    (started.pid, ends, more, started.warnings.clone())
                };
                assert_eq!(shape(&got), shape(&sent));
            }
        }
        let failure = Failure { exit_code: 127, message: "no such file".to_owned() };
        stage.failed(&failure).unwrap();
        assert!(matches!(shim.receive().unwrap(), Some(Report::Failed(got)) if got == failure));
        drop(stage);
        assert!(shim.receive().unwrap().is_none());
    }
}
