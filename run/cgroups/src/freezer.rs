//! Stopping all processes of a group at once, for a while or for good.

use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, kill_process};

use crate::cgroup::{Group, Pause};
use crate::hierarchy::Version;
use crate::stats::parse::value_of;
use crate::{Cgroup, CgroupError, Controller, file};

/// Whether the processes of a group may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreezerState {
    /// They may.
    Thawed,
    /// They have been told to stop, and some have not yet.
    Freezing,
    /// None runs.
    Frozen,
}

/// How long processes may take to stand still. One that waits for a device cannot.
const FREEZE_PATIENCE: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Kills every process in the group and in all below it, and waits until none is left.
    ///
    /// A group whose processes are paused is thawed by that. [`CgroupError::Busy`] if some are
    /// left after `patience`: in the kernel, waiting for a device, no signal reaches them.
    pub fn kill(&self, patience: Duration) -> Result<(), CgroupError> {
        let mut pause = Pause::until(patience);
        loop {
            // In one step, forks included. Beside version 1 some may not have entered there.
            if let Some(dir) = self.unified() {
                match file::write(&dir.join("cgroup.kill"), "1") {
                    Ok(()) => {}
                    Err(err) if file::is_absent(&err) => {}
                    Err(source) => {
                        let path = dir.join("cgroup.kill");
                        return Err(CgroupError::Io { action: "write", path, source });
                    }
                }
            }
            let processes = self.processes()?;
            if processes.is_empty() {
                return self.thaw_if_possible();
            }
            // Nobody forks while the list is gone through. Those that are frozen only die when
            // they run again.
            let frozen = self.tell("FROZEN", "1").is_ok();
            let processes = if frozen { self.processes() } else { Ok(processes) };
            let killed = processes.and_then(|processes| {
                for pid in processes {
                    match kill_process(pid, Signal::KILL) {
                        Ok(()) | Err(Errno::SRCH) => {}
                        Err(errno) => {
                            let path = format!("/proc/{pid}", pid = pid.as_raw_nonzero()).into();
                            return Err(CgroupError::Io {
                                action: "kill",
                                path,
                                source: errno.into(),
                            });
                        }
                    }
                }
                Ok(())
            });
            let thawed = self.thaw_if_possible();
            killed?;
            thawed?;
            if !pause.wait() {
                let path = self.groups().first().map(|group| group.dir.clone()).unwrap_or_default();
                return Err(CgroupError::Busy { path });
            }
        }
    }

    /// Stops every process of the group, and returns when all stand still.
    ///
    /// [`CgroupError::Busy`] if they do not within two seconds; they run again then.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        let mut pause = Pause::until(FREEZE_PATIENCE);
        self.tell("FROZEN", "1")?;
        while self.freezer_state()? != FreezerState::Frozen {
            if !pause.wait() {
                self.thaw()?;
                let path = self.freezer()?.dir.clone();
                return Err(CgroupError::Busy { path });
            }
            // Version 1 misses processes that were being made: it has to be told again.
            if self.freezer()?.version == Version::V1 {
                self.tell("FROZEN", "1")?;
            }
        }
        Ok(())
    }

    /// Lets the processes run again; no error if they do.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.tell("THAWED", "0")
    }

    /// Whether the processes may run.
    pub fn freezer_state(&self) -> Result<FreezerState, CgroupError> {
        let group = self.freezer()?;
        match group.version {
            Version::V1 => Ok(match file::read(&group.dir, "freezer.state")?.trim() {
                "FROZEN" => FreezerState::Frozen,
                "FREEZING" => FreezerState::Freezing,
                _ => FreezerState::Thawed,
            }),
            Version::V2 => {
                let told = file::read(&group.dir, "cgroup.freeze")?.trim() == "1";
                let events = || file::read(&group.dir, "cgroup.events");
                Ok(match told {
                    false => FreezerState::Thawed,
                    true if value_of(&events()?, "frozen") == Some(1) => FreezerState::Frozen,
                    true => FreezerState::Freezing,
                })
            }
        }
    }

    fn freezer(&self) -> Result<&Group, CgroupError> {
        // In version 2 it needs no controller; beside version 1 that is only second best, as a
        // process may be in the other hierarchies alone.
        self.group_of(Controller::Freezer)
            .or_else(|| self.groups().iter().find(|group| group.version == Version::V2))
            .ok_or_else(|| CgroupError::NoController {
                controller: Controller::Freezer.name(),
                setting: "pausing".to_owned(),
            })
    }

    fn tell(&self, v1: &str, v2: &str) -> Result<(), CgroupError> {
        let group = self.freezer()?;
        let (name, value) = match group.version {
            Version::V1 => ("freezer.state", v1),
            Version::V2 => ("cgroup.freeze", v2),
        };
        write(&group.dir, name, value)
    }

    fn thaw_if_possible(&self) -> Result<(), CgroupError> {
        match self.thaw() {
            Err(CgroupError::NoController { .. }) => Ok(()),
            Err(CgroupError::Io { source, .. }) if file::is_absent(&source) => Ok(()),
            other => other,
        }
    }
}

fn write(dir: &Path, name: &str, value: &str) -> Result<(), CgroupError> {
    let path = dir.join(name);
    file::write(&path, value).map_err(|source| CgroupError::Io { action: "write", path, source })
}
