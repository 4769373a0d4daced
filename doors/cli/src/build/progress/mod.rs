//! What a build shows while it goes on: plain lines, a view that is drawn anew, JSON, or nothing.
//!
//! All of it goes to standard error: standard output is for results.

mod json;
mod plain;
mod terminal;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{BuildEvent, BuildEvents, BuildOutcome, BuildWarning};

use crate::ui::Ui;

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines, one after the other.
    Plain,
    /// A view of what goes on.
    Terminal,
    /// BuildKit's status messages, an object of JSON a line.
    Json,
    /// Not at all.
    Quiet,
}

impl Kind {
    /// What `--progress` and `--quiet` ask for; `BUILDKIT_PROGRESS` is the default.
    pub(super) fn choose(given: Option<&str>, quiet: bool) -> Result<Self, String> {
        let variable = std::env::var("BUILDKIT_PROGRESS").ok();
        let asked = given.or(variable.as_deref()).unwrap_or("auto");
        let kind = match asked {
            "auto" if std::io::stderr().is_terminal() => Self::Terminal,
            "auto" | "plain" => Self::Plain,
            "tty" => Self::Terminal,
            "rawjson" => Self::Json,
            "quiet" => Self::Quiet,
            other => return Err(format!("invalid progress mode {other:?}")),
        };
        Ok(if quiet { Self::Quiet } else { kind })
    }
}

/// What a view is told of a step.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Counted from 1 in the order in which steps began.
    number: usize,
    name: String,
    began: Instant,
    ended: Option<(BuildOutcome, Duration)>,
    /// Its last lines.
    lines: Vec<String>,
    /// What has no line feed yet.
    rest: Vec<u8>,
}

/// How many lines of a step are kept for a failure.
const KEPT: usize = 20;
/// A line without an end is cut here.
const LONGEST: usize = 16 * 1024;
/// How often a view is drawn when nothing happens.
const TICK: Duration = Duration::from_millis(150);

trait View: Send {
    fn began(&mut self, shown: &Shown, ui: &mut Ui);
    fn line(&mut self, shown: &Shown, line: &str, error: bool, ui: &mut Ui);
    fn ended(&mut self, shown: &Shown, ui: &mut Ui);
    /// Something that is done when it is told.
    fn internal(&mut self, number: usize, name: &str, lines: &str, ui: &mut Ui);
    /// Time has passed.
    fn tick(&mut self, _steps: &[Shown], _ui: &mut Ui) {}
    /// Nothing more comes.
    fn close(&mut self, _steps: &[Shown], _ui: &mut Ui) {}
}

/// Shows a build.
pub(super) struct Printer<'a> {
    state: Mutex<State<'a>>,
}

struct State<'a> {
    ui: &'a mut Ui,
    view: Option<Box<dyn View>>,
    kind: Kind,
    steps: Vec<Shown>,
    /// By the engine's number.
    places: HashMap<usize, usize>,
    next: usize,
}

impl<'a> Printer<'a> {
    pub(super) fn new(kind: Kind, ui: &'a mut Ui) -> Self {
        let view: Option<Box<dyn View>> = match kind {
            Kind::Plain => Some(Box::new(plain::Plain::default())),
            Kind::Terminal => Some(Box::new(terminal::Terminal::new())),
            Kind::Json => Some(Box::new(json::Json)),
            Kind::Quiet => None,
        };
        let (steps, places) = (Vec::new(), HashMap::new());
        Self { state: Mutex::new(State { ui, view, kind, steps, places, next: 1 }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of something that is done.
    pub(super) fn internal(&self, name: &str, lines: &str) {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let State { view, ui, .. } = &mut *state;
        if let Some(view) = view {
            view.internal(number, name, lines, ui);
        }
    }

    /// Shows what happens while `work` goes on.
    pub(super) fn follow<T>(&self, work: impl FnOnce(&dyn BuildEvents) -> T) -> T {
        let over = AtomicBool::new(false);
        let is_view = self.lock().kind == Kind::Terminal;
        std::thread::scope(|scope| {
            if is_view {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        self.tick();
                        std::thread::park_timeout(TICK);
                    }
                });
            }
            let done = work(self);
            over.store(true, Ordering::Relaxed);
            let mut state = self.lock();
            let State { view, ui, steps, .. } = &mut *state;
            if let Some(view) = view {
                view.close(steps, ui);
            }
            done
        })
    }

    fn tick(&self) {
        let mut state = self.lock();
        let State { view, ui, steps, .. } = &mut *state;
        if let Some(view) = view {
            view.tick(steps, ui);
        }
    }

    /// The step that failed, and its last lines.
    pub(super) fn last_failure(&self) -> Option<(String, Vec<String>)> {
        let state = self.lock();
        let failed = |shown: &&Shown| matches!(shown.ended, Some((BuildOutcome::Failed(_), _)));
        let shown = state.steps.iter().find(failed)?;
        Some((shown.name.clone(), shown.lines.clone()))
    }

