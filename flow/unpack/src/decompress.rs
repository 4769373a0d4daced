//! Compressed stream to archive, whatever the compression: told by the first bytes, never by a
//! media type or a file name, which may lie.
//!
//! ```text
//! 1f 8b              gzip, any number of members (RFC 1952)
//! 28 b5 2f fd        zstd, any number of frames (RFC 8878); [50..5f] 2a 4d 18 for a skippable one
//! fd 37 7a 58 5a 00  xz, any number of streams (The .xz File Format 1.2.1)
//! anything else      not compressed
//! ```
//!
//! All decoders run in this process: no program of the host is started, and none of the image's.

use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::Limits;

/// How a stream was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// xz.
    Xz,
}

/// The longest magic number.
const MAGIC_BYTES: usize = 6;
const INPUT_BUFFER: usize = 128 * 1024;

impl Compression {
    /// What a stream is that begins with `start`, of which six bytes are enough.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }
}

/// The stream below, with what was looked at put back in front, and counted.
type Input<R> = BufReader<Counted<Chain<Cursor<Vec<u8>>, R>>>;

/// A decompressed stream. Made by [`decompress`].
pub struct Decompressed<R: Read> {
    decoder: Decoder<R>,
    compression: Compression,
    consumed: Arc<AtomicU64>,
    produced: u64,
    limits: Limits,
}

enum Decoder<R: Read> {
    Plain(Input<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Input<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Input<R>>),
    Xz(Box<lzma_rust2::XzReader<Input<R>>>),
}

/// A compressed stream became larger than [`Limits`] allow. The source of an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Bomb {
    /// More bytes came out than an archive may have.
    #[error("the stream is longer than {limit} bytes when decompressed")]
    Bytes {
        /// The bound.
        limit: u64,
    },
    /// More came out for what went in than honest data gives.
    #[error("the stream grew from {consumed} to {produced} bytes, more than {ratio} times")]
    Ratio {
        /// Compressed bytes so far.
        consumed: u64,
        /// Decompressed bytes so far.
        produced: u64,
        /// The bound.
        ratio: u64,
    },
}

/// Decompresses `source`, within `limits`.
///
/// Reads the first six bytes at once. Errors of the result: `InvalidData` or `UnexpectedEof` for
/// a damaged stream, `OutOfMemory` or `InvalidData` for a window beyond the limit, and
/// [`io::ErrorKind::Other`] with a [`Bomb`] inside.
pub fn decompress<R: Read>(mut source: R, limits: &Limits) -> io::Result<Decompressed<R>> {
    let mut start = Vec::with_capacity(MAGIC_BYTES);
    (&mut source).take(MAGIC_BYTES as u64).read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    let consumed = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: Cursor::new(start).chain(source), count: Arc::clone(&consumed) };
    let input = BufReader::with_capacity(INPUT_BUFFER, counted);
    let decoder = match compression {
        Compression::Plain => Decoder::Plain(input),
        Compression::Gzip => Decoder::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(input))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(limits.window_bytes.max(1024).ilog2())?;
            Decoder::Zstd(decoder)
        }
        Compression::Xz => {
            // The decoder counts its own tables on top of the window: allow for them.
            let kib = u32::try_from(limits.window_bytes / 1024 + 1024).unwrap_or(u32::MAX - 1);
            Decoder::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, kib)))
        }
    };
    Ok(Decompressed { decoder, compression, consumed, produced: 0, limits: limits.clone() })
}

