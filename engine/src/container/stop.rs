//! `stop`, `kill`, `restart`, `pause`, `unpause`, `wait`: what is done to a container that runs.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use metadata::{Container, Phase, Status};
use oci::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use super::state::{Held, is_up};
use super::{Grace, Record, StopContainer};
use crate::signal::{self, handles};
use crate::{Engine, EngineError, Frame, Session, Streams};

/// How long a program that has no handler may still be about to install one.
const START_UP: Duration = Duration::from_secs(1);
/// How often it is looked at then.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What `stop` waits if nobody says otherwise. Docker's.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// A process that has not died of SIGKILL after so long may be frozen.
const FROZEN: Duration = Duration::from_millis(300);

impl Engine {
    /// Asks a container to exit, then insists. One that does not run is left alone.
    ///
    /// A first process that neither handles nor blocks the stop signal never learns of it, since
    /// the kernel keeps it from pid 1; it is killed at once instead of after the grace.
    pub fn stop_container(&self, request: &StopContainer) -> Result<(), EngineError> {
        let (container, status) = self.look_up(&request.container)?;
        let asked = request.signal.as_deref().map(bundle::parse_signal).transpose()?;
        let Some((init, status)) = self.open_init(&container, status)? else { return Ok(()) };
        let record: Record = match container.record() {
            // Ended and removed (`--rm`) before we came to it.
            Err(metadata::MetadataError::NotFound { .. }) => return Ok(()),
            record => record?,
        };
        let wanted = match (asked, record.config.stop_signal.as_deref()) {
            (Some(given), _) => given,
            (None, Some(text)) if !text.is_empty() => bundle::parse_signal(text)?,
            _ => signal::TERM,
        };
        let grace = request.grace.unwrap_or(match record.config.stop_timeout {
            Some(seconds) => u64::try_from(seconds)
                .map_or(Grace::Forever, |seconds| Grace::For(Duration::from_secs(seconds))),
            None => Grace::For(DEFAULT_GRACE),
        });
        let own_pids = !matches!(record.host.pid_mode.as_str(), "host")
            && !record.host.pid_mode.starts_with("container:");
        self.signal(&container, &init, wanted)?;
        if status.phase == Phase::Paused {
            self.thaw_if_there(&container, &status)?;
        }
        let deaf = own_pids && wanted != signal::KILL && !handles(status.pid, wanted);
        let listens = !deaf || {
            let listens = self.await_handler(&init, &status, wanted, grace)?;
            if listens {
                self.signal(&container, &init, wanted)?;
            }
            listens
        };
        let ended = listens && await_end(&init, grace)?;
        if !ended {
            self.signal(&container, &init, signal::KILL)?;
            self.await_killed(&container, &init, &status)?;
        }
        self.await_death(&container)
    }

