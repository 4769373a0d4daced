//! Our own format: small, exact bytes, and read from either end.
//!
//! ```text
//! length u32 le | seconds i64 le | nanoseconds u32 le | stream u8 | line | length u32 le
//! ```
//!
//! The length is that of everything between the two lengths: 13 and the line's bytes. `stream` is
//! 1 or 2. There is nothing else in a file, before, between or after the records.

use oci::Timestamp;

use super::{Entry, MAX_LINE_BYTES, Stream};

/// What a record has besides the line and the two lengths.
const FIXED: usize = 13;
/// One length.
pub(super) const LENGTH: usize = 4;

/// Appends a record.
pub(super) fn encode(line: &[u8], stream: Stream, time: Timestamp, out: &mut Vec<u8>) {
    let length = u32::try_from(FIXED + line.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&time.unix_seconds().to_le_bytes());
    out.extend_from_slice(&time.subsec_nanos().to_le_bytes());
    out.push(match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    });
    out.extend_from_slice(line);
    out.extend_from_slice(&length);
}

/// The size of a record with both lengths, from one of them; `None` if no record is so long.
pub(super) fn record_bytes(length: [u8; LENGTH]) -> Option<usize> {
    let length = u32::from_le_bytes(length) as usize;
    // The mark of lost output may be a little longer than a line.
    (FIXED..=FIXED + 2 * MAX_LINE_BYTES).contains(&length).then_some(length + 2 * LENGTH)
}

/// The record at the start of `bytes`, and its size; `None` if it is not whole.
pub(super) fn decode(bytes: &[u8]) -> Option<(Entry, usize)> {
    let size = record_bytes(*bytes.first_chunk()?)?;
    let record = bytes.get(..size)?;
    if record.first_chunk::<LENGTH>() != record.last_chunk::<LENGTH>() {
        return None;
    }
    let (seconds, rest) = record[LENGTH..size - LENGTH].split_first_chunk()?;
    let (nanos, rest) = rest.split_first_chunk()?;
    let (stream, line) = rest.split_first()?;
    let entry = Entry {
        time: Timestamp::from_unix(i64::from_le_bytes(*seconds), u32::from_le_bytes(*nanos)),
        stream: match stream {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => return None,
        },
        line: line.to_vec(),
        attributes: Vec::new(),
    };
    Some((entry, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_looks_like_this() {
        let mut out = Vec::new();
        let time = Timestamp::from_unix(1, 2);
        encode(b"hi\n", Stream::Stderr, time, &mut out);
        let wanted = b"\x10\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x02hi\n\x10\0\0\0";
        assert_eq!(out, wanted);
        let (entry, size) = decode(&out).unwrap();
        assert_eq!(
            (entry.time, entry.stream, &entry.line[..]),
            (time, Stream::Stderr, &b"hi\n"[..])
        );
        assert_eq!(size, out.len());
        for end in 0..out.len() {
            assert_eq!(decode(&out[..end]), None);
        }
        out[0] ^= 1;
        assert_eq!(decode(&out), None);
    }
}
