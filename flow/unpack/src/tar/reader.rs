//! Blocks to entries.

use std::io::Read;

use super::header::{BadNumber, Header};
use super::pax::{Pax, Scope};
use super::source::Source;
use super::{BLOCK, Contents, Entry, Kind, MAX_NAME_BYTES, MAX_PATH_BYTES, TarError, printable};
use crate::limits::Limits;

/// The most an extended header or a long name may take; as in Go.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// Reads an archive entry by entry, with bounded memory, from a stream that cannot seek.
#[derive(Debug)]
pub struct Reader<R> {
    pub(super) source: Source<R>,
    pub(super) limits: Limits,
    globals: Pax,
    /// Data of the current entry that has not been read yet.
    pub(super) data_left: u64,
    /// Zeros behind the current entry's data.
    padding: u64,
    entries: u64,
    finished: bool,
}

/// What precedes an entry and belongs to it.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

impl<R: Read> Reader<R> {
    /// A reader with the default [`Limits`].
    pub fn new(inner: R) -> Self {
        Self::with_limits(inner, &Limits::default())
    }

    /// A reader that stops at these limits.
    pub fn with_limits(inner: R, limits: &Limits) -> Self {
        Self {
            source: Source::new(inner, limits.bytes),
            limits: limits.clone(),
            globals: Pax::default(),
            data_left: 0,
            padding: 0,
            entries: 0,
            finished: false,
        }
    }

    /// Goes to the next entry and describes it in `entry`, whose buffers are used again.
    ///
    /// `false` at the end of the archive, which is two blocks of zeros or the end of the stream;
    /// then `entry` is unspecified, as it is after an error. What was not read of the entry
    /// before is skipped. After an error the reader is of no more use.
    pub fn next_entry(&mut self, entry: &mut Entry) -> Result<bool, TarError> {
        let mut extensions = Extensions::default();
        if self.finished {
            return Ok(false);
        }
        loop {
            self.skip_data()?;
            let at = self.source.offset();
            let block = match self.source.block()? {
                Some(block) if block != [0; BLOCK] => block,
                end => return self.end(end.is_some(), at, &extensions),
            };
            let malformed = |what| TarError::Malformed { offset: at, what };
            let header = Header::new(&block).ok_or(malformed("a header's checksum is wrong"))?;
            match header.flag() {
                b'x' => {
                    let records = self.payload(&header, at)?;
                    let mut pax = self.globals.clone();
                    pax.add(&records, Scope::Local, self.limits.sparse_regions)
                        .map_err(malformed)?;
                    once(&mut extensions.pax, pax).map_err(malformed)?;
                }
                b'g' => {
                    let records = self.payload(&header, at)?;
                    self.globals
                        .add(&records, Scope::Global, self.limits.sparse_regions)
                        .map_err(malformed)?;
                }
                b'L' => {
                    let name = self.long(&header, at)?;
                    once(&mut extensions.long_name, name).map_err(malformed)?;
                }
                b'K' => {
                    let name = self.long(&header, at)?;
                    once(&mut extensions.long_link, name).map_err(malformed)?;
                }
                // A volume's label is no file.
                b'V' => self.start_data(header.size().map_err(|_| malformed(NUMBER))?),
                flag => {
                    self.describe(&header, flag, at, extensions, entry)?;
                    return Ok(true);
                }
            }
        }
    }

