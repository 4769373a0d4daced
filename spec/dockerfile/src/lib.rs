//! The language of Dockerfiles: bytes, to logical lines, to typed instructions.
//!
//! ```text
//! bytes --lines--> logical lines with heredocs --node--> keyword, flags, arguments
//!       --parse--> Dockerfile { arguments, stages { instructions } }
//! ```
//!
//! [`parse`] walks the whole way. What depends on the values of variables stays text until
//! somebody who knows them calls a [`Lexer`]: [`RunMount::parse`] and [`ports::parse`] take the
//! expanded words. [`ignore`] is the other language of a build context, that of `.dockerignore`.
//!
//! Errors and warnings say on which lines they are ([`Lines`]), and [`show_source`] prints these
//! lines. Their wording is BuildKit's, because scripts and editors look for it.
//!
//! No file is read here, and nothing is run. Bytes that are not UTF-8 are read as U+FFFD. Each
//! line is bounded as BuildKit bounds it, and what nests is bounded in depth, so that no input
//! exhausts the stack.
//!
//! BuildKit's documents: Dockerfile reference, version 1.20.

mod csv;
mod directive;
mod duration;
mod error;
mod expand;
mod flags;
mod glob;
mod heredoc;
pub mod ignore;
mod instruction;
mod lines;
pub mod lint;
mod mount;
mod node;
mod parse;
mod pattern;
pub mod ports;
mod source;
mod suggest;
mod words;

#[cfg(test)]
mod tests;

pub use csv::fields as csv_fields;
pub use directive::{Directives, detect_syntax};
pub use duration::parse as parse_duration;
pub use error::{ParseError, Reason};
pub use expand::{ExpandError, Expanded, Lexer, Variables};
pub use glob::{BadPattern, has_wildcard, path_match};
pub use heredoc::{Heredoc, chomp, heredoc_word};
pub use instruction::{
    Add, ArgPair, CommandLine, Copy, Dockerfile, Healthcheck, InlineFile, Instruction, KeyValue,
    Kind, NetworkMode, Run, SecurityMode, Sources, Stage,
};
pub use mount::{MountKind, RunDevice, RunMount, Sharing};
pub use parse::{parse, parse_trigger};
pub use source::{Lines, show_source};
pub use suggest::suggest;
