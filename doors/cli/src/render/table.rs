//! Columns: texts between tabs, aligned.

use std::io::{self, Write};

use crate::text::text_width;

/// Aligns lines of cells. A column is as wide as its widest cell and some blanks more; the last
/// cell of a line belongs to no column.
#[derive(Debug)]
pub(crate) struct Table {
    least: usize,
    gap: usize,
    lines: Vec<String>,
}

impl Table {
    /// Columns are at least `least` wide, blanks included, and `gap` blanks stand between them.
    pub(crate) fn new(least: usize, gap: usize) -> Self {
        Self { least, gap, lines: Vec::new() }
    }

    /// Adds lines of cells with tabs between them.
    pub(crate) fn push(&mut self, text: &str) {
        self.lines.extend(text.split('\n').map(str::to_owned));
    }

    /// Writes the lines.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        // Each cell with its own width, which turns into that of its column.
        let cells = |line: &'_ str| -> Vec<(usize, usize)> {
            line.split('\t').map(text_width).map(|width| (width, 0)).collect()
        };
        let mut lines: Vec<Vec<(usize, usize)>> =
            self.lines.iter().map(|line| cells(line)).collect();
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
        for column in 0..columns {
            // A column reaches over the lines that follow each other and have it.
            for run in lines.split_mut(|line| line.len() <= column + 1) {
                let widest = run.iter().map(|line| line[column].0).max().unwrap_or(0);
                let width = (widest + self.gap).max(self.least);
                run.iter_mut().for_each(|line| line[column].1 = width);
            }
        }
        let mut text = String::new();
        for (line, widths) in self.lines.iter().zip(lines) {
            for (cell, (own, column)) in line.split('\t').zip(widths) {
                text.push_str(cell);
                // The last one belongs to no column.
                text.extend(std::iter::repeat_n(' ', column.saturating_sub(own)));
            }
            text.push('\n');
        }
        out.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(least: usize, gap: usize, text: &str) -> String {
        let mut table = Table::new(least, gap);
        table.push(text);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        assert_eq!(
            aligned(10, 3, "DRIVER\tVOLUME NAME\nlocal\tx\naverylongdriver\ty"),
            "DRIVER            VOLUME NAME\nlocal             x\naverylongdriver   y\n"
        );
        assert_eq!(
            aligned(10, 3, "A\tB\tC\n\t漢字\t\n"),
            "A         B         C\n          漢字      \n\n"
        );
    }

    #[test]
    fn a_line_without_the_column_ends_it() {
        assert_eq!(aligned(0, 1, "aaa\tb\nx\ny\tz"), "aaa b\nx\ny z\n");
    }
}
