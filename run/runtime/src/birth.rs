//! What making a container and adding a process to one have in common on the caller's side.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions};
use sys::process::{Child, CloneFlags};

use crate::error::Step;
use crate::message::{self, Due, FromCaller, FromChild};
use crate::notify::Connection;
use crate::process::ProcessPlan;
use crate::{Created, Parent, RuntimeError, StartHandle};

/// The flag that makes a child the caller's sibling, if it shall be one.
pub(crate) fn parent_flag(parent: Parent) -> CloneFlags {
    match parent {
        Parent::Own => CloneFlags::empty(),
        Parent::Sibling => CloneFlags::PARENT,
    }
}

/// The doors of a cgroup, opened by the caller for the child.
pub(crate) fn join_handle(
    cgroup: Option<&cgroups::Cgroup>,
) -> Result<Option<cgroups::JoinHandle>, RuntimeError> {
    cgroup.map(cgroups::Cgroup::join_handle).transpose().map_err(|error| {
        let action = error.to_string();
        let source = std::error::Error::source(&error)
            .and_then(|source| source.downcast_ref::<std::io::Error>())
            .and_then(std::io::Error::raw_os_error)
            .map_or_else(|| std::io::ErrorKind::Other.into(), std::io::Error::from_raw_os_error);
        RuntimeError::Host { action: format!("enter the cgroup: {action}"), source }
    })
}

/// The group that the child is born in, by a descriptor of its own: the child takes the doors over.
pub(crate) fn born_in(
    cgroup: Option<&cgroups::JoinHandle>,
) -> Result<Option<OwnedFd>, RuntimeError> {
    cgroup
        .and_then(cgroups::JoinHandle::clone_into)
        .map(|fd| fd.try_clone_to_owned())
        .transpose()
        .host(|| "enter the cgroup".into())
}

/// Moves a child into the container's group of caches and memory bandwidth; what takes its place
/// later is born there.
pub(crate) fn enter_resctrl(
    group: Option<&resctrl::Group>,
    child: Pid,
) -> Result<(), RuntimeError> {
    group
        .map_or(Ok(()), |group| group.add(child))
        .map_err(|source| RuntimeError::Resctrl { source })
}

/// The caller, hidden from others as long as this lives, so that a child of it is from its first
/// instant: it may be born into the sight of a container's processes (CVE-2016-9962).
pub(crate) struct Hidden {
    before: DumpableBehavior,
}

impl Hidden {
    pub(crate) fn new() -> Result<Self, RuntimeError> {
        let action = || "stay out of reach of others".to_owned();
        let before = rustix::process::dumpable_behavior().host(action)?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).host(action)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if self.before == DumpableBehavior::Dumpable {
            // It was so before, so the kernel does not refuse it.
            let _ = rustix::process::set_dumpable_behavior(self.before);
        }
    }
}

/// The child lets go of all that the caller has open, but for what it needs: it may wait for its
/// start long after the caller has gone. `own` is every descriptor that the child's values own or
/// borrow.
pub(crate) fn let_go<'a>(
    process: &'a ProcessPlan<'_>,
    own: impl Iterator<Item = BorrowedFd<'a>>,
    cgroup: Option<&cgroups::JoinHandle>,
) {
    let mut keep: Vec<BorrowedFd<'_>> = own.collect();
    keep.extend(cgroup.into_iter().flat_map(cgroups::JoinHandle::fds));
    keep.extend(process.inherited());
    keep.extend(process.listener.as_ref().map(Connection::as_fd));
    // Before Linux 5.9 they are closed by execve(2).
    let _ = sys::process::close_all_but(&keep);
}

/// What a child said when it was ready.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    warnings: Vec<String>,
    console: Option<OwnedFd>,
    /// The process that takes the child's place: see [`crate::crossing`].
    successor: Option<Successor>,
}

#[derive(Debug)]
struct Successor {
    pid: Pid,
    pidfd: OwnedFd,
    start: OwnedFd,
}

/// Waits until the child is ready; `perform` does what is due before it enters its root.
pub(crate) fn await_ready(
    socket: BorrowedFd<'_>,
    mut perform: impl FnMut(Due) -> Result<(), RuntimeError>,
) -> Result<Readiness, RuntimeError> {
    let mut away = None;
    loop {
        match (message::from_child(socket)?, away.take()) {
            (Some(FromChild::Failed(error)), _) => return Err(error),
            (Some(FromChild::Ready { warnings, console }), None) => {
                return Ok(Readiness { warnings, console, successor: None });
            }
            (Some(FromChild::Due(due)), None) => {
                perform(due)?;
                message::to_child(socket, FromCaller::Continue, &[])?;
            }
            (Some(FromChild::Away { warnings, start, console }), None) => {
                away = Some((warnings, start, console));
            }
            (Some(FromChild::Born { pid, pidfd }), Some((warnings, start, console))) => {
                let successor = Some(Successor { pid, pidfd, start });
                return Ok(Readiness { warnings, console, successor });
            }
            (Some(_), _) => return Err(message::out_of_turn()),
            (None, _) => return Err(RuntimeError::Died { how: String::new() }),
        }
    }
}

