//! Which hierarchies of control groups this machine has, and where they are mounted.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{CgroupError, Controller, Controllers};

/// How control groups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A hierarchy for each controller or few of them.
    V1,
    /// One hierarchy for all.
    V2,
    /// Version 1 with a version 2 beside it, which has the controllers that version 1 left.
    Hybrid,
}

/// The version of one hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// File system type `cgroup`.
    V1,
    /// File system type `cgroup2`.
    V2,
}

/// Who makes the groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manager {
    /// We do, as directories.
    #[default]
    Cgroupfs,
}

/// Choices for a new group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Who makes it.
    pub manager: Manager,
    /// The controllers that the group gets besides those of its limits, where the machine has them.
    ///
    /// All by default, and not only those in use: in a hierarchy that a container has not entered,
    /// its cgroup namespace begins at the top, and shows it every other group of the machine.
    pub controllers: Controllers,
}

impl Default for Options {
    fn default() -> Self {
        Self { manager: Manager::Cgroupfs, controllers: Controllers::ALL }
    }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The group that is at the mount point, from the top of the hierarchy; `/` on most hosts.
    pub root: String,
    /// Which file system.
    pub version: Version,
    /// What it controls; for version 2, what is available at the mount point.
    pub controllers: Controllers,
    /// The name of a version 1 hierarchy that controls nothing, such as `systemd`.
    pub name: Option<String>,
}

/// The hierarchies of this machine.
#[derive(Debug)]
pub struct Hierarchy {
    mode: Mode,
    mounts: Vec<MountPoint>,
    own: OnceCell<Vec<OwnGroup>>,
}

/// A line of `/proc/self/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OwnGroup {
    /// `name=systemd`, `cpu,cpuacct`; empty for version 2.
    controllers: String,
    /// From the top of the hierarchy, or of the cgroup namespace.
    path: String,
}

/// Where every distribution mounts control groups.
const TOP: &str = "/sys/fs/cgroup";

impl Hierarchy {
    /// Finds out what is mounted.
    ///
    /// Costs one statfs(2) and one small file where version 2 is mounted in the usual place, and
    /// otherwise one reading of `/proc/self/mountinfo`.
    ///
    /// [`CgroupError::NotMounted`] if there is nothing of the kind.
    pub fn detect() -> Result<Self, CgroupError> {
        let top = rustix::fs::statfs(TOP);
        if top.is_ok_and(|stat| stat.f_type as u64 == CGROUP2_SUPER_MAGIC) {
            return Self::unified(Path::new(TOP));
        }
        let table = fs::read_to_string("/proc/self/mountinfo").map_err(|source| {
            CgroupError::Io { action: "read", path: "/proc/self/mountinfo".into(), source }
        })?;
        Self::from_mountinfo(&table)
    }

    /// A version 2 hierarchy, mounted at `top`: for places other than the usual one.
    pub fn unified(top: &Path) -> Result<Self, CgroupError> {
        let controllers = available(top)?;
        let mount = MountPoint {
            path: top.to_owned(),
            root: "/".to_owned(),
            version: Version::V2,
            controllers,
            name: None,
        };
        Ok(Self { mode: Mode::V2, mounts: vec![mount], own: OnceCell::new() })
    }

    /// The hierarchies that a mountinfo table lists. proc_pid_mountinfo(5).
    pub(crate) fn from_mountinfo(table: &str) -> Result<Self, CgroupError> {
        let mut mounts: Vec<MountPoint> = Vec::new();
        // The same hierarchy may be mounted in several places: the first is taken, as the
        // others are bind mounts made later by somebody for a purpose of their own.
        let mut seen: Vec<&str> = Vec::new();
        for line in table.lines() {
            // Most lines are of other file systems; tell them apart before taking them apart.
            let Some((front, back)) = line.split_once(" - cgroup") else { continue };
            let malformed =
                || CgroupError::Malformed { file: "/proc/self/mountinfo", line: line.to_owned() };
            let mut front = front.split(' ').skip(2);
            let (Some(device), Some(root), Some(path)) = (front.next(), front.next(), front.next())
            else {
                return Err(malformed());
            };
            let (version, back) = match back.strip_prefix("2 ") {
                Some(back) => (Version::V2, back),
                None => match back.strip_prefix(' ') {
                    Some(back) => (Version::V1, back),
                    None => continue, // some other file system whose name begins so
                },
            };
            if seen.contains(&device) {
                continue;
            }
            seen.push(device);
            let path = PathBuf::from(unescape(path));
            let options = back.split_once(' ').ok_or_else(malformed)?.1;
            let (controllers, name) = match version {
                Version::V2 => (available(&path)?, None),
                Version::V1 => {
                    let name = options.split(',').find_map(|option| option.strip_prefix("name="));
                    let set = options.split(',').filter_map(Controller::by_name).collect();
                    (set, name.map(str::to_owned))
                }
            };
            mounts.push(MountPoint { path, root: unescape(root), version, controllers, name });
        }
        let v1 = mounts.iter().any(|mount| {
            mount.version == Version::V1 && (!mount.controllers.is_empty() || mount.name.is_some())
        });
        let v2 = mounts.iter().any(|mount| mount.version == Version::V2);
        let mode = match (v1, v2) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::V1,
            (false, true) => Mode::V2,
            (false, false) => return Err(CgroupError::NotMounted),
        };
        Ok(Self { mode, mounts, own: OnceCell::new() })
    }

    /// How control groups are mounted.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// All hierarchies, in the order of mounting.
    pub fn mounts(&self) -> &[MountPoint] {
        &self.mounts
    }

    /// Everything that can be controlled, in whichever hierarchy.
    pub fn controllers(&self) -> Controllers {
        self.mounts.iter().fold(Controllers::NONE, |set, mount| set.union(mount.controllers))
    }

    /// Where a controller is.
    pub fn mount_of(&self, controller: Controller) -> Option<&MountPoint> {
        self.mounts.iter().find(|mount| mount.controllers.contains(controller))
    }

    /// The group that this process is in, below the mount point; empty if it is at the mount point
    /// itself, `None` if it is not below.
    ///
    /// Reads `/proc/self/cgroup` at the first call, and keeps the answer.
    pub fn own_group(&self, mount: &MountPoint) -> Result<Option<String>, CgroupError> {
        let own = match self.own.get() {
            Some(own) => own,
            None => {
                let table = fs::read_to_string("/proc/self/cgroup").map_err(|source| {
                    CgroupError::Io { action: "read", path: "/proc/self/cgroup".into(), source }
                })?;
                let parsed = own_groups(&table)?;
                self.own.get_or_init(|| parsed)
            }
        };
        let line = own.iter().find(|line| match (mount.version, &mount.name) {
            (Version::V2, _) => line.controllers.is_empty(),
            (Version::V1, Some(name)) => line.controllers.strip_prefix("name=") == Some(name),
            (Version::V1, None) => line
                .controllers
                .split(',')
                .filter_map(Controller::by_name)
                .any(|controller| mount.controllers.contains(controller)),
        });
        Ok(line.and_then(|line| {
            let below = line.path.strip_prefix(mount.root.trim_end_matches('/'))?;
            (below.is_empty() || below.starts_with('/')).then(|| below.trim_matches('/').to_owned())
        }))
    }
}

