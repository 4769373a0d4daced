//! `run`, `start`, `attach`: a container gets its shim.
//!
//! ```text
//! door                engine                      shim                      init
//!  run ---------------> spawn_early ------------->  exec, waits
//!                       make_container
//!                       plan_launch
//!                       launch ------------------>  claim (life lock)
//!                                                   stage: cgroup, mounts ->  made, waits
//!                                                   running (status.json)     exec
//!   <------------------ started <-----------------
//! ```
//!
//! The operation lock is held from before the launch until `Started` or `Failed`, so that two
//! starts of one container follow one another, and a removal waits for the outcome.

use metadata::{Container, OperationLock, Phase, Status};
use shim::client::{Pending, Session};
use shim::{Early, ShimError, Streams};

use super::create::Fresh;
use super::state::Held;
use super::{CreateContainer, CreatedContainer, Record, RunningContainer};
use crate::network::EarlyNamespace;
use crate::{Engine, EngineError, names, runtimes};

impl Engine {
    /// Makes a container and starts it, as fast as the two can be done together.
    ///
    /// `on_created` is called when the container exists and before it starts (for `--cidfile`);
    /// its failure is a failure to start. The container then stays with its error, unless it is
    /// one that is removed automatically.
    pub fn run_container(
        &self,
        request: &CreateContainer,
        attach: Option<Streams>,
        on_created: &mut dyn FnMut(&CreatedContainer) -> Result<(), EngineError>,
    ) -> Result<RunningContainer, EngineError> {
        // The shim's exec goes on beside our own work, on another processor if there is one.
        let id = names::new_id();
        let is_ours = runtimes::find(&request.host.runtime)?.is_none();
        let early = if is_ours { early(&request.host.network_mode) } else { Early::default() };
        // A shim is born where its maker is, and enters groups from there.
        self.delegation()?;
        let shim = shim::client::spawn_early(&early)?;
        // A parent that is none is refused further down.
        let cgroup = self.cgroup_path(&id, &request.host.cgroup_parent);
        if let Some(path) = cgroup.ok().filter(|path| is_ours && !path.is_empty()) {
            shim.make_cgroup(&path)?;
        }
        let network = EarlyNamespace::begin(&request.host);
        let Fresh { container, operation, mut record, status, created } =
            self.make_container(request, id, true)?;
        let CreatedContainer { id, name, mut warnings } = created.clone();
        let launched = on_created(&created)
            .and_then(|()| operation.mark_as_launch().map_err(Into::into))
            .and_then(|()| {
                self.launch(shim, &container, &mut record, &status, attach, Some(network))
            });
        match launched {
            Ok((session, more)) => {
                drop(operation);
                warnings
                    .extend(more.into_iter().filter(|warning| !created.warnings.contains(warning)));
                Ok(RunningContainer { id, name, warnings, session: attach.map(|_| session) })
            }
            Err(error) => {
                self.not_started(&container, &status, operation, &error);
                Err(error)
            }
        }
    }

    /// Starts a container that does not run; one that runs is attached to, if asked.
    pub fn start_container(
        &self,
        container: &str,
        attach: Option<Streams>,
    ) -> Result<RunningContainer, EngineError> {
        let (found, status) = self.look_up(container)?;
        if found.is_working() {
            return Err(crate::working::never_runs(container));
        }
        self.delegation()?;
        let shim = match status.phase {
            // Most likely there is nothing to start.
            Phase::Running | Phase::Paused => None,
            _ => Some(shim::client::spawn_early(&early(&status.network))?),
        };
        let Held { operation, life, status: now } = self.hold(&found)?;
        if life.is_none() {
            drop(operation);
            if now.phase == Phase::Paused {
                return Err(EngineError::Conflict {
                    message: "cannot start a paused container, try unpause instead".into(),
                });
            }
            let session = attach.map(|streams| self.connect(&found, streams)).transpose()?;
            return Ok(RunningContainer {
                id: found.id().to_owned(),
                name: status.name,
                warnings: Vec::new(),
                session,
            });
        }
        if now.auto_remove && now.phase == Phase::Exited {
            return Err(EngineError::Conflict {
                message: "container is marked for removal and cannot be started".into(),
            });
        }
        let shim = match shim {
            Some(shim) => shim,
            None => shim::client::spawn_early(&early(&status.network))?,
        };
        let mut record: Record = found.record()?;
        if runtimes::find(&record.host.runtime)?.is_none() && !now.cgroup.is_empty() {
            shim.make_cgroup(&now.cgroup)?;
        }
        // The shim's from here on.
        drop(life);
        operation.mark_as_launch()?;
        match self.launch(shim, &found, &mut record, &now, attach, None) {
            Ok((session, warnings)) => {
                let session = attach.map(|_| session);
                Ok(RunningContainer {
                    id: found.id().to_owned(),
                    name: status.name,
                    warnings,
                    session,
                })
            }
            Err(error) => {
                self.not_started(&found, &now, operation, &error);
                Err(error)
            }
        }
    }

