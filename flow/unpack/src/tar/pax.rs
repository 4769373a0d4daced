//! PAX extended headers: records of the form `length key=value\n`.
//!
//! POSIX.1-2024, pax, "pax Extended Header"; GNU tar manual, "Storing Sparse Files".

use super::header::id;
use super::{Region, Time};

/// The most attributes one entry may carry.
const MAX_XATTRS: usize = 1024;

/// What extended headers say about an entry. A field that is `None` is the header's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// As `xattrs`, from libarchive's own records; these count where the others are silent.
    libarchive_xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// GNU's sparse records, in whichever of the three versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    /// 1 if the map stands before the data.
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    /// The file's name; the header's is a made-up one.
    pub(super) name: Option<Vec<u8>>,
    /// The file's length with its holes.
    pub(super) size: Option<u64>,
    /// How many regions there should be (0.0 and 0.1).
    pub(super) count: Option<u64>,
    /// The map (0.0 and 0.1).
    pub(super) map: Vec<Region>,
    /// An offset whose length has not come yet (0.0).
    offset: Option<u64>,
}

impl Sparse {
    /// Whether there is any record of the kind.
    pub(super) fn is_some(&self) -> bool {
        *self != Self::default()
    }
}

/// Whose records they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of the next entry.
    Local,
    /// Of all that follow.
    Global,
}

impl Pax {
    /// Adds the records of one extended header; later ones override earlier ones.
    ///
    /// Global records that would give every file the same name, length, holes or attributes are
    /// refused: half of the readers ignore them and half do not.
    pub(super) fn add(
        &mut self,
        mut records: &[u8],
        scope: Scope,
        most_regions: usize,
    ) -> Result<(), &'static str> {
        while !records.is_empty() {
            let (key, value, rest) = split(records).ok_or("a PAX record is malformed")?;
            records = rest;
            self.record(key, value, scope, most_regions)?;
        }
        match self.sparse.offset {
            None => Ok(()),
            Some(_) => Err("a sparse offset has no length"),
        }
    }

    /// All attributes, libarchive's first so that the others override them.
    pub(super) fn take_xattrs(&mut self, xattrs: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        xattrs.append(&mut self.libarchive_xattrs);
        for (name, value) in self.xattrs.drain(..) {
            put(xattrs, name, value);
        }
    }

    fn record(
        &mut self,
        key: &[u8],
        value: &[u8],
        scope: Scope,
        most_regions: usize,
    ) -> Result<(), &'static str> {
        let one_file = matches!(key, b"path" | b"linkpath" | b"size")
            || [&b"GNU.sparse."[..], b"SCHILY.xattr.", b"LIBARCHIVE.xattr."]
                .iter()
                .any(|prefix| key.starts_with(prefix));
        if one_file && scope == Scope::Global {
            return Err("a global PAX header has what belongs to one file");
        }
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = optional(value, decimal, "PAX size")?,
            b"uid" => self.uid = optional(value, owner, "PAX uid")?,
            b"gid" => self.gid = optional(value, owner, "PAX gid")?,
            b"mtime" => self.mtime = optional(value, time, "PAX mtime")?,
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.record(key, value, most_regions)?;
                } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    check_xattr(name, self.xattrs.len())?;
                    put(&mut self.xattrs, name.to_vec(), value.to_vec());
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let name = percent(name);
                    check_xattr(&name, self.libarchive_xattrs.len())?;
                    let value = base64(value).ok_or("an attribute is no base64")?;
                    put(&mut self.libarchive_xattrs, name, value);
                }
            }
        }
        Ok(())
    }
}

impl Sparse {
    fn record(
        &mut self,
        key: &[u8],
        value: &[u8],
        most_regions: usize,
    ) -> Result<(), &'static str> {
        const BAD: &str = "a sparse record is no number";
        let number = || decimal(value).ok_or(BAD);
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = name(value)?,
            b"size" | b"realsize" => self.size = Some(number()?),
            b"numblocks" => self.count = Some(number()?),
            b"offset" => match self.offset.replace(number()?) {
                None => {}
                Some(_) => return Err("a sparse offset has no length"),
            },
            b"numbytes" => {
                let offset = self.offset.take().ok_or("a sparse length has no offset")?;
                self.push(Region { offset, length: number()? }, most_regions)?;
            }
            b"map" => {
                let mut numbers =
                    value.split(|&byte| byte == b',').map(|part| decimal(part).ok_or(BAD));
                while let Some(offset) = numbers.next() {
                    let length = numbers.next().ok_or("a sparse offset has no length")??;
                    self.push(Region { offset: offset?, length }, most_regions)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, region: Region, most: usize) -> Result<(), &'static str> {
        if self.map.len() >= most {
            return Err("too many sparse regions");
        }
        self.map.push(region);
        Ok(())
    }
}

