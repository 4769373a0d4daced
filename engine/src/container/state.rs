//! What is true of a container: what its record says, corrected by what its lock says.

use std::io;
use std::time::Duration;

use metadata::{Container, LifeLock, MetadataError, OperationLock, Phase, Status};
use oci::Timestamp;

use crate::{ContainerState, Engine, EngineError};

/// The exit code of a container whose shim was killed, so that nobody saw its end. Docker shows
/// the same after its daemon died.
const UNSEEN_EXIT: i32 = 255;

/// How long the processes of a dead container may take to go away after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a container that is just coming or going is looked at.
const MOMENT: Duration = Duration::from_millis(1);

/// A container that nobody else starts, removes or renames, and that is neither coming nor going.
pub(crate) struct Held {
    pub(crate) operation: OperationLock,
    /// There if the container does not run: nor can it, as long as this is held.
    pub(crate) life: Option<LifeLock>,
    pub(crate) status: Status,
}

impl Engine {
    /// Finds a container and tells its present status, settling what a killed shim left.
    pub(crate) fn look_up(&self, text: &str) -> Result<(Container, Status), EngineError> {
        let container = self.containers().find(text)?;
        let status = self.settled(&container)?;
        Ok((container, status))
    }

    /// The status of a container, true at this moment.
    pub(crate) fn settled(&self, container: &Container) -> Result<Status, EngineError> {
        let status = container.status()?;
        if !is_up(&status) || container.is_alive()? {
            return Ok(status);
        }
        match self.bury(container) {
            // What is true can be told, even where it cannot be written down.
            Err(EngineError::Metadata(MetadataError::Io { source, .. }))
                if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                Ok(dead(status))
            }
            buried => buried,
        }
    }

    /// Ends what a killed shim left running, and writes down that it ended.
    pub(crate) fn bury(&self, container: &Container) -> Result<Status, EngineError> {
        let operation = container.lock_operation()?;
        let Some(life) = container.try_claim_life()? else { return Ok(container.status()?) };
        self.bury_locked(container, &operation, &life)
    }

    /// As `bury`, by a caller that has both locks.
    ///
    /// The container's init died with its shim (`PR_SET_PDEATHSIG`) unless it had that undone;
    /// its cgroup knows every process that is left.
    fn bury_locked(
        &self,
        container: &Container,
        operation: &OperationLock,
        _life: &LifeLock,
    ) -> Result<Status, EngineError> {
        let status = container.status()?;
        if !is_up(&status) {
            return Ok(status);
        }
        self.remove_cgroup(&status.cgroup)?;
        self.release_network(container)?;
        // On a full disk it is as true, and the next one who looks finds it out again.
        let status = container
            .update_status(|written| *written = dead(written.clone()))
            .unwrap_or_else(|_| dead(status));
        if status.auto_remove {
            self.remove_locked(container, &status, operation, true)?;
        }
        Ok(status)
    }

    /// Takes a container for oneself, to start it or to remove it.
    ///
    /// A shim that is about to say that its container runs, or that has said that it does not and
    /// is still clearing up, is waited for.
    pub(crate) fn hold(&self, container: &Container) -> Result<Held, EngineError> {
        let operation = container.lock_operation()?;
        let Some(life) = self.await_end_or_running(container)? else {
            return Ok(Held { operation, life: None, status: container.status()? });
        };
        let was_up = is_up(&container.status()?);
        let status = self.bury_locked(container, &operation, &life)?;
        if was_up && status.auto_remove {
            return Err(EngineError::NoContainer { name: container.id().to_owned() });
        }
        Ok(Held { operation, life: Some(life), status })
    }

    /// Waits out the moments in which a shim has the life lock and its container does not run.
    /// `None` if it runs.
    pub(crate) fn await_end_or_running(
        &self,
        container: &Container,
    ) -> Result<Option<LifeLock>, EngineError> {
        loop {
            if let Some(life) = container.try_claim_life()? {
                return Ok(Some(life));
            }
            if container.is_alive()? && is_up(&container.status()?) {
                return Ok(None);
            }
            std::thread::sleep(MOMENT);
        }
    }

    /// Kills whatever is in a container's cgroup and removes it; one that is not there is fine.
    pub(crate) fn remove_cgroup(&self, path: &str) -> Result<(), EngineError> {
        if path.is_empty() {
            return Ok(());
        }
        let hierarchy = self.hierarchy()?;
        match hierarchy.open(&cgroups::CgroupPath::new(path)?) {
            Ok(group) => {
                group.kill(PATIENCE)?;
                Ok(group.remove(PATIENCE)?)
            }
            Err(cgroups::CgroupError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is written down of a container whose shim was killed.
fn dead(status: Status) -> Status {
    Status {
        phase: Phase::Exited,
        exit_code: UNSEEN_EXIT,
        error: "its supervisor was killed".into(),
        finished: Timestamp::now(),
        pid: 0,
        shim_pid: 0,
        committing: false,
        ..status
    }
}

/// Whether the status claims that the container runs.
pub(crate) fn is_up(status: &Status) -> bool {
    matches!(status.phase, Phase::Running | Phase::Paused)
}

/// Docker's word for a phase.
pub(crate) fn state_of(status: &Status) -> ContainerState {
    match status.phase {
        Phase::Created => ContainerState::Created,
        Phase::Running => ContainerState::Running,
        Phase::Paused => ContainerState::Paused,
        Phase::Exited => ContainerState::Exited,
    }
}

impl ContainerState {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }
}
