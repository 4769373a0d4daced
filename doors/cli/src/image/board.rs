//! How a transfer is shown: a line for each layer, redrawn on a terminal, one after another else.
//!
//! The lines are Docker's. Off a terminal a state is told once and no progress in between, so that
//! logs stay short.

use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use engine::{LayerState, Progress};
use oci::Digest;

use crate::attach::{is_terminal, terminal_size};
use crate::render::human_size;
use crate::ui::write_all;

/// Which way an image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Here.
    Pull,
    /// There.
    Push,
}

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, for those who asked for the transfer.
    Out,
    /// Standard error, for those who asked for something else.
    Err,
    /// Nowhere.
    Nowhere,
}

/// Shows a transfer. Several threads tell it what happens.
pub(crate) struct Board {
    way: Way,
    stream: Stream,
    /// Columns of the terminal; `None` if there is none.
    columns: Option<usize>,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    layers: Vec<(Digest, LayerState)>,
    /// Lines on the screen that are ours to write over.
    drawn: usize,
    last: Option<Instant>,
}

/// A screen is not drawn more often.
const REDRAW: Duration = Duration::from_millis(80);
/// Columns of the bar between its brackets.
const BAR: u64 = 50;

impl Board {
    pub(crate) fn new(way: Way, stream: Stream) -> Self {
        let columns = match stream {
            Stream::Out if is_terminal(std::io::stdout().as_fd()) => terminal_size(),
            Stream::Err if is_terminal(std::io::stderr().as_fd()) => terminal_size(),
            _ => None,
        };
        // A dumb terminal cannot go back over its lines.
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns = columns.filter(|_| !dumb).map(|(_, columns)| usize::from(columns).max(40));
        Self { way, stream, columns, lines: Mutex::default() }
    }

    /// Writes a line that stays.
    pub(crate) fn line(&self, text: &str) {
        let mut lines = self.lock();
        if self.columns.is_some() {
            self.draw(&mut lines);
            lines.drawn = 0;
            lines.layers.clear();
        }
        self.write(&format!("{text}\n"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self, text: &str) {
        let stdout = std::io::stdout();
        let stderr = std::io::stderr();
        let fd: BorrowedFd<'_> = match self.stream {
            Stream::Out => stdout.as_fd(),
            Stream::Err => stderr.as_fd(),
            Stream::Nowhere => return,
        };
        // What cannot be shown is no reason to end a transfer.
        let _ = write_all(fd, text.as_bytes());
    }

    fn draw(&self, lines: &mut Lines) {
        let Some(columns) = self.columns else { return };
        let mut text = String::new();
        if lines.drawn > 0 {
            let _ = write!(text, "\x1b[{}A", lines.drawn);
        }
        for (digest, state) in &lines.layers {
            let line = format!("{}: {}", digest.short(), self.words(*state, true));
            let line: String = line.chars().take(columns - 1).collect();
            let _ = writeln!(text, "\x1b[2K{line}");
        }
        lines.drawn = lines.layers.len();
        lines.last = Some(Instant::now());
        self.write(&text);
    }

    /// A state in Docker's words.
    fn words(&self, state: LayerState, with_bar: bool) -> String {
        let moving = |word: &str, current: u64, total: u64| match with_bar {
            true => format!("{word}  {}", bar(current, total)),
            false => word.to_owned(),
        };
        match (state, self.way) {
            (LayerState::Pending, Way::Pull) => "Pulling fs layer".into(),
            (LayerState::Pending, Way::Push) => "Preparing".into(),
            (LayerState::Waiting, _) => "Waiting".into(),
            (LayerState::Exists, Way::Pull) => "Already exists".into(),
            (LayerState::Exists, Way::Push) => "Layer already exists".into(),
            (LayerState::Downloading { current, total }, _) => {
                moving("Downloading", current, total)
            }
            (LayerState::Retrying, _) => "Retrying".into(),
            (LayerState::Unpacking, _) => "Extracting".into(),
            (LayerState::Complete, _) => "Pull complete".into(),
            (LayerState::Uploading { current, total }, _) => moving("Pushing", current, total),
            (LayerState::Pushed, _) => "Pushed".into(),
            (LayerState::Mounted, _) => "Mounted".into(),
        }
    }
}

impl Progress for Board {
    fn layers(&self, digests: &[Digest]) {
        let mut lines = self.lock();
        lines.layers = digests.iter().map(|digest| (digest.clone(), LayerState::Pending)).collect();
        // More lines than the terminal has could not be gone back over.
        let rows = terminal_size().map_or(0, |(rows, _)| usize::from(rows));
        match self.columns {
            Some(_) if digests.len() < rows => self.draw(&mut lines),
            Some(_) => lines.layers.clear(),
            None => {
                for digest in digests {
                    let words = self.words(LayerState::Pending, false);
                    self.write(&format!("{}: {words}\n", digest.short()));
                }
            }
        }
    }

    fn layer(&self, digest: &Digest, state: LayerState) {
        let mut lines = self.lock();
        let Some((_, known)) = lines.layers.iter_mut().find(|(known, _)| known == digest) else {
            return;
        };
        let is_same = std::mem::discriminant(known) == std::mem::discriminant(&state);
        *known = state;
        if self.columns.is_some() {
            let is_due = lines.last.is_none_or(|last| last.elapsed() > REDRAW);
            if is_due || !is_same {
                self.draw(&mut lines);
            }
            return;
        }
        let is_moving =
            matches!(state, LayerState::Downloading { .. } | LayerState::Uploading { .. });
        if is_same || is_moving {
            return;
        }
        if state == LayerState::Complete {
            self.write(&format!("{}: Download complete\n", digest.short()));
        }
        self.write(&format!("{}: {}\n", digest.short(), self.words(state, false)));
    }
}

/// `[====>    ]  1.2MB/30MB`
fn bar(current: u64, total: u64) -> String {
    let done = match total {
        0 => BAR,
        total => (current.min(total).saturating_mul(BAR)) / total,
    };
    let mut text = String::from("[");
    for at in 0..BAR {
        text.push(match at {
            at if at < done => '=',
            at if at == done => '>',
            _ => ' ',
        });
    }
    let _ = write!(text, "]  {}/{}", human_size(current, 4), human_size(total, 4));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_what_was_done() {
        assert_eq!(bar(0, 100).matches('=').count(), 0);
        assert_eq!(bar(50, 100).matches('=').count(), 25);
        assert_eq!(bar(100, 100).matches('=').count(), 50);
        assert!(bar(1_200_000, 30_000_000).ends_with("]  1.2MB/30MB"));
        assert_eq!(bar(5, 0).matches('=').count(), 50);
    }

    #[test]
    fn states_are_in_dockers_words() {
        let pull = Board::new(Way::Pull, Stream::Nowhere);
        let push = Board::new(Way::Push, Stream::Nowhere);
        assert_eq!(pull.words(LayerState::Exists, false), "Already exists");
        assert_eq!(push.words(LayerState::Exists, false), "Layer already exists");
        let moving = LayerState::Downloading { current: 1, total: 2 };
        assert_eq!(pull.words(moving, false), "Downloading");
    }
}
