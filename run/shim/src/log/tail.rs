//! Looking at a log file from its end.

use std::io;
use std::os::fd::BorrowedFd;

use super::Driver;
use super::local::{LENGTH, record_bytes};

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// How many bytes of a file of `size` bytes are whole entries; the rest was torn by a crash.
pub(super) fn whole_bytes(file: BorrowedFd<'_>, driver: Driver, size: u64) -> io::Result<u64> {
    match driver {
        Driver::Local => {
            if size == 0 || record_before(file, size)?.is_some() {
                return Ok(size);
            }
            // The end tells nothing: from the start, record by record.
            let mut at = 0;
            while let Some(next) = record_after(file, at, size)? {
                at = next;
            }
            Ok(at)
        }
        _ => Ok(line_feed_before(file, size)?.map_or(0, |at| at + 1)),
    }
}

/// Where the last `count` entries of the first `size` bytes of a file start, and how many of
/// them there are.
pub(super) fn last_entries(
    file: BorrowedFd<'_>,
    driver: Driver,
    size: u64,
    count: u64,
) -> io::Result<(u64, u64)> {
    if driver != Driver::Local {
        return last_lines(file, size, count);
    }
    let (mut at, mut found) = (whole_bytes(file, driver, size)?, 0);
    while found < count {
        let Some(start) = record_before(file, at)? else { break };
        at = start;
        found += 1;
    }
    Ok((at, found))
}

fn last_lines(file: BorrowedFd<'_>, size: u64, count: u64) -> io::Result<(u64, u64)> {
    if count == 0 {
        return Ok((size, 0));
    }
    // The end of the last whole line; a torn one after it is no entry.
    let Some(last) = line_feed_before(file, size)? else { return Ok((0, 0)) };
    let mut found = 1;
    let mut end = last;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let bytes = read_before(file, end, &mut block)?;
        let start = end - bytes.len() as u64;
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if found == count {
                return Ok((start + index as u64 + 1, found));
            }
            found += 1;
        }
        end = start;
    }
    Ok((0, found))
}

/// Where the last line feed before `end` is.
fn line_feed_before(file: BorrowedFd<'_>, end: u64) -> io::Result<Option<u64>> {
    let mut end = end;
    let mut block = vec![0; BLOCK.min(usize::try_from(end).unwrap_or(BLOCK))];
    while end > 0 {
        let bytes = read_before(file, end, &mut block)?;
        let start = end - bytes.len() as u64;
        if let Some(index) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(start + index as u64));
        }
        end = start;
    }
    Ok(None)
}

/// Where the record starts that ends at `end`; `None` if none does.
fn record_before(file: BorrowedFd<'_>, end: u64) -> io::Result<Option<u64>> {
    let Some(at) = end.checked_sub(LENGTH as u64) else { return Ok(None) };
    let length = length_at(file, at)?;
    let Some(start) = record_bytes(length).and_then(|bytes| end.checked_sub(bytes as u64)) else {
        return Ok(None);
    };
    Ok((length_at(file, start)? == length).then_some(start))
}

/// Where the record ends that starts at `at`; `None` if it is not whole within `size` bytes.
fn record_after(file: BorrowedFd<'_>, at: u64, size: u64) -> io::Result<Option<u64>> {
    if at + LENGTH as u64 > size {
        return Ok(None);
    }
    let length = length_at(file, at)?;
    let Some(bytes) = record_bytes(length) else { return Ok(None) };
    let end = at + bytes as u64;
    Ok((end <= size && length_at(file, end - LENGTH as u64)? == length).then_some(end))
}

fn length_at(file: BorrowedFd<'_>, at: u64) -> io::Result<[u8; LENGTH]> {
    let mut length = [0; LENGTH];
    read_exactly(file, at, &mut length)?;
    Ok(length)
}

/// As many bytes before `end` as there are, at most a block.
fn read_before<'b>(file: BorrowedFd<'_>, end: u64, block: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let count = block.len().min(usize::try_from(end).unwrap_or(block.len()));
    let bytes = &mut block[..count];
    read_exactly(file, end - count as u64, bytes)?;
    Ok(bytes)
}

/// A file that is shorter than it was a moment ago gives zeros, which are no entries.
fn read_exactly(file: BorrowedFd<'_>, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(file, &mut bytes[filled..], at + filled as u64) {
            Ok(0) => {
                bytes[filled..].fill(0);
                return Ok(());
            }
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Stream, local};
    use oci::Timestamp;
    use std::io::Write;
    use std::os::fd::AsFd;

    fn file(bytes: &[u8]) -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let lines: Vec<String> = (0..30_000).map(|number| format!("line {number}\n")).collect();
        let text = lines.concat();
        let file = file((text.clone() + "torn").as_bytes());
        let size = file.metadata().unwrap().len();
        for count in [0, 1, 2, 10, 9_999, 29_999, 30_000, 30_001] {
            let last = lines.len().saturating_sub(usize::try_from(count).unwrap());
            let rest = lines[last..].concat().len();
            let (at, found) = last_entries(file.as_fd(), Driver::JsonFile, size, count).unwrap();
            let wanted = if count == 0 { size } else { (text.len() - rest) as u64 };
            assert_eq!((at, found), (wanted, count.min(30_000)), "{count}");
        }
        let whole = whole_bytes(file.as_fd(), Driver::JsonFile, size).unwrap();
        assert_eq!(whole, text.len() as u64);
    }

    #[test]
    fn the_last_records_are_found_from_the_end() {
        let mut bytes = Vec::new();
        let mut starts = Vec::new();
        for number in 0..100 {
            starts.push(bytes.len() as u64);
            let line = vec![b'x'; number * 7];
            local::encode(&line, Stream::Stdout, Timestamp::from_unix(1, 0), &mut bytes);
        }
        let whole = bytes.len() as u64;
        for torn in [0, 1, 3, 4, 20] {
            let torn = &bytes[..torn];
            let file = file(&[&bytes[..], torn].concat());
            let size = file.metadata().unwrap().len();
            assert_eq!(whole_bytes(file.as_fd(), Driver::Local, size).unwrap(), whole);
            for count in [1, 50, 100, 101] {
                let found = last_entries(file.as_fd(), Driver::Local, size, count).unwrap();
                let first = 100_usize.saturating_sub(usize::try_from(count).unwrap());
                assert_eq!(found, (starts[first], count.min(100)));
            }
        }
    }
}
