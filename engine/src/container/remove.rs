//! `rm`, `rename`, `container prune`.

use std::io;

use bundle::PlannedSource;
use metadata::{Container, MetadataError, OperationLock, Phase, Status};

use super::state::is_up;
use super::{Record, RemoveContainer, StopContainer};
use crate::reaper;
use crate::{Engine, EngineError, Filters};

impl Engine {
    /// Removes a container; returns its full id.
    ///
    /// It is out of sight when this returns. What it wrote is deleted by a process of its own, or
    /// by whoever comes by if that is killed.
    pub fn remove_container(&self, request: &RemoveContainer) -> Result<String, EngineError> {
        let (container, status) = self.look_up(&request.container)?;
        if is_up(&status) {
            if !request.force {
                let hint = if status.phase == Phase::Paused {
                    "container is paused and must be unpaused first"
                } else {
                    "container is running: stop the container before removing or force remove"
                };
                return Err(EngineError::Conflict {
                    message: format!("cannot remove container \"{}\": {hint}", request.container),
                });
            }
            self.stop_container(&StopContainer {
                container: container.id().to_owned(),
                signal: Some("KILL".into()),
                grace: None,
            })?;
        }
        let operation = container.lock_operation()?;
        let status = match self.settled_locked(&container) {
            Ok(status) => status,
            // It removed itself (`--rm`) while we waited for it.
            Err(EngineError::Metadata(_)) if request.force => return Ok(container.id().to_owned()),
            Err(error) => return Err(error),
        };
        if is_up(&status) || container.is_alive()? {
            return Err(EngineError::Conflict {
                message: format!("container \"{}\" has just been started", request.container),
            });
        }
        match self.remove_locked(&container, &status, &operation, request.volumes) {
            // It removed itself (`--rm`), or was found dead and buried on the way here.
            Err(EngineError::Metadata(MetadataError::Io { source, .. }))
                if source.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
        reaper::spawn(self.root());
        Ok(container.id().to_owned())
    }

    /// Takes a container that does not run out of sight; with `volumes`, its anonymous ones too.
    pub(crate) fn remove_locked(
        &self,
        container: &Container,
        status: &Status,
        operation: &OperationLock,
        volumes: bool,
    ) -> Result<(), EngineError> {
        let anonymous = if volumes { anonymous_volumes(container)? } else { Vec::new() };
        drop(self.containers().remove(container, &status.name, operation)?);
        // Cut here, the volumes stay as dangling ones, which `volume prune` knows.
        for name in anonymous {
            if self.users_of_volume(&name)?.is_empty() {
                self.remove_anonymous(&name)?;
            }
        }
        Ok(())
    }

    /// Gives a container another name.
    pub fn rename_container(&self, container: &str, new_name: &str) -> Result<(), EngineError> {
        let (found, status) = self.look_up(container)?;
        let new_name = new_name.strip_prefix('/').unwrap_or(new_name);
        if new_name.is_empty() {
            return Err(EngineError::Invalid {
                message: "neither old nor new names may be empty".into(),
            });
        }
        if new_name == status.name {
            return Err(EngineError::Invalid {
                message: "renaming a container with the same name as its current name".into(),
            });
        }
        let _operation = found.lock_operation()?;
        self.containers().rename(&found, &status.name, new_name)?;
        Ok(())
    }

    /// Removes all that do not run and match (`label`, `until`); returns ids and bytes freed.
    pub fn prune_containers(&self, filters: &Filters) -> Result<(Vec<String>, u64), EngineError> {
        filters.only(&["label", "label!", "until"])?;
        let until = filters.until()?;
        let (mut ids, mut bytes) = (Vec::new(), 0);
        for id in self.containers().ids()? {
            let Ok(container) = self.containers().get(&id) else { continue };
            let Ok(status) = self.settled(&container) else { continue };
            let young = until.is_some_and(|until| status.created > until);
            if is_up(&status) || young || !filters.labels_match(&status.labels) {
                continue;
            }
            // Somebody else is starting or removing it.
            let Some(operation) = container.try_lock_operation()? else { continue };
            if container.is_alive()? {
                continue;
            }
            bytes += sys::usage::of(container.path()).unwrap_or_default();
            self.remove_locked(&container, &status, &operation, false)?;
            ids.push(id);
        }
        reaper::spawn(self.root());
        Ok((ids, bytes))
    }
}

/// The volumes that were made for this container and have no name of their own.
pub(crate) fn anonymous_volumes(container: &Container) -> Result<Vec<String>, EngineError> {
    let record: Record = container.record()?;
    Ok(record
        .mounts
        .into_iter()
        .filter_map(|mount| match mount.source {
            PlannedSource::Volume(volume) if volume.anonymous => volume.name,
            _ => None,
        })
        .collect())
}
