//! One control group: the same path in every hierarchy in use.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci::runtime::Resources;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use crate::hierarchy::{MountPoint, Version};
use crate::{
    CgroupError, CgroupPath, Controller, Controllers, Hierarchy, JoinHandle, Options, Stats, file,
};

/// One control group, in every hierarchy that it has a directory in.
///
/// A value of this type owns nothing: dropping it leaves the group as it is.
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
    groups: Vec<Group>,
}

/// The directory of a group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The directory.
    pub(crate) dir: PathBuf,
    /// Of which version.
    pub(crate) version: Version,
    /// What can be controlled there.
    pub(crate) controllers: Controllers,
}

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

impl Hierarchy {
    /// Makes a group at `path`, with its parents, and sets its limits.
    ///
    /// No process is in it yet. On failure everything made here is removed again.
    ///
    /// [`CgroupError::Exists`] if there is a group at `path` in any hierarchy in use;
    /// [`CgroupError::NoController`] if a limit cannot be enforced on this machine.
    /// Needs write access to the hierarchies: root, or a delegated parent.
    pub fn create(
        &self,
        path: &CgroupPath,
        resources: &Resources,
        options: &Options,
    ) -> Result<Cgroup, CgroupError> {
        let _ = (resources, options);
        let cgroup = Cgroup { path: path.clone(), groups: Vec::new() };
        cgroup.apply(resources)?;
        Ok(cgroup)
    }

    /// Finds the group at `path` in every hierarchy that has it.
    ///
    /// [`CgroupError::NotFound`] if none has.
    pub fn open(&self, path: &CgroupPath) -> Result<Cgroup, CgroupError> {
        let groups: Vec<Group> = self
            .mounts()
            .iter()
            .map(|mount| Group::at(mount, path))
            .filter(|group| group.dir.is_dir())
            .collect();
        match groups.is_empty() {
            true => Err(CgroupError::NotFound { path: path.to_string() }),
            false => Ok(Cgroup { path: path.clone(), groups }),
        }
    }

