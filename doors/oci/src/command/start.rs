//! `start`: lets a created container execute its program.
//!
//! runtime-spec 1.3.0, runtime.md, "Start".

use std::os::fd::{AsFd as _, BorrowedFd};

use oci::runtime::State;
use runtime::StartHandle;
use runtime::hooks::{self, HookPoint};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::Signal;

use crate::Context;
use crate::args::Parsed;
use crate::command::Command;
use crate::error::{OciError, Step};
use crate::exit::Exit;
use crate::notify::{self, Notify};
use crate::status::{self, Status};
use crate::store::Record;

pub(crate) const START: Command =
    Command::plain("start", "execute the program of a created container", run);

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let entry = context.store.open(parsed.id())?;
    let lock = entry.lock()?;
    let record = entry.record()?;
    let (status, alive) = status::look(&entry, record.as_ref())?;
    let (Some(record), Some(alive)) = (record, alive) else {
        return Err(refuse(status));
    };
    if status != Status::Created {
        return Err(refuse(status));
    }
    let socket = match status::connect_start(&entry, SocketFlags::empty()) {
        // It was started, or ended, right now.
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Err(refuse(Status::Stopped)),
        other => other.to(|| "reach the container".into())?,
    };
    let notify = match notify::host_socket() {
        None => None,
        Some(host) => Notify::open(&entry, &host)?,
    };
    StartHandle::from_fd(socket).start()?;
    lock.remove_start_socket();
    drop(lock);
    let pid = alive.pid.as_raw_nonzero().get();
    poststart(parsed.id(), &record, pid, alive.pidfd.as_fd())?;
    if let Some(notify) = notify {
        notify.wait(alive.pidfd.as_fd(), pid)?;
    }
    Ok(Exit::SUCCESS)
}

fn refuse(status: Status) -> OciError {
    OciError::State(match status {
        Status::Stopped => "cannot start a container that has stopped".into(),
        Status::Running => "cannot start an already running container".into(),
        other => format!("cannot start a container in the {} state", other.word()),
    })
}

/// Calls the hooks that follow the start. If one fails the container is ended.
///
/// runtime-spec 1.3.0, runtime.md, "Lifecycle", step 9.
pub(crate) fn poststart(
    id: &str,
    record: &Record,
    pid: i32,
    pidfd: BorrowedFd<'_>,
) -> Result<(), OciError> {
    let state = hook_state(id, record, Status::Running, Some(pid));
    hooks::run(HookPoint::Poststart, record.hooks.as_ref(), &state).map_err(|error| {
        // It may have ended by itself.
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        error.into()
    })
}

/// What a hook reads.
pub(crate) fn hook_state(id: &str, record: &Record, status: Status, pid: Option<i32>) -> State {
    State {
        oci_version: oci::runtime::VERSION.into(),
        id: id.into(),
        status: status.word().into(),
        pid,
        bundle: record.bundle.clone(),
        annotations: record.annotations.clone(),
    }
}
