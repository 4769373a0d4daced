//! Contexts that come as an archive.

use std::io::{self, Read};
use std::path::Path;

use unpack::{ApplyOptions, Devices, Limits, Whiteouts};

use super::Fetched;
use crate::BuildError;

/// Whether a stream that begins so is an archive: a tar's header, as it is or compressed.
///
/// `start` is as much of it as is at hand, 512 bytes at least unless it is shorter. What is
/// compressed is believed to be an archive.
pub fn is_archive(start: &[u8]) -> bool {
    match unpack::Compression::of(start) {
        unpack::Compression::Plain => {
            start.starts_with(b"BZh") || start.first_chunk().is_some_and(unpack::tar::is_header)
        }
        _ => true,
    }
}

/// Unpacks a context: a tar, as it is or compressed by gzip, xz or zstd.
///
/// Its owners and devices mean nothing to a build.
pub fn unpack_archive(
    root: &Path,
    what: &str,
    source: &mut (dyn Read + Send),
) -> Result<Fetched, BuildError> {
    let fetched = Fetched::new(root)?;
    let options = ApplyOptions {
        whiteouts: Whiteouts::Delete,
        devices: Devices::Skip,
        owners: false,
        limits: Limits::default(),
    };
    let failed = |error: io::Error| BuildError::io("read", what)(error);
    let plain = unpack::decompress(source, &options.limits).map_err(failed)?;
    let applied = unpack::apply(plain, fetched.directory(), &options);
    applied.map_err(|source| BuildError::Unpack { path: what.to_owned(), source })?;
    Ok(fetched)
}
