//! Working containers: images that grow by one instruction at a time, for scripts that want no
//! Dockerfile.
//!
//! ```text
//! from IMAGE --> run --> copy --> config --> run --> commit NAME
//!      |          |       |         |         |         |
//!      working.json: the configuration of the image that it is by now, replaced by rename
//! ```
//!
//! It is a container that never runs. Each instruction is a step of a build on what the image is;
//! when its layer is named, the new configuration is written, and that is the one moment in which
//! anything changes: a command that fails, or is killed, leaves the container as it was. Its
//! operation lock is held by the command that works on it, and others wait.
//!
//! docs/decisions/0009.

mod commit;
mod grow;

use std::collections::BTreeMap;

use dockerapi::{ContainerConfig, HostConfig};
use metadata::{Container, MetadataError, OperationLock, Status};
use oci::{
    ContainerDefaults, Digest, History, ImageConfig, Platform, Reference, RootFs, Timestamp,
};
use serde::{Deserialize, Serialize};

pub use grow::Growth;

use crate::build::FetchImage;
use crate::container::Record;
use crate::{CreatedContainer, Engine, EngineError, names};

/// What a listing shows where others have their command.
const SHOWN: &str = "(working container)";
/// How often a generated name may be taken.
const NAME_ATTEMPTS: u32 = 1000;

/// A new working container.
#[derive(Debug, Clone, Default)]
pub struct CreateWorking {
    /// Its name; one is made up of the image's if `None`.
    pub name: Option<String>,
    /// What it starts from, or `scratch`.
    pub image: String,
    /// What the image must be for; the machine's own platform if `None`.
    pub platform: Option<Platform>,
}

/// What a working container has become.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkingImage {
    /// The image, as its configuration would be if it was committed now.
    pub image: ImageConfig,
    /// How much of the history is the base's.
    pub base_history: usize,
    /// Annotations for its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl WorkingImage {
    /// The entry of the history that is the last of its own; one is made if there is none.
    pub fn last_entry(&mut self) -> &mut History {
        if self.image.history.len() <= self.base_history {
            let created = self.image.created;
            self.image.history.push(History { created, empty_layer: true, ..History::default() });
        }
        let last = self.image.history.len() - 1;
        &mut self.image.history[last]
    }
}

impl Engine {
    /// Makes a working container of an image. `fetch` is asked for one that is not here; always
    /// with `always`.
    pub fn create_working(
        &self,
        request: &CreateWorking,
        fetch: &FetchImage<'_>,
        always: bool,
    ) -> Result<CreatedContainer, EngineError> {
        let _store = self.store_lock()?;
        let platform = request.platform.clone().unwrap_or_else(Platform::host);
        let (image, image_id) = match request.image.as_str() {
            "scratch" => (nothing(&platform), content::sha256(b"{}")),
            name => {
                let found = self.find_base(name, &platform, fetch, always)?;
                let id = self.resolve_image_for(name, Some(&platform))?.record.id;
                let rootfs = RootFs { diff_ids: found.diff_ids, ..RootFs::default() };
                (ImageConfig { rootfs, ..found.config }, id)
            }
        };
        let working =
            WorkingImage { base_history: image.history.len(), image, annotations: BTreeMap::new() };
        let id = names::new_id();
        let host = self.completed_host(&HostConfig {
            network_mode: "none".into(),
            profile: "build".into(),
            ..HostConfig::default()
        })?;
        let wishes = ContainerConfig { image: request.image.clone(), ..ContainerConfig::default() };
        let config = bundle::merge(&working.image.config, &wishes)?;
        let mut status = Status {
            image: request.image.clone(),
            image_id: image_id.to_string(),
            command: SHOWN.into(),
            created: Timestamp::now(),
            labels: config.labels.clone(),
            network: host.network_mode.clone(),
            ..Status::default()
        };
        let record = Record {
            id: id.clone(),
            created: status.created,
            image_id,
            platform: working.image.platform.clone(),
            diff_ids: working.image.rootfs.diff_ids.clone(),
            command: Vec::new(),
            config,
            host,
            networking: Default::default(),
            mounts: Vec::new(),
            volatile: false,
            ids: None,
        };
        let wanted = request.name.as_deref();
        status.name = wanted.map_or_else(|| generated(&request.image, 0), str::to_owned);
        let mut new = self.containers().create(&record, &status, &[])?;
        new.container().set_working(&working)?;
        let mut attempt = 0;
        loop {
            match new.claim_name(&status.name) {
                Err(MetadataError::NameTaken { .. })
                    if wanted.is_none() && attempt < NAME_ATTEMPTS =>
                {
                    attempt += 1;
                    status.name = generated(&request.image, attempt);
                }
                claimed => break claimed?,
            }
        }
        new.container().update_status(|written| written.name.clone_from(&status.name))?;
        new.publish()?;
        Ok(CreatedContainer { id, name: status.name, warnings: Vec::new() })
    }