    /// The next piece of the current entry's data; empty when there is no more.
    ///
    /// A sparse file's regions follow each other without their holes. What has been used is to
    /// be told to [`Reader::consume`].
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.data_left == 0 {
            return Ok(&[]);
        }
        let offset = self.source.offset();
        let most = usize::try_from(self.data_left).unwrap_or(usize::MAX);
        match self.source.fill()? {
            [] => Err(TarError::Truncated { offset }),
            piece => Ok(&piece[..piece.len().min(most)]),
        }
    }

    /// Steps over `count` bytes of what [`Reader::data`] has shown.
    pub fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.data_left -= u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// The current entry's data as a file has it: with zeros for the holes.
    pub fn contents<'a>(&'a mut self, entry: &'a Entry) -> Contents<'a, R> {
        Contents::new(self, entry)
    }

    /// Reads the stream to its end: padding and whatever stands behind the archive.
    ///
    /// Digests cover the whole stream, so that one who checks them must have seen all of it.
    pub fn drain(&mut self) -> Result<(), TarError> {
        loop {
            let count = self.source.fill()?.len();
            if count == 0 {
                return Ok(());
            }
            self.source.consume(count);
        }
    }

    fn end(&mut self, zeros: bool, at: u64, extensions: &Extensions) -> Result<bool, TarError> {
        if !extensions.is_empty() {
            return Err(TarError::Truncated { offset: at });
        }
        // One block of zeros and then a header is an end for some readers and none for others.
        if zeros && self.source.block()?.is_some_and(|second| second != [0; BLOCK]) {
            return Err(TarError::Malformed { offset: at, what: "a block of zeros stands alone" });
        }
        self.finished = true;
        Ok(false)
    }

    fn start_data(&mut self, bytes: u64) {
        self.data_left = bytes;
        self.padding = bytes.wrapping_neg() % BLOCK as u64;
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        self.source.skip(self.data_left)?;
        self.source.skip(self.padding)?;
        (self.data_left, self.padding) = (0, 0);
        Ok(())
    }

    /// The data of an extension header.
    fn payload(&mut self, header: &Header<'_>, at: u64) -> Result<Vec<u8>, TarError> {
        let malformed = |what| TarError::Malformed { offset: at, what };
        let size = header.size().map_err(|_| malformed(NUMBER))?;
        if size > MAX_EXTENSION_BYTES {
            return Err(malformed("an extended header is too long"));
        }
        self.start_data(size);
        let mut payload = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(64 * 1024));
        loop {
            let piece = self.data()?;
            if piece.is_empty() {
                return Ok(payload);
            }
            payload.extend_from_slice(piece);
            let count = piece.len();
            self.consume(count);
        }
    }

    /// A GNU long name, with its closing NULs taken off.
    fn long(&mut self, header: &Header<'_>, at: u64) -> Result<Vec<u8>, TarError> {
        let mut name = self.payload(header, at)?;
        let end = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        name.truncate(end);
        match name.contains(&0) {
            true => Err(TarError::Malformed { offset: at, what: "a long name has a NUL byte" }),
            false => Ok(name),
        }
    }

    fn describe(
        &mut self,
        header: &Header<'_>,
        flag: u8,
        at: u64,
        extensions: Extensions,
        entry: &mut Entry,
    ) -> Result<(), TarError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(TarError::Limit { limit: self.limits.entries, what: "entries" });
        }
        let Extensions { pax, long_name, long_link } = extensions;
        let mut pax = pax.unwrap_or_else(|| self.globals.clone());
        entry.clear();
        let malformed = |what| TarError::Malformed { offset: at, what };
        let clash = "a GNU long name and a PAX path name one entry twice";
        let pax_name = pax.sparse.name.take().or_else(|| pax.path.take());
        choose(&mut entry.path, long_name, pax_name, |path| header.path(path))
            .map_err(|()| malformed(clash))?;
        check_path(&entry.path).map_err(|what| refused(&entry.path, what))?;
        let refuse = |what| refused(&entry.path, what);

        let (kind, has_data) = kind(header, flag, &entry.path).map_err(refuse)?;
        entry.kind = kind;
        if matches!(kind, Kind::HardLink | Kind::Symlink) {
            choose(&mut entry.link, long_link, pax.link.take(), |link| header.link(link))
                .map_err(|()| malformed(clash))?;
            check_link(&entry.link).map_err(|what| refused(&entry.path, what))?;
        }
        let refuse = |_: BadNumber| refused(&entry.path, NUMBER);
        entry.mode = header.mode().map_err(refuse)?;
        entry.uid = pax.uid.map_or_else(|| header.uid(), Ok).map_err(refuse)?;
        entry.gid = pax.gid.map_or_else(|| header.gid(), Ok).map_err(refuse)?;
        entry.mtime = pax.mtime.map_or_else(|| header.mtime(), Ok).map_err(refuse)?;
        // The extended header's size is the true one. Whoever took the other would find headers
        // in the middle of a file's data, and so entries that nobody else sees (CVE-2025-62518).
        // Only files have data: Go ignores the size that other kinds state, and so do we.
        if has_data {
            let size = pax.size.map_or_else(|| header.size(), Ok).map_err(refuse)?;
            self.start_data(size);
        }
        pax.take_xattrs(&mut entry.xattrs);
        if kind == Kind::File {
            entry.size = self.data_left;
            self.holes(header, flag, &mut pax, entry)?;
            if entry.size > self.limits.file_bytes {
                return Err(TarError::Limit {
                    limit: self.limits.file_bytes,
                    what: "bytes in a file",
                });
            }
        }
        Ok(())
    }
}

pub(super) const NUMBER: &str = "a number is malformed or out of range";

pub(super) fn refused(path: &[u8], what: &'static str) -> TarError {
    TarError::Refused { path: printable(path), what }
}

/// Sets an extension that may come but once per entry; readers differ in which one they take.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("an entry has two extended headers of one kind"),
    }
}

/// Takes the name from where it is; both extensions at once are an error.
fn choose(
    into: &mut Vec<u8>,
    long: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
    header: impl FnOnce(&mut Vec<u8>),
) -> Result<(), ()> {
    match (long, pax) {
        (Some(_), Some(_)) => return Err(()),
        (Some(name), None) | (None, Some(name)) => *into = name,
        (None, None) => header(into),
    }
    Ok(())
}

fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("its path is empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Err("its path is too long");
    }
    if path.split(|&byte| byte == b'/').any(|name| name.len() > MAX_NAME_BYTES) {
        return Err("a component of its path is too long");
    }
    Ok(())
}

fn check_link(link: &[u8]) -> Result<(), &'static str> {
    match link.len() {
        0 => Err("its link is empty"),
        length if length > MAX_PATH_BYTES => Err("its link is too long"),
        _ => Ok(()),
    }
}

/// What a type flag means, and whether data follows the header.
fn kind(header: &Header<'_>, flag: u8, path: &[u8]) -> Result<(Kind, bool), &'static str> {
    let device = || header.device().map_err(|_| NUMBER);
    Ok(match flag {
        // v7 had no flag for directories.
        0 if path.ends_with(b"/") => (Kind::Directory, true),
        // '7' is a contiguous file, which nobody has any more.
        0 | b'0' | b'7' | b'S' => (Kind::File, true),
        b'1' => (Kind::HardLink, false),
        b'2' => (Kind::Symlink, false),
        b'3' => {
            let (major, minor) = device()?;
            (Kind::CharDevice { major, minor }, false)
        }
        b'4' => {
            let (major, minor) = device()?;
            (Kind::BlockDevice { major, minor }, false)
        }
        b'5' => (Kind::Directory, false),
        // GNU's directory of an incremental dump; the data is a list of names.
        b'D' => (Kind::Directory, true),
        b'6' => (Kind::Fifo, false),
        b'M' => return Err("it continues a file of another volume"),
        _ => return Err("its type is unknown"),
    })
}
