//! Making a group: directories in each hierarchy, and what each version wants beside them.

use std::io;
use std::path::{Path, PathBuf};

use oci::runtime::Resources;
use rustix::fs::Mode as FileMode;
use rustix::io::Errno;

use crate::cgroup::{Cgroup, Group};
use crate::hierarchy::{MountPoint, Version, available};
use crate::systemd::Anchor;
use crate::{
    CgroupError, CgroupPath, Controller, Controllers, Hierarchy, Mode, Options, file, need,
};

impl Hierarchy {
    /// Makes a group at `path`, with its parents, and sets its limits.
    ///
    /// No process is in it yet. On failure everything made here is removed again; parents that
    /// exist are left as they are, and never removed later, as others may be about to use them.
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
        let needed = need::check(resources, self)?;
        let mut made = Made::default();
        let made_all = self.make(path, needed, options, &mut made);
        let groups = match made_all {
            Ok(groups) => groups,
            Err(error) => {
                made.undo();
                return Err(error);
            }
        };
        let mut cgroup = Cgroup::new(path.clone(), groups);
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match cgroup.apply(resources) {
                Ok(()) => return Ok(cgroup),
                // systemd takes the controllers that no unit of its own needs from the groups at
                // the top, whenever one ends: they are passed on once more.
                Err(CgroupError::Unsupported { .. })
                    if attempts > 0 && self.extend(&mut cgroup, resources).is_ok() => {}
                Err(error) => {
                    made.undo();
                    return Err(error);
                }
            }
        }
    }

    /// Takes over a group that systemd made: adds the directories and controllers that it left out,
    /// and sets the limits. `anchor` keeps it alive.
    pub(crate) fn adopt(
        &self,
        path: &CgroupPath,
        resources: &Resources,
        options: &Options,
        anchor: Option<Anchor>,
    ) -> Result<Cgroup, CgroupError> {
        let needed = need::check(resources, self)?;
        let mut made = Made { adopts: true, ..Made::default() };
        let groups = self.make(path, needed, options, &mut made)?;
        let mut cgroup = Cgroup::new(path.clone(), groups);
        cgroup.apply(resources)?;
        if let Some(anchor) = anchor {
            cgroup.hold(anchor, resources.pids.and_then(|pids| pids.limit))?;
        }
        Ok(cgroup)
    }

    /// Takes a group into the hierarchies that new limits need, with its processes.
    ///
    /// For a group made with fewer controllers than all. Processes are moved one by one, and again
    /// until no new one is found; to be followed by [`Cgroup::apply`]. In version 2 the groups
    /// above pass the controllers on, and nothing moves.
    /// [`CgroupError::NoController`] as for [`Hierarchy::create`].
    pub fn extend(&self, cgroup: &mut Cgroup, resources: &Resources) -> Result<(), CgroupError> {
        let needed = need::check(resources, self)?;
        for mount in self.mounts().iter().filter(|mount| mount.version == Version::V2) {
            let group = Group::at(mount, cgroup.path());
            if cgroup.groups().contains(&group) {
                enable(mount, &group.dir, needed.intersection(mount.controllers))?;
            }
        }
        let has = |controller| cgroup.group_of(controller).is_some();
        let missing: Controllers = needed.iter().filter(|one| !has(*one)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        // Its directory may be there: where systemd runs, a group is in its hierarchy whatever else.
        let mut made = Made { adopts: true, ..Made::default() };
        let options = Options { controllers: missing };
        let mut new = match self.make(&cgroup.path().clone(), missing, &options, &mut made) {
            Ok(new) => new,
            Err(error) => {
                made.undo();
                return Err(error);
            }
        };
        new.retain(|group| !cgroup.groups().contains(group));
        for group in &new {
            cgroup.move_into(&group.dir)?;
        }
        cgroup.add(new);
        Ok(())
    }

    /// Removes a parent of ours that no group is in any more; one in use is left, without error.
    pub fn remove_empty(&self, parent: &CgroupPath) -> Result<(), CgroupError> {
        for mount in self.mounts() {
            let dir = mount.path.join(parent.as_str());
            match rustix::fs::rmdir(&dir) {
                Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => {
                    let source = errno.into();
                    return Err(CgroupError::Io { action: "remove", path: dir, source });
                }
            }
        }
        Ok(())
    }

    fn make(
        &self,
        path: &CgroupPath,
        needed: Controllers,
        options: &Options,
        made: &mut Made,
    ) -> Result<Vec<Group>, CgroupError> {
        let wanted = needed.union(options.controllers);
        let mut groups = Vec::with_capacity(self.mounts().len());
        for mount in self.mounts().iter().filter(|mount| self.is_used(mount, wanted, options)) {
            let group = Group::at(mount, path);
            made.directory(mount, &group.dir, path)?;
            if mount.version == Version::V2 {
                match enable(mount, &group.dir, wanted.intersection(mount.controllers)) {
                    // Processes live above. Beside version 1 little is counted there: what no
                    // limit needs is done without.
                    Err(CgroupError::Unsupported { .. }) if self.mode() == Mode::Hybrid => {
                        enable(mount, &group.dir, needed.intersection(mount.controllers))?;
                    }
                    enabled => enabled?,
                }
            } else if mount.controllers.contains(Controller::Cpuset) {
                fill_cpuset(&mount.path, &group.dir)?;
            }
            groups.push(group);
        }
        Ok(groups)
    }

    fn is_used(&self, mount: &MountPoint, wanted: Controllers, options: &Options) -> bool {
        match (mount.version, self.mode()) {
            // Beside version 1 it may control nothing; what it still gives is a kill in one step.
            (Version::V2, Mode::Hybrid) => {
                options.controllers == Controllers::ALL
                    || !wanted.intersection(mount.controllers).is_empty()
            }
            (Version::V2, _) => true,
            // systemd kills what is left in a session's group of its own hierarchy at log-out.
            // Whoever wants all finds its processes there on other machines too, as with runc.
            (Version::V1, _) if mount.controllers.is_empty() => {
                mount.name.as_deref() == Some("systemd")
                    && (options.controllers == Controllers::ALL
                        || Path::new("/run/systemd/system").exists())
            }
            (Version::V1, _) => !wanted.intersection(mount.controllers).is_empty(),
        }
    }
}

