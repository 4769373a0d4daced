//! A new layer: a directory of the snapshot store, seen through an overlay while it is filled,
//! and named by the digest of its tar.

use std::io::{self, Write};
use std::path::PathBuf;

use content::Hasher;
use oci::{Algorithm, Digest, Mount, Timestamp};
use snapshots::{NewLayer, Writable};
use sys::overlay::USER_XATTR;

use super::{StepResult, Tools};
use crate::cache::CacheEntry;
use crate::request::Stores;
use crate::{BuildError, StepId, seal};

/// A layer that is being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) layer: NewLayer,
    /// The overlay's own directory, beside the layer's files.
    work: PathBuf,
}

impl Filling {
    /// The overlay of the layers below with this one on top.
    fn overlay(&self, stores: &Stores, below: &[Digest]) -> Result<Vec<Mount>, BuildError> {
        let files = self.layer.path();
        let parent = files.parent().unwrap_or(&files);
        let writable = Writable { container_dir: parent, volatile: true };
        let mut mounts = stores.snapshots.mounts(below, Some(writable), false)?;
        for mount in &mut mounts {
            for option in &mut mount.options {
                if option.starts_with("upperdir=") {
                    *option = format!("upperdir={}", files.display());
                }
            }
            // Whatever the kernel's defaults are: a layer must mean the same by itself. In a user
            // namespace the first two are so, and must not be said.
            let own = match mount.options.iter().any(|option| option == USER_XATTR) {
                true => &["index=off"][..],
                false => &["redirect_dir=off", "metacopy=off", "index=off"],
            };
            mount.options.extend(own.iter().map(|option| (*option).to_owned()));
        }
        Ok(mounts)
    }

    /// The same once more, when the one before is gone: a volatile overlay marks its own directory
    /// so that nobody takes it again.
    pub(crate) fn overlay_again(
        &self,
        stores: &Stores,
        below: &[Digest],
    ) -> Result<Vec<Mount>, BuildError> {
        self.remove_work()?;
        std::fs::create_dir(&self.work).map_err(BuildError::io("create", &self.work))?;
        self.overlay(stores, below)
    }

    fn remove_work(&self) -> Result<(), BuildError> {
        match std::fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BuildError::io("remove", &self.work)(error))
            }
            _ => Ok(()),
        }
    }
}

impl Tools<'_> {
    /// Begins a layer.
    pub(crate) fn begin(&self) -> Result<Filling, BuildError> {
        let layer = self.stores.snapshots.begin()?;
        let files = layer.path();
        let work = files.with_file_name("work");
        std::fs::create_dir(&work).map_err(BuildError::io("create", &work))?;
        Ok(Filling { layer, work })
    }

    /// The overlay of the layers below with the new one on top.
    pub(crate) fn overlay(
        &self,
        filling: &Filling,
        below: &[Digest],
    ) -> Result<Vec<Mount>, BuildError> {
        filling.overlay(self.stores, below)
    }

    /// Ends a layer: it gets its name, and the cache learns of it.
    pub(crate) fn finish(
        &self,
        id: StepId,
        keys: &[Digest],
        below: Vec<Digest>,
        filling: Filling,
    ) -> Result<StepResult, BuildError> {
        filling.remove_work()?;
        let own = seal_layer(filling.layer, self.plan.epoch.map(Timestamp::unix_seconds))?;
        let name = self.plan.steps[id].name.clone();
        let entry = CacheEntry {
            layer: own,
            created: self.plan.epoch.unwrap_or_else(Timestamp::now),
            name,
        };
        for key in keys {
            self.cache.put(key, &entry)?;
        }
        Ok(result(below, entry, false, keys))
    }

    /// What an earlier build gave for a key, if its layer is there.
    pub(crate) fn known(
        &self,
        id: StepId,
        key: &Digest,
        below: &[Digest],
    ) -> Result<Option<StepResult>, BuildError> {
        if self.plan.steps[id].no_cache {
            return Ok(None);
        }
        let here = self.cache.get(key).filter(|entry| {
            let layer = entry.layer.as_ref();
            layer.is_none_or(|layer| matches!(self.stores.snapshots.contains(layer), Ok(true)))
        });
        let entry = match here {
            Some(entry) => entry,
            None => match self.imported(key)? {
                Some(entry) => entry,
                None => return Ok(None),
            },
        };
        Ok(Some(result(below.to_vec(), entry, true, std::slice::from_ref(key))))
    }

    /// What a cache from elsewhere knows of a key. One that fails to bring its layer is as good
    /// as none: the step is done.
    fn imported(&self, key: &Digest) -> Result<Option<CacheEntry>, BuildError> {
        for cache in &self.request.imported {
            if let Ok(Some(entry)) = cache.find(key, self.stores) {
                self.cache.put(key, &entry)?;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Remembers under another key what is known under one.
    pub(crate) fn also_known_as(
        &self,
        id: StepId,
        key: &Digest,
        known: &StepResult,
    ) -> Result<(), BuildError> {
        let Some(created) = known.created else { return Ok(()) };
        let name = self.plan.steps[id].name.clone();
        self.cache.put(key, &CacheEntry { layer: known.own.clone(), created, name })
    }
}

fn result(mut layers: Vec<Digest>, entry: CacheEntry, cached: bool, keys: &[Digest]) -> StepResult {
    layers.extend(entry.layer.clone());
    let (created, keys) = (Some(entry.created), keys.to_vec());
    StepResult { layers, own: entry.layer, created, cached, keys }
}

/// Ends a layer: it gets the name of its tar. `None` for one that holds nothing, which goes.
pub(crate) fn seal_layer(
    layer: NewLayer,
    epoch: Option<i64>,
) -> Result<Option<Digest>, BuildError> {
    let mut hasher =
        io::BufWriter::with_capacity(128 << 10, Hashing(Some(Hasher::new(Algorithm::Sha256))));
    let sealed = seal::write(layer.dir(), epoch, true, &mut hasher)?;
    let hasher = hasher.into_inner().map_err(|error| {
        BuildError::io("write", "the layer")(io::Error::from(error.error().kind()))
    })?;
    match hasher.0 {
        Some(hasher) if sealed.usage.entries > 0 => {
            let diff_id = hasher.finish();
            layer.commit(&diff_id, sealed.usage)?;
            Ok(Some(diff_id))
        }
        _ => Ok(None),
    }
}

/// Hashes what is written.
struct Hashing(Option<Hasher>);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(hasher) = &mut self.0 {
            hasher.update(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The overlay, mounted where nobody else sees it.
pub(crate) fn mounted(mounts: &[Mount]) -> Result<std::os::fd::OwnedFd, BuildError> {
    Ok(runtime::mount_detached(mounts)?)
}
