//! Where a process's output is kept, and how it is read back.
//!
//! ```text
//! pipes -> Lines (16 KiB at most) -> json-file | local -> container.log, container.log.1, ...
//!                                    journald          -> the host's journal
//! container.log* -> Reader -> entries by time, from the end, following
//! ```
//!
//! Writing never stops a container: what cannot be written (a full disk) is dropped, and the next
//! entry that can be written says how much.

mod journald;
mod json_file;
mod lines;
mod local;
mod options;
mod reader;
mod rotation;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use oci::Timestamp;
use serde::{Deserialize, Serialize};

pub use options::{Driver, LogFacts, LogPlan};
pub use reader::{ReadOptions, Reader};
pub use writer::LogWriter;

/// The newest log file, in the container's directory; older ones are `container.log.1` and on.
pub const FILE_NAME: &str = "container.log";

/// The most bytes of one entry; longer lines are kept in parts.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and everything from a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the shim read it.
    pub time: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// The bytes, with the line feed if there was one. json-file keeps text only: bytes that are
    /// no UTF-8 come back as U+FFFD.
    pub line: Vec<u8>,
    /// What `labels`, `env` and `tag` added; for `logs --details`.
    pub attributes: Vec<(String, String)>,
}
