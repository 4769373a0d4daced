//! Compression of layers. The same bytes, level and version of the libraries give the same bytes.

use std::io::{self, Write};

use crate::Compression;

/// Compresses what is written to it.
pub struct Compressor<W: Write>(Kind<W>);

enum Kind<W: Write> {
    Plain(W),
    Gzip(Box<flate2::write::GzEncoder<W>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> Compressor<W> {
    /// Begins; `level` is the library's own default if `None`.
    ///
    /// `InvalidInput` for a level that there is not, and for xz, which is only read.
    pub fn new(out: W, compression: Compression, level: Option<i32>) -> io::Result<Self> {
        let bad_level = || io::Error::new(io::ErrorKind::InvalidInput, "there is no such level");
        Ok(Self(match compression {
            Compression::Plain => Kind::Plain(out),
            Compression::Gzip => {
                let level = u32::try_from(level.unwrap_or(6)).ok().filter(|level| *level <= 9);
                let level = flate2::Compression::new(level.ok_or_else(bad_level)?);
                Kind::Gzip(Box::new(flate2::write::GzEncoder::new(out, level)))
            }
            Compression::Zstd => {
                let level = level.unwrap_or(3);
                if !zstd::compression_level_range().contains(&level) {
                    return Err(bad_level());
                }
                Kind::Zstd(Box::new(zstd::stream::write::Encoder::new(out, level)?))
            }
            Compression::Xz => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "xz is only read"));
            }
        }))
    }

    /// Writes what is still to be written.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Kind::Plain(out) => Ok(out),
            Kind::Gzip(encoder) => encoder.finish(),
            Kind::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(out) => out.write(bytes),
            Kind::Gzip(encoder) => encoder.write(bytes),
            Kind::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(out) => out.flush(),
            Kind::Gzip(encoder) => encoder.flush(),
            Kind::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_compressed_comes_out_the_same() {
        let text = b"layer ".repeat(10_000);
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            let compressed = |level| {
                let mut compressor = Compressor::new(Vec::new(), compression, level).unwrap();
                compressor.write_all(&text).unwrap();
                compressor.finish().unwrap()
            };
            let bytes = compressed(None);
            assert_eq!(bytes, compressed(None));
            assert_eq!(bytes.len() < 1000, compression != Compression::Plain);
            let mut plain = Vec::new();
            let limits = crate::Limits::default();
            crate::decompress(&*bytes, &limits).unwrap().read_to_end(&mut plain).unwrap();
            assert_eq!(plain, text);
            if compression != Compression::Plain {
                assert!(Compressor::new(Vec::new(), compression, Some(99)).is_err());
            }
        }
    }
}
