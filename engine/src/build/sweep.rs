//! A cache in a directory, written again and again: what its index names no more goes.
//!
//! Who reads such a cache takes its layers when a step asks for them, perhaps long after it has
//! read the index. So a blob stays for a day after the export that left it out: its time of change
//! says when that was. Writers are one at a time (flock(2) of the directory).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use builder::BuildError;
use oci::{Descriptor, Digest, Index, media_type};
use rustix::fs::FlockOperation;
use serde_json::Value;

/// How long a blob stays that nothing names.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest document that is looked at for names of blobs.
const MAX_DOCUMENT: u64 = 4 << 20;

/// A layout that is written to, before that.
pub(super) struct SharedLayout {
    path: PathBuf,
    /// Locked for as long as this is there.
    _folder: File,
    entries: Vec<Descriptor>,
    /// What the index led to.
    named: HashSet<Digest>,
}

impl SharedLayout {
    /// Waits for other writers.
    pub(super) fn lock(path: &Path) -> Result<Self, BuildError> {
        let failed = |source| BuildError::Io { action: "lock", path: path.to_owned(), source };
        let folder = File::open(path).map_err(failed)?;
        while let Err(errno) = rustix::fs::flock(&folder, FlockOperation::LockExclusive) {
            if errno != rustix::io::Errno::INTR {
                return Err(failed(errno.into()));
            }
        }
        let entries = entries(path);
        let named = named(path, &entries);
        Ok(Self { path: path.to_owned(), _folder: folder, entries, named })
    }

    /// What the index lists.
    pub(super) fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// After a new index was written: blobs that it leaves out are marked, and those that were left
    /// out for long are removed.
    pub(super) fn sweep(self) -> Result<(), BuildError> {
        let now_named = named(&self.path, &entries(&self.path));
        let folder = self.path.join("blobs").join("sha256");
        let failed = |source| BuildError::Io { action: "sweep", path: folder.clone(), source };
        let now = SystemTime::now();
        for file in std::fs::read_dir(&folder).map_err(failed)? {
            let file = file.map_err(failed)?;
            let name = file.file_name().to_string_lossy().into_owned();
            let facts = match file.metadata() {
                Ok(facts) if facts.is_file() => facts,
                _ => continue,
            };
            let age = facts.modified().ok().and_then(|then| now.duration_since(then).ok());
            let is_old = age.is_some_and(|age| age > GRACE);
            let swept = match format!("sha256:{name}").parse::<Digest>() {
                Ok(digest) if now_named.contains(&digest) => Ok(()),
                Ok(digest) if self.named.contains(&digest) => mark(&file.path(), now),
                // Also what writers that were killed have left.
                Ok(_) if is_old => std::fs::remove_file(file.path()),
                Err(_) if is_old && name.ends_with(".tmp") => std::fs::remove_file(file.path()),
                _ => Ok(()),
            };
            swept.map_err(failed)?;
        }
        Ok(())
    }
}

/// Notes when a blob was left out.
fn mark(path: &Path, now: SystemTime) -> io::Result<()> {
    File::options().append(true).open(path)?.set_modified(now)
}

/// What an index lists; nothing if there is none that can be read.
fn entries(path: &Path) -> Vec<Descriptor> {
    let index = read(&path.join("index.json")).and_then(|bytes| {
        let index: Index = serde_json::from_slice(&bytes).ok()?;
        Some(index.manifests)
    });
    index.unwrap_or_default()
}

/// All that descriptors lead to: whatever documents call by a digest.
fn named(path: &Path, entries: &[Descriptor]) -> HashSet<Digest> {
    let mut named = HashSet::new();
    let mut pending: Vec<Descriptor> = entries.to_vec();
    while let Some(next) = pending.pop() {
        if !named.insert(next.digest.clone()) {
            continue;
        }
        let kind = &next.media_type;
        if !media_type::is_index(kind) && !media_type::is_manifest(kind) {
            continue;
        }
        let blob = path.join("blobs").join(next.digest.algorithm().name()).join(next.digest.hex());
        if let Some(document) = read(&blob).and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            descriptors(&document, &mut pending);
        }
    }
    named
}

fn descriptors(value: &Value, found: &mut Vec<Descriptor>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| descriptors(value, found)),
        Value::Object(fields) => {
            found.extend(serde_json::from_value::<Descriptor>(value.clone()).ok());
            fields.values().for_each(|value| descriptors(value, found));
        }
        _ => {}
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_DOCUMENT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cache(tempfile::TempDir);

    impl Cache {
        fn blob(&self, content: &str) -> Descriptor {
            let digest = content::sha256(content.as_bytes());
            std::fs::write(self.path_of(&digest), content).unwrap();
            Descriptor::new("x/y", digest, content.len() as u64)
        }

        fn path_of(&self, digest: &Digest) -> PathBuf {
            self.0.path().join("blobs/sha256").join(digest.hex())
        }

        /// An index of one manifest with one layer; the layer.
        fn write(&self, layer: &str) -> Digest {
            let layer = self.blob(layer);
            let manifest = serde_json::json!({ "schemaVersion": 2, "layers": [layer] });
            let mut manifest = self.blob(&manifest.to_string());
            manifest.media_type = media_type::OCI_MANIFEST.into();
            let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
            std::fs::write(self.0.path().join("index.json"), index.to_string()).unwrap();
            layer.digest
        }

        fn age(&self, digest: &Digest) {
            let then = SystemTime::now() - 2 * GRACE;
            mark(&self.path_of(digest), then).unwrap();
        }
    }

    #[test]
    fn what_was_left_out_for_a_day_goes() {
        let cache = Cache(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(cache.0.path().join("blobs/sha256")).unwrap();
        let first = cache.write("one");
        cache.age(&first);
        let export = |layer: &str| {
            let shared = SharedLayout::lock(cache.0.path()).unwrap();
            let layer = cache.write(layer);
            shared.sweep().unwrap();
            layer
        };
        // Whoever has read the index until now finds it.
        let second = export("two");
        assert!(cache.path_of(&first).exists());
        cache.age(&second);
        export("two");
        assert!(cache.path_of(&first).exists(), "it was left out just now");
        cache.age(&first);
        export("two");
        assert!(!cache.path_of(&first).exists() && cache.path_of(&second).exists());
    }
}
