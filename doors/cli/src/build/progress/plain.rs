//! Lines as BuildKit's plain progress has them: `#3 0.123 text`, `#3 DONE 0.5s`.

use std::io::Write;

use engine::BuildOutcome;

use super::{Shown, View};
use crate::ui::Ui;

/// Remembers whose lines were printed last.
#[derive(Debug, Default)]
pub(super) struct Plain {
    current: Option<usize>,
}

impl Plain {
    /// Says whose the next lines are, if others' came before.
    fn turn_to(&mut self, number: usize, name: &str, ui: &mut Ui) {
        if self.current == Some(number) {
            return;
        }
        let mut err = ui.err();
        if let Some(other) = self.current {
            let _ = writeln!(err, "#{other} ...\n");
        }
        let _ = writeln!(err, "#{number} {name}");
        self.current = Some(number);
    }
}

impl View for Plain {
    fn began(&mut self, shown: &Shown, ui: &mut Ui) {
        // What has something to say comes first; who waits is named when it speaks.
        if self.current.is_none() {
            self.turn_to(shown.number, &shown.name, ui);
        }
    }

    fn line(&mut self, shown: &Shown, line: &str, _error: bool, ui: &mut Ui) {
        self.turn_to(shown.number, &shown.name, ui);
        let seconds = shown.began.elapsed().as_secs_f64();
        let _ = writeln!(ui.err(), "#{} {seconds:.3} {line}", shown.number);
    }

    fn ended(&mut self, shown: &Shown, ui: &mut Ui) {
        self.turn_to(shown.number, &shown.name, ui);
        let Some((outcome, took)) = &shown.ended else { return };
        let number = shown.number;
        let mut err = ui.err();
        let _ = match outcome {
            BuildOutcome::Done => writeln!(err, "#{number} DONE {:.1}s\n", took.as_secs_f64()),
            BuildOutcome::Cached => writeln!(err, "#{number} CACHED\n"),
            BuildOutcome::Canceled => writeln!(err, "#{number} CANCELED\n"),
            BuildOutcome::Failed(why) => writeln!(err, "#{number} ERROR: {why}"),
        };
        self.current = None;
    }

    fn internal(&mut self, number: usize, name: &str, lines: &str, ui: &mut Ui) {
        self.turn_to(number, name, ui);
        let mut err = ui.err();
        for line in lines.lines() {
            let _ = writeln!(err, "#{number} {line}");
        }
        let _ = writeln!(err, "#{number} DONE 0.0s\n");
        self.current = None;
    }
}