    /// Tells of the linter's findings, at the end.
    pub(super) fn warnings(&self, warnings: &[BuildWarning]) {
        use std::io::Write;
        let mut state = self.lock();
        if warnings.is_empty() || !matches!(state.kind, Kind::Plain | Kind::Terminal) {
            return;
        }
        let count = warnings.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut err = state.ui.err();
        let _ = writeln!(err, "\n {count} warning{plural} found (use --check to expand):");
        for warning in warnings {
            let (rule, message) = (warning.rule, &warning.message);
            let _ = writeln!(err, " - {rule}: {message} (line {})", warning.lines.first);
        }
    }

    pub(super) fn into_ui(self) -> &'a mut Ui {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).ui
    }
}

impl BuildEvents for Printer<'_> {
    fn event(&self, event: BuildEvent) {
        let mut state = self.lock();
        let State { view, ui, steps, places, next, .. } = &mut *state;
        match event {
            BuildEvent::Started { step, name } => {
                places.insert(step, steps.len());
                steps.push(Shown {
                    number: *next,
                    name,
                    began: Instant::now(),
                    ended: None,
                    lines: Vec::new(),
                    rest: Vec::new(),
                });
                *next += 1;
                if let (Some(view), Some(shown)) = (view, steps.last()) {
                    view.began(shown, ui);
                }
            }
            BuildEvent::Output { step, error, bytes } => {
                let Some(shown) = places.get(&step).and_then(|place| steps.get_mut(*place)) else {
                    return;
                };
                shown.rest.extend_from_slice(&bytes);
                for line in take_lines(&mut shown.rest, false) {
                    keep(shown, line, error, view, ui);
                }
            }
            BuildEvent::Ended { step, outcome, took, .. } => {
                let Some(shown) = places.get(&step).and_then(|place| steps.get_mut(*place)) else {
                    return;
                };
                for line in take_lines(&mut shown.rest, true) {
                    keep(shown, line, false, view, ui);
                }
                shown.ended = Some((outcome, took));
                if let Some(view) = view {
                    view.ended(shown, ui);
                }
            }
        }
    }
}

fn keep(
    shown: &mut Shown,
    line: String,
    error: bool,
    view: &mut Option<Box<dyn View>>,
    ui: &mut Ui,
) {
    let seconds = shown.began.elapsed().as_secs_f64();
    if let Some(view) = view {
        view.line(shown, &line, error, ui);
    }
    if shown.lines.len() == KEPT {
        shown.lines.remove(0);
    }
    shown.lines.push(format!("{seconds:.3} {line}"));
}

/// The whole lines of what a step has printed; what is left has no end yet.
fn take_lines(rest: &mut Vec<u8>, all: bool) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = rest.drain(..=end).collect();
        let line = &line[..end];
        lines.push(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned());
    }
    if !rest.is_empty() && (all || rest.len() > LONGEST) {
        lines.push(String::from_utf8_lossy(&std::mem::take(rest)).into_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_their_end() {
        let mut rest = b"a\r\nb\nc".to_vec();
        assert_eq!(take_lines(&mut rest, false), ["a", "b"]);
        assert_eq!(rest, b"c");
        assert_eq!(take_lines(&mut rest, true), ["c"]);
        assert!(take_lines(&mut rest, true).is_empty());
    }

    #[test]
    fn plain_progress_is_printed_as_buildkit_prints_it() {
        let mut ui = Ui::captured();
        let printer = Printer::new(Kind::Plain, &mut ui);
        printer.internal("[internal] load", "transferring: 2B done");
        printer.follow(|events| {
            let started = |step, name: &str| BuildEvent::Started { step, name: name.into() };
            let ended = |step, outcome| BuildEvent::Ended {
                step,
                name: String::new(),
                outcome,
                took: Duration::from_millis(1234),
            };
            events.event(started(7, "[1/2] FROM a"));
            events.event(ended(7, BuildOutcome::Cached));
            events.event(started(8, "[2/2] RUN b"));
            events.event(BuildEvent::Output { step: 8, error: false, bytes: b"x\ny".to_vec() });
            events.event(ended(8, BuildOutcome::Done));
        });
        drop(printer);
        let (out, err) = ui.into_texts();
        assert_eq!(out, "");
        // The seconds of an output line depend on the machine.
        let err: Vec<String> = err
            .lines()
            .map(|line| match line.split_once(" 0.0") {
                Some((number, rest)) if rest.len() > 3 => format!("{number} T{}", &rest[2..]),
                _ => line.to_owned(),
            })
            .collect();
        assert_eq!(
            err,
            [
                "#1 [internal] load",
                "#1 transferring: 2B done",
                "#1 DONE 0.0s",
                "",
                "#2 [1/2] FROM a",
                "#2 CACHED",
                "",
                "#3 [2/2] RUN b",
                "#3 T x",
                "#3 T y",
                "#3 DONE 1.2s",
                "",
            ]
        );
    }
}
