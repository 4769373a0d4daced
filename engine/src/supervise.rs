//! The shim's way back into the engine: what happens to the record when a process starts and ends.
//!
//! This runs in the shim's process, on its one thread, and what it keeps is kept as long as the
//! container lives: a descriptor, a lock, a path.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use metadata::{Container, Containers, LifeLock, Phase};
use oci::Timestamp;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shim::{Exit, Failure, Hooks, Plan};

use crate::container::Held;
use crate::launch::ForHooks;
use crate::network::zone::ContainerZone;
use crate::{Engine, EngineError};

/// How often the life lock is asked for, every two milliseconds.
const CLAIM_ATTEMPTS: u32 = 50;

/// The whole of a process that was called as `kista-shim`.
pub fn supervise() -> ExitCode {
    // It lives as long as its container: memory that was given back has to be gone.
    sys::arena::Arena::retire();
    shim::main(&mut Supervisor::default())
}

/// What the shim keeps for us.
#[derive(Default)]
struct Supervisor {
    container: Option<Container>,
    life: Option<LifeLock>,
    /// Others find the user's namespace as long as we are in it.
    member: Option<rootless::Member>,
    root: PathBuf,
    auto_remove: bool,
    removed: bool,
}

impl Hooks for Supervisor {
    fn claim(&mut self, plan: &Plan) -> Result<(), Failure> {
        let told: ForHooks = serde_json::from_value(plan.engine.clone())
            .map_err(|error| Failure::internal(&error))?;
        if told.exec {
            return Ok(());
        }
        if !sys::namespace::is_initial_user() {
            let member = rootless::member(&told.root);
            self.member = Some(member.map_err(|error| Failure::internal(&error))?);
        }
        let containers = Containers::open(&told.root).map_err(|error| Failure::internal(&error))?;
        let container = containers.get(&told.id).map_err(|error| Failure::internal(&error))?;
        let internal = |error: metadata::MetadataError| Failure::internal(&error);
        let refused = |what: &str| Failure {
            exit_code: 125,
            message: format!("container {} {what}", told.id),
        };
        // Somebody who waits for the last run's end, or looks at it, may have it for a moment.
        let mut attempts = 0;
        self.life = loop {
            match container.try_claim_life().map_err(internal)? {
                Some(life) => break Some(life),
                None if attempts == CLAIM_ATTEMPTS => return Err(refused("is running already")),
                None => {
                    attempts += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        };
        // Whoever removes a container has its life lock meanwhile.
        if !container.is_there() {
            self.life = None;
            return Err(refused("has been removed"));
        }
        self.container = Some(container);
        self.root = told.root;
        self.auto_remove = told.auto_remove;
        Ok(())
    }

    fn running(&mut self, pid: u32, warnings: &[String]) -> Result<(), Failure> {
        let Some(container) = &self.container else { return Ok(()) };
        let shim_pid = rustix::process::getpid().as_raw_nonzero().get();
        container
            .update_status(|status| {
                status.phase = Phase::Running;
                status.pid = i32::try_from(pid).unwrap_or(0);
                status.shim_pid = shim_pid;
                status.launching = false;
                warnings.clone_into(&mut status.warnings);
                status.started = Timestamp::now();
                status.finished = Timestamp::NEVER;
                status.exit_code = 0;
                status.oom_killed = false;
                status.error.clear();
            })
            .map(drop)
            .map_err(|error| Failure::internal(&error))
    }

    fn failed(&mut self, _failure: &Failure) {
        // Whoever asked holds the operation lock, is told, and writes it down. Our own part is to
        // make sure that nothing claims to run.
        if let Some(container) = &self.container {
            let _ = container.update_status(|status| {
                if status.phase == Phase::Running {
                    status.phase = Phase::Exited;
                    status.finished = Timestamp::now();
                }
                status.pid = 0;
                status.shim_pid = 0;
            });
        }
    }

    fn exited(&mut self, exit: &Exit) {
        let Some(container) = &self.container else { return };
        // What is outside of the namespace goes before anybody knows of the end. If it cannot, it
        // is written down and found.
        if matches!(container.network_state(), Ok(Some(_)))
            && let Ok(engine) = Engine::open(&self.root)
        {
            let _ = engine.release_network(container);
        }
        // Out of sight before the client hears of the end, so that its next `ps` is right; the
        // slow part comes in `finished`. Nobody reads how it ended any more: those who wait are
        // told by us.
        self.removed = self.auto_remove && remove_ended(&self.root, container).is_some();
        if self.removed {
            return;
        }
        // A failure (a full disk) leaves `running` behind; the lock, which goes with us, corrects it.
        let _ = container.update_status(|status| {
            status.phase = Phase::Exited;
            status.exit_code = i32::from(exit.code);
            status.oom_killed = exit.oom_killed;
            status.finished = exit.at;
            status.committing = false;
            status.pid = 0;
            status.shim_pid = 0;
        });
    }

    fn zone(&mut self) -> Option<Box<dyn network::dns::Zone>> {
        let container = self.container.as_ref()?;
        Some(Box::new(ContainerZone::new(&self.root, container.id())))
    }

    fn resolver_sockets(&mut self, pid: u32) -> io::Result<Vec<OwnedFd>> {
        let sockets = || -> Result<Vec<OwnedFd>, EngineError> {
            let namespace = crate::network::network_of(pid.cast_signed())?;
            Ok(crate::network::resolver_sockets(namespace.as_fd())?.into())
        };
        sockets().map_err(io::Error::other)
    }

    fn freeze(&mut self) -> io::Result<()> {
        let Some(container) = &self.container else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let engine = Engine::open(&self.root).map_err(io::Error::other)?;
        let status = container.status().map_err(io::Error::other)?;
        engine.freeze(container, &status, true).map_err(io::Error::other)
    }

    fn thaw(&mut self) {
        // What cannot be written down can be set right by `unpause`.
        if let (Some(container), Ok(engine)) = (&self.container, Engine::open(&self.root)) {
            let _ = engine.thaw_committed(container);
        }
    }

    fn finished(&mut self) {
        let auto_remove = self.auto_remove && !self.removed;
        self.life = None;
        if auto_remove && let Some(container) = &self.container {
            remove_at_last(&self.root, container);
        }
        self.container = None;
        if self.removed
            && let Ok(trash) = sys::trash::Trash::open(&self.root)
        {
            let _ = trash.empty();
        }
    }
}

/// A shim of one of the containers below `root`, which is in the namespace of their user.
pub(crate) fn living_shim(root: &Path) -> Option<OwnedFd> {
    living_shims(root).next().map(|(_, shim)| shim)
}

/// The shims of all containers below `root` that run.
pub(crate) fn living_shims(root: &Path) -> impl Iterator<Item = (i32, OwnedFd)> {
    let containers = Containers::open(root).ok();
    let ids = containers.as_ref().and_then(|all| all.ids().ok()).unwrap_or_default();
    ids.into_iter().filter_map(move |id| {
        let containers = containers.as_ref()?;
        let container = containers.get(&id).ok()?;
        let status = container.status().ok().filter(|_| container.is_alive().unwrap_or(false))?;
        let shim = Pid::from_raw(status.shim_pid)?;
        let shim_fd = pidfd_open(shim, PidfdFlags::empty()).ok()?;
        // It writes its number down while it has the lock: if it has it still, the number is its.
        let again = container.status().ok().filter(|_| container.is_alive().unwrap_or(false))?;
        (again.shim_pid == status.shim_pid).then_some((status.shim_pid, shim_fd))
    })
}

/// `--rm`, as a rule. `None` if it was not removed, say because somebody who holds the operation
/// lock is about to remove or stop it, and waits for us. Whoever launched it does not: he may just
/// not have got to let go of it, if it was so short.
fn remove_ended(root: &Path, container: &Container) -> Option<()> {
    let engine = Engine::open(root).ok()?;
    container.wait_for_launcher().ok()?;
    let operation = container.try_lock_operation().ok()??;
    engine.remove_locked(container, &container.status().ok()?, &operation, true).ok()
}

/// `--rm`, when somebody was at the container at the moment of its end, or when it did not start
/// and whoever wanted it has been killed.
fn remove_at_last(root: &Path, container: &Container) {
    let Ok(engine) = Engine::open(root) else { return };
    // Whoever was at it may have removed or restarted it.
    if let Ok(Held { operation, life: Some(_life), status }) = engine.hold(container)
        && (status.phase == Phase::Exited || status.launching)
    {
        let _ = engine.remove_locked(container, &status, &operation, true);
    }
    if let Ok(trash) = sys::trash::Trash::open(root) {
        let _ = trash.empty();
    }
}
