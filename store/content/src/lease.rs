//! Leases: what somebody needs who takes longer than the lock of the store may be held.
//!
//! ```text
//! <root>/leases/<32 random digits>   `blob sha256:...` and `layer sha256:...`, a line each; under
//!                                    its holder's flock(2); without one: garbage
//!
//! adder      lock shared, lease taken, lock given back; the long work; lock shared, names written,
//!            lease dropped, lock given back
//! collector  lock exclusive; what is leased is alive
//! ```
//!
//! A pull over a slow network or a push that takes an hour is waited for by nobody then.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::Digest;
use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::{ContentError, ExclusiveLock, SharedLock, failed, open_directory};

/// What somebody needs: it is not collected until this is dropped, or its holder dies.
#[derive(Debug)]
pub struct Lease {
    folder: OwnedFd,
    name: String,
    /// Its lock says that we are alive.
    file: OwnedFd,
}

/// Everything that is leased.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// Blobs.
    pub blobs: HashSet<Digest>,
    /// Layers, by DiffID.
    pub layers: HashSet<Digest>,
}

const FOLDER: &str = "leases";

/// More than the largest pull has: 64 variants of 4,096 layers with two digests each.
const MAX_BYTES: u64 = 64 << 20;

impl Lease {
    /// Takes a lease of blobs and layers, whether they are there already or not.
    pub fn take<'a>(
        root: &Path,
        blobs: impl IntoIterator<Item = &'a Digest>,
        layers: impl IntoIterator<Item = &'a Digest>,
        _lock: &SharedLock,
    ) -> Result<Self, ContentError> {
        let mut text = String::new();
        for (kind, digest) in blobs
            .into_iter()
            .map(|digest| ("blob", digest))
            .chain(layers.into_iter().map(|digest| ("layer", digest)))
        {
            let _ = writeln!(text, "{kind} {digest}");
        }
        let folder = folder(root)?;
        let name = sys::names::random_hex::<16>();
        let path = root.join(FOLDER).join(&name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &name, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| failed("create", &path, errno))?;
        // Nobody looks before the lock of the store is given back; it ends with us, so that it
        // need not be on the disk.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| failed("lock", &path, errno))?;
        let lease = Self { folder, name, file };
        write_all(&lease.file, text.as_bytes()).map_err(|error| failed("write", &path, error))?;
        Ok(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that cannot be removed is unlocked, and the next collector's.
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

impl Leased {
    /// Reads all leases, and removes those whose holders have died.
    pub fn all(root: &Path, _lock: &ExclusiveLock) -> Result<Self, ContentError> {
        let mut leased = Self::default();
        let path = root.join(FOLDER);
        let folder = match open_directory(CWD, &path) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(leased),
            Err(errno) => return Err(failed("open", &path, errno)),
        };
        for entry in Dir::read_from(&folder).map_err(|errno| failed("list", &path, errno))? {
            let entry = entry.map_err(|errno| failed("list", &path, errno))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let own: PathBuf = path.join(name.to_string_lossy().as_ref());
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed("open", &own, errno)),
            };
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
                }
                Err(Errno::WOULDBLOCK) => {
                    leased.read(file).map_err(|source| failed("read", &own, source))?;
                }
                Err(errno) => return Err(failed("lock", &own, errno)),
            }
        }
        Ok(leased)
    }

    fn read(&mut self, file: OwnedFd) -> io::Result<()> {
        let mut text = String::new();
        File::from(file).take(MAX_BYTES).read_to_string(&mut text)?;
        for line in text.lines() {
            let bad = || io::Error::new(io::ErrorKind::InvalidData, "it is no lease");
            let (kind, digest) = line.split_once(' ').ok_or_else(bad)?;
            let digest: Digest = digest.parse().map_err(|_| bad())?;
            match kind {
                "blob" => self.blobs.insert(digest),
                "layer" => self.layers.insert(digest),
                _ => return Err(bad()),
            };
        }
        Ok(())
    }
}

fn folder(root: &Path) -> Result<OwnedFd, ContentError> {
    let path = root.join(FOLDER);
    let root = open_directory(CWD, root).map_err(|errno| failed("open", root, errno))?;
    match open_directory(root.as_fd(), FOLDER) {
        Err(Errno::NOENT) => {
            crate::make_directory(&path, &root, c"leases")?;
            open_directory(root.as_fd(), FOLDER)
        }
        other => other,
    }
    .map_err(|errno| failed("open", &path, errno))
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreLock, sha256};

    #[test]
    fn what_is_leased_is_known_until_its_holder_ends() {
        let temp = tempfile::tempdir().unwrap();
        let (a, b, c) = (sha256(b"a"), sha256(b"b"), sha256(b"c"));
        let all = || Leased::all(temp.path(), &StoreLock::exclusive(temp.path()).unwrap()).unwrap();
        assert_eq!(all(), Leased::default());
        let take = |blobs: &[&Digest], layers: &[&Digest]| {
            let lock = StoreLock::shared(temp.path()).unwrap();
            Lease::take(temp.path(), blobs.iter().copied(), layers.iter().copied(), &lock).unwrap()
        };
        let first = take(&[&a, &b], &[]);
        let second = take(&[&a], &[&c]);
        let set = |digests: &[&Digest]| digests.iter().map(|digest| (*digest).clone()).collect();
        assert_eq!(all(), Leased { blobs: set(&[&a, &b]), layers: set(&[&c]) });
        drop(first);
        assert_eq!(all(), Leased { blobs: set(&[&a]), layers: set(&[&c]) });
        // What somebody who was killed leaves has no lock.
        let left = temp.path().join(FOLDER).join("left");
        std::fs::write(&left, format!("blob {b}\n")).unwrap();
        assert_eq!(all().blobs, set(&[&a]));
        assert!(!left.exists());
        drop(second);
        assert_eq!(std::fs::read_dir(temp.path().join(FOLDER)).unwrap().count(), 0);
    }
}