    /// Attaches to a running container.
    pub fn attach_container(
        &self,
        container: &str,
        attach: Streams,
    ) -> Result<Session, EngineError> {
        let (found, status) = self.look_up(container)?;
        match status.phase {
            Phase::Running => self.connect(&found, attach),
            Phase::Paused => Err(EngineError::Conflict {
                message: "You cannot attach to a paused container, unpause it first".into(),
            }),
            _ => Err(EngineError::Conflict {
                message: "You cannot attach to a stopped container, start it first".into(),
            }),
        }
    }

    pub(crate) fn connect(
        &self,
        container: &Container,
        streams: Streams,
    ) -> Result<Session, EngineError> {
        let mut session = shim::client::connect(container.path(), streams)?;
        session.started()?;
        Ok(session)
    }

    fn launch(
        &self,
        shim: Pending,
        container: &Container,
        record: &mut Record,
        status: &Status,
        attach: Option<Streams>,
        // Whose maker has just begun on its network, if it is new.
        fresh: Option<Option<EarlyNamespace>>,
    ) -> Result<(Session, Vec<String>), EngineError> {
        let is_fresh = fresh.is_some();
        let network = fresh.flatten();
        let mut sandbox =
            self.prepare_sandbox(container, record, &status.name, network, is_fresh)?;
        let attach = attach.unwrap_or(Streams::NONE);
        let (launch, mut warnings) =
            self.plan_launch(container, record, status, attach, sandbox.as_ref())?;
        let mut session = match &mut sandbox {
            None => shim.launch(&launch)?,
            Some(sandbox) => {
                warnings.extend_from_slice(&sandbox.warnings);
                let mut session = match sandbox.namespace() {
                    Some(namespace) => shim.launch_in(&launch, namespace)?,
                    None => shim.launch(&launch)?,
                };
                // While the shim's stage makes the rest.
                match sandbox.state.is_uplink {
                    true => self.connect_pasta(sandbox, &mut session)?,
                    false => self.connect_sandbox(container.id(), sandbox, &mut session)?,
                }
                session
            }
        };
        match session.started() {
            Ok(_) => {
                // One that has ended and removed itself meanwhile has nothing more to say.
                warnings
                    .extend(container.status().map(|status| status.warnings).unwrap_or_default());
                Ok((session, warnings))
            }
            Err(error) => Err(not_launched(error)),
        }
    }

    /// Writes down why a container did not start, or removes one that nobody wants then.
    ///
    /// What goes wrong here (the disk may be full) does not hide why; what is left can be told.
    fn not_started(
        &self,
        container: &Container,
        status: &Status,
        operation: OperationLock,
        error: &EngineError,
    ) {
        let _ = self.undo_start(container, status, &operation, error);
        drop(operation);
        if status.auto_remove {
            self.reap_later();
        }
    }

    fn undo_start(
        &self,
        container: &Container,
        status: &Status,
        operation: &OperationLock,
        error: &EngineError,
    ) -> Result<(), EngineError> {
        // Our shim lets go before or after it has told us. If it runs, it is that of somebody who
        // was killed after he had asked for it, or we have lost sight of ours: it is left alone.
        let Some(_life) = self.await_end_or_running(container)? else { return Ok(()) };
        self.remove_cgroup(&status.cgroup)?;
        self.release_network(container)?;
        if status.auto_remove {
            return self.remove_locked(container, status, operation, true);
        }
        container.update_status(|status| {
            status.launching = false;
            status.error = error.to_string();
            status.exit_code = match error {
                EngineError::NotStarted { exit_code, .. } => i32::from(*exit_code),
                _ => 128,
            };
        })?;
        Ok(())
    }
}

/// What can be made before the rest is known.
fn early(network_mode: &str) -> Early {
    // Those of networks are made by us, who connect them.
    let network = network_mode == "none";
    Early { network }
}

/// What a shim says of a launch that failed.
pub(crate) fn not_launched(error: ShimError) -> EngineError {
    match error {
        ShimError::Failed { exit_code, message } => EngineError::NotStarted { message, exit_code },
        error => error.into(),
    }
}