    /// Changes the configuration of a working container; `waiting` is told if another command
    /// works on it.
    pub fn configure_working(
        &self,
        name: &str,
        waiting: &dyn Fn(),
        change: impl FnOnce(&mut WorkingImage) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let (container, _operation, mut working) = self.hold_working(name, waiting)?;
        change(&mut working)?;
        let signal = &working.image.config.stop_signal;
        if !signal.is_empty() {
            bundle::parse_signal(signal)?;
        }
        let labels = working.image.config.labels.clone();
        container.set_working(&working)?;
        container.update_status(|status| status.labels = labels)?;
        Ok(())
    }

    /// Takes a working container for one's own.
    fn hold_working(
        &self,
        name: &str,
        waiting: &dyn Fn(),
    ) -> Result<(Container, OperationLock, WorkingImage), EngineError> {
        let (container, _) = self.look_up(name)?;
        let none = || EngineError::Conflict {
            message: format!("{name} is no working container: make one with `kista from IMAGE`"),
        };
        if !container.is_working() {
            return Err(none());
        }
        let operation = match container.try_lock_operation()? {
            Some(operation) => operation,
            None => {
                waiting();
                container.lock_operation()?
            }
        };
        let working = read(&container)?.ok_or_else(none)?;
        Ok((container, operation, working))
    }
}

/// What a container has become, if it is a working one.
pub(crate) fn read(container: &Container) -> Result<Option<WorkingImage>, EngineError> {
    Ok(container.working()?)
}

/// The layers that it needs besides those of its record.
pub(crate) fn layers(container: &Container) -> Result<Vec<Digest>, EngineError> {
    Ok(read(container)?.map(|working| working.image.rootfs.diff_ids).unwrap_or_default())
}

pub(crate) fn busy(name: &str) -> EngineError {
    EngineError::Conflict {
        message: format!("{name} is in use: another command works on it, wait for its end"),
    }
}

pub(crate) fn never_runs(name: &str) -> EngineError {
    EngineError::Conflict {
        message: format!(
            "{name} is a working container, which is never started: run a command in it with \
             `kista run --working {name}`, or make an image of it with `kista commit {name}`"
        ),
    }
}

/// What there is before anything was done.
fn nothing(platform: &Platform) -> ImageConfig {
    let config = ContainerDefaults { working_dir: "/".into(), ..ContainerDefaults::default() };
    ImageConfig { platform: platform.clone(), config, ..ImageConfig::default() }
}

/// `debian-working-container`, as Buildah names them.
fn generated(image: &str, attempt: u32) -> String {
    let name = match image.parse::<Reference>() {
        Ok(reference) => reference.repository().rsplit('/').next().unwrap_or("image").to_owned(),
        Err(_) => "image".to_owned(),
    };
    match attempt {
        0 => format!("{name}-working-container"),
        more => format!("{name}-working-container-{more}"),
    }
}
