//! Garbage: blobs that no manifest names and nobody relied on lately.
//!
//! Mark and sweep, while the registry serves. Readers go on; those who add wait for as long as the
//! marking takes. Nothing young is taken: whoever pushes sends blobs first, and the manifest that
//! names them last.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use content::{Collected, StoreLock};
use oci::Digest;
use transfer::Document;

use crate::reply::with_causes;
use crate::{Registry, RegistryError};

impl Registry {
    /// Collects, and writes down what came of it.
    pub(crate) fn collect(&self) {
        match self.try_collect() {
            Ok(collected) => {
                let blobs = collected.removed.len() as u64;
                self.metrics.collected_blobs.fetch_add(blobs, Ordering::Relaxed);
                let bytes = collected.freed_bytes;
                self.metrics.collected_bytes.fetch_add(bytes, Ordering::Relaxed);
                if blobs > 0 {
                    (self.log)(&format!("collected {blobs} blobs, {bytes} bytes"));
                }
            }
            Err(error) => (self.log)(&format!("cannot collect garbage: {}", with_causes(&error))),
        }
    }

    pub(crate) fn try_collect(&self) -> Result<Collected, RegistryError> {
        let lock = StoreLock::exclusive(self.shelf.content.root())?;
        let failed = || RegistryError::io("list", self.shelf.content.root().join("repositories"));
        let now = SystemTime::now();
        let mut live: HashSet<Digest> = HashSet::new();
        for name in self.shelf.names().map_err(failed())? {
            let mut named: HashSet<Digest> = HashSet::new();
            for digest in self.shelf.manifests(&name).map_err(failed())? {
                match self.document(&digest) {
                    Some(Document::Manifest(manifest)) => {
                        let blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
                        named.extend(blobs.map(|blob| blob.digest.clone()));
                    }
                    Some(Document::Index(index)) => {
                        named.extend(index.manifests.into_iter().map(|entry| entry.digest));
                    }
                    // One that cannot be read says nothing, and takes nothing away.
                    None => {}
                }
                live.insert(digest);
            }
            for (digest, modified) in self.shelf.blobs(&name).map_err(failed())? {
                let age = now.duration_since(modified).unwrap_or_default();
                if named.contains(&digest) || age < self.config.gc_grace {
                    live.insert(digest);
                } else {
                    self.shelf.unlink_blob(&name, &digest).map_err(failed())?;
                }
            }
        }
        Ok(self.shelf.content.collect(&live, &lock)?)
    }
}
