//! Listing and removal: what is there, what nobody needs, what a dead unpacker left.

use std::collections::HashSet;
use std::os::fd::AsFd;

use content::ExclusiveLock;
use oci::Digest;
use rustix::fs::{Dir, FlockOperation};
use rustix::io::Errno;

use crate::layer::{PREFIX, is_still};
use crate::{SnapshotError, Snapshots, failed, open_directory};

/// What a collection removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The DiffIDs of what is gone.
    pub removed: Vec<Digest>,
    /// The space that this freed on disk.
    pub freed_bytes: u64,
}

/// What a sweep of dead unpackers' directories and of the trash removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files and directories.
    pub entries: u64,
    /// The space that this freed on disk.
    pub freed_bytes: u64,
}

impl Snapshots {
    /// The DiffIDs of all layers, in no particular order; also of those that are not reliable.
    pub fn list(&self) -> Result<Vec<Digest>, SnapshotError> {
        let mut found = Vec::new();
        for name in self.names()? {
            // Both algorithms' digests stand for themselves: they differ in length.
            let algorithm = if name.len() == 64 { "sha256" } else { "sha512" };
            if let Ok(diff_id) = format!("{algorithm}:{name}").parse() {
                found.push(diff_id);
            }
        }
        Ok(found)
    }

    /// Removes every layer that is not in `live`.
    ///
    /// `live` must have been computed under the same lock, and hold the layers of all images and of
    /// all containers. Goes on past a layer that cannot be removed and returns the first such error
    /// at the end.
    pub fn collect(
        &self,
        live: &HashSet<Digest>,
        _lock: &ExclusiveLock,
    ) -> Result<Collected, SnapshotError> {
        let mut collected = Collected::default();
        let mut first = None;
        for diff_id in self.list()? {
            if live.contains(&diff_id) {
                continue;
            }
            match self.remove(&diff_id) {
                Ok(freed) => {
                    collected.freed_bytes += freed;
                    collected.removed.push(diff_id);
                }
                Err(SnapshotError::NotFound { .. }) => {}
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

    /// Removes the directories of unpackers that died, and empties the trash.
    ///
    /// A directory that somebody still writes to is locked and stays. Needs no lock of the store.
    pub fn sweep(&self) -> Result<Swept, SnapshotError> {
        let trash = self.trash()?;
        for name in self.names()?.iter().filter(|name| name.starts_with(PREFIX)) {
            let path = self.inner.path.join(name);
            let directory = match open_directory(&self.inner.layers, name.as_str()) {
                Ok(directory) => directory,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed("open", &path, errno)),
            };
            match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => continue,
                Err(errno) => return Err(failed("lock", &path, errno)),
            }
            let Ok(name) = std::ffi::CString::new(name.as_str()) else { continue };
            // Committed in between, it has another name and is a layer.
            if !is_still(&self.inner.layers, &name, &directory) {
                continue;
            }
            match trash.put(self.inner.layers.as_fd(), &name) {
                Ok(discarded) => drop(discarded),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed("remove", &path, source)),
            }
        }
        let removed = trash
            .empty()
            .map_err(|source| failed("empty", &self.inner.path.with_file_name("trash"), source))?;
        Ok(Swept { entries: removed.entries, freed_bytes: removed.bytes })
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        let list = |errno| failed("list", &self.inner.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.inner.layers).map_err(list)? {
            let entry = entry.map_err(list)?;
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}