/// The directories made, in this order.
#[derive(Default)]
struct Made {
    directories: Vec<PathBuf>,
    /// Whether a group that is there already is the one that is wanted.
    adopts: bool,
}

impl Made {
    /// Makes the directory of a group, and its parents if they are missing.
    fn directory(
        &mut self,
        mount: &MountPoint,
        dir: &Path,
        path: &CgroupPath,
    ) -> Result<(), CgroupError> {
        // A parent that was there can be removed by somebody before it is used: twice is bad
        // luck, more often is something else.
        for _ in 0..3 {
            match rustix::fs::mkdir(dir, MODE) {
                Ok(()) => {
                    self.directories.push(dir.to_owned());
                    return Ok(());
                }
                Err(Errno::EXIST) if self.adopts => return Ok(()),
                Err(Errno::EXIST) => return Err(CgroupError::Exists { path: path.to_string() }),
                Err(Errno::NOENT) => self.parents(mount, path)?,
                Err(errno) => return Err(cannot_make(dir, errno)),
            }
        }
        Err(cannot_make(dir, Errno::NOENT))
    }

    fn parents(&mut self, mount: &MountPoint, path: &CgroupPath) -> Result<(), CgroupError> {
        let mut dir = mount.path.clone();
        let Some(parent) = path.parent() else { return Ok(()) };
        for component in parent.as_str().split('/') {
            dir.push(component);
            match rustix::fs::mkdir(&dir, MODE) {
                Ok(()) => self.directories.push(dir.clone()),
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(cannot_make(&dir, errno)),
            }
            if mount.version == Version::V1 && mount.controllers.contains(Controller::Cpuset) {
                copy_cpuset(&mount.path, &dir)?;
                // From here on the kernel does it for each new group below.
                file::set(&dir, "cgroup.clone_children", "cpu.cpus", 1)?;
            }
        }
        Ok(())
    }

    /// Removes what was made, as far as nobody uses it.
    fn undo(self) {
        for dir in self.directories.iter().rev() {
            let _ = rustix::fs::rmdir(dir);
        }
    }
}

const MODE: FileMode = FileMode::from_raw_mode(0o755);

fn cannot_make(dir: &Path, errno: Errno) -> CgroupError {
    CgroupError::Io { action: "make", path: dir.to_owned(), source: errno.into() }
}

