//! The stream below the reader: buffered, counted, bounded.

use std::io::{self, Read};

use super::{BLOCK, TarError};

/// Large enough that a read's cost vanishes, small enough to stay in the second-level cache.
const BUFFER: usize = 128 * 1024;

#[derive(Debug)]
pub(super) struct Source<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Offset in the stream of `buffer[start]`.
    offset: u64,
    limit: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { inner, buffer, start: 0, end: 0, offset: 0, limit }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What is there, at least one byte unless the stream is at its end.
    pub(super) fn fill(&mut self) -> Result<&[u8], TarError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.read_more()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Steps over `count` bytes, no more than [`Source::fill`] has shown.
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start, "only what was seen can be consumed");
        self.start += count;
        self.offset += u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// The next block, or `None` at the end of the stream.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        while self.end - self.start < BLOCK {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let have = self.end;
            if self.read_more()? == 0 {
                return match have {
                    0 => Ok(None),
                    _ => Err(TarError::Truncated { offset: self.offset }),
                };
            }
        }
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.buffer[self.start..self.start + BLOCK]);
        self.consume(BLOCK);
        Ok(Some(block))
    }

    /// Steps over `count` bytes; [`TarError::Truncated`] if there are fewer.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<(), TarError> {
        while count > 0 {
            let there = self.fill()?.len();
            if there == 0 {
                return Err(TarError::Truncated { offset: self.offset });
            }
            let step = there.min(usize::try_from(count).unwrap_or(usize::MAX));
            self.consume(step);
            count -= u64::try_from(step).unwrap_or(count);
        }
        Ok(())
    }

    fn read_more(&mut self) -> Result<usize, TarError> {
        let count = loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { source }),
                Ok(count) => break count,
            }
        };
        self.end += count;
        let total = self.offset + u64::try_from(self.end - self.start).unwrap_or(u64::MAX);
        if total > self.limit {
            return Err(TarError::Limit { limit: self.limit, what: "bytes" });
        }
        Ok(count)
    }
}