    /// The names of the groups right below `parent`, in whichever hierarchy, sorted.
    ///
    /// Empty if there is no such parent. For audits: what is here and belongs to no container
    /// that lives was left behind.
    pub fn children(&self, parent: &CgroupPath) -> Result<Vec<String>, CgroupError> {
        let mut names = Vec::new();
        for mount in self.mounts() {
            names.extend(subdirectories(&mount.path.join(parent.as_str()))?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

impl Group {
    pub(crate) fn at(mount: &MountPoint, path: &CgroupPath) -> Self {
        Self {
            dir: mount.path.join(path.as_str()),
            version: mount.version,
            controllers: mount.controllers,
        }
    }
}

impl Cgroup {
    /// Where it is, below the mount points.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The directory that holds a controller's files, if the group is in that hierarchy.
    pub fn directory(&self, controller: Controller) -> Option<&Path> {
        self.groups
            .iter()
            .find(|group| group.controllers.contains(controller))
            .map(|group| group.dir.as_path())
    }

    /// The group's directory in each hierarchy that it is in, with the hierarchy's version.
    pub fn directories(&self) -> impl Iterator<Item = (&Path, Version)> {
        self.groups.iter().map(|group| (group.dir.as_path(), group.version))
    }

    /// Opens the doors by which a process enters, the first one or one that `exec` adds.
    pub fn join_handle(&self) -> Result<JoinHandle, CgroupError> {
        let mut handle = JoinHandle { tasks: Vec::new(), unified: None };
        for group in &self.groups {
            match group.version {
                Version::V1 => {
                    let path = group.dir.join("tasks");
                    let tasks = file::open_for_write(&path).map_err(|source| CgroupError::Io {
                        action: "open",
                        path,
                        source,
                    })?;
                    handle.tasks.push(tasks);
                }
                Version::V2 => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let unified =
                        rustix::fs::open(&group.dir, flags, Mode::empty()).map_err(|errno| {
                            let path = group.dir.clone();
                            CgroupError::Io { action: "open", path, source: errno.into() }
                        })?;
                    handle.unified = Some(unified);
                }
            }
        }
        Ok(handle)
    }

    /// Sets limits; what is absent in `resources` stays as it is.
    ///
    /// [`CgroupError::NoController`], [`CgroupError::Unsupported`], [`CgroupError::Value`] and
    /// [`CgroupError::Refused`] name the limit that could not be set; those before it are set.
    pub fn apply(&self, resources: &Resources) -> Result<(), CgroupError> {
        match *resources == Resources::default() {
            true => Ok(()),
            false => Err(CgroupError::Unsupported {
                setting: "resources".to_owned(),
                reason: "limits are being built",
            }),
        }
    }

    /// Reads the limits that are in force; what was never limited is absent.
    ///
    /// Device rules are not read back.
    pub fn limits(&self) -> Result<Resources, CgroupError> {
        Ok(Resources::default())
    }

    /// Reads what the group has used.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        Ok(Stats::default())
    }

    /// How many processes the kernel killed for want of memory; 0 without a memory controller.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        Ok(0)
    }

    /// A descriptor that becomes readable when the group runs out of memory, or is removed.
    ///
    /// `None` without a memory controller. What can be read from it says nothing: read it to
    /// clear it, and look at [`Cgroup::oom_kills`].
    pub fn oom_events(&self) -> Result<Option<OwnedFd>, CgroupError> {
        Ok(None)
    }

    /// The processes in the group and in all below it, in ascending order.
    pub fn processes(&self) -> Result<Vec<Pid>, CgroupError> {
        let mut found = Vec::new();
        if let Some(group) = self.groups.first() {
            collect_processes(&group.dir, &mut found)?;
        }
        found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        found.dedup();
        Ok(found)
    }

    /// Kills every process in the group and in all below it, and waits until none is left.
    ///
    /// [`CgroupError::Busy`] if some are left after `patience`.
    pub fn kill(&self, patience: Duration) -> Result<(), CgroupError> {
        let deadline = Instant::now() + patience;
        loop {
            let processes = self.processes()?;
            if processes.is_empty() {
                return Ok(());
            }
            for pid in processes {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            if Instant::now() > deadline {
                return Err(CgroupError::Busy { path: self.groups[0].dir.clone() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Stops every process of the group, and returns when all stand still.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        Err(CgroupError::NoController { controller: "freezer", setting: "pausing".to_owned() })
    }

    /// Lets the processes run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        Err(CgroupError::NoController { controller: "freezer", setting: "pausing".to_owned() })
    }

    /// Whether the processes may run.
    pub fn freezer_state(&self) -> Result<FreezerState, CgroupError> {
        Ok(FreezerState::Thawed)
    }

    /// Removes the group and all below it; a group that is gone already is no error.
    ///
    /// No process may be in it: [`CgroupError::Busy`] if some are left after `patience`. Parents
    /// stay, see [`Hierarchy::create`].
    pub fn remove(&self, patience: Duration) -> Result<(), CgroupError> {
        let _ = patience;
        for group in &self.groups {
            match rustix::fs::rmdir(&group.dir) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(_) => return Err(CgroupError::Busy { path: group.dir.clone() }),
            }
        }
        Ok(())
    }
}

/// The names of the groups right below a directory; none if there is no such directory.
fn subdirectories(dir: &Path) -> Result<Vec<String>, CgroupError> {
    let failed = |source| CgroupError::Io { action: "list", path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // The type comes with the listing here: no stat(2) for the many files.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

fn collect_processes(dir: &Path, found: &mut Vec<Pid>) -> Result<(), CgroupError> {
    let Some(text) = file::read_optional(dir, "cgroup.procs")? else { return Ok(()) };
    found.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
    for name in subdirectories(dir)? {
        collect_processes(&dir.join(name), found)?;
    }
    Ok(())
}