/// The first record's key and value, and what follows it.
fn split(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = records.iter().take(8).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&records[..digits])?).ok()?;
    if length > records.len() || length <= digits + 1 {
        return None;
    }
    let (record, rest) = records.split_at(length);
    let body = record[digits + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

/// An empty value takes the record back.
fn name(value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    if value.contains(&0) {
        return Err("a name has a NUL byte");
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn optional<T>(
    value: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
    what: &'static str,
) -> Result<Option<T>, &'static str> {
    match value {
        [] => Ok(None),
        value => parse(value).map(Some).ok_or(what),
    }
}

/// Digits and nothing else, at most `i64::MAX`.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let value = text.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })?;
    (value <= i64::MAX.unsigned_abs()).then_some(value)
}

fn owner(text: &[u8]) -> Option<u32> {
    id(i64::try_from(decimal(text)?).ok()?).ok()
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds = (0..9).fold(0_u32, |value, index| {
        value * 10 + fraction.get(index).map_or(0, |digit| u32::from(digit - b'0'))
    });
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, nanoseconds) => {
            Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
        }
    })
}

fn check_xattr(name: &[u8], have: usize) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > super::MAX_NAME_BYTES || name.contains(&0) {
        return Err("an attribute's name is empty, too long or has a NUL byte");
    }
    if have >= MAX_XATTRS {
        return Err("too many attributes");
    }
    Ok(())
}

fn put(xattrs: &mut Vec<(Vec<u8>, Vec<u8>)>, name: Vec<u8>, value: Vec<u8>) {
    match xattrs.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => xattrs.push((name, value)),
    }
}

/// Undoes URL encoding; what is no escape stays as it is.
fn percent(text: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    plain.push(high << 4 | low);
                    rest = tail;
                }
                _ => plain.push(byte),
            },
            _ => plain.push(byte),
        }
    }
    plain
}

/// Standard alphabet, with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let end = text.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
    if text.len() - end > 2 || end % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(end / 4 * 3 + 2);
    for group in text[..end].chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            bits = bits << 6 | u32::from(sextet(digit)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, raw @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&raw[..group.len() - 1]);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(records: &[u8]) -> Result<Pax, &'static str> {
        let mut pax = Pax::default();
        pax.add(records, Scope::Local, 8).map(|()| pax)
    }

    #[test]
    fn records_are_taken_exactly_or_refused() {
        let pax = parse(b"12 path=a/b\n6 x=y\n20 mtime=-1.5000001\n12 size=1234\n");
        assert_eq!(pax, Err("a PAX record is malformed"), "a length that lies");
        let pax = parse(b"12 path=a/b\n6 x=y\n20 mtime=-1.500000\n13 size=1234\n").unwrap_err();
        assert_eq!(pax, "a PAX record is malformed");
        let pax = parse(b"12 path=a/b\n6 x=y\n19 mtime=-1.500000\n13 size=1234\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.mtime, Some(Time { seconds: -2, nanoseconds: 500_000_000 }));
        assert_eq!(pax.size, Some(1234));
        for bad in [
            &b"12 path=a/b"[..],
            b"99 path=a/b\n",
            b"0 path=a/b\n",
            b"-1 path=a/b\n",
            b" 12 path=a/b\n",
            b"9 noequal\n",
            b"5 =x\n",
            b"10 size=-1\n",
            b"11 size=0x1\n",
            b"28 size=99999999999999999999\n",
            b"18 uid=4294967295\n",
            b"13 path=a\0b\n",
            b"99999999999999999999999 a=b\n",
            b"27 GNU.sparse.offset=12345\n",
            b"24 GNU.sparse.numbytes=1\n",
            b"22 GNU.sparse.map=1,2,3\n",
            b"24 SCHILY.xattr.=novalue\n",
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn globals_say_nothing_about_single_files() {
        let mut pax = Pax::default();
        assert!(pax.add(b"10 path=a\n", Scope::Global, 8).is_err());
        assert!(pax.add(b"10 size=1\n", Scope::Global, 8).is_err());
        assert!(pax.add(b"25 SCHILY.xattr.user.a=b\n", Scope::Global, 8).is_err());
        assert!(pax.add(b"17 comment=abcde\n10 uid=12\n", Scope::Global, 8).is_ok());
        assert_eq!(pax.uid, Some(12));
    }

    #[test]
    fn attributes_come_in_two_spellings() {
        let records = [
            &b"34 LIBARCHIVE.xattr.user.%41=YWJj\n"[..],
            b"27 SCHILY.xattr.user.A=xyz\n",
            b"32 LIBARCHIVE.xattr.user.b=YQ==\n",
        ];
        let mut pax = parse(&records.concat()).unwrap();
        let mut xattrs = Vec::new();
        pax.take_xattrs(&mut xattrs);
        assert_eq!(
            xattrs,
            [(b"user.A".to_vec(), b"xyz".to_vec()), (b"user.b".to_vec(), b"a".to_vec())]
        );
        assert_eq!(base64(b"YQ"), Some(b"a".to_vec()));
        assert_eq!(base64(b""), Some(Vec::new()));
        assert_eq!(base64(b"Y"), None);
        assert_eq!(base64(b"Y!=="), None);
    }
}
