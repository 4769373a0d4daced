//! tar: a strict streaming reader and a deterministic writer.
//!
//! ```text
//! block 0      header: name, mode, ids, size, mtime, checksum, type, link, devices, prefix
//! block 1..n   `size` bytes of data, padded with zeros to 512
//! ...          the next header
//! two blocks   of zeros: the end
//! ```
//!
//! Read are v7, ustar, GNU (long names, old sparse files) and PAX with GNU's three sparse forms.
//! A header that means different things to different readers is refused: where an archive could
//! show one list of entries here and another elsewhere, it shows none. In doubt the reader of
//! Docker (Go's archive/tar) decides what a layer means. Nothing here touches a file system.

mod contents;
mod header;
mod pax;
mod reader;
mod source;
mod sparse;
mod writer;

use std::io;

pub use contents::Contents;
pub use reader::Reader;
pub use writer::Writer;

/// The size of a header and the unit of everything.
pub const BLOCK: usize = 512;

/// The longest path that Linux takes, without its NUL.
pub const MAX_PATH_BYTES: usize = 4095;

/// The longest file name that Linux takes.
pub const MAX_NAME_BYTES: usize = 255;

/// What an entry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// A file with data, sparse or not.
    #[default]
    File,
    /// Another name of the file that [`Entry::link`] names.
    HardLink,
    /// A link with the text of [`Entry::link`].
    Symlink,
    /// A character device.
    CharDevice {
        /// Which driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Which driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// Whether a block is a header: its checksum holds.
pub fn is_header(block: &[u8; BLOCK]) -> bool {
    header::Header::new(block).is_some()
}

/// A point in time: seconds since 1970, rounded down, and nanoseconds on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds; negative before 1970.
    pub seconds: i64,
    /// Less than 10^9.
    pub nanoseconds: u32,
}

/// A part of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has; may be 0 at the end of the file.
    pub length: u64,
}

/// One entry's metadata, with all extended headers applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The path as written: may begin with `/` or `./`, contain `..`, end in `/`; never empty,
    /// never with a NUL byte, at most [`MAX_PATH_BYTES`], components at most [`MAX_NAME_BYTES`].
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Target of a link; empty for the rest.
    pub link: Vec<u8>,
    /// Permission bits with set-id and sticky: `0o7777`.
    pub mode: u32,
    /// The owner. Never `u32::MAX`, which chown(2) takes for "leave".
    pub uid: u32,
    /// The group. Never `u32::MAX`.
    pub gid: u32,
    /// When the content last changed.
    pub mtime: Time,
    /// The file's length, holes included; 0 for all kinds but files.
    pub size: u64,
    /// Extended attributes as name and value, names unique.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where a sparse file has data, ascending and disjoint; `None` if it has no holes.
    pub sparse: Option<Vec<Region>>,
}

impl Entry {
    /// Forgets everything and keeps the buffers.
    fn clear(&mut self) {
        self.path.clear();
        self.link.clear();
        self.xattrs.clear();
        self.kind = Kind::File;
        self.sparse = None;
        (self.mode, self.uid, self.gid, self.size) = (0, 0, 0, 0);
        self.mtime = Time::default();
    }
}

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream failed below the archive.
    #[error("cannot read the archive")]
    Read {
        /// The cause.
        source: io::Error,
    },
    /// The stream ended inside a header or a file.
    #[error("the archive ends in the middle, at byte {offset}")]
    Truncated {
        /// Where.
        offset: u64,
    },
    /// A header that is none.
    #[error("the archive is damaged at byte {offset}: {what}")]
    Malformed {
        /// Where the header begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An entry whose header is whole but not acceptable.
    #[error("archive entry {path:?} is refused: {what}")]
    Refused {
        /// The entry.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More than a limit allows.
    #[error("the archive exceeds the limit of {limit} {what}")]
    Limit {
        /// The bound.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
}

/// A name for messages: no control characters, at most 200 characters.
pub(crate) fn printable(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MOST)]);
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < bytes.len() && text.chars().count() > MOST {
        shown.push('…');
    }
    shown
}
