//! Listing and removal: what is there, what nobody needs, what a dead unpacker left.

use std::collections::HashSet;
use std::os::fd::AsFd;

use content::ExclusiveLock;
use oci::Digest;
use rustix::fs::Dir;

use crate::{SnapshotError, Snapshots, failed};

/// What a collection removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The DiffIDs of what is gone.
    pub removed: Vec<Digest>,
    /// The sum of their files' sizes, which the disk has back once they are swept.
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

    /// Takes away every layer that is not in `live`: into the trash, one rename each.
    ///
    /// [`Snapshots::sweep`] deletes them, which may take long and needs no lock. `live` must have
    /// been computed under the same lock, and hold the layers of all images and of all containers.
    /// Goes on past a layer that cannot be moved and returns the first such error at the end.
    pub fn collect(
        &self,
        live: &HashSet<Digest>,
        _lock: &ExclusiveLock,
    ) -> Result<Collected, SnapshotError> {
        let trash = self.trash()?;
        let mut collected = Collected::default();
        let mut first = None;
        for diff_id in self.list()? {
            if live.contains(&diff_id) {
                continue;
            }
            // One that cannot be relied on has no figures.
            let bytes = self.usable(&diff_id)?.map_or(0, |record| record.usage.bytes);
            match self.discard(&trash, &diff_id) {
                Ok(discarded) => {
                    drop(discarded);
                    collected.freed_bytes += bytes;
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
        let dead = sys::fresh::sweep(self.inner.layers.as_fd())
            .map_err(|source| failed("sweep", &self.inner.path, source))?;
        let old = self
            .trash()?
            .empty()
            .map_err(|source| failed("empty", &self.inner.path.with_file_name("trash"), source))?;
        Ok(Swept { entries: dead.entries + old.entries, freed_bytes: dead.bytes + old.bytes })
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
