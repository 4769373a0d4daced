//! `commit`: an image of what a container has become.

use std::os::fd::AsFd;

use builder::ImageOptions;
use dockerapi::ContainerConfig;
use metadata::{Container, OperationLock, Phase, Status};
use oci::{ContainerDefaults, Digest, History, ImageConfig, Reference, RootFs, Timestamp};
use rustix::fs::{CWD, Mode, OFlags};
use shim::Streams;

use super::Record;
use super::state::Held;
use crate::{Engine, EngineError, Session};

/// What to commit.
#[derive(Debug, Clone, Default)]
pub struct CommitContainer {
    /// The container, by name or id.
    pub container: String,
    /// The image's name; none if empty.
    pub name: String,
    /// Who made it.
    pub author: String,
    /// A remark for the history.
    pub message: String,
    /// Instructions of a Dockerfile for the configuration.
    pub changes: Vec<String>,
    /// Whether a running container is paused meanwhile.
    pub pause: bool,
    /// One layer of all, those of the image it was made of too.
    pub squash: bool,
    /// `SOURCE_DATE_EPOCH`: nothing that the container made is younger.
    pub epoch: Option<Timestamp>,
    /// Told when another command works on the container.
    pub waiting: Option<fn(&str)>,
}

/// The largest configuration of an image.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

impl Engine {
    /// Makes an image of a container's files and configuration; answers its id.
    ///
    /// Volumes and what else is mounted are no part of it.
    pub fn commit_container(&self, request: &CommitContainer) -> Result<Digest, EngineError> {
        let name = match request.name.as_str() {
            "" => None,
            name => Some(plain_name(name)?),
        };
        let (container, _) = self.look_up(&request.container)?;
        if container.is_working() {
            return self.commit_working(request, name);
        }
        let record: Record = container.record()?;
        let mut config = defaults(&record.config);
        // Before anything is paused or copied: what is wrong with them.
        archive::apply_changes(&mut config, &request.changes)?;
        let _store = self.store_lock()?;
        let stores = self.build_stores()?;
        // Held until the files are copied: nobody starts, stops or pauses it meanwhile.
        let Held { operation, status, .. } = self.hold(&container)?;
        let paused = self.pause_for(&container, &status, request.pause, &operation)?;
        let layer = self.container_layer(&container, &record, &stores, request.epoch);
        if let Some(session) = paused {
            session.thaw()?;
        }
        drop(operation);
        let layer = layer?;
        let mut image = self.base_config(&record);
        image.config = config;
        image.created = Some(request.epoch.unwrap_or_else(Timestamp::now));
        image.author = Some(request.author.clone()).filter(|author| !author.is_empty());
        image.platform = record.platform.clone();
        image.history.push(History {
            created: image.created,
            created_by: record.command.join(" "),
            author: request.author.clone(),
            comment: request.message.clone(),
            empty_layer: layer.is_none(),
        });
        image.rootfs = RootFs { diff_ids: record.diff_ids.clone(), ..RootFs::default() };
        image.rootfs.diff_ids.extend(layer);
        if request.squash {
            squash(&mut image, &stores, request.epoch)?;
        }
        let options = ImageOptions::default();
        let names: Vec<Reference> = name.into_iter().collect();
        Ok(builder::write_config(&image, &stores, &options, &names)?.id)
    }

    /// Has a container that runs stand still, for as long as the session lives that this answers:
    /// its shim sees to it that it goes on, however we end.
    fn pause_for(
        &self,
        container: &Container,
        status: &Status,
        wanted: bool,
        _operation: &OperationLock,
    ) -> Result<Option<Session>, EngineError> {
        if !wanted || status.phase != Phase::Running {
            return Ok(None);
        }
        let mut session = self.connect(container, Streams::NONE)?;
        session.freeze()?;
        Ok(Some(session))
    }

    fn container_layer(
        &self,
        container: &Container,
        record: &Record,
        stores: &builder::Stores,
        epoch: Option<Timestamp>,
    ) -> Result<Option<Digest>, EngineError> {
        let path = container.path().join("upper");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let upper = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Ok(upper) => upper,
            // It was never started.
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(EngineError::io("open", path)(errno.into())),
        };
        Ok(builder::commit_layer(stores, upper.as_fd(), &record.diff_ids, epoch)?)
    }

    /// The configuration of the image that the container was made of, for its history; one that
    /// was removed leaves none.
    fn base_config(&self, record: &Record) -> ImageConfig {
        let read = || -> Result<ImageConfig, EngineError> {
            let bytes = self.content()?.read(&record.image_id, MAX_CONFIG_BYTES)?;
            serde_json::from_slice(&bytes)
                .map_err(|error| EngineError::Invalid { message: error.to_string() })
        };
        read().unwrap_or_default()
    }
}

/// Makes one layer of all. The entries of the history stay, and say that they have none.
pub(crate) fn squash(
    image: &mut ImageConfig,
    stores: &builder::Stores,
    epoch: Option<Timestamp>,
) -> Result<(), EngineError> {
    let layer = builder::squash_layers(stores, &image.rootfs.diff_ids, epoch)?;
    for entry in &mut image.history {
        entry.empty_layer = true;
    }
    if let Some(layer) = &layer {
        let created_by = format!("squashed {} layers", image.rootfs.diff_ids.len());
        let created = image.created;
        image.history.push(History { created, created_by, ..History::default() });
        image.rootfs.diff_ids = vec![layer.clone()];
    } else {
        image.rootfs.diff_ids.clear();
    }
    Ok(())
}

/// A name to give: without a digest.
fn plain_name(text: &str) -> Result<Reference, EngineError> {
    let name = crate::image::parse_reference(text)?;
    match name.digest() {
        None => Ok(name.with_default_tag()),
        Some(_) => Err(EngineError::Invalid {
            message: "cannot create a tag with a digest reference".into(),
        }),
    }
}

/// What a container was told to be, as an image says it.
fn defaults(config: &ContainerConfig) -> ContainerDefaults {
    ContainerDefaults {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.clone(),
        env: config.env.clone(),
        entrypoint: config.entrypoint.clone().unwrap_or_default(),
        cmd: config.cmd.clone(),
        volumes: config.volumes.clone(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone().unwrap_or_default(),
        shell: config.shell.clone(),
        on_build: config.on_build.clone(),
        healthcheck: config
            .healthcheck
            .as_ref()
            .and_then(|health| serde_json::to_value(health).ok()),
        args_escaped: None,
    }
}
