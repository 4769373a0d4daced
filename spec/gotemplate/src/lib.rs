//! Go's text/template, as the `--format` flag of Docker's commands speaks it.
//!
//! `Template::parse(text)` checks the text and every name in it; `execute(&value)` walks it
//! over JSON. Field names are the keys of objects, written as they stand there. Numbers
//! without a fraction stay integers, maps are ranged over and printed in the order of their
//! keys, and error texts have Go's shape, since scripts read them.
//!
//! Bounded, because a template may come from a stranger through an API: nesting, the number
//! of steps and the size of the output. Nothing here reads anything but its arguments.
//!
//! Go 1.24, package text/template; docker/cli 29, package templates.

mod ast;
mod exec;
mod format;
mod functions;
mod lex;
mod parse;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;

use serde_json::Value;

/// How deep expressions, blocks and template calls may be nested in each other.
const MAX_NESTING: usize = 64;
/// No text made is longer.
const MAX_OUTPUT_BYTES: usize = 16 << 20;
/// Nodes and iterations walked.
const MAX_STEPS: usize = 20_000_000;

/// Why a template could not be read or carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no template, or names what does not exist.
    #[error("template: :{line}: {message}")]
    Parse {
        /// Counted from 1.
        line: usize,
        /// In Go's words.
        message: String,
    },
    /// The values do not fit the template.
    #[error("template: :{line}:{column}: executing {name:?} at <{at}>: {message}")]
    Execute {
        /// Counted from 1.
        line: usize,
        /// Bytes from the start of the line, from 0 on the first line and 1 on others.
        column: usize,
        /// The template being executed; "" for the text itself.
        name: String,
        /// The piece that failed, as the template writes it.
        at: String,
        /// In Go's words.
        message: String,
    },
}

/// What to do about a field that an object does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing<'o> {
    /// All objects are maps: it prints as `<no value>`.
    #[default]
    NoValue,
    /// As `docker inspect` has it: "map has no entry for key".
    NoEntry {
        /// Fields that hold maps, where a missing key is no value: Labels, Networks, ...
        maps: &'o [&'o str],
        /// Fields that are left out when they are empty, and then are nil: Health, ...
        optional: &'o [&'o str],
    },
    /// The value is a struct, and what it holds are maps: "can't evaluate field".
    NoField {
        /// Go's name of the struct's type, `*formatter.ContainerContext` say.
        type_name: &'o str,
    },
}

/// How to execute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'o> {
    /// About fields that are not there.
    pub missing: Missing<'o>,
    /// Make the heading of a table: the value holds the titles, and `json`, `upper`, `pad`
    /// and the like leave them as they are.
    pub header: bool,
}

/// A template that was understood.
#[derive(Debug)]
pub struct Template {
    text: String,
    templates: BTreeMap<String, Vec<ast::Node>>,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self { text: text.to_owned(), templates: parse::parse(text)? })
    }

    /// The text that results from `data`; all its objects are maps.
    pub fn execute(&self, data: &Value) -> Result<String, TemplateError> {
        self.execute_with(data, &Options::default())
    }

    /// The text that results from `data`.
    pub fn execute_with(
        &self,
        data: &Value,
        options: &Options<'_>,
    ) -> Result<String, TemplateError> {
        exec::execute(self, data, options)
    }

    fn nodes(&self, name: &str) -> &[ast::Node] {
        self.templates.get(name).map_or(&[], Vec::as_slice)
    }

    fn find(&self, name: &str) -> Option<(&str, &[ast::Node])> {
        self.templates.get_key_value(name).map(|(name, nodes)| (name.as_str(), nodes.as_slice()))
    }

    /// Line and column of a byte, as Go counts them.
    fn position(&self, pos: usize) -> (usize, usize) {
        let before = self.text.get(..pos).unwrap_or(&self.text);
        let column = match before.rfind('\n') {
            Some(newline) => pos - newline,
            None => pos,
        };
        (1 + before.matches('\n').count(), column)
    }
}
