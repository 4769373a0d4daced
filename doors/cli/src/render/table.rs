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
        let lines: Vec<Vec<&str>> = self.lines.iter().map(|l| l.split('\t').collect()).collect();
        let mut widths: Vec<Vec<usize>> = lines.iter().map(|_| Vec::new()).collect();
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
        for column in 0..columns {
            let mut at = 0;
            while at < lines.len() {
                // A column reaches over the lines that follow each other and have it.
                let has = |line: &Vec<&str>| line.len() > column + 1;
                let end = lines[at..].iter().position(|l| !has(l)).map_or(lines.len(), |n| at + n);
                let widest = lines[at..end].iter().map(|line| text_width(line[column])).max();
                let width = widest.map_or(0, |width| (width + self.gap).max(self.least));
                widths[at..end].iter_mut().for_each(|widths| widths.push(width));
                at = end.max(at + 1);
            }
        }
        for (line, widths) in lines.iter().zip(widths) {
            for (cell, width) in line.iter().zip(widths) {
                write!(out, "{cell}{:1$}", "", width.saturating_sub(text_width(cell)))?;
            }
            writeln!(out, "{}", line.last().unwrap_or(&""))?;
        }
        Ok(())
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
