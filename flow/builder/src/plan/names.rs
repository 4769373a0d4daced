//! What steps are called.

use dockerfile::{Lexer, Variables};

/// Counts the steps of a stage: `[build 2/5] `.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    /// The stage's name; empty if it is the only one.
    pub(super) stage: String,
    pub(super) total: usize,
    pub(super) done: usize,
}

impl Counter {
    /// The name of the next step.
    pub(super) fn next(&mut self, text: &str, is_trigger: bool) -> String {
        self.done += 1;
        let width = self.total.max(1).to_string().len();
        let gap = if self.stage.is_empty() { "" } else { " " };
        let trigger = if is_trigger { "ONBUILD " } else { "" };
        format!("[{}{gap}{:>width$}/{}] {trigger}{text}", self.stage, self.done, self.total)
    }
}

/// An instruction's line as people see it: its keyword in capitals, variables expanded.
pub(super) fn shown(lexer: &Lexer, line: &str, scope: &(impl Variables + ?Sized)) -> String {
    let text = match lexer.expand(line, scope) {
        Ok(expanded) => expanded.text,
        Err(_) => line.to_owned(),
    };
    match text.split_once(' ') {
        Some((keyword, rest)) => format!("{} {rest}", keyword.to_uppercase()),
        None => text.to_uppercase(),
    }
}
