//! `delete`: removes what a container left. runtime-spec 1.3.0, runtime.md, "Delete".

use std::os::fd::AsFd as _;

use runtime::hooks::{self, HookPoint};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::Context;
use crate::args::{Parsed, switch};
use crate::cgroup;
use crate::command::{Command, start};
use crate::error::{self, OciError, Step};
use crate::exit::Exit;
use crate::status::{self, Alive, Status};
use crate::store::{Entry, Lock, Record};

pub(crate) const DELETE: Command = Command {
    flags: &[switch(&["force", "f"], "kill the container first if it has not ended")],
    ..Command::plain("delete", "remove a container that has ended", run)
};

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let force = parsed.is_on("force");
    let entry = match context.store.open(parsed.id()) {
        Err(OciError::NoContainer) if force => return Ok(Exit::SUCCESS),
        other => other?,
    };
    // Refused before waiting for the lock: whoever holds that may be starting the container.
    let record = entry.record()?;
    let (status, alive) = status::look(&entry, record.as_ref())?;
    match status {
        Status::Stopped | Status::Created => {}
        _ if force => {}
        status => {
            let (id, word) = (parsed.id(), status.word());
            let text = format!("cannot delete container {id} that is not stopped: {word}");
            return Err(OciError::State(text));
        }
    }
    if let (Some(alive), Some(record)) = (alive, &record) {
        kill(&alive, record)?;
    }
    let lock = match entry.lock() {
        // Somebody else was quicker.
        Err(OciError::NoContainer) if force => return Ok(Exit::SUCCESS),
        other => other?,
    };
    // A container that was being made may have become one while we waited.
    let record = entry.record()?;
    if let (Some(record), (_, Some(alive))) = (&record, status::look(&entry, record.as_ref())?) {
        if !force {
            let id = parsed.id();
            return Err(OciError::State(format!("cannot delete container {id}: it was started")));
        }
        kill(&alive, record)?;
    }
    destroy(context, &entry, lock, record.as_ref())?;
    Ok(Exit::SUCCESS)
}

/// Kills the first process and waits for its end.
fn kill(alive: &Alive, record: &Record) -> Result<(), OciError> {
    if let Some(group) = cgroup::open(record).ok().flatten() {
        // One that is paused dies only when it runs again.
        let _ = group.thaw();
    }
    // It may have ended by now.
    let _ = sys::signals::send(alive.pidfd.as_fd(), Signal::KILL.as_raw());
    let mut fds = [PollFd::new(&alive.pidfd, PollFlags::IN)];
    let patience = cgroup::PATIENCE.as_secs().try_into().unwrap_or(i64::MAX);
    let timeout = Timespec { tv_sec: patience, tv_nsec: 0 };
    match poll(&mut fds, Some(&timeout)).to(|| "wait for the container's end".into())? {
        0 => Err(OciError::State("container init still running".into())),
        _ => Ok(()),
    }
}

/// Removes all that is left of a container whose first process has ended: other processes, the
/// cgroup, the group of caches, the directory. Then the hooks are called; one that fails is told of and no more.
/// runtime-spec 1.3.0, runtime.md, "Lifecycle", steps 12 and 13.
pub(crate) fn destroy(
    context: &Context,
    entry: &Entry,
    lock: Lock<'_>,
    record: Option<&Record>,
) -> Result<(), OciError> {
    if let Some(record) = record {
        cgroup::destroy(record)?;
        if let Some(place) = &record.resctrl {
            place.remove(record.init.is_none())?;
        }
    }
    lock.remove()?;
    let Some(record) = record else { return Ok(()) };
    let state = start::hook_state(&entry.id, record, Status::Stopped, None);
    for error in hooks::run_all(HookPoint::Poststop, record.hooks.as_ref(), &state) {
        context.log.warn(&error::chain(&error));
    }
    Ok(())
}
