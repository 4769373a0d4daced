//! A file's data as its reader has it.

use std::io::{self, Read};

use super::{Entry, Reader};

/// A file's content, holes as zeros. See [`Reader::contents`].
#[derive(Debug)]
pub struct Contents<'a, R> {
    reader: &'a mut Reader<R>,
    entry: &'a Entry,
    at: u64,
    region: usize,
}

impl<'a, R> Contents<'a, R> {
    pub(super) fn new(reader: &'a mut Reader<R>, entry: &'a Entry) -> Self {
        Self { reader, entry, at: 0, region: 0 }
    }
}

impl<R: Read> Contents<'_, R> {
    /// How many zeros come next, up to the next region or the end of the file.
    fn hole(&mut self) -> u64 {
        let Some(map) = &self.entry.sparse else { return 0 };
        while map.get(self.region).is_some_and(|region| region.offset + region.length <= self.at) {
            self.region += 1;
        }
        let next = map.get(self.region).map_or(self.entry.size, |region| region.offset);
        next.saturating_sub(self.at)
    }
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let hole = usize::try_from(self.hole()).unwrap_or(usize::MAX);
        let count = if hole > 0 {
            let count = hole.min(buffer.len());
            buffer[..count].fill(0);
            count
        } else {
            let most = match self.entry.sparse.as_ref().and_then(|map| map.get(self.region)) {
                Some(region) => region.offset + region.length - self.at,
                None => u64::MAX,
            };
            let piece = self.reader.data().map_err(io::Error::other)?;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let count = piece.len().min(buffer.len()).min(most);
            buffer[..count].copy_from_slice(&piece[..count]);
            self.reader.consume(count);
            count
        };
        self.at += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}
