//! What making a container and adding a process to one have in common on the caller's side.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{DumpableBehavior, Signal, WaitId, WaitIdOptions};
use sys::process::{Child, CloneFlags};

use crate::error::Step;
use crate::message::{self, FromCaller, FromChild};
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
    process: &ProcessPlan<'a>,
    own: impl Iterator<Item = BorrowedFd<'a>>,
    cgroup: Option<&'a cgroups::JoinHandle>,
) {
    let cgroup = cgroup.into_iter().flat_map(cgroups::JoinHandle::fds);
    let keep: Vec<_> = own.chain(cgroup).chain(process.inherited()).collect();
    // Before Linux 5.9 they are closed by execve(2).
    let _ = sys::process::close_all_but(&keep);
}

/// Waits until the child is ready; `hooks` is what is due before it enters its root.
pub(crate) fn await_ready(
    socket: BorrowedFd<'_>,
    mut hooks: impl FnMut() -> Result<(), RuntimeError>,
) -> Result<(Option<OwnedFd>, Vec<String>), RuntimeError> {
    loop {
        match message::from_child(socket)? {
            Some(FromChild::Ready { warnings, console }) => return Ok((console, warnings)),
            Some(FromChild::Failed(error)) => return Err(error),
            Some(FromChild::HooksDue) => {
                hooks()?;
                message::to_child(socket, FromCaller::Continue, &[])?;
            }
            None => return Err(RuntimeError::Died { how: String::new() }),
        }
    }
}

/// The end of both stories.
pub(crate) fn conclude(
    outcome: Result<(Option<OwnedFd>, Vec<String>), RuntimeError>,
    child: Child,
    socket: OwnedFd,
    parent: Parent,
) -> Result<Created, RuntimeError> {
    match outcome {
        Ok((console, warnings)) => Ok(Created {
            pid: child.pid,
            pidfd: child.pidfd,
            console,
            start: StartHandle::from_fd(socket),
            warnings,
        }),
        Err(error) => Err(give_up(&child, socket.as_fd(), parent, error)),
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
