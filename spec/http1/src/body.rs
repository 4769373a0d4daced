//! Bodies: where one ends.

use std::io::{self, BufRead, Read, Write};

use crate::MAX_HEAD_BYTES;

/// What is left of a body. Reading goes through [`Body::read`], which knows where it ends.
#[derive(Debug, Clone)]
pub struct Body {
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// So many bytes more.
    Counted(u64),
    /// Before a chunk's size; whether a chunk was before.
    ChunkSize {
        first: bool,
    },
    /// So many bytes more of this chunk.
    Chunk(u64),
    /// Until the connection is closed.
    UntilClose,
    Done,
}

/// The longest line with a chunk's size, extensions included.
const MAX_CHUNK_LINE: usize = 256;

impl Body {
    /// A body of `length` bytes.
    pub fn counted(length: u64) -> Self {
        Self { state: if length == 0 { State::Done } else { State::Counted(length) } }
    }

    /// A body in chunks.
    pub fn chunked() -> Self {
        Self { state: State::ChunkSize { first: true } }
    }

    /// A body that ends with its connection.
    pub fn until_close() -> Self {
        Self { state: State::UntilClose }
    }

    /// Whether all of it was read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes are left, if that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Counted(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Reads some of it from `source`; 0 is its end.
    ///
    /// `UnexpectedEof` if the connection ended before the body, `InvalidData` for bad chunks.
    pub fn read(&mut self, source: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let left = match self.state {
                State::Done => return Ok(0),
                State::ChunkSize { first } => {
                    let size = chunk_size(source, first)?;
                    if size == 0 {
                        trailers(source)?;
                        self.state = State::Done;
                        return Ok(0);
                    }
                    self.state = State::Chunk(size);
                    continue;
                }
                State::Counted(left) | State::Chunk(left) => left,
                State::UntilClose => u64::MAX,
            };
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = source.read(&mut buffer[..most])?;
            let left = left - count as u64;
            self.state = match self.state {
                State::UntilClose if count == 0 => State::Done,
                State::UntilClose => State::UntilClose,
                _ if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                State::Counted(_) if left == 0 => State::Done,
                State::Counted(_) => State::Counted(left),
                _ if left == 0 => State::ChunkSize { first: false },
                _ => State::Chunk(left),
            };
            return Ok(count);
        }
    }
}

fn chunk_size(source: &mut impl BufRead, first: bool) -> io::Result<u64> {
    if !first {
        let mut end = [0; 2];
        source.read_exact(&mut end)?;
        if end != *b"\r\n" {
            return Err(bad("a chunk is longer than its size says"));
        }
    }
    let line = read_line(source, MAX_CHUNK_LINE)?;
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    let is_hex = !text.is_empty() && text.len() <= 16;
    match u64::from_str_radix(text, 16) {
        Ok(size) if is_hex && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(size),
        _ => Err(bad("a chunk has no size")),
    }
}

/// Reads the fields behind the last chunk, which nobody wants, and the empty line.
fn trailers(source: &mut impl BufRead) -> io::Result<()> {
    let mut room = MAX_HEAD_BYTES;
    loop {
        let line = read_line(source, room)?;
        if line.is_empty() {
            return Ok(());
        }
        room -= line.len();
    }
}

/// A line without its CR LF.
fn read_line(source: &mut impl BufRead, limit: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    source.by_ref().take(limit as u64 + 2).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(text.to_owned()),
        None if line.len() >= limit + 2 => Err(bad("a line of the chunked coding is too long")),
        None if line.ends_with(b"\n") => Err(bad("a line ends without a carriage return")),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Writes a body in chunks, one for each call of `write`. [`ChunkedWriter::finish`] ends it.
#[derive(Debug)]
pub struct ChunkedWriter<W: Write>(W);

impl<W: Write> ChunkedWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self(inner)
    }

    /// Writes the last chunk, and gives back what it wrote to.
    pub fn finish(mut self) -> io::Result<W> {
        self.0.write_all(b"0\r\n\r\n")?;
        Ok(self.0)
    }
}

impl<W: Write> Write for ChunkedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            // An empty chunk would be the last one.
            return Ok(0);
        }
        write!(self.0, "{:x}\r\n", bytes.len())?;
        self.0.write_all(bytes)?;
        self.0.write_all(b"\r\n")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(mut body: Body, source: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut source = io::BufReader::with_capacity(3, source);
        let (mut out, mut buffer) = (Vec::new(), [0; 5]);
        loop {
            match body.read(&mut source, &mut buffer)? {
                0 => break,
                count => out.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(body.is_done());
        let mut rest = Vec::new();
        source.read_to_end(&mut rest)?;
        Ok((out, rest))
    }

    #[test]
    fn bodies_end_where_they_say() {
        let chunked = b"4;x=y\r\nWiki\r\n6\r\npedia.\r\n0\r\nA: b\r\n\r\nnext";
        let pair = |a: &[u8], b: &[u8]| (a.to_vec(), b.to_vec());
        assert_eq!(read_all(Body::chunked(), chunked).unwrap(), pair(b"Wikipedia.", b"next"));
        assert_eq!(read_all(Body::counted(4), b"Wikipedia").unwrap(), pair(b"Wiki", b"pedia"));
        assert_eq!(read_all(Body::until_close(), b"Wiki").unwrap(), pair(b"Wiki", b""));
        let mut writer = ChunkedWriter::new(Vec::new());
        writer.write_all(b"hello").unwrap();
        writer.write_all(b"").unwrap();
        writer.write_all(&[7; 300]).unwrap();
        let written = writer.finish().unwrap();
        assert_eq!(read_all(Body::chunked(), &written).unwrap().0.len(), 305);
    }

    #[test]
    fn bodies_that_are_cut_or_lie_are_errors() {
        for source in [
            &b"4\r\nWik"[..],
            b"4\r\nWiki\r\n",
            b"4\r\nWiki\r\n0\r\n",
            b"4\r\nWikipedia\r\n0\r\n\r\n",
            b"\r\n",
            b"-1\r\n",
            b"g\r\n",
            b"4\nWiki\r\n0\r\n\r\n",
            b"11111111111111111\r\n",
            &[b'1'; 400],
        ] {
            assert!(read_all(Body::chunked(), source).is_err(), "{source:?}");
        }
        assert!(read_all(Body::counted(4), b"Wik").is_err());
    }
}