/// Waits for the process that a child makes in the user namespace that it joined, and for the end
/// of that child.
pub(crate) fn await_relayed(
    child: Child,
    socket: BorrowedFd<'_>,
    parent: Parent,
) -> Result<Child, RuntimeError> {
    let born = match message::from_child(socket) {
        Ok(Some(FromChild::Born { pid, pidfd })) => Ok(Child { pid, pidfd }),
        Ok(Some(FromChild::Failed(error))) => Err(error),
        Ok(Some(_)) => Err(message::out_of_turn()),
        Ok(None) => Err(RuntimeError::Died { how: String::new() }),
        Err(error) => Err(error),
    };
    match born {
        Ok(born) => take_leave(&child, parent).map(|()| born),
        Err(error) => Err(give_up(&child, socket, parent, error)),
    }
}

/// The end of both stories. `adjust` is what is left to do, from outside, to a process that took
/// the child's place.
pub(crate) fn conclude(
    outcome: Result<Readiness, RuntimeError>,
    child: Child,
    socket: OwnedFd,
    parent: Parent,
    adjust: impl FnOnce(Pid) -> Result<(), RuntimeError>,
) -> Result<Created, RuntimeError> {
    let Readiness { warnings, console, successor } = match outcome {
        Ok(readiness) => readiness,
        Err(error) => return Err(give_up(&child, socket.as_fd(), parent, error)),
    };
    let Some(Successor { pid, pidfd, start }) = successor else {
        let start = StartHandle::from_fd(socket);
        return Ok(Created { pid: child.pid, pidfd: child.pidfd, console, start, warnings });
    };
    let adjusted = take_leave(&child, parent)
        .and_then(|()| check_successor(pid, pidfd.as_fd(), parent))
        .and_then(|()| adjust(pid));
    match adjusted {
        Ok(()) => Ok(Created { pid, pidfd, console, start: StartHandle::from_fd(start), warnings }),
        Err(error) => {
            let successor = Child { pid, pidfd };
            Err(give_up(&successor, start.as_fd(), parent, error))
        }
    }
}

/// Waits for the end of a child whose place another has taken.
fn take_leave(child: &Child, parent: Parent) -> Result<(), RuntimeError> {
    let action = || "wait for the process that entered the container".to_owned();
    match parent {
        Parent::Own => {
            let id = WaitId::PidFd(child.pidfd.as_fd());
            rustix::process::waitid(id, WaitIdOptions::EXITED).host(action)?;
        }
        // Only its parent can reap it, and shall find that it has ended.
        Parent::Sibling => {
            let mut fds = [PollFd::new(&child.pidfd, PollFlags::IN)];
            poll(&mut fds, None).host(action)?;
        }
    }
    Ok(())
}

/// The word of who was born comes over a socket that the newborn process has too, for an instant,
/// in the sight of others. It must be a sibling of the child, of which there is one in there; and
/// its number and its handle must mean the same process.
fn check_successor(pid: Pid, pidfd: BorrowedFd<'_>, parent: Parent) -> Result<(), RuntimeError> {
    let expected = match parent {
        Parent::Own => Some(rustix::process::getpid()),
        Parent::Sibling => rustix::process::getppid(),
    };
    let number = |path: String, key: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(key))?;
        value.trim().parse().ok().and_then(Pid::from_raw)
    };
    let info = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let is_it = number(info, "Pid:") == Some(pid)
        && number(format!("/proc/{}/status", pid.as_raw_nonzero()), "PPid:") == expected;
    match is_it {
        true => Ok(()),
        false => Err(message::out_of_turn()),
    }
}

/// Ends a child that will not get ready, and finds the first cause.
fn give_up(
    child: &Child,
    socket: BorrowedFd<'_>,
    parent: Parent,
    mut error: RuntimeError,
) -> RuntimeError {
    if matches!(&error, RuntimeError::Host { source, .. } if is_hang_up(source)) {
        // It ended while it was being talked to: it has said why.
        match message::from_child(socket) {
            Ok(Some(FromChild::Failed(cause))) => error = cause,
            Ok(None) => error = RuntimeError::Died { how: String::new() },
            _ => {}
        }
    }
    // It may have ended by itself; then this finds nobody.
    let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
    if parent == Parent::Sibling {
        if let RuntimeError::Died { how } = &mut error {
            *how = "its parent knows how".into();
        }
        return error;
    }
    let id = WaitId::PidFd(child.pidfd.as_fd());
    let status = rustix::process::waitid(id, WaitIdOptions::EXITED);
    if let RuntimeError::Died { how } = &mut error {
        *how = match status {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (_, Some(signal)) => format!("signal {signal}"),
                _ => "unknown status".into(),
            },
            _ => "unknown status".into(),
        };
    }
    error
}

fn is_hang_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}
