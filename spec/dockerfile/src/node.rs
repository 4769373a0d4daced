//! One logical line: its keyword, flags and arguments, before anything is known to be valid.

use crate::error::Reason;
use crate::heredoc::Heredoc;
use crate::instruction::KeyValue;
use crate::lines::is_space;
use crate::source::Lines;
use crate::words::{json_strings, quoted_words, split_all, split_first, take_flags};

#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// As written.
    pub(crate) keyword: String,
    pub(crate) flags: Vec<String>,
    pub(crate) arguments: Arguments,
    pub(crate) heredocs: Vec<Heredoc>,
    /// The logical line.
    pub(crate) original: String,
    pub(crate) lines: Lines,
    /// The comments right above it.
    pub(crate) comments: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Arguments {
    /// Words, or one text.
    Plain(Vec<String>),
    /// The JSON form.
    Json(Vec<String>),
    /// `ENV` and `LABEL`.
    Pairs(Vec<KeyValue>),
    /// `HEALTHCHECK`: its type and, perhaps, a command.
    Check { kind: String, command: Vec<String>, json: bool },
    /// `ONBUILD`.
    Trigger(Box<Node>),
}

impl Node {
    /// Reads a logical line. What an unknown instruction says is not looked at.
    pub(crate) fn parse(line: &str, escape: char, comments: Vec<String>) -> Result<Self, Reason> {
        Self::parse_nested(line, escape, comments, true)
    }

    fn parse_nested(
        line: &str,
        escape: char,
        comments: Vec<String>,
        outermost: bool,
    ) -> Result<Self, Reason> {
        let (keyword, rest) = split_first(line.trim_matches(is_space));
        let (flags, rest) = match rest {
            Some(rest) => take_flags(rest, escape),
            None => (Vec::new(), ""),
        };
        let rest = rest.trim_matches(is_space);
        let one = |text: &str| match text {
            "" => Vec::new(),
            text => vec![text.to_owned()],
        };
        let json_or = |text: &str, otherwise: &dyn Fn(&str) -> Vec<String>| {
            Ok(match json_strings(text)? {
                Some(strings) => Arguments::Json(strings),
                None => Arguments::Plain(otherwise(text)),
            })
        };
        let arguments = match keyword.to_ascii_lowercase().as_str() {
            "add" | "copy" | "volume" => json_or(rest, &split_all)?,
            "cmd" | "entrypoint" | "run" | "shell" => json_or(rest, &one)?,
            "expose" | "from" => Arguments::Plain(split_all(rest)),
            "maintainer" | "stopsignal" | "user" | "workdir" => Arguments::Plain(one(rest)),
            "arg" => Arguments::Plain(quoted_words(rest, escape)),
            "env" => Arguments::Pairs(pairs(rest, "ENV", escape)?),
            "label" => Arguments::Pairs(pairs(rest, "LABEL", escape)?),
            "healthcheck" => {
                let end = rest.find(is_space).unwrap_or(rest.len());
                let (kind, command) = rest.split_at(end);
                let command = command.trim_start_matches(is_space);
                match json_or(command, &one)? {
                    Arguments::Json(command) => {
                        Arguments::Check { kind: kind.to_owned(), command, json: true }
                    }
                    _ => Arguments::Check {
                        kind: kind.to_owned(),
                        command: one(command),
                        json: false,
                    },
                }
            }
            // A trigger within a trigger is refused later, and must not exhaust the stack here.
            "onbuild" if !rest.is_empty() && outermost => {
                Arguments::Trigger(Box::new(Self::parse_nested(rest, escape, Vec::new(), false)?))
            }
            _ => Arguments::Plain(Vec::new()),
        };
        Ok(Self {
            keyword: keyword.to_owned(),
            flags,
            arguments,
            heredocs: Vec::new(),
            original: line.to_owned(),
            lines: Lines::default(),
            comments,
        })
    }

    /// Whether `<<` on the line starts a document.
    pub(crate) fn takes_heredocs(&self) -> bool {
        match &self.arguments {
            Arguments::Trigger(inner) => inner.takes_heredocs(),
            Arguments::Plain(_) => {
                ["add", "copy", "run"].iter().any(|name| self.keyword.eq_ignore_ascii_case(name))
            }
            _ => false,
        }
    }
}

/// `name=value ...`, or the old `name value`, in which the value is the rest of the line.
fn pairs(rest: &str, keyword: &'static str, escape: char) -> Result<Vec<KeyValue>, Reason> {
    let words = quoted_words(rest, escape);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.contains('=') {
        let (key, value) = split_first(rest);
        let value = value.ok_or(Reason::TwoArguments { keyword })?;
        return Ok(vec![KeyValue { key: key.into(), value: value.into(), legacy: true }]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((key, value)) => Ok(KeyValue { key: key.into(), value: value.into(), legacy: false }),
        None => Err(Reason::NoEquals { word }),
    };
    words.into_iter().map(pair).collect()
}
