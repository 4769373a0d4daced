//! A view of what goes on, drawn over itself a few times a second.
//!
//! ```text
//! [+] Building 1.2s (3/4)
//!  => [1/4] FROM docker.io/library/debian:12            0.0s
//!  => CACHED [2/4] RUN a                                 0.0s
//!  => [4/4] RUN b                                        1.1s
//!  => => # its last lines
//! ```
//!
//! The terminal's size is asked for at each drawing, so that a resize costs one crooked frame.

use std::io::Write;
use std::time::Instant;

use engine::BuildOutcome;

use super::{Shown, View};
use crate::ui::Ui;

/// How many of a running step's last lines are shown.
const WINDOW: usize = 4;

/// Remembers how much it drew.
pub(super) struct Terminal {
    began: Instant,
    /// Lines that the next drawing goes over.
    drawn: usize,
    done: Vec<String>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), drawn: 0, done: Vec::new() }
    }

    fn draw(&mut self, steps: &[Shown], last: bool, ui: &mut Ui) {
        let size = rustix::termios::tcgetwinsize(std::io::stderr());
        let (width, height) = match size {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            _ => (80, 24),
        };
        let total = self.done.len() + steps.len();
        let ended = self.done.len() + steps.iter().filter(|shown| shown.ended.is_some()).count();
        let seconds = self.began.elapsed().as_secs_f64();
        let finished = if last { " FINISHED" } else { "" };
        let mut lines = vec![format!("[+] Building {seconds:.1}s ({ended}/{total}){finished}")];
        lines.extend(self.done.iter().map(|name| entry(name, 0.0, width)));
        for shown in steps {
            lines.push(step(shown, width));
            if shown.ended.is_none() {
                let from = shown.lines.len().saturating_sub(WINDOW);
                lines.extend(shown.lines[from..].iter().map(|line| format!(" => => # {line}")));
            }
        }
        // What does not fit is left out from the top, below the heading.
        let room = height.saturating_sub(1).max(2);
        if lines.len() > room && !last {
            lines.drain(1..=lines.len() - room);
        }
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\x1b[{}A\r", self.drawn);
        }
        for line in &lines {
            text.extend(line.chars().filter(|letter| !letter.is_control()).take(width));
            text += "\x1b[K\n";
        }
        text += "\x1b[J";
        self.drawn = lines.len();
        let mut err = ui.err();
        let _ = err.write_all(text.as_bytes());
        let _ = err.flush();
    }
}

/// ` => name      1.2s`
fn entry(name: &str, seconds: f64, width: usize) -> String {
    let time = format!("{seconds:.1}s");
    let room = width.saturating_sub(time.len() + 5);
    let name: String = name.chars().take(room).collect();
    format!(" => {name:<room$} {time}")
}

fn step(shown: &Shown, width: usize) -> String {
    match &shown.ended {
        None => entry(&shown.name, shown.began.elapsed().as_secs_f64(), width),
        Some((outcome, took)) => {
            let word = match outcome {
                BuildOutcome::Done => "",
                BuildOutcome::Cached => "CACHED ",
                BuildOutcome::Canceled => "CANCELED ",
                BuildOutcome::Failed(_) => "ERROR ",
            };
            entry(&format!("{word}{}", shown.name), took.as_secs_f64(), width)
        }
    }
}

impl View for Terminal {
    fn began(&mut self, _shown: &Shown, _ui: &mut Ui) {}

    fn line(&mut self, _shown: &Shown, _line: &str, _error: bool, _ui: &mut Ui) {}

    fn ended(&mut self, _shown: &Shown, _ui: &mut Ui) {}

    fn internal(&mut self, _number: usize, name: &str, lines: &str, ui: &mut Ui) {
        self.done.push(name.to_owned());
        if self.drawn > 0 {
            // The view is closed: what comes now stands below it.
            let mut err = ui.err();
            let _ = writeln!(err, "{}", entry(name, 0.0, 80).trim_end());
            for line in lines.lines() {
                let _ = writeln!(err, " => => {line}");
            }
        }
    }

    fn tick(&mut self, steps: &[Shown], ui: &mut Ui) {
        self.draw(steps, false, ui);
    }

    fn close(&mut self, steps: &[Shown], ui: &mut Ui) {
        self.draw(steps, true, ui);
    }
}
