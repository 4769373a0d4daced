//! Files of web servers.

use std::io::BufWriter;
use std::os::fd::AsFd;

use content::Hasher;
use oci::{Algorithm, Digest, Timestamp};
use rustix::fs::{Mode, OFlags, Timespec, Timestamps};

use super::{Fetched, redacted};
use crate::BuildError;

/// The largest file.
const LIMIT_BYTES: u64 = 256 << 30;
/// What a file is called whose URL names none.
const NAMELESS: &str = "__unnamed__";

/// A file that was fetched.
#[derive(Debug)]
pub struct Response {
    /// Where it is.
    pub fetched: Fetched,
    /// What it is called there: the last part of the URL's path.
    pub name: String,
    /// When the server says that it was changed; else the beginning of time.
    pub modified: Timestamp,
    /// Of its content; by the algorithm of the checksum, if one was given.
    pub digest: Digest,
}

/// Fetches a file, with the time that its server gives and mode 600.
///
/// [`BuildError::Checksum`] if it has another digest than `checksum`.
pub fn download(
    client: &transfer::Client,
    root: &std::path::Path,
    url: &str,
    checksum: Option<&Digest>,
) -> Result<Response, BuildError> {
    // The client would say so with the whole URL.
    let shown = redacted(url);
    if shown != url {
        return Err(BuildError::Invalid(format!(
            "cannot fetch {shown}: the URL has a user in it; fetch it in a RUN with a secret"
        )));
    }
    let fetched = Fetched::new(root)?;
    let name = file_name(url).to_owned();
    let failed = || BuildError::io::<rustix::io::Errno>("write", &name);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    let file = rustix::fs::openat(fetched.directory(), &name, flags, mode).map_err(failed())?;
    let algorithm = checksum.map_or(Algorithm::Sha256, Digest::algorithm);
    let mut out = Hashed {
        out: BufWriter::with_capacity(256 << 10, std::fs::File::from(file)),
        hasher: Hasher::new(algorithm),
    };
    let found = client
        .download(url, &mut out, LIMIT_BYTES)
        .map_err(|source| BuildError::Download { url: redacted(url), source: Box::new(source) })?;
    let actual = out.hasher.finish();
    if let Some(expected) = checksum.filter(|expected| **expected != actual) {
        let (url, expected) = (redacted(url), expected.clone());
        return Err(BuildError::Checksum { url, expected, actual });
    }
    let file = out.out.into_inner().map_err(|error| failed_io(&name, error.into_error()))?;
    let modified = found.last_modified.unwrap_or(Timestamp::from_unix(0, 0));
    let time = Timespec { tv_sec: modified.unix_seconds(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(file.as_fd(), &times).map_err(failed())?;
    Ok(Response { fetched, name, modified, digest: actual })
}

fn failed_io(name: &str, error: std::io::Error) -> BuildError {
    BuildError::io("write", name)(error)
}

/// The last part of a URL's path.
pub(crate) fn file_name(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let name = path.split_once('/').map_or("", |(_, path)| path);
    match name.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | "." | "..") => NAMELESS,
        Some(name) if name.len() > 255 || name.contains('\0') => NAMELESS,
        Some(name) => name,
    }
}

/// Hashes what is written.
struct Hashed<W> {
    out: W,
    hasher: Hasher,
}

impl<W: std::io::Write> std::io::Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_file_is_called_as_its_path_ends() {
        for (url, name) in [
            ("https://h/a/b.tar?x=/y", "b.tar"),
            ("https://h/a/", "a"),
            ("https://h", "__unnamed__"),
            ("https://h/..", "__unnamed__"),
            ("https://h/?q", "__unnamed__"),
        ] {
            assert_eq!(file_name(url), name);
        }
    }
}
