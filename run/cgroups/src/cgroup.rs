//! One control group: the same path in every hierarchy in use.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::hierarchy::{MountPoint, Version};
use crate::systemd::Anchor;
use crate::{CgroupError, CgroupPath, Controller, Controllers, Hierarchy, JoinHandle, file};

/// One control group, in every hierarchy that it has a directory in.
///
/// A value of this type owns nothing: dropping it leaves the group as it is. The one exception is a
/// new group that systemd made, until [`Cgroup::settle`].
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
    groups: Vec<Group>,
    held: Option<Held>,
}

/// What keeps a group of systemd's alive while no process is in it.
#[derive(Debug)]
struct Held {
    anchor: Anchor,
    /// A limit on tasks that left no room for the first process beside it.
    tasks: Option<i64>,
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

impl Hierarchy {
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
            false => Ok(Cgroup::new(path.clone(), groups)),
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

impl Hierarchy {
    /// Removes the group at `path`, with all below it, killing what still runs there. None there is
    /// no error.
    ///
    /// The cheap way to end a container: a group that is empty, as it is when the first process of
    /// a PID namespace is gone, costs one rmdir(2) in each hierarchy. `patience` counts twice, for
    /// killing and for removing; errors as of [`Cgroup::kill`] and [`Cgroup::remove`].
    pub fn destroy(&self, path: &CgroupPath, patience: Duration) -> Result<(), CgroupError> {
        let mut left = Vec::new();
        for mount in self.mounts() {
            let group = Group::at(mount, path);
            match rustix::fs::rmdir(&group.dir) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(_) => left.push(group),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let cgroup = Cgroup::new(path.clone(), left);
        cgroup.kill(patience)?;
        cgroup.remove(patience)
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

    /// The hierarchy's mount point; `path` is where in it the group is.
    fn top(&self, path: &CgroupPath) -> PathBuf {
        let depth = Path::new(path.as_str()).components().count();
        self.dir.ancestors().nth(depth).unwrap_or(&self.dir).to_owned()
    }

    /// Whether the hierarchy goes by a name, which its mount point has (`cpu,cpuacct`); an empty
    /// name is everyone's.
    fn is_called(&self, name: &str, path: &CgroupPath) -> bool {
        let top = self.top(path);
        let own = top.file_name().and_then(|own| own.to_str()).unwrap_or("");
        name.is_empty() || self.version == Version::V1 && own.split(',').any(|own| own == name)
    }
}

impl Cgroup {
    pub(crate) fn new(path: CgroupPath, groups: Vec<Group>) -> Self {
        Self { path, groups, held: None }
    }

    /// Keeps the group alive by `anchor`, with room for one more task.
    pub(crate) fn hold(&mut self, anchor: Anchor, limit: Option<i64>) -> Result<(), CgroupError> {
        let tasks = limit.filter(|limit| (0..2).contains(limit));
        if tasks.is_some() {
            self.apply_pids(2)?;
        }
        self.held = Some(Held { anchor, tasks });
        Ok(())
    }

    /// Says that the first process is inside, and may not have begun its program yet.
    ///
    /// For groups made by [`crate::Systemd`], which are kept alive by another process until then;
    /// nothing for others. Must be called before the program begins, as a limit of one task is
    /// only in force from here on.
    pub fn settle(&mut self) -> Result<(), CgroupError> {
        match self.held.take() {
            None => Ok(()),
            Some(Held { anchor, tasks }) => {
                drop(anchor);
                tasks.map_or(Ok(()), |limit| self.apply_pids(limit))
            }
        }
    }

    pub(crate) fn add(&mut self, groups: Vec<Group>) {
        self.groups.extend(groups);
    }

    /// Moves every process of the group to `dir`, a group of a version 1 hierarchy.
    pub(crate) fn move_into(&self, dir: &Path) -> Result<(), CgroupError> {
        let path = dir.join("cgroup.procs");
        let procs = file::open_for_write(&path).map_err(|source| CgroupError::Io {
            action: "open",
            path: path.clone(),
            source,
        })?;
        let mut moved: Vec<Pid> = Vec::new();
        loop {
            // Children of a process that is not moved yet are born outside.
            let mut found = self.processes()?;
            found.retain(|pid| !moved.contains(pid));
            if found.is_empty() {
                return Ok(());
            }
            for pid in found {
                let number = pid.as_raw_nonzero().to_string();
                match rustix::io::write(&procs, number.as_bytes()) {
                    Ok(_) | Err(Errno::SRCH) => moved.push(pid),
                    Err(errno) => {
                        let (path, source) = (path.clone(), errno.into());
                        return Err(CgroupError::Io { action: "move a process to", path, source });
                    }
                }
            }
        }
    }

    /// Where it is, below the mount points.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The directory that holds a controller's files, if the group is in that hierarchy.
    pub fn directory(&self, controller: Controller) -> Option<&Path> {
        self.group_of(controller).map(|group| group.dir.as_path())
    }

    /// The group's directory in each hierarchy that it is in, with the hierarchy's version.
    pub fn directories(&self) -> impl Iterator<Item = (&Path, Version)> {
        self.groups.iter().map(|group| (group.dir.as_path(), group.version))
    }

    /// Groups below this one, for a process that joins: in each hierarchy that has the controller
    /// (or the name, such as `systemd`) the one at the path beside it, in the others this one.
    /// An empty name stands for every hierarchy.
    ///
    /// [`CgroupError::NotFound`] if one of them is missing: a process that joined the rest would
    /// stay in its maker's group there. [`CgroupError::UnknownController`] for other names. The
    /// path is this group's.
    pub fn parts(&self, parts: &[(&str, CgroupPath)]) -> Result<Self, CgroupError> {
        let mut groups = self.groups.clone();
        for (name, path) in parts {
            let mut known = false;
            for group in groups.iter_mut().filter(|group| group.is_called(name, &self.path)) {
                known = true;
                group.dir = group.top(&self.path).join(path.as_str());
                if !group.dir.is_dir() {
                    return Err(CgroupError::NotFound { path: path.to_string() });
                }
            }
            if !known {
                return Err(CgroupError::UnknownController { name: (*name).to_owned() });
            }
        }
        Ok(Self::new(self.path.clone(), groups))
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn group_of(&self, controller: Controller) -> Option<&Group> {
        self.groups.iter().find(|group| group.controllers.contains(controller))
    }

    /// The directory of version 2, if the group is in that hierarchy.
    pub(crate) fn unified(&self) -> Option<&Path> {
        let unified = self.groups.iter().find(|group| group.version == Version::V2);
        unified.map(|group| group.dir.as_path())
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

    /// The processes in the group and in all below it, in ascending order.
    ///
    /// Those in any hierarchy: one that was cut short while it entered is only in some.
    pub fn processes(&self) -> Result<Vec<Pid>, CgroupError> {
        let mut found = Vec::new();
        for group in &self.groups {
            collect_processes(&group.dir, &mut found)?;
        }
        found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        found.dedup();
        if let Some(held) = &self.held {
            found.retain(|pid| *pid != held.anchor.pid());
        }
        Ok(found)
    }

    /// Removes the group and all below it; a group that is gone already is no error.
    ///
    /// No process may be in it: [`CgroupError::Busy`] if some are left after `patience`. A process
    /// that was killed leaves a moment later than it is reaped. Parents stay.
    pub fn remove(&self, patience: Duration) -> Result<(), CgroupError> {
        let mut left: Vec<&Path> = self.groups.iter().map(|group| group.dir.as_path()).collect();
        let mut pause = Pause::until(patience);
        loop {
            let mut first = None;
            left.retain(|dir| match remove_tree(dir) {
                Ok(()) => false,
                Err(error) => {
                    first.get_or_insert(error);
                    true
                }
            });
            match first {
                None => return Ok(()),
                Some(CgroupError::Busy { .. }) if pause.wait() => {}
                Some(error) => return Err(error),
            }
        }
    }
}

/// Removes a group and those below it, in one attempt.
fn remove_tree(dir: &Path) -> Result<(), CgroupError> {
    match rustix::fs::rmdir(dir) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(errno) => {
            let source = errno.into();
            return Err(CgroupError::Io { action: "remove", path: dir.to_owned(), source });
        }
    }
    let below = subdirectories(dir)?;
    if below.is_empty() {
        return Err(CgroupError::Busy { path: dir.to_owned() });
    }
    for name in below {
        remove_tree(&dir.join(name))?;
    }
    match rustix::fs::rmdir(dir) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(_) => Err(CgroupError::Busy { path: dir.to_owned() }),
    }
}

/// Pauses that grow from 50 microseconds to 10 milliseconds, up to a deadline.
pub(crate) struct Pause {
    deadline: Instant,
    next: Duration,
}

impl Pause {
    pub(crate) fn until(patience: Duration) -> Self {
        Self { deadline: Instant::now() + patience, next: Duration::from_micros(50) }
    }

    /// Sleeps; `false` if the deadline has passed.
    pub(crate) fn wait(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.deadline {
            return false;
        }
        std::thread::sleep(self.next.min(self.deadline - now));
        self.next = (self.next * 2).min(Duration::from_millis(10));
        true
    }
}

/// The names of the groups right below a directory; none if there is no such directory.
pub(crate) fn subdirectories(dir: &Path) -> Result<Vec<String>, CgroupError> {
    let failed = |source| CgroupError::Io { action: "list", path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if file::is_absent(&err) => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(err) if file::is_absent(&err) => break, // removed while it was read
            Err(source) => return Err(failed(source)),
        };
        // The type comes with the listing here: no stat(2) for the many files.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

fn collect_processes(dir: &Path, found: &mut Vec<Pid>) -> Result<(), CgroupError> {
    let text = match file::read_optional(dir, "cgroup.procs") {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(()),
        // A threaded group of version 2 answers so; its threads belong to processes of the group
        // above.
        Err(CgroupError::Io { source, .. }) if is_threaded(&source) => String::new(),
        Err(error) => return Err(error),
    };
    // 0 stands for a process of a foreign PID namespace.
    found.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
    for name in subdirectories(dir)? {
        collect_processes(&dir.join(name), found)?;
    }
    Ok(())
}

fn is_threaded(err: &io::Error) -> bool {
    err.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error())
}