    /// Gives a program that has just been started the time to install its handler, but not more
    /// than the caller's grace; whether it did.
    fn await_handler(
        &self,
        init: &OwnedFd,
        status: &Status,
        signal: i32,
        grace: Grace,
    ) -> Result<bool, EngineError> {
        let patience = match grace {
            Grace::For(grace) => grace.min(START_UP),
            Grace::Forever => START_UP,
        };
        let asked = Instant::now();
        while Timestamp::now().since(status.started) < START_UP && asked.elapsed() < patience {
            if await_end(init, Grace::For(LOOK_AGAIN))? {
                return Ok(false);
            }
            if handles(status.pid, signal) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `stop`, then `start`.
    pub fn restart_container(&self, request: &StopContainer) -> Result<(), EngineError> {
        let (_, status) = self.look_up(&request.container)?;
        if status.auto_remove && is_up(&status) {
            return Err(EngineError::Conflict {
                message: format!(
                    "container {} is removed when it stops (--rm) and cannot be restarted",
                    request.container
                ),
            });
        }
        self.stop_container(request)?;
        self.start_container(&request.container, None).map(drop)
    }

    /// Sends a signal (name or number) to the first process; one that does not run is an error.
    pub fn kill_container(&self, container: &str, signal: &str) -> Result<(), EngineError> {
        let signal = bundle::parse_signal(signal)?;
        let (found, status) = self.look_up(container)?;
        let Some((init, status)) = self.open_init(&found, status)? else {
            return Err(EngineError::Conflict {
                message: format!(
                    "Cannot kill container: {container}: Container {} is not running",
                    found.id()
                ),
            });
        };
        self.signal(&found, &init, signal)?;
        if signal == signal::KILL {
            if status.phase == Phase::Paused {
                self.thaw_if_there(&found, &status)?;
            }
            self.await_killed(&found, &init, &status)?;
            self.await_death(&found)?;
        }
        Ok(())
    }

    /// Freezes all processes.
    pub fn pause_container(&self, container: &str) -> Result<(), EngineError> {
        let (found, _) = self.look_up(container)?;
        let Held { operation: _operation, status, .. } = self.hold(&found)?;
        match status.phase {
            Phase::Running => {}
            Phase::Paused => {
                return Err(EngineError::Conflict {
                    message: format!("Container {container} is already paused"),
                });
            }
            _ => {
                return Err(EngineError::Conflict {
                    message: format!("Container {} is not running", found.id()),
                });
            }
        }
        self.freeze(&found, &status, false)
    }

    /// Freezes a container that runs. The caller holds its operation lock; with `committing` it is
    /// the shim, for a client that does.
    pub(crate) fn freeze(
        &self,
        container: &Container,
        status: &Status,
        committing: bool,
    ) -> Result<(), EngineError> {
        // Written down first: cut in between, `unpause` still sets all right.
        container.update_status(|status| {
            if status.phase == Phase::Running {
                status.phase = Phase::Paused;
                status.committing = committing;
            }
        })?;
        let frozen = self.cgroup_of(status).and_then(|group| Ok(group.freeze()?));
        if frozen.is_err() {
            self.written_as_running(container)?;
        }
        frozen
    }

    /// Lets them go on.
    pub fn unpause_container(&self, container: &str) -> Result<(), EngineError> {
        let (found, _) = self.look_up(container)?;
        let Held { operation: _operation, status, .. } = self.hold(&found)?;
        if status.phase != Phase::Paused {
            return Err(EngineError::Conflict {
                message: format!("Container {} is not paused", found.id()),
            });
        }
        self.thaw(&found, &status)
    }

    /// Blocks until the container does not run, and returns its exit code.
    pub fn wait_container(&self, container: &str) -> Result<i32, EngineError> {
        let (found, status) = self.look_up(container)?;
        if !is_up(&status) {
            return Ok(status.exit_code);
        }
        // The shim tells the code itself: a container with `--rm` leaves no record to read.
        if let Ok(mut session) = self.connect(&found, Streams::NONE)
            && let Some(code) = exit_code(&mut session)
        {
            self.await_death(&found)?;
            return Ok(code);
        }
        found.wait_for_death()?;
        Ok(self.settled(&found)?.exit_code)
    }

    /// Opens the first process; `None` if the container does not run.
    ///
    /// The status is read again afterwards: a shim writes `exited` before it lets go of the
    /// number, so that a number which is still in the status cannot have been given to another
    /// process.
    pub(crate) fn open_init(
        &self,
        container: &Container,
        mut status: Status,
    ) -> Result<Option<(OwnedFd, Status)>, EngineError> {
        loop {
            if !is_up(&status) {
                return Ok(None);
            }
            let pid = rustix::process::Pid::from_raw(status.pid);
            let opened = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty()));
            let again = match self.settled(container) {
                // Ended, and removed as `--rm` says.
                Err(EngineError::NoContainer { .. }) => return Ok(None),
                again => again?,
            };
            match opened {
                Some(Ok(init)) if is_up(&again) && again.pid == status.pid => {
                    return Ok(Some((init, again)));
                }
                Some(Err(errno))
                    if is_up(&again)
                        && again.pid == status.pid
                        && errno != rustix::io::Errno::SRCH =>
                {
                    return Err(EngineError::io("open the first process of", container.path())(
                        errno.into(),
                    ));
                }
                _ if is_up(&again) && again == status => {
                    // Dead and not yet written down: the shim is about to.
                    container.wait_for_death()?;
                    status = match self.settled(container) {
                        Err(EngineError::NoContainer { .. }) => return Ok(None),
                        status => status?,
                    };
                }
                _ => status = again,
            }
        }
    }

