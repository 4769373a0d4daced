//! Entries to blocks, always the same ones for the same entries.

use std::io::{self, Read, Write};

use super::{BLOCK, Entry, Kind, Time};

/// Writes a ustar archive, with PAX headers where ustar's fields are too small.
///
/// The bytes depend on the entries alone: no names of users, no times of its own, no process id
/// in the extended headers' names, attributes in the order given. Holes are written as zeros.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    /// A writer of an archive that begins at `inner`'s position.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Adds an entry and, for a file, exactly `entry.size` bytes from `data`.
    ///
    /// `InvalidInput` if `data` is shorter, or if a name is empty, has a NUL byte or, an
    /// attribute's, an equals sign, for which PAX has no form. A longer `data` is read no further.
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> io::Result<()> {
        let names = [&entry.path, &entry.link];
        if entry.path.is_empty() || names.iter().any(|name| name.contains(&0)) {
            return Err(invalid("a name is empty or has a NUL byte"));
        }
        if entry.xattrs.iter().any(|(name, _)| name.is_empty() || name.contains(&b'=')) {
            return Err(invalid("an attribute's name is empty or has an equals sign"));
        }
        let records = records(entry);
        if !records.is_empty() {
            let mut header = Block::new(b'x');
            header.text(NAME, b"PaxHeaders/entry");
            header.number(MODE, 0o644);
            header.number(SIZE, length(records.len()));
            self.inner.write_all(&header.finish())?;
            self.inner.write_all(&records)?;
            self.pad(length(records.len()))?;
        }
        self.inner.write_all(&header(entry).finish())?;
        if entry.kind == Kind::File {
            let copied = io::copy(&mut data.take(entry.size), &mut self.inner)?;
            if copied != entry.size {
                return Err(invalid("a file's data is shorter than its size"));
            }
            self.pad(entry.size)?;
        }
        Ok(())
    }

    /// Ends the archive and gives the stream back, not flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }

    fn pad(&mut self, written: u64) -> io::Result<()> {
        let padding = usize::try_from(written.wrapping_neg() % BLOCK as u64).unwrap_or(0);
        self.inner.write_all(&[0; BLOCK][..padding])
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

type Field = std::ops::Range<usize>;

const NAME: Field = 0..100;
const MODE: Field = 100..108;
const UID: Field = 108..116;
const GID: Field = 116..124;
const SIZE: Field = 124..136;
const MTIME: Field = 136..148;
const CHECKSUM: Field = 148..156;
const LINK: Field = 157..257;
const MAJOR: Field = 329..337;
const MINOR: Field = 337..345;
const PREFIX: Field = 345..500;

/// The largest number of a field of `width` bytes: octal digits and a NUL.
fn largest(width: usize) -> u64 {
    (1 << (3 * (width - 1))) - 1
}

struct Block([u8; BLOCK]);

impl Block {
    fn new(flag: u8) -> Self {
        let mut block = [0; BLOCK];
        block[156] = flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        Self(block)
    }

    /// As much as fits; an extended header has the whole.
    fn text(&mut self, field: Field, text: &[u8]) {
        let count = text.len().min(field.len());
        self.0[field.start..field.start + count].copy_from_slice(&text[..count]);
    }

    /// 0 if it does not fit; an extended header has the number.
    fn number(&mut self, field: Field, value: u64) {
        let digits = field.len() - 1;
        let value = if value > largest(field.len()) { 0 } else { value };
        let text = format!("{value:0digits$o}");
        self.text(field, text.as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[CHECKSUM].fill(b' ');
        let sum: u64 = self.0.iter().map(|&byte| u64::from(byte)).sum();
        let text = format!("{sum:06o}\0 ");
        self.text(CHECKSUM, text.as_bytes());
        self.0
    }
}

fn header(entry: &Entry) -> Block {
    let mut block = Block::new(match entry.kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice { .. } => b'3',
        Kind::BlockDevice { .. } => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    });
    match split(&entry.path) {
        Some((prefix, name)) => {
            block.text(PREFIX, prefix);
            block.text(NAME, name);
        }
        None => block.text(NAME, &entry.path),
    }
    block.text(LINK, &entry.link);
    block.number(MODE, u64::from(entry.mode & 0o7777));
    block.number(UID, u64::from(entry.uid));
    block.number(GID, u64::from(entry.gid));
    block.number(SIZE, if entry.kind == Kind::File { entry.size } else { 0 });
    block.number(MTIME, u64::try_from(entry.mtime.seconds).unwrap_or(0));
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = entry.kind {
        block.number(MAJOR, u64::from(major));
        block.number(MINOR, u64::from(minor));
    }
    block
}

/// The path as prefix and name, if it fits into the two.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME.len() {
        return Some((b"", path));
    }
    let from = path.len() - NAME.len() - 1;
    let slash = path.get(from..path.len() - 1)?.iter().position(|&byte| byte == b'/')? + from;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (!prefix.is_empty() && prefix.len() <= PREFIX.len()).then_some((prefix, name))
}

/// What does not fit into the header, as PAX records.
fn records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    if split(&entry.path).is_none() {
        record(&mut records, b"path", &entry.path);
    }
    if entry.link.len() > LINK.len() {
        record(&mut records, b"linkpath", &entry.link);
    }
    let mut number = |key: &[u8], value: u64, field: Field| {
        if value > largest(field.len()) {
            record(&mut records, key, value.to_string().as_bytes());
        }
    };
    if entry.kind == Kind::File {
        number(b"size", entry.size, SIZE);
    }
    number(b"uid", u64::from(entry.uid), UID);
    number(b"gid", u64::from(entry.gid), GID);
    let Time { seconds, nanoseconds } = entry.mtime;
    if nanoseconds > 0 || u64::try_from(seconds).map_or(true, |value| value > largest(MTIME.len()))
    {
        record(&mut records, b"mtime", time(entry.mtime).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

fn time(time: Time) -> String {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let (whole, fraction) =
        (nanoseconds.unsigned_abs() / 1_000_000_000, nanoseconds.unsigned_abs() % 1_000_000_000);
    match fraction {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction:09}"),
    }
}

/// `length key=value\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        for (value, want) in
            [(&b"x"[..], &b"6 a=x\n"[..]), (b"12345", b"11 a=12345\n"), (b"1234", b"9 a=1234\n")]
        {
            let mut records = Vec::new();
            record(&mut records, b"a", value);
            assert_eq!(records, want, "{}", String::from_utf8_lossy(&records));
        }
    }

    #[test]
    fn long_paths_use_the_prefix_when_a_slash_allows_it() {
        let deep = [vec![b'a'; 90], vec![b'b'; 90]].join(&b'/');
        assert_eq!(split(&deep), Some((&deep[..90], &deep[91..])));
        assert_eq!(split(&[b'a'; 101]), None);
        let trailing = [vec![b'a'; 100], vec![]].join(&b'/');
        assert_eq!(split(&trailing), None, "an empty name would be no name");
    }
}
