//! Volumes: create, list, inspect, remove, prune; and what a container needs of them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use bundle::{Access, PlannedMount, PlannedSource, VolumeWanted};
use dockerapi::Volume;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use volumes::{NewVolume, Source};

use crate::container::Record;
use crate::rootfs::Tree;
use crate::{Engine, EngineError, Filters};

/// A volume to make.
#[derive(Debug, Clone, Default)]
pub struct CreateVolume {
    /// Its name; an anonymous one (64 digits) if empty.
    pub name: String,
    /// Its driver; `local` if empty.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Free key-value pairs.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a volume; one that is there with the same name is returned as it is.
    pub fn create_volume(&self, request: &CreateVolume) -> Result<Volume, EngineError> {
        if !matches!(request.driver.as_str(), "" | "local") {
            return Err(EngineError::Unsupported {
                message: format!(
                    "volume driver {:?} is not supported: only local volumes exist",
                    request.driver
                ),
            });
        }
        let name = match request.name.as_str() {
            "" => None,
            name => Some(name.parse()?),
        };
        let volume = self.volumes()?.create(NewVolume {
            name,
            anonymous: false,
            labels: request.labels.clone(),
            options: request.options.clone(),
        })?;
        self.describe(&volume)
    }

    /// Lists by name (filters `dangling`, `driver`, `label`, `name`).
    pub fn list_volumes(&self, filters: &Filters) -> Result<Vec<Volume>, EngineError> {
        filters.only(&["dangling", "driver", "label", "label!", "name"])?;
        let dangling = filters.flag("dangling")?;
        let used = self.volumes_in_use()?;
        let mut found = Vec::new();
        for volume in self.volumes()?.list()? {
            let fits = dangling
                .is_none_or(|dangling| dangling != used.contains_key(volume.name.as_str()))
                && filters.any("driver", |wanted| wanted == "local")
                && filters.allow_name(volume.name.as_str())
                && filters.labels_match(&volume.labels);
            if fits {
                found.push(self.describe(&volume)?);
            }
        }
        found.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(found)
    }

    /// All about one volume.
    pub fn inspect_volume(&self, name: &str) -> Result<Volume, EngineError> {
        let volume = self
            .find_volume(name)?
            .ok_or_else(|| EngineError::NoVolume { name: name.to_owned() })?;
        self.describe(&volume)
    }

    /// Removes a volume that no container uses; `force`: one that is not there is no error.
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<(), EngineError> {
        let Some(volume) = self.find_volume(name)? else {
            return if force {
                Ok(())
            } else {
                Err(EngineError::NoVolume { name: name.to_owned() })
            };
        };
        let _alone = self.lock_volumes(FlockOperation::LockExclusive)?;
        let users = self.users_of_volume(name)?;
        if !users.is_empty() {
            return Err(EngineError::Conflict {
                message: format!("remove {name}: volume is in use - [{}]", users.join(", ")),
            });
        }
        self.volumes()?.remove(&volume.name)?;
        Ok(())
    }

    /// Removes unused anonymous volumes (`all`: named ones too); returns names and bytes.
    pub fn prune_volumes(
        &self,
        all: bool,
        filters: &Filters,
    ) -> Result<(Vec<String>, u64), EngineError> {
        filters.only(&["all", "label", "label!"])?;
        let all = filters.flag("all")?.unwrap_or(all);
        let _alone = self.lock_volumes(FlockOperation::LockExclusive)?;
        let used = self.volumes_in_use()?;
        let (mut names, mut bytes) = (Vec::new(), 0);
        for volume in self.volumes()?.list()? {
            if used.contains_key(volume.name.as_str())
                || !(all || volume.anonymous)
                || !filters.labels_match(&volume.labels)
            {
                continue;
            }
            bytes += self.volumes()?.remove(&volume.name)?;
            names.push(volume.name.as_str().to_owned());
        }
        Ok((names, bytes))
    }

    /// Held by whoever makes a container for these mounts, until all can see that it uses their
    /// volumes; `None` if there are none.
    pub(crate) fn volumes_for(
        &self,
        mounts: &[PlannedMount],
    ) -> Result<Option<OwnedFd>, EngineError> {
        match wanted(mounts).next() {
            Some(_) => self.lock_volumes(FlockOperation::LockShared).map(Some),
            None => Ok(None),
        }
    }

    /// Between those who come to use volumes, and whoever removes what nobody uses.
    fn lock_volumes(&self, operation: FlockOperation) -> Result<OwnedFd, EngineError> {
        self.volumes()?;
        let path = self.root().join("volumes").join(".lock");
        let failed = |errno: Errno| EngineError::io("lock", path.clone())(errno.into());
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        loop {
            match flock(&file, operation) {
                Err(Errno::INTR) => {}
                locked => return locked.map(|()| file).map_err(failed),
            }
        }
    }

    /// Makes the volumes of a container that are not there yet.
    pub(crate) fn make_volumes(&self, mounts: &[PlannedMount]) -> Result<(), EngineError> {
        for (name, volume) in wanted(mounts) {
            self.make_volume(name, volume)?;
        }
        Ok(())
    }

    fn make_volume(
        &self,
        name: &str,
        wanted: &VolumeWanted,
    ) -> Result<volumes::Volume, EngineError> {
        if !matches!(wanted.driver.as_str(), "" | "local") {
            return Err(EngineError::Unsupported {
                message: format!(
                    "volume driver {:?} is not supported: only local volumes exist",
                    wanted.driver
                ),
            });
        }
        // An existing volume is what it is, also when the wish has no options and it has.
        if wanted.driver_options.is_empty()
            && let Some(existing) = self.find_volume(name)?
        {
            return Ok(existing);
        }
        Ok(self.volumes()?.create(NewVolume {
            name: Some(name.parse()?),
            anonymous: wanted.anonymous,
            labels: wanted.labels.clone(),
            options: wanted.driver_options.clone(),
        })?)
    }