    fn signal(
        &self,
        container: &Container,
        init: &OwnedFd,
        signal: i32,
    ) -> Result<(), EngineError> {
        match sys::signals::send(init.as_fd(), signal) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Err(EngineError::io("signal the first process of", container.path())(error))
            }
            _ => Ok(()),
        }
    }

    /// Lets a container go on that its shim has frozen for a client, unless somebody else has
    /// paused it since.
    pub(crate) fn thaw_committed(&self, container: &Container) -> Result<(), EngineError> {
        let status = container.status()?;
        match status.phase == Phase::Paused && status.committing {
            true => self.thaw(container, &status),
            false => Ok(()),
        }
    }

    pub(super) fn thaw(&self, container: &Container, status: &Status) -> Result<(), EngineError> {
        self.cgroup_of(status)?.thaw()?;
        self.written_as_running(container)
    }

    fn written_as_running(&self, container: &Container) -> Result<(), EngineError> {
        container.update_status(|status| {
            if status.phase == Phase::Paused {
                status.phase = Phase::Running;
                status.committing = false;
            }
        })?;
        Ok(())
    }

    /// Thaws a container that is on its way out, or out already.
    fn thaw_if_there(&self, container: &Container, status: &Status) -> Result<(), EngineError> {
        if status.cgroup.is_empty() {
            // Nothing froze it.
            return Ok(());
        }
        match self.thaw(container, status) {
            Err(
                EngineError::Cgroups(cgroups::CgroupError::NotFound { .. })
                | EngineError::NoContainer { .. },
            ) => Ok(()),
            thawed => thawed,
        }
    }

    /// Waits for the end of a first process that was sent SIGKILL. Somebody may have paused the
    /// container meanwhile, and what is frozen does not die (cgroup v1).
    fn await_killed(
        &self,
        container: &Container,
        init: &OwnedFd,
        status: &Status,
    ) -> Result<(), EngineError> {
        while !await_end(init, Grace::For(FROZEN))? {
            self.thaw_if_there(container, status)?;
        }
        Ok(())
    }

    pub(crate) fn cgroup_of(&self, status: &Status) -> Result<cgroups::Cgroup, EngineError> {
        if status.cgroup.is_empty() {
            return Err(self.no_cgroup("this"));
        }
        Ok(self.hierarchy()?.open(&cgroups::CgroupPath::new(&status.cgroup)?)?)
    }

    /// Waits until the shim has let go of the container, and settles what it left if it was killed.
    fn await_death(&self, container: &Container) -> Result<(), EngineError> {
        container.wait_for_death()?;
        match self.settled(container) {
            // Removed meanwhile, as `--rm` says.
            Err(EngineError::NoContainer { .. }) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// What a shim says of the end of its process; `None` if it dies without saying.
fn exit_code(session: &mut Session) -> Option<i32> {
    loop {
        match session.recv() {
            Ok(Some(Frame::Exited { code })) => return Some(i32::from(code)),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Waits for a process to end; false if the grace was over first.
fn await_end(process: &OwnedFd, grace: Grace) -> Result<bool, EngineError> {
    let deadline = match grace {
        Grace::For(span) => Instant::now().checked_add(span),
        Grace::Forever => None,
    };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let mut fds = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(EngineError::io("wait for", "a process")(errno.into())),
        }
    }
}