impl<R: Read> Decompressed<R> {
    /// What the stream was.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    fn check(&self) -> Result<(), Bomb> {
        let Limits { bytes: limit, ratio, ratio_grace_bytes, .. } = self.limits;
        let produced = self.produced;
        if produced > limit {
            return Err(Bomb::Bytes { limit });
        }
        if self.compression != Compression::Plain && produced > ratio_grace_bytes {
            let consumed = self.consumed.load(Ordering::Relaxed);
            if produced - ratio_grace_bytes > consumed.saturating_mul(ratio) {
                return Err(Bomb::Ratio { consumed, produced, ratio });
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.decoder {
            Decoder::Plain(input) => input.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
            Decoder::Xz(decoder) => decoder.read(buffer),
        }?;
        self.produced += u64::try_from(count).unwrap_or(u64::MAX);
        self.check().map_err(io::Error::other)?;
        Ok(count)
    }
}

impl<R: Read> Decompressed<R> {
    /// Reads what stands behind the compressed data, so that a digest below covers all of it.
    ///
    /// The decoder must have been read to its end. `InvalidData` if something is there: bytes
    /// that only some decoders see are how two readers come to two results.
    pub fn finish(self) -> io::Result<()> {
        let rest = match self.decoder {
            Decoder::Plain(mut input) => left_over(&mut input)?,
            Decoder::Gzip(decoder) => left_over(&mut decoder.into_inner())?,
            Decoder::Zstd(decoder) => left_over(&mut decoder.finish())?,
            Decoder::Xz(decoder) => left_over(&mut decoder.into_inner())?,
        };
        match rest {
            false => Ok(()),
            true => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "bytes that are no compressed data follow the stream",
            )),
        }
    }
}

fn left_over(input: &mut impl BufRead) -> io::Result<bool> {
    Ok(!input.fill_buf()?.is_empty())
}

impl<R: Read> fmt::Debug for Decompressed<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Decompressed")
            .field("compression", &self.compression)
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// `text` twice, as `printf text | xz -c`.
    const XZ_OF_TEXT: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x03, 0x74, 0x65, 0x78,
        0x74, 0x00, 0x00, 0x00, 0x00, 0x00,
    ];

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut stream = decompress(bytes, &Limits::default())?;
        stream.read_to_end(&mut plain)?;
        stream.finish()?;
        Ok(plain)
    }

    #[test]
    fn each_compression_is_told_by_its_first_bytes() {
        let text = b"text".repeat(1000);
        assert_eq!(read(&gzip(&text)).unwrap(), text);
        assert_eq!(read(&zstd::encode_all(&text[..], 3).unwrap()).unwrap(), text);
        assert_eq!(read(&text).unwrap(), text);
        for short in [&b""[..], b"\x1f", b"abc", b"\xfd7zX"] {
            assert_eq!(read(short).unwrap(), short);
        }
        assert_eq!(Compression::of(XZ_OF_TEXT), Compression::Xz);
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let twice = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(read(&twice).unwrap(), b"one two");
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..]];
        let frame = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        let twice = [skippable[0], &frame(b"one "), &frame(b"two"), skippable[0]].concat();
        assert_eq!(read(&twice).unwrap(), b"one two");
    }

    #[test]
    fn damage_is_an_error_and_never_a_short_stream() {
        let text = b"some text that is long enough to be cut".repeat(50);
        for whole in [gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
            for cut in [whole.len() - 1, whole.len() / 2, 7] {
                assert!(read(&whole[..cut]).is_err(), "{cut} of {}", whole.len());
            }
            assert!(read(&[&whole[..], b"garbage"].concat()).is_err());
        }
        // zstd's checksum is optional; there the layer's digest tells.
        let mut flipped = gzip(&text);
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0xff;
        assert!(read(&flipped).is_err());
        assert!(read(XZ_OF_TEXT).is_err(), "no index and no footer");
    }

    #[test]
    fn bombs_are_stopped_early() {
        let limits = Limits { ratio: 50, ratio_grace_bytes: 1 << 20, ..Limits::default() };
        let zeros = vec![0; 8 << 20];
        for bomb in [gzip(&zeros), zstd::encode_all(&zeros[..], 3).unwrap()] {
            let mut stream = decompress(&bomb[..], &limits).unwrap();
            let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
            let bomb = error.get_ref().and_then(|source| source.downcast_ref::<Bomb>());
            assert!(matches!(bomb, Some(Bomb::Ratio { .. })), "{error}");
            assert!(stream.produced < 3 << 20);
        }
        let limits = Limits { bytes: 1000, ..Limits::default() };
        let mut stream = decompress(&zeros[..], &limits).unwrap();
        assert!(io::copy(&mut stream, &mut io::sink()).is_err());
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&vec![7; 1 << 20]).unwrap();
        let wide = encoder.finish().unwrap();
        assert_eq!(read(&wide).unwrap().len(), 1 << 20);
        let limits = Limits { window_bytes: 8 << 20, ..Limits::default() };
        let mut stream = decompress(&wide[..], &limits).unwrap();
        assert!(stream.read_to_end(&mut Vec::new()).is_err());
    }
}
