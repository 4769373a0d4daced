//! Bytes to logical lines: continuations joined, comments gathered, heredocs attached.

use crate::directive::Directives;
use crate::error::{ParseError, Reason};
use crate::lint::{Linter, Rule};
use crate::node::Node;
use crate::source::Lines;

/// The longest physical line, its line feed included.
const LONGEST_LINE: usize = 64 * 1024;

/// What Go's `unicode.IsSpace` calls a space.
pub(crate) fn is_space(letter: char) -> bool {
    letter.is_whitespace()
}

/// A file as nodes, and how it wants to be read.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    pub(crate) escape: char,
    pub(crate) directives: Directives,
}

/// Reads all lines of a file; at least one instruction must be there.
pub(crate) fn read(text: &str, linter: &mut Linter) -> Result<Nodes, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        rest: text.split_inclusive('\n'),
        number: 0,
        escape: '\\',
        directives: Directives::default(),
    };
    let mut nodes = Vec::new();
    let mut comments: Vec<String> = Vec::new();
    while let Some(raw) = reader.next()? {
        let (line, directive) = reader.strip(raw.trim_start_matches(is_space))?;
        if is_comment(raw) && !directive {
            match raw.get(1..).unwrap_or_default().trim_matches(is_space) {
                "" => comments.clear(),
                comment => comments.push(comment.to_owned()),
            }
        }
        let first = reader.number;
        let (line, mut ended) = reader.join(line);
        if ended && line.is_empty() {
            continue;
        }
        let mut logical = line.to_owned();
        let mut has_blank = false;
        while !ended {
            let Some(raw) = reader.next()? else { break };
            let (line, _) = reader.strip(raw)?;
            if is_comment(raw) {
                continue;
            }
            if line.trim_start_matches(is_space).is_empty() {
                has_blank = true;
                continue;
            }
            let (line, last) = reader.join(line);
            logical.push_str(line);
            ended = last;
        }
        if has_blank {
            let here = Lines::one(reader.number);
            linter.report(&[], Rule::NoEmptyContinuation, here, "Empty continuation line");
        }
        let fail = |reason, last| ParseError::line(reason, Lines::new(first, last));
        let mut node = Node::parse(&logical, reader.escape, std::mem::take(&mut comments))
            .map_err(|reason| fail(reason, reader.number))?;
        if node.takes_heredocs() && logical.contains("<<") {
            node.heredocs =
                crate::heredoc::of_line(&logical).map_err(|reason| fail(reason, reader.number))?;
            for heredoc in &mut node.heredocs {
                loop {
                    let Some(raw) = reader.next()? else {
                        return Err(fail(Reason::UnterminatedHeredoc, reader.number));
                    };
                    let line = raw.trim_end_matches(['\r', '\n']);
                    let line = if heredoc.chomp { line.trim_start_matches('\t') } else { line };
                    if line == heredoc.name {
                        break;
                    }
                    heredoc.content.push_str(raw);
                }
            }
        }
        node.lines = Lines::new(first, reader.number);
        nodes.push(node);
    }
    if nodes.is_empty() {
        return Err(ParseError::line(Reason::NoInstructions, Lines::one(reader.number)));
    }
    Ok(Nodes { nodes, escape: reader.escape, directives: reader.directives })
}

struct Reader<'a> {
    rest: std::str::SplitInclusive<'a, char>,
    number: usize,
    escape: char,
    directives: Directives,
}

impl<'a> Reader<'a> {
    /// The next physical line, with its line feed.
    fn next(&mut self) -> Result<Option<&'a str>, ParseError> {
        let Some(line) = self.rest.next() else { return Ok(None) };
        if line.len() > LONGEST_LINE {
            return Err(ParseError::line(Reason::LineTooLong, Lines::one(self.number)));
        }
        self.number += 1;
        Ok(Some(line))
    }

    /// A line without its end, or nothing if it is a comment; and whether it is a directive.
    fn strip(&mut self, raw: &'a str) -> Result<(&'a str, bool), ParseError> {
        let line = raw.trim_end_matches(['\r', '\n']);
        // Lines are counted when they are read; an error in a directive names the one before.
        let fail = |reason| ParseError::line(reason, Lines::one(self.number - 1));
        let had_escape = self.directives.escape.is_some();
        let directive =
            self.directives.offer(line).map_err(|name| fail(Reason::RepeatedDirective { name }))?;
        if let Some(escape) = self.directives.escape.as_ref().filter(|_| !had_escape) {
            self.escape = match escape.as_str() {
                "\\" => '\\',
                "`" => '`',
                other => return Err(fail(Reason::InvalidEscape { token: other.to_owned() })),
            };
        }
        Ok((if is_comment(line) { "" } else { line }, directive))
    }

    /// A line without its continuation character, and whether it was the last.
    ///
    /// The escape character at the end of a line continues it unless it is itself escaped.
    fn join(&self, line: &'a str) -> (&'a str, bool) {
        let trimmed = line.trim_end_matches([' ', '\t']);
        match trimmed.strip_suffix(self.escape) {
            Some(before) if !before.ends_with(self.escape) => (before, false),
            _ => (line, true),
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start_matches(is_space).starts_with('#')
}
