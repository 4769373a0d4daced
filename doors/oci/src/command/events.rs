//! `events`: what a container uses, now and then, and when it runs out of memory.
//!
//! One JSON document a line: `{"type": "stats", "id": ..., "data": {...}}` and
//! `{"type": "oom", "id": ...}`. The form of the data is runc's, which go-runc reads.

use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use cgroups::{Cgroup, Controller, Version};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::Context;
use crate::args::{Parsed, switch, valued};
use crate::cgroup;
use crate::command::Command;
use crate::error::{OciError, Step};
use crate::exit::Exit;
use crate::quantity;
use crate::status;
use crate::store::Record;

mod shape;

pub(crate) const EVENTS: Command = Command {
    flags: &[
        valued(&["interval"], "DURATION", "time between statistics (default: 5s)"),
        switch(&["stats"], "print statistics once"),
    ],
    ..Command::plain("events", "display statistics and out-of-memory events", run)
};

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let id = parsed.id();
    let entry = context.store.open(id)?;
    let interval = parsed.text("interval").unwrap_or("5s");
    let interval = quantity::duration(interval)
        .ok_or_else(|| OciError::Usage("duration interval must be greater than 0".into()))?;
    let record = entry.record()?;
    let (_, alive) = status::look(&entry, record.as_ref())?;
    let (Some(alive), Some(record)) = (alive, record) else {
        return Err(OciError::State(format!("container with id {id} is not running")));
    };
    let group = cgroup::need(&record)?;
    match parsed.is_on("stats") {
        true => print(&stats(id, &group, &record)?)?,
        false => watch(context, id, &group, &record, &alive.pidfd, interval)?,
    }
    Ok(Exit::SUCCESS)
}

fn stats(id: &str, group: &Cgroup, record: &Record) -> Result<Value, OciError> {
    let rdt = record.resctrl.as_ref().and_then(resctrl::Place::open);
    let rdt = rdt.map(|group| group.stats()).transpose()?;
    let data = shape::stats(&group.stats()?, group, rdt.as_ref());
    Ok(json!({"type": "stats", "id": id, "data": data}))
}

fn print(event: &Value) -> Result<(), OciError> {
    std::io::stdout().write_all(format!("{event}\n").as_bytes()).to(|| "write an event".into())
}

/// Until the container's end.
fn watch(
    context: &Context,
    id: &str,
    group: &Cgroup,
    record: &Record,
    init: &OwnedFd,
    interval: Duration,
) -> Result<(), OciError> {
    let memory = Memory::watch(group)?;
    let mut next = Instant::now() + interval;
    let mut kills = group.oom_kills()?;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::new(init, PollFlags::IN)];
        if let Some(memory) = &memory {
            fds.push(PollFd::new(&memory.events, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(OciError::io("wait for events", errno)),
        }
        let ended = !fds[0].revents().is_empty();
        let told = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        let due = Instant::now() >= next;
        if let Some(memory) = memory.as_ref().filter(|_| told) {
            memory.clear();
        }
        if told || due || ended {
            // The count goes with the group; the kernel tells of that too.
            let now = group.oom_kills().unwrap_or(kills);
            // Version 1 tells of a limit that is met without a killing; version 2 of lesser events.
            let met = memory.as_ref().is_some_and(|memory| memory.version == Version::V1);
            if now > kills || (told && met && !ended) {
                print(&json!({"type": "oom", "id": id}))?;
            }
            kills = kills.max(now);
        }
        if ended {
            return Ok(());
        }
        if due {
            next += interval;
            match stats(id, group, record) {
                Ok(event) => print(&event)?,
                // It may be ending right now.
                Err(error) => context.log.warn(&crate::error::chain(&error)),
            }
        }
    }
}

/// The memory controller's voice.
struct Memory {
    events: OwnedFd,
    version: Version,
}

impl Memory {
    fn watch(group: &Cgroup) -> Result<Option<Self>, OciError> {
        let Some(events) = group.oom_events()? else { return Ok(None) };
        let dir = group.directory(Controller::Memory);
        let found = group.directories().find(|(path, _)| Some(*path) == dir);
        Ok(found.map(|(_, version)| Self { events, version }))
    }

    fn clear(&self) {
        let mut bytes = [0; 4096];
        while rustix::io::read(self.events.as_fd(), &mut bytes).is_ok_and(|count| count > 0) {}
    }
}
