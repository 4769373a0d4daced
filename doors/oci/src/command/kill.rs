//! `kill`: sends a signal to a container's first process. runtime-spec 1.3.0, runtime.md, "Kill".

use std::os::fd::AsFd as _;

use rustix::process::Signal;

use crate::Context;
use crate::args::{Parsed, Trailing, switch};
use crate::cgroup;
use crate::command::Command;
use crate::error::OciError;
use crate::exit::Exit;
use crate::status;
use crate::store::Record;

pub(crate) const KILL: Command = Command {
    arguments: "<container-id> [signal]",
    // Kept out of help texts, as runc does: engines give it still.
    flags: &[switch(&["all", "a"], "")],
    trailing: Trailing::Flags,
    counts: (1, 2),
    ..Command::plain("kill", "send a signal (default: SIGTERM) to a container's init", run)
};

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let entry = context.store.open(parsed.id())?;
    let word = parsed.args.get(1).map_or("SIGTERM", String::as_str);
    let signal =
        number(word).ok_or_else(|| OciError::Usage(format!("unknown signal \"{word}\"")))?;
    let all = parsed.is_on("all");
    let record = entry.record()?;
    let (_, alive) = status::look(&entry, record.as_ref())?;
    match (alive, &record) {
        (Some(alive), record) => {
            sys::signals::send(alive.pidfd.as_fd(), signal).map_err(|error| {
                match error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) {
                    true => OciError::NotRunning,
                    false => OciError::io(format!("send signal {word}"), error),
                }
            })?;
            // The others do not end with the first one where it is not the first of its
            // namespace.
            let deadly = signal == Signal::KILL.as_raw();
            if let Some(record) =
                record.as_ref().filter(|record| all || (deadly && record.shares_pids))
            {
                signal_all(record, signal)?;
            }
            Ok(Exit::SUCCESS)
        }
        // What its first process left behind.
        (None, Some(record)) if all || record.shares_pids => match signal_all(record, signal)? {
            0 if !all => Err(OciError::NotRunning),
            _ => Ok(Exit::SUCCESS),
        },
        (None, _) => Err(OciError::NotRunning),
    }
}

/// Signals every process of the cgroup, and answers how many there were. SIGKILL reaches those
/// too that are made meanwhile.
fn signal_all(record: &Record, signal: i32) -> Result<usize, OciError> {
    let Some(group) = cgroup::open(record)? else { return Ok(0) };
    let processes = group.processes()?;
    if signal == Signal::KILL.as_raw() && !processes.is_empty() {
        group.kill(cgroup::PATIENCE)?;
        return Ok(processes.len());
    }
    for pid in &processes {
        if let Ok(pidfd) = rustix::process::pidfd_open(*pid, rustix::process::PidfdFlags::empty()) {
            // It may have ended by now.
            let _ = sys::signals::send(pidfd.as_fd(), signal);
        }
    }
    Ok(processes.len())
}

/// A signal by its number or its name, with or without `SIG`, in any case; also `RTMIN+3` and
/// `RTMAX-1`.
fn number(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse::<i32>() {
        return (0..=64).contains(&number).then_some(number);
    }
    let name = word.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |prefix: &str, base: i32, sign: i32| {
        let rest = name.strip_prefix(prefix)?;
        let offset = match rest.strip_prefix(if sign > 0 { '+' } else { '-' }) {
            None if rest.is_empty() => 0,
            offset => offset?.parse::<i32>().ok()?,
        };
        Some(base + sign * offset).filter(|number| (RTMIN..=RTMAX).contains(number))
    };
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, signal)| signal.as_raw())
        .or_else(|| real_time("RTMIN", RTMIN, 1))
        .or_else(|| real_time("RTMAX", RTMAX, -1))
}

/// Two below are the C library's own.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// signal(7), "Standard signals", and synonyms.
const NAMES: [(&str, Signal); 35] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("BUS", Signal::BUS),
    ("CHLD", Signal::CHILD),
    ("CLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("IO", Signal::IO),
    ("IOT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("POLL", Signal::IO),
    ("PROF", Signal::PROF),
    ("PWR", Signal::POWER),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("STKFLT", Signal::STKFLT),
    ("STOP", Signal::STOP),
    ("SYS", Signal::SYS),
    ("TERM", Signal::TERM),
    ("TRAP", Signal::TRAP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("VTALRM", Signal::VTALARM),
    ("WINCH", Signal::WINCH),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("UNUSED", Signal::SYS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for (word, want) in [
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            ("9", Some(9)),
            ("0", Some(0)),
            ("64", Some(64)),
            ("65", None),
            ("-1", None),
            ("SIGRTMIN+1", Some(35)),
            ("RTMAX", Some(64)),
            ("RTMAX-31", None),
            ("RTMIN-1", None),
            ("SIGFOO", None),
            ("", None),
        ] {
            assert_eq!(number(word), want, "{word}");
        }
    }
}