    /// Removes the anonymous volumes of a container that never came to be.
    pub(crate) fn unmake_volumes(&self, mounts: &[PlannedMount]) {
        for (name, volume) in wanted(mounts) {
            if volume.anonymous {
                // What stays is a dangling volume, which `volume prune` knows.
                let _ = self.remove_anonymous(name);
            }
        }
    }

    /// Removes those of the volumes of container `id` that no other uses.
    ///
    /// If another's record cannot be read, they stay: as dangling ones, which `volume prune` knows.
    pub(crate) fn remove_unshared_volumes(
        &self,
        names: &[String],
        id: &str,
    ) -> Result<(), EngineError> {
        if names.is_empty() {
            return Ok(());
        }
        let _alone = self.lock_volumes(FlockOperation::LockExclusive)?;
        let Ok(used) = self.volumes_in_use() else { return Ok(()) };
        for name in names {
            let is_shared = used.get(name).is_some_and(|users| users.iter().any(|user| user != id));
            if !is_shared {
                self.remove_anonymous(name)?;
            }
        }
        Ok(())
    }

    /// Removes a volume that went with its container; one that is not there is fine.
    fn remove_anonymous(&self, name: &str) -> Result<(), EngineError> {
        match self.find_volume(name)? {
            Some(volume) => Ok(self.volumes()?.remove(&volume.name).map(drop)?),
            None => Ok(()),
        }
    }

    /// Fills a new volume with what the image has at the mount's destination, and says what is
    /// mounted.
    pub(crate) fn ready_volume(
        &self,
        mount: &mut PlannedMount,
        tree: &Tree<'_>,
    ) -> Result<(), EngineError> {
        let PlannedSource::Volume(wanted) = &mount.source else { return Ok(()) };
        let Some(name) = &wanted.name else { return Ok(()) };
        // Made again if somebody removed it by force.
        let volume = self.make_volume(name, wanted)?;
        match self.volumes()?.source(&volume)? {
            Source::Directory => {
                if wanted.copy_up
                    && is_empty(&self.volumes()?.path(&volume.name))
                    && let Some(source) =
                        tree.open_mounted(&mount.destination, OFlags::RDONLY | OFlags::DIRECTORY)?
                {
                    self.volumes()?.populate(&volume.name, source.as_fd())?;
                }
                mount.host_path =
                    Some(self.volumes()?.path(&volume.name).to_string_lossy().into_owned());
            }
            Source::Bind(bind) => {
                for option in &bind.options {
                    match option.as_str() {
                        "bind" | "rbind" | "rw" => {}
                        "ro" => mount.access = Access::ReadOnly,
                        other => {
                            return Err(EngineError::Unsupported {
                                message: format!(
                                    "option {other:?} of volume {name} is not supported for bind mounts"
                                ),
                            });
                        }
                    }
                }
                mount.host_path = Some(bind.host_path.to_string_lossy().into_owned());
            }
            Source::Tmpfs(tmpfs) => mount.source = PlannedSource::Tmpfs { options: tmpfs.options },
        }
        Ok(())
    }

    fn find_volume(&self, name: &str) -> Result<Option<volumes::Volume>, EngineError> {
        match name.parse() {
            Ok(name) => Ok(self.volumes()?.find(&name)?),
            Err(_) => Ok(None),
        }
    }

    /// Where `inspect` says that a volume is; nothing is looked up.
    pub(crate) fn volume_path(&self, name: &str) -> Result<String, EngineError> {
        Ok(self.volumes()?.path(&name.parse()?).to_string_lossy().into_owned())
    }

    /// The containers that use a volume, by id.
    pub(crate) fn users_of_volume(&self, name: &str) -> Result<Vec<String>, EngineError> {
        Ok(self.volumes_in_use()?.remove(name).unwrap_or_default())
    }

    /// All volumes that containers use, and by which.
    pub(crate) fn volumes_in_use(&self) -> Result<BTreeMap<String, Vec<String>>, EngineError> {
        let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in self.containers().ids()? {
            let Ok(container) = self.containers().get(&id) else { continue };
            let record: Record = match container.record() {
                Ok(record) => record,
                // Removed while we looked.
                Err(metadata::MetadataError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            for (name, _) in wanted(&record.mounts) {
                used.entry(name.to_owned()).or_default().push(id.clone());
            }
        }
        Ok(used)
    }

    fn describe(&self, volume: &volumes::Volume) -> Result<Volume, EngineError> {
        Ok(Volume {
            name: volume.name.as_str().to_owned(),
            driver: "local".into(),
            mountpoint: self.volumes()?.path(&volume.name).to_string_lossy().into_owned(),
            created_at: volume.created.to_string(),
            labels: volume.labels.clone(),
            scope: "local".into(),
            options: volume.options.clone(),
        })
    }
}

/// Whether a directory has no entry; only a hint, which `populate` makes sure of.
fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// The volumes among planned mounts; at this point each has a name.
fn wanted(mounts: &[PlannedMount]) -> impl Iterator<Item = (&str, &VolumeWanted)> {
    mounts.iter().filter_map(|mount| match &mount.source {
        PlannedSource::Volume(volume) => volume.name.as_deref().map(|name| (name, volume)),
        _ => None,
    })
}
