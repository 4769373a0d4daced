//! Where in a Dockerfile something stands, and how that is shown.

use std::fmt::Write as _;

/// Lines of a Dockerfile, counted from 1; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lines {
    /// The first line.
    pub first: usize,
    /// The last line; never before the first.
    pub last: usize,
}

impl Lines {
    /// From `first` to `last`, or `first` alone when `last` is before it.
    pub fn new(first: usize, last: usize) -> Self {
        Self { first, last: last.max(first) }
    }

    /// One line.
    pub fn one(line: usize) -> Self {
        Self::new(line, line)
    }
}

/// Renders the lines of a file that an error or a warning is about, with some lines around them.
///
/// ```text
/// Dockerfile:2
/// --------------------
///    1 |     FROM busybox
///    2 | >>> FOO bar
///    3 |
/// --------------------
/// ```
///
/// Two lines stand around a single one, and one around several. `name` is how the user calls the file. Empty when the lines are not in the file.
pub fn show_source(name: &str, content: &[u8], lines: Lines) -> String {
    let text = String::from_utf8_lossy(content);
    let all: Vec<&str> = text.split('\n').collect();
    if lines.first == 0 || lines.first > all.len() {
        return String::new();
    }
    let last = lines.last.min(all.len());
    let around = if last == lines.first { 2 } else { 1 };
    let from = lines.first.saturating_sub(around).max(1);
    let to = (last + around).min(all.len());
    let mut out = format!("{name}:{}\n--------------------\n", lines.first);
    for number in from..=to {
        let mark = if (lines.first..=last).contains(&number) { ">>>" } else { "   " };
        let line = all[number - 1].trim_end_matches('\r');
        let _ = writeln!(out, " {number:>3} | {mark} {line}");
    }
    out.push_str("--------------------\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_marked_and_have_neighbours() {
        let shown =
            show_source("Dockerfile", b"FROM a\nFOO bar\nRUN x\nRUN y\nRUN z\n", Lines::one(2));
        assert_eq!(
            shown,
            "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> FOO bar\n   \
             3 |     RUN x\n   4 |     RUN y\n--------------------\n"
        );
        assert_eq!(show_source("Dockerfile", b"FROM a", Lines::one(9)), "");
        assert_eq!(show_source("Dockerfile", b"FROM a", Lines::default()), "");
    }
}