/// Gives a new version 1 cpuset the processors and nodes of the group above, unless the kernel has.
///
/// A new one has none, and no process can enter it then, unless `cgroup.clone_children` is set
/// above. cpusets(7).
fn fill_cpuset(top: &Path, dir: &Path) -> Result<(), CgroupError> {
    // We set the flag on parents only when they have both: then one shows the other.
    match file::read(dir, "cpuset.cpus")?.trim().is_empty() {
        true => copy_cpuset(top, dir),
        false => Ok(()),
    }
}

/// Copies from the group above what a cpuset lacks; that one may be just being made by somebody
/// else, and is then filled here as well.
fn copy_cpuset(top: &Path, dir: &Path) -> Result<(), CgroupError> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    for (name, setting) in [("cpuset.cpus", "cpu.cpus"), ("cpuset.mems", "cpu.mems")] {
        if !file::read(dir, name)?.trim().is_empty() {
            continue;
        }
        let mut above = file::read(parent, name)?;
        if above.trim().is_empty() && parent != top {
            copy_cpuset(top, parent)?;
            above = file::read(parent, name)?;
        }
        file::set(dir, name, setting, above.trim())?;
    }
    Ok(())
}

/// Lets the groups on the way to `dir` pass `controllers` on. cgroups(7), "cgroup.subtree_control".
///
/// Usually the parent does already, and one reading shows it.
fn enable(mount: &MountPoint, dir: &Path, controllers: Controllers) -> Result<(), CgroupError> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    if missing(parent, controllers)?.is_empty() {
        // The kernel says that a controller is passed on before the groups below have its files;
        // whoever writes there waits for whoever is at it.
        return match is_populated(dir, controllers) {
            true => Ok(()),
            false => pass_on(parent, controllers),
        };
    }
    let Ok(below) = parent.strip_prefix(&mount.path) else { return Ok(()) };
    let mut at = mount.path.clone();
    let mut components = below.components();
    loop {
        let missing = missing(&at, controllers)?;
        // What the groups above keep for themselves cannot be passed on.
        let missing = missing.intersection(available(&at)?);
        if !missing.is_empty() {
            pass_on(&at, missing)?;
        }
        match components.next() {
            Some(component) => at.push(component),
            None => return Ok(()),
        }
    }
}

/// Whether the files of these controllers are there.
fn is_populated(dir: &Path, controllers: Controllers) -> bool {
    use Controller::{Cpu, Cpuset, Io, Memory, Pids};
    let files = [
        (Cpuset, "cpuset.cpus"),
        (Cpu, "cpu.weight"),
        (Io, "io.stat"),
        (Memory, "memory.max"),
        (Pids, "pids.max"),
    ];
    let is_there = |name| rustix::fs::access(dir.join(name), rustix::fs::Access::EXISTS).is_ok();
    files.iter().all(|(controller, name)| !controllers.contains(*controller) || is_there(name))
}

/// What a group does not pass on.
fn missing(dir: &Path, controllers: Controllers) -> Result<Controllers, CgroupError> {
    let passed = file::read(dir, "cgroup.subtree_control")?;
    let passed = passed.split_ascii_whitespace().filter_map(Controller::by_name).collect();
    Ok(controllers.difference(passed))
}

fn pass_on(dir: &Path, controllers: Controllers) -> Result<(), CgroupError> {
    let path = dir.join("cgroup.subtree_control");
    let all: Vec<String> = controllers.iter().map(|one| format!("+{}", one.name())).collect();
    // One that cannot be passed on fails them all: then each is tried alone, and those that fail
    // are missed only by limits that need them, which name the file that is not there.
    match file::write(&path, &all.join(" ")) {
        Ok(()) => return Ok(()),
        Err(err) if is_busy(&err) => {
            return Err(CgroupError::Unsupported {
                setting: "a group".to_owned(),
                reason: "processes live in the group above, which version 2 does not allow; give \
                         another parent",
            });
        }
        Err(_) => {}
    }
    let mut last = None;
    let passed = all.iter().filter(|one| match file::write(&path, one) {
        Ok(()) => true,
        Err(source) => {
            last = Some(source);
            false
        }
    });
    match (passed.count(), last) {
        // Groups above a delegated one are somebody else's, who decided what they pass on.
        (0, Some(source)) if !is_denied(&source) => {
            Err(CgroupError::Io { action: "write", path, source })
        }
        _ => Ok(()),
    }
}

fn is_denied(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The "no internal processes" rule. cgroups(7).
fn is_busy(err: &io::Error) -> bool {
    err.raw_os_error() == Some(Errno::BUSY.raw_os_error())
}
