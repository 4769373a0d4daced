//! Into a pid namespace where others live: nobody there ever sees a process with rights of the
//! host's.
//!
//! Whoever in a container may trace (CAP_SYS_PTRACE) can take over every process that it sees,
//! dumpable or not, from the instant in which that has a number there. So the process that joins
//! the container and still has rights is not seen: it has entered the pid namespace for its
//! children only. When it has become all that the program shall be, in every respect, it makes
//! one child, which is seen, and ends:
//!
//! ```text
//! caller                    envoy (host's pid namespace)         the process (the container's)
//!   |--- clone3 ------------->|  joins, limits, descriptors,
//!   |                         |  ids, capabilities
//!   |<-- Away (warnings, console, StartHandle's socket)
//!   |                         |  filter, the last rights go
//!   |                         |--- clone, CLONE_PARENT ---------->|  session, terminal
//!   |<-- Born (pid, pidfd) ---|                                   |  waits
//!   |  reaps the envoy        ends                                :
//!   |--- Go ----------------------------------------------------->|  execve
//! ```
//!
//! At birth the process has the program's capabilities, ids, limits, filter, namespaces, cgroup,
//! root, working directory and standard streams; beyond those a socket that can say nothing but
//! "failed", and one that tells of its own birth and is closed first: what somebody else would
//! say on it is checked in [`crate::birth`]. Its memory is a copy of the caller's without the
//! environment. CVE-2016-9962; docs/security.md.

use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SocketType;
use sys::process::CloneFlags;

use crate::error::Step;
use crate::notify::Connection;
use crate::process::{Prepared, ProcessPlan};
use crate::{RuntimeError, console, message};

/// The envoy's last steps. Does not return: what it owns is not closed, but ends with it.
pub(crate) fn cross(
    plan: &mut ProcessPlan<'_>,
    prepared: Prepared,
    socket: OwnedFd,
    hooks: impl FnOnce() -> Result<(), RuntimeError>,
) -> ! {
    let mut socket = Some(socket);
    let outcome = send_on(plan, prepared, &mut socket, hooks);
    let code = match (outcome, &socket) {
        (Err(error), Some(socket)) => message::report(socket.as_fd(), &error),
        (outcome, _) => i32::from(outcome.is_err()),
    };
    sys::process::exit_now(code)
}

fn send_on(
    plan: &mut ProcessPlan<'_>,
    prepared: Prepared,
    own: &mut Option<OwnedFd>,
    hooks: impl FnOnce() -> Result<(), RuntimeError>,
) -> Result<(), RuntimeError> {
    let socket = own.as_ref().expect("taken only in the child").as_fd();
    let early = loads_early(plan)?;
    let (near, far) =
        sys::socket::pair(SocketType::SEQPACKET).inside(|| "make a socket pair".into())?;
    let console = prepared.console.as_ref().map(AsFd::as_fd);
    message::send_away(socket, &plan.warnings, near.as_fd(), console)
        .inside(|| "report that it is ready".into())?;
    // Their numbers are free from here on.
    std::mem::forget((near, prepared.console));
    let listener = plan.listener.take();
    let keep = [Some(socket), Some(far.as_fd()), listener.as_ref().map(Connection::as_fd)];
    let keep: Vec<_> = keep.into_iter().flatten().collect();
    sys::process::close_before_exec(plan.end_of_fds(), &keep)
        .inside(|| "close what is the host's".into())?;
    sys::process::wipe_environment();
    let filter = match early {
        true => {
            plan.limits.apply_last()?;
            plan.load_filter()?
        }
        false => None,
    };
    let mut notified = filter.zip(listener);
    let mut far = Some(far);
    let child = sys::process::clone(CloneFlags::PARENT, None, || {
        // First of all: see the drawing.
        drop((own.take(), notified.take()));
        let Some(far) = far.take() else { return 1 };
        let program = &prepared.program;
        let failed = match arrive(plan) {
            Ok(()) => plan.execute(program, far, early, hooks),
            Err(error) => Err((error, far)),
        };
        match failed {
            Ok(never) => match never {},
            Err((error, socket)) => message::report(socket.as_fd(), &error),
        }
    })
    .inside(|| "make the process that the container sees".into())?;
    let socket = own.as_ref().expect("taken only in the child").as_fd();
    // Before the caller can have the process go on: nobody answers its calls until then.
    if let Some((filter, connection)) = notified {
        connection.tell(child.pid, filter)?;
    }
    message::send_born(socket, child.pid, child.pidfd.as_fd()).inside(|| "report a process".into())
}

/// The process's first steps. None needs a right.
fn arrive(plan: &ProcessPlan<'_>) -> Result<(), RuntimeError> {
    if plan.death_signal.is_some() {
        // Not inherited. A parent that is dead by now held the other end of the socket.
        sys::process::set_pdeathsig(plan.death_signal).inside(|| "arm the death signal".into())?;
    }
    rustix::process::setsid().inside(|| "begin a session".into())?;
    match plan.process.terminal {
        true => console::take(rustix::stdio::stdin()),
        false => Ok(()),
    }
}

/// Whether the filter is in force before the process is born, which is how it should be.
///
/// What follows then has to pass it. A filter that is stricter comes as the last thing before the
/// program: between, whoever may trace finds a process that has no more rights than the program
/// but no filter. That takes no_new_privs, since otherwise loading is a privilege.
fn loads_early(plan: &ProcessPlan<'_>) -> Result<bool, RuntimeError> {
    const TIOCSCTTY: u64 = 0x540e;
    const PR_SET_PDEATHSIG: u64 = 1;
    let Some(filter) = plan.seccomp else { return Ok(false) };
    let no_new_privileges = plan.process.no_new_privileges;
    let needs: [(&str, &[u64], bool); 11] = [
        ("sendmsg", &[], true),
        ("recvmsg", &[], true),
        ("clone", &[], true),
        ("close", &[], true),
        ("setsid", &[], true),
        ("execve", &[], true),
        ("exit_group", &[], true),
        ("accept4", &[], plan.may_outwait),
        ("capset", &[], !no_new_privileges),
        ("prctl", &[PR_SET_PDEATHSIG], plan.death_signal.is_some()),
        ("ioctl", &[0, TIOCSCTTY], plan.process.terminal),
    ];
    let missing = needs.iter().find(|(name, args, needed)| *needed && !filter.allows(name, args));
    match missing {
        None => Ok(true),
        Some((name, ..)) if filter.has_listener() => Err(RuntimeError::Refused(format!(
            "the seccomp filter does not let {name} pass, which a process needs that is added to \
             a pid namespace of others and whose filter has a listener"
        ))),
        Some(_) if no_new_privileges => Ok(false),
        Some((name, ..)) => Err(RuntimeError::Refused(format!(
            "the seccomp filter forbids {name}, which a process needs that is added to a pid \
             namespace of others without no_new_privs"
        ))),
    }
}
