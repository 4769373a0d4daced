//! Listing and removal: what is there, what nobody needs, what a dead writer left.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use oci::{Algorithm, Digest};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::{Content, ContentError, ExclusiveLock, failed};

/// What a collection removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The names of what is gone.
    pub removed: Vec<Digest>,
    /// The sum of their sizes.
    pub freed_bytes: u64,
}

/// What a sweep of dead writers' files removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many files or directories.
    pub entries: u64,
    /// The sum of their sizes.
    pub freed_bytes: u64,
}

impl Content {
    /// All blobs with their sizes, in no particular order.
    ///
    /// Names below `blobs` that are no digest are not ours and are passed over.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, ContentError> {
        let mut found = self.list_folder(Algorithm::Sha256, self.inner.sha256.as_fd())?;
        match self.sha512() {
            Ok(folder) => found.extend(self.list_folder(Algorithm::Sha512, folder.as_fd())?),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("open", &self.inner.path.join("blobs"), errno)),
        }
        Ok(found)
    }

    /// Removes one blob and returns its size; [`ContentError::NotFound`] if there is none.
    ///
    /// Whoever has it open can go on reading. That nothing needs it is the caller's to know.
    pub fn remove(&self, digest: &Digest) -> Result<u64, ContentError> {
        let size = self.size(digest)?;
        let removed = match digest.algorithm() {
            Algorithm::Sha256 => {
                rustix::fs::unlinkat(&self.inner.sha256, digest.hex(), AtFlags::empty())
            }
            Algorithm::Sha512 => self
                .sha512()
                .and_then(|folder| rustix::fs::unlinkat(folder, digest.hex(), AtFlags::empty())),
        };
        match removed {
            Ok(()) => Ok(size),
            Err(Errno::NOENT) => Err(ContentError::NotFound { digest: digest.clone() }),
            Err(errno) => Err(self.failed("remove", digest, errno.into())),
        }
    }

    /// Removes every blob that is not in `live`.
    ///
    /// `live` must have been computed under the same lock, or an adder's blobs are lost. Goes on
    /// past a blob that cannot be removed and returns the first such error at the end.
    pub fn collect(
        &self,
        live: &HashSet<Digest>,
        _lock: &ExclusiveLock,
    ) -> Result<Collected, ContentError> {
        let mut collected = Collected::default();
        let mut first = None;
        for (digest, size) in self.list()? {
            if live.contains(&digest) {
                continue;
            }
            match self.remove(&digest) {
                Ok(_) => {
                    collected.freed_bytes += size;
                    collected.removed.push(digest);
                }
                Err(ContentError::NotFound { .. }) => {}
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok(collected),
            Some(error) => Err(error),
        }
    }

    /// Removes the files of writers that died; those that somebody still writes are locked and
    /// stay. Needs no lock of the store.
    pub fn sweep(&self) -> Result<Swept, ContentError> {
        let folder = self.ingest_directory()?;
        let path = self.inner.path.join("ingest");
        let mut swept = Swept::default();
        for entry in Dir::read_from(&folder).map_err(|errno| failed("list", &path, errno))? {
            let entry = entry.map_err(|errno| failed("list", &path, errno))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let named = || path.join(name.to_string_lossy().as_ref());
            let file = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed("open", &named(), errno)),
            };
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => continue,
                Err(errno) => return Err(failed("lock", &named(), errno)),
            }
            // Its writer cannot have renamed it in between: it would still hold the lock, or
            // the name would be gone.
            let size = rustix::fs::fstat(&file).map_or(0, |stat| stat.st_size);
            match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
                Ok(()) => {
                    swept.entries += 1;
                    swept.freed_bytes += u64::try_from(size).unwrap_or(0);
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed("remove", &named(), errno)),
            }
        }
        Ok(swept)
    }

    fn list_folder(
        &self,
        algorithm: Algorithm,
        folder: BorrowedFd<'_>,
    ) -> Result<Vec<(Digest, u64)>, ContentError> {
        let path = self.inner.path.join("blobs").join(algorithm.name());
        let mut found = Vec::new();
        for entry in Dir::read_from(folder).map_err(|errno| failed("list", &path, errno))? {
            let entry = entry.map_err(|errno| failed("list", &path, errno))?;
            let digest = entry
                .file_name()
                .to_str()
                .ok()
                .and_then(|hex| format!("{}:{hex}", algorithm.name()).parse::<Digest>().ok());
            let Some(digest) = digest else { continue };
            match rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => found.push((digest, u64::try_from(stat.st_size).unwrap_or(0))),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed("inspect", &digest, errno.into())),
            }
        }
        Ok(found)
    }
}
