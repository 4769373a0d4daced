//! What is true of a container: what its record says, corrected by what its lock says.

use metadata::{Container, Phase, Status};
use oci::Timestamp;

use crate::{ContainerState, Engine, EngineError};

/// The exit code of a container whose shim was killed, so that nobody saw its end. Docker shows
/// the same after its daemon died.
const UNSEEN_EXIT: i32 = 255;

/// How long the processes of a dead container may take to go away after SIGKILL.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

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
        self.bury(container)
    }

    /// Ends what a killed shim left running, and writes down that it ended.
    ///
    /// The container's init died with its shim (`PR_SET_PDEATHSIG`) unless it had that undone;
    /// its cgroup knows every process that is left.
    pub(crate) fn bury(&self, container: &Container) -> Result<Status, EngineError> {
        let operation = container.lock_operation()?;
        let status = container.status()?;
        if !is_up(&status) || container.is_alive()? {
            return Ok(status);
        }
        self.remove_cgroup(&status.cgroup)?;
        let status = container.update_status(|status| {
            status.phase = Phase::Exited;
            status.exit_code = UNSEEN_EXIT;
            status.error = "its supervisor was killed".into();
            status.finished = Timestamp::now();
            status.pid = 0;
            status.shim_pid = 0;
        })?;
        if status.auto_remove {
            self.remove_locked(container, &status, &operation, true)?;
        }
        Ok(status)
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
