//! The network of a build's step: that of a container that names none, without a record.
//!
//! What it has outside of its namespace is its addresses. Their owner is not the id of a container
//! but the directory of the step, as a path below the data directory: whoever runs the step holds
//! that directory's lock, so that without the lock the addresses are nobody's.

use std::os::fd::AsFd;

use dockerapi::{HostConfig, NetworkingConfig};
use metadata::NetworkState;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sys::fresh::FreshDirectory;

use super::sandbox::{EarlyNamespace, Sandbox};
use super::{DEFAULT, NetworkFiles};
use crate::{Engine, EngineError};

/// Where the directories of steps are, below the data directory.
pub(crate) const STEPS: &str = "build/runs";

/// Whether the owner of an address is a step.
pub(super) fn is_step(owner: &str) -> bool {
    owner.starts_with(STEPS)
}

/// What a step has of networks; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct StepNetwork<'a> {
    engine: &'a Engine,
    owner: String,
    sandbox: Sandbox,
}

impl StepNetwork<'_> {
    /// As a launch has it.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Whose its addresses are.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// What the step's files say.
    pub(crate) fn files(&self) -> NetworkFiles {
        NetworkFiles {
            addresses: self.sandbox.addresses(),
            host_gateway: self.sandbox.host_address(),
            server: self.sandbox.dns_forward(),
            ..NetworkFiles::default()
        }
    }
}

impl Drop for StepNetwork<'_> {
    fn drop(&mut self) {
        // What cannot be given back is the next build's to take, when the directory is gone.
        let _ = self.engine.give_addresses_back(&self.owner, &self.sandbox.state);
    }
}

impl Engine {
    /// The network of commands of builds that name none: the default one, unless the settings say
    /// that there is none or that it is the host's.
    pub(crate) fn build_network(&self) -> Result<&str, EngineError> {
        Ok(match self.settings()?.default_network.as_deref() {
            Some(mode @ ("none" | "host")) => mode,
            _ => DEFAULT,
        })
    }

    /// Takes an address of the default network for the step that has this directory.
    pub(crate) fn prepare_step(
        &self,
        directory: &FreshDirectory,
        early: EarlyNamespace,
    ) -> Result<StepNetwork<'_>, EngineError> {
        let owner = format!("{STEPS}/{}", directory.name());
        let host = HostConfig { network_mode: DEFAULT.into(), ..HostConfig::default() };
        let ends = self.wishes_of(&host, &NetworkingConfig::default(), true)?;
        let mut state = NetworkState::default();
        let taken = self.take_addresses(&owner, &ends, true, &mut state);
        let sandbox =
            Sandbox { state, ends, dns_forward: self.dns_out_of_reach(&[]), ..Sandbox::default() };
        let mut step = StepNetwork { engine: self, owner, sandbox };
        taken?;
        step.sandbox.namespace = Some(early.finish()?);
        Ok(step)
    }

    /// Takes back the addresses of steps whose builds were killed.
    pub(crate) fn reclaim_steps(&self) -> Result<(), EngineError> {
        let networks = self.networks()?;
        if !networks.leases(DEFAULT)?.iter().any(|lease| is_step(&lease.owner)) {
            return Ok(());
        }
        let guard = networks.lock()?;
        let mut with_dead = |owner: &str, release: &mut dyn FnMut()| {
            if is_step(owner) {
                self.with_dead_step(owner, release);
            }
        };
        let taken = networks.reclaim(DEFAULT, &mut with_dead, &guard)?;
        self.forget_neighbours(DEFAULT, &taken)
    }

    /// Calls `release` if nobody runs the step any more.
    pub(super) fn with_dead_step(&self, owner: &str, release: &mut dyn FnMut()) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, self.root().join(owner), flags, Mode::empty()) {
            Ok(directory) => {
                let lock = FlockOperation::NonBlockingLockExclusive;
                if rustix::fs::flock(directory.as_fd(), lock).is_ok() {
                    release();
                }
            }
            Err(Errno::NOENT) => release(),
            // It cannot be told.
            Err(_) => {}
        }
    }
}
