//! What earlier builds have done: from a step's key to its layer.
//!
//! One small file a key, replaced by rename, so that builds in several processes share it without
//! a lock. A record whose layer is gone, or that cannot be read, is as good as none.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use oci::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::BuildError;

/// What a step gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// Its layer; `None` if it changed nothing.
    pub layer: Option<Digest>,
    /// When it was done.
    pub created: Timestamp,
    /// What it was, for whoever looks.
    pub name: String,
}

/// What a prune removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Records of steps, cache mounts and other files.
    pub entries: u64,
    /// Space of the cache mounts; that of layers is counted where they are collected.
    pub bytes: u64,
}

/// The cache of a data root.
#[derive(Debug, Clone)]
pub struct BuildCache {
    root: PathBuf,
}

impl BuildCache {
    /// The cache below a data root; nothing is made yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.join("build") }
    }

    /// A folder of the cache, made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.root.join(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(BuildError::io("create", &path))?;
        Ok(path)
    }

    /// What is known of a key.
    pub(crate) fn get(&self, key: &Digest) -> Option<CacheEntry> {
        let bytes = fs::read(self.root.join("steps").join(key.hex())).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Remembers what a step gave. Not durable: after a loss of power the step is done again.
    pub(crate) fn put(&self, key: &Digest, entry: &CacheEntry) -> Result<(), BuildError> {
        let folder = self.folder("steps")?;
        let failed = || BuildError::io::<std::io::Error>("write", folder.join(key.hex()));
        let bytes = serde_json::to_vec(entry).map_err(|error| failed()(error.into()))?;
        let directory = fs::File::open(&folder).map_err(failed())?;
        sys::fs::replace_file(directory.as_fd(), key.hex(), &bytes, false).map_err(failed())
    }

    /// All records, with when each was last written.
    pub fn list(&self) -> Result<Vec<(CacheEntry, SystemTime)>, BuildError> {
        let mut found = Vec::new();
        for (path, modified) in self.files("steps")? {
            let entry = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            found.extend(entry.map(|entry| (entry, modified)));
        }
        Ok(found)
    }

    /// The layers that records lead to: they are not garbage while the records are there.
    pub fn layers(&self) -> Result<HashSet<Digest>, BuildError> {
        Ok(self.list()?.into_iter().filter_map(|(entry, _)| entry.layer).collect())
    }

    /// Forgets steps that were last recorded before a moment, or all; with `mounts` also what
    /// cache mounts hold and digests of contexts. A cache mount in use stays.
    pub fn prune(&self, before: Option<SystemTime>, mounts: bool) -> Result<Pruned, BuildError> {
        let mut pruned = Pruned::default();
        let folders: &[&str] = if mounts { &["steps", "digests"] } else { &["steps"] };
        for folder in folders {
            for (path, modified) in self.files(folder)? {
                if before.is_none_or(|before| modified < before) {
                    match fs::remove_file(&path) {
                        Ok(()) => pruned.entries += 1,
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => return Err(BuildError::io("remove", &path)(error)),
                    }
                }
            }
        }
        if mounts {
            crate::mounts::prune(&self.root.join("mounts"), &mut pruned)?;
        }
        Ok(pruned)
    }

    fn files(&self, folder: &str) -> Result<Vec<(PathBuf, SystemTime)>, BuildError> {
        let path = self.root.join(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(BuildError::io("list", &path)(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(BuildError::io("list", &path))?;
            // One that goes away while we look is not there.
            if let Ok(facts) = entry.metadata()
                && let Ok(modified) = facts.modified()
            {
                files.push((entry.path(), modified));
            }
        }
        Ok(files)
    }
}
