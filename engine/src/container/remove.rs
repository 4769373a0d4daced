//! `rm`, `rename`, `container prune`.

use bundle::PlannedSource;
use metadata::{Container, OperationLock, Phase, Status};

use super::state::{Held, is_up};
use super::{Record, RemoveContainer, StopContainer};
use crate::{Engine, EngineError, Filters};

impl Engine {
    /// Removes a container; returns its full id.
    ///
    /// It is out of sight when this returns. What it wrote is deleted by a process of its own, or
    /// by whoever comes by if that is killed.
    pub fn remove_container(&self, request: &RemoveContainer) -> Result<String, EngineError> {
        let (container, mut status) = self.look_up(&request.container)?;
        if container.is_working() && container.try_lock_operation()?.is_none() {
            return Err(crate::working::busy(&request.container));
        }
        let gone = || Ok(container.id().to_owned());
        let held = loop {
            if is_up(&status) {
                if !request.force {
                    return Err(running(request, &status));
                }
                let stopped = self.stop_container(&StopContainer {
                    container: container.id().to_owned(),
                    signal: Some("KILL".into()),
                    grace: None,
                });
                match stopped {
                    // It removed itself (`--rm`) before we came to it.
                    Err(EngineError::NoContainer { .. }) => return gone(),
                    stopped => stopped?,
                }
            }
            let held = match self.hold(&container) {
                // It removed itself, or somebody else was faster, while we waited for it.
                Err(EngineError::NoContainer { .. }) if request.force => return gone(),
                held => held?,
            };
            if held.life.is_some() {
                break held;
            }
            // Somebody has started it meanwhile.
            status = held.status;
        };
        let Held { operation, life, status } = held;
        self.remove_locked(&container, &status, &operation, request.volumes)?;
        drop((operation, life));
        self.reap_later();
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
        self.release_network(container)?;
        // What cannot be read holds no ids that are not told by the missing container later.
        let ids = container.record().ok().and_then(|record: Record| record.ids);
        // The record goes last: cut before, the container is still there to be removed again.
        if volumes {
            let anonymous = anonymous_volumes(container)?;
            self.remove_unshared_volumes(&anonymous, container.id())?;
        }
        drop(self.containers().remove(container, &status.name, operation)?);
        match ids {
            Some(range) => self.release_ids(container.id(), range),
            None => Ok(()),
        }
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
        let operation = found.lock_operation()?;
        // Somebody may have renamed it while we waited.
        let old_name = found.status()?.name;
        if new_name != old_name {
            self.containers().rename(&found, &old_name, new_name, &operation)?;
            self.rename_in_networks(&found, &old_name, new_name)?;
        }
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
            // Nobody starts it, and a script may be between two commands.
            if container.is_working() {
                continue;
            }
            // Somebody else is starting or removing it, or has.
            let Ok(Some(operation)) = container.try_lock_operation() else { continue };
            let Ok(Some(_life)) = container.try_claim_life() else { continue };
            let status = container.status()?;
            if is_up(&status) {
                continue;
            }
            bytes += sys::usage::of(container.path()).unwrap_or_default();
            self.remove_locked(&container, &status, &operation, false)?;
            ids.push(id);
        }
        self.reap_later();
        Ok((ids, bytes))
    }
}

fn running(request: &RemoveContainer, status: &Status) -> EngineError {
    let hint = match status.phase {
        Phase::Paused => "container is paused and must be unpaused first",
        _ => "container is running: stop the container before removing or force remove",
    };
    EngineError::Conflict {
        message: format!("cannot remove container \"{}\": {hint}", request.container),
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
