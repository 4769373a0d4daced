//! `kista container ...`, and the short forms at the top.

mod attach;
mod checks;
mod commit;
mod create;
mod exec;
mod inspect;
mod kill;
mod list;
mod logs;
mod network;
mod options;
mod pause;
mod port;
mod prune;
mod publish;
mod remove;
mod rename;
mod restart;
mod run;
mod security;
mod start;
mod stop;
mod top;
mod volumes;
mod wait;
mod wishes;

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use engine::{Engine, EngineError};

use crate::ui::{Exit, Ui};

pub(crate) use attach::AttachArgs;
pub(crate) use commit::CommitArgs;
pub(crate) use exec::ExecArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use kill::KillArgs;
pub(crate) use list::ListArgs;
pub(crate) use logs::LogsArgs;
pub(crate) use network::Link;
pub(crate) use options::{CreateArgs, RunArgs};
pub(crate) use pause::{PauseArgs, UnpauseArgs};
pub(crate) use port::PortArgs;
pub(crate) use prune::PruneArgs;
pub(crate) use remove::RemoveArgs;
pub(crate) use rename::RenameArgs;
pub(crate) use restart::RestartArgs;
pub(crate) use start::StartArgs;
pub(crate) use stop::StopArgs;
pub(crate) use top::TopArgs;
pub(crate) use wait::WaitArgs;
pub(crate) use wishes::{platform, platforms, to_map};

/// Does something to each in turn and prints those that went well; one failure does not spare
/// the rest, and decides the exit code.
fn each(
    names: &[String],
    ui: &mut Ui,
    action: impl Fn(&str) -> Result<(), EngineError>,
) -> io::Result<Exit> {
    let mut exit = Exit::Success;
    for name in names {
        match action(name) {
            Ok(()) => writeln!(ui.out(), "{name}")?,
            Err(error) => exit = ui.report(&error)?,
        }
    }
    Ok(exit)
}

/// So many are worked on at once.
const WORKERS: usize = 32;

/// As [`each`], for what makes one wait: all at once, and reported in the order given. Each worker
/// has an engine of its own, from `open`; `report` says how a failure counts.
fn all_at_once(
    names: &[String],
    ui: &mut Ui,
    open: impl Fn() -> Result<Engine, EngineError> + Sync,
    action: impl Fn(&Engine, &str) -> Result<(), EngineError> + Sync,
    report: impl Fn(&EngineError, &mut Ui) -> io::Result<Exit>,
) -> io::Result<Exit> {
    let next = AtomicUsize::new(0);
    let (results, finished) = mpsc::channel();
    let mut exit = Exit::Success;
    let mut show = |name: &str, result: Result<(), EngineError>, ui: &mut Ui| match result {
        Ok(()) => writeln!(ui.out(), "{name}"),
        Err(error) => {
            let failure = report(&error, ui)?;
            if failure != Exit::Success {
                exit = failure;
            }
            Ok(())
        }
    };
    if let [name] = names {
        // No thread for one.
        show(name, open().and_then(|engine| action(&engine, name)), ui)?;
        return Ok(exit);
    }
    // Whoever is not root enters its namespace by the first one, which needs a process of one
    // thread. A failure is each one's own.
    drop(open());
    std::thread::scope(|scope| {
        for _ in 0..names.len().min(WORKERS) {
            let results = results.clone();
            let (next, open, action) = (&next, &open, &action);
            scope.spawn(move || {
                let mut engine = None;
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(at) else { break };
                    let result = match &engine {
                        Some(engine) => action(engine, name),
                        None => open().and_then(|opened| action(engine.insert(opened), name)),
                    };
                    // The receiver is gone only when nobody reads the report any more.
                    let _ = results.send((at, result));
                }
            });
        }
        drop(results);
        let mut early: Vec<Option<Result<(), EngineError>>> = names.iter().map(|_| None).collect();
        let mut shown = 0;
        for (at, result) in finished {
            early[at] = Some(result);
            while let Some(result) = early.get_mut(shown).and_then(Option::take) {
                show(&names[shown], result, ui)?;
                shown += 1;
            }
        }
        Ok::<(), io::Error>(())
    })?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_do_not_spare_the_rest_and_the_order_stays() {
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let action = |name: &str| match name.len() {
            1 => Err(EngineError::NoContainer { name: name.to_owned() }),
            _ => Ok(()),
        };
        let mut ui = Ui::captured();
        let root = tempfile::tempdir().unwrap();
        let open = || Engine::open(root.path());
        let report = |error: &EngineError, ui: &mut Ui| ui.report(error);
        let exit = all_at_once(&names, &mut ui, open, |_, name| action(name), report).unwrap();
        assert_eq!(exit, Exit::Failure(1));
        let (out, err) = ui.into_texts();
        assert_eq!(out.lines().collect::<Vec<_>>(), names[10..]);
        assert_eq!(err.lines().count(), 10);
        assert!(err.starts_with("Error response from daemon: No such container: 0\n"));

        let mut ui = Ui::captured();
        let exit = each(&names[8..12], &mut ui, action).unwrap();
        assert_eq!(exit, Exit::Failure(1));
        assert_eq!(ui.into_texts().0, "10\n11\n");
    }
}
