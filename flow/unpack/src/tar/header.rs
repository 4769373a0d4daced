//! One 512-byte header: fields, numbers, checksum.
//!
//! POSIX.1-2024, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use super::{BLOCK, Time};

/// Where a field stands in the block.
type Field = std::ops::Range<usize>;

const NAME: Field = 0..100;
const MODE: Field = 100..108;
const UID: Field = 108..116;
const GID: Field = 116..124;
const SIZE: Field = 124..136;
const MTIME: Field = 136..148;
const CHECKSUM: Field = 148..156;
const TYPE: usize = 156;
const LINK: Field = 157..257;
const MAGIC: Field = 257..265;
const MAJOR: Field = 329..337;
const MINOR: Field = 337..345;
const PREFIX: Field = 345..500;
/// GNU keeps two times where ustar has the prefix.
const GNU_ATIME: Field = 345..357;
const GNU_CTIME: Field = 357..369;
/// star's prefix is shorter, as it keeps two times behind it, and marks that at the end.
const STAR_PREFIX: Field = 345..476;
const STAR_MARK: Field = 508..512;

/// A header block whose checksum holds.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

/// What a field's bytes are not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadNumber;

impl<'a> Header<'a> {
    /// `None` if the checksum does not match: then this is no header.
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Option<Self> {
        let stated = number(&block[CHECKSUM]).ok()?;
        // Some old writers summed signed bytes; either is accepted, as everywhere.
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (index, &byte) in block.iter().enumerate() {
            let byte = if CHECKSUM.contains(&index) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        (stated == unsigned || stated == signed).then_some(Self(block))
    }

    /// The type flag; NUL is v7's word for a file.
    pub(super) fn flag(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name with its prefix, into `path`.
    pub(super) fn path(&self, path: &mut Vec<u8>) {
        path.clear();
        let prefix = text(self.prefix());
        if !prefix.is_empty() {
            path.extend_from_slice(prefix);
            path.push(b'/');
        }
        path.extend_from_slice(text(&self.0[NAME]));
    }

    fn prefix(&self) -> &[u8] {
        match &self.0[MAGIC] {
            b"ustar  \0" => {
                // Go before 1.8, and so Docker's layers of that time, wrote a prefix into GNU
                // headers: it is one if the two times are not times, and then it is ASCII.
                let times =
                    number(&self.0[GNU_ATIME]).is_ok() && number(&self.0[GNU_CTIME]).is_ok();
                let prefix = text(&self.0[PREFIX]);
                if !times && self.flag() != b'S' && prefix.is_ascii() { prefix } else { &[] }
            }
            magic if magic.starts_with(b"ustar\0") => match &self.0[STAR_MARK] {
                b"tar\0" => &self.0[STAR_PREFIX],
                _ => &self.0[PREFIX],
            },
            _ => &[],
        }
    }

    /// The target of a link, into `link`.
    pub(super) fn link(&self, link: &mut Vec<u8>) {
        link.clear();
        link.extend_from_slice(text(&self.0[LINK]));
    }

    /// Permission bits; what other systems put above them is dropped.
    pub(super) fn mode(&self) -> Result<u32, BadNumber> {
        let mode = number(&self.0[MODE])? & 0o7777;
        u32::try_from(mode).map_err(|_| BadNumber)
    }

    pub(super) fn uid(&self) -> Result<u32, BadNumber> {
        id(number(&self.0[UID])?)
    }

    pub(super) fn gid(&self) -> Result<u32, BadNumber> {
        id(number(&self.0[GID])?)
    }

    pub(super) fn size(&self) -> Result<u64, BadNumber> {
        u64::try_from(number(&self.0[SIZE])?).map_err(|_| BadNumber)
    }

    pub(super) fn mtime(&self) -> Result<Time, BadNumber> {
        // The least of all is the one second that a PAX record could not write.
        match number(&self.0[MTIME])? {
            i64::MIN => Err(BadNumber),
            seconds => Ok(Time { seconds, nanoseconds: 0 }),
        }
    }

    /// Major and minor device number.
    pub(super) fn device(&self) -> Result<(u32, u32), BadNumber> {
        let part = |field: Field| u32::try_from(number(&self.0[field])?).map_err(|_| BadNumber);
        Ok((part(MAJOR)?, part(MINOR)?))
    }

    /// The whole block, for the fields of old sparse files.
    pub(super) fn block(&self) -> &[u8; BLOCK] {
        self.0
    }
}

/// An owner that chown(2) can give.
pub(super) fn id(value: i64) -> Result<u32, BadNumber> {
    match u32::try_from(value) {
        Ok(u32::MAX) | Err(_) => Err(BadNumber),
        Ok(id) => Ok(id),
    }
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number: octal text between spaces and NULs, or, with the top bit set, a big-endian binary
/// one in two's complement ("base 256"). Empty is 0.
pub(super) fn number(field: &[u8]) -> Result<i64, BadNumber> {
    match field.first() {
        Some(&first) if first & 0x80 != 0 => binary(field),
        _ => octal(field),
    }
}

fn binary(field: &[u8]) -> Result<i64, BadNumber> {
    let negative = field[0] & 0x40 != 0;
    // The top bit is the mark and no part of the number.
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut value: i64 = if negative { -1 } else { 0 };
    for byte in std::iter::once(first).chain(field[1..].iter().copied()) {
        // Low bits of the product are zero, so that "or" adds.
        value = value.checked_mul(256).ok_or(BadNumber)? | i64::from(byte);
    }
    Ok(value)
}

fn octal(field: &[u8]) -> Result<i64, BadNumber> {
    let start = field.iter().position(|byte| !matches!(byte, b' ' | 0)).unwrap_or(field.len());
    let digits = text(&field[start..]).trim_ascii_end();
    digits
        .iter()
        .try_fold(0_i64, |value, byte| match byte {
            b'0'..=b'7' => {
                value.checked_mul(8).and_then(|value| value.checked_add(i64::from(byte - b'0')))
            }
            _ => None,
        })
        .ok_or(BadNumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        for (field, want) in [
            (&b"0000644\0"[..], Ok(0o644)),
            (b"   644 \0", Ok(0o644)),
            (b"\0\0\0\0", Ok(0)),
            (b"", Ok(0)),
            (b"7777777777777777", Ok(0o7777777777777777)),
            (b"12 34\0", Err(BadNumber)),
            (b"0x10\0", Err(BadNumber)),
            (b"-1\0", Err(BadNumber)),
            (b"8\0", Err(BadNumber)),
            (b"123\x00456", Ok(0o123)),
            (b"\x80\0\0\0\0\0\x01\x02", Ok(0x102)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Ok(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\x00", Ok(-256)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Ok(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err(BadNumber)),
            (b"\x81\0\0\0\0\0\0\0\0\0\0\0", Err(BadNumber)),
        ] {
            assert_eq!(number(field), want, "{field:?}");
        }
    }

    #[test]
    fn ids_are_what_chown_takes() {
        assert_eq!(id(0), Ok(0));
        assert_eq!(id(4_294_967_294), Ok(u32::MAX - 1));
        for bad in [-1, 4_294_967_295, 4_294_967_296, i64::MIN] {
            assert_eq!(id(bad), Err(BadNumber), "{bad}");
        }
    }
}
