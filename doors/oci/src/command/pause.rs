//! `pause` and `resume`: all processes of a container stand still, and go on.

use crate::Context;
use crate::args::Parsed;
use crate::cgroup;
use crate::command::Command;
use crate::error::OciError;
use crate::exit::Exit;
use crate::status::{self, Status};

pub(crate) const PAUSE: Command =
    Command::plain("pause", "suspend all processes of a container", pause);

pub(crate) const RESUME: Command =
    Command::plain("resume", "resume all processes that were paused", resume);

fn pause(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let entry = context.store.open(parsed.id())?;
    let record = entry.record()?;
    match (status::look(&entry, record.as_ref())?.0, record) {
        (Status::Running | Status::Created, Some(record)) => {
            cgroup::need(&record)?.freeze()?;
            Ok(Exit::SUCCESS)
        }
        (status, _) => {
            let text = format!("container not running: it is {}", status.word());
            Err(OciError::State(text))
        }
    }
}

fn resume(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let entry = context.store.open(parsed.id())?;
    let record = entry.record()?;
    match (status::look(&entry, record.as_ref())?.0, record) {
        (Status::Paused, Some(record)) => {
            cgroup::need(&record)?.thaw()?;
            Ok(Exit::SUCCESS)
        }
        _ => Err(OciError::NotPaused),
    }
}