/// `f_type` of version 2. statfs(2).
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// The controllers that a version 2 group offers to the groups below.
fn available(top: &Path) -> Result<Controllers, CgroupError> {
    let path = top.join("cgroup.controllers");
    match fs::read_to_string(&path) {
        Ok(names) => Ok(names.split_ascii_whitespace().filter_map(Controller::by_name).collect()),
        // A hierarchy that is mounted and hidden again, as inside a container.
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Controllers::NONE),
        Err(source) => Err(CgroupError::Io { action: "read", path, source }),
    }
}

/// Parses `/proc/self/cgroup`: `number:controllers:path` a line. cgroups(7).
fn own_groups(table: &str) -> Result<Vec<OwnGroup>, CgroupError> {
    table
        .lines()
        .map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            match (fields.next(), fields.next()) {
                (Some(controllers), Some(path)) => {
                    Ok(OwnGroup { controllers: controllers.to_owned(), path: path.to_owned() })
                }
                _ => {
                    Err(CgroupError::Malformed { file: "/proc/self/cgroup", line: line.to_owned() })
                }
            }
        })
        .collect()
}

/// Undoes the kernel's octal escapes of blanks and backslashes in mount tables.
fn unescape(field: &str) -> String {
    if !field.contains('\\') {
        return field.to_owned();
    }
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        match escaped.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                text.push(byte as char);
                rest = &escaped[3..];
            }
            _ => {
                text.push('\\');
                rest = escaped;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /no/such/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
42 31 0:32 /deep /other\\040place rw,relatime - cgroup cgroup rw,memory
43 31 0:50 / /x rw - cgrouplike none rw
";

    #[test]
    fn a_hybrid_table_is_understood() {
        let found = Hierarchy::from_mountinfo(HYBRID).unwrap();
        assert_eq!(found.mode(), Mode::Hybrid);
        assert_eq!(
            found.mounts().len(),
            4,
            "a second mount of memory and another type are passed over"
        );
        let cpu = found.mount_of(Controller::Cpuacct).unwrap();
        assert_eq!(cpu.path, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(found.mounts()[2].name.as_deref(), Some("systemd"));
        assert!(found.mounts()[2].controllers.is_empty());
        assert_eq!(found.mount_of(Controller::Pids), None);
    }

    #[test]
    fn no_groups_at_all_is_an_error() {
        let table = "23 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";
        assert!(matches!(Hierarchy::from_mountinfo(table), Err(CgroupError::NotMounted)));
    }

    #[test]
    fn a_cut_line_is_named() {
        let error = Hierarchy::from_mountinfo("32 31 - cgroup").unwrap_err();
        assert!(error.to_string().contains("mountinfo"), "{error}");
    }

    #[test]
    fn own_groups_have_colons_in_their_paths() {
        let own = own_groups("4:memory:/a:b/c\n1:name=systemd:/\n0::/init.scope\n").unwrap();
        assert_eq!(own[0], OwnGroup { controllers: "memory".into(), path: "/a:b/c".into() });
        assert_eq!(own[2].controllers, "");
        assert!(own_groups("nonsense\n").is_err());
    }

    #[test]
    fn octal_escapes_are_undone_and_broken_ones_kept() {
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
        assert_eq!(unescape("/a\\9"), "/a\\9");
    }

    #[test]
    fn this_machine_is_understood() {
        let found = Hierarchy::detect().unwrap();
        assert!(!found.controllers().is_empty());
        for mount in found.mounts() {
            found.own_group(mount).unwrap();
        }
    }
}
