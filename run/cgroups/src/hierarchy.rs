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

/// Choices for a new group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The controllers that the group gets besides those of its limits, where the machine has them.
    ///
    /// All by default, so that everything is counted and any limit can be set later. Each version 1
    /// hierarchy costs some 30 microseconds in the life of a container (making, entering,
    /// removing), and memory of the kernel; [`Options::ESSENTIAL`] has half of them.
    pub controllers: Controllers,
}

impl Options {
    /// The controllers without which a container cannot be held, watched, paused or counted:
    /// memory, tasks, devices, freezer and processor time. [`Hierarchy::extend`] adds others when
    /// limits come later.
    pub const ESSENTIAL: Self = Self {
        controllers: Controllers::of(&[
            Controller::Memory,
            Controller::Pids,
            Controller::Devices,
            Controller::Freezer,
            Controller::Cpuacct,
        ]),
    };
}

impl Default for Options {
    fn default() -> Self {
        Self { controllers: Controllers::ALL }
    }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Where it is mounted.
    pub path: PathBuf,
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
    /// Where everything is mounted as distributions do, it costs one small file and a statfs(2) for
    /// each hierarchy; otherwise `/proc/self/mountinfo` is read, which can be long.
    ///
    /// [`CgroupError::NotMounted`] if there is nothing of the kind.
    pub fn detect() -> Result<Self, CgroupError> {
        let top = Path::new(TOP);
        if is_mounted(top, CGROUP2_SUPER_MAGIC) {
            return Self::unified(top);
        }
        let own = read("/proc/self/cgroup").and_then(|table| own_groups(&table))?;
        match Self::usual(top, &own)? {
            Some(mounts) => Ok(Self { mode: mode(&mounts)?, mounts, own: own.into() }),
            None => Self::from_mountinfo(&read("/proc/self/mountinfo")?),
        }
    }

    /// The mounts of the hierarchies that this process is in, by their usual names below `top`:
    /// `cpu,cpuacct`, `systemd`, `unified`. `None` if one has another place.
    fn usual(top: &Path, own: &[OwnGroup]) -> Result<Option<Vec<MountPoint>>, CgroupError> {
        let mut mounts = Vec::with_capacity(own.len());
        for OwnGroup { controllers: names, .. } in own {
            let unified = names.is_empty();
            let name = names.strip_prefix("name=");
            let path = match (unified, name) {
                (true, _) => top.join("unified"),
                (false, Some(name)) => top.join(name),
                (false, None) => top.join(names),
            };
            if unified {
                // It is always listed, mounted or not.
                if is_mounted(&path, CGROUP2_SUPER_MAGIC) {
                    let (version, controllers) = (Version::V2, available(&path)?);
                    mounts.push(MountPoint { path, version, controllers, name: None });
                }
            } else if is_mounted(&path, CGROUP_SUPER_MAGIC) {
                let controllers = names.split(',').filter_map(Controller::by_name).collect();
                let name = name.map(str::to_owned);
                mounts.push(MountPoint { path, version: Version::V1, controllers, name });
            } else {
                return Ok(None);
            }
        }
        Ok((!mounts.is_empty()).then_some(mounts))
    }

    /// A version 2 hierarchy, mounted at `top`: for places other than the usual one.
    pub fn unified(top: &Path) -> Result<Self, CgroupError> {
        let controllers = available(top)?;
        let mount =
            MountPoint { path: top.to_owned(), version: Version::V2, controllers, name: None };
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
            let (Some(device), Some(_root), Some(path)) =
                (front.next(), front.next(), front.next())
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
            mounts.push(MountPoint { path, version, controllers, name });
        }
        Ok(Self { mode: mode(&mounts)?, mounts, own: OnceCell::new() })
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

    /// The group that this process is in, from the top of the hierarchy or of its cgroup namespace;
    /// `None` if it is in no such hierarchy. Without a slash at either end.
    pub fn own_group(&self, mount: &MountPoint) -> Result<Option<&str>, CgroupError> {
        let own = match self.own.get() {
            Some(own) => own,
            None => {
                let own = read("/proc/self/cgroup").and_then(|table| own_groups(&table))?;
                self.own.get_or_init(|| own)
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
        Ok(line.map(|line| line.path.trim_matches('/')))
    }
}

fn mode(mounts: &[MountPoint]) -> Result<Mode, CgroupError> {
    let has = |version| mounts.iter().any(|mount| mount.version == version);
    match (has(Version::V1), has(Version::V2)) {
        (true, true) => Ok(Mode::Hybrid),
        (true, false) => Ok(Mode::V1),
        (false, true) => Ok(Mode::V2),
        (false, false) => Err(CgroupError::NotMounted),
    }
}

fn read(path: &'static str) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|source| CgroupError::Io {
        action: "read",
        path: path.into(),
        source,
    })
}

fn is_mounted(path: &Path, magic: u64) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == magic)
}

/// `f_type` of version 1. statfs(2).
const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
/// `f_type` of version 2. statfs(2).
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// The controllers that a version 2 group offers to the groups below.
pub(crate) fn available(top: &Path) -> Result<Controllers, CgroupError> {
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
            assert!(found.own_group(mount).unwrap().is_some(), "{mount:?}");
        }
    }

    /// The short way and the long way lead to the same place.
    #[test]
    fn the_mount_table_says_the_same() {
        let quick = Hierarchy::detect().unwrap();
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let thorough = Hierarchy::from_mountinfo(&table).unwrap();
        assert_eq!(quick.mode(), thorough.mode());
        let sorted = |hierarchy: &Hierarchy| {
            let mut mounts = hierarchy.mounts().to_vec();
            mounts.sort_by(|one, other| one.path.cmp(&other.path));
            mounts
        };
        assert_eq!(sorted(&quick), sorted(&thorough));
    }

    #[test]
    fn a_hierarchy_in_an_unusual_place_needs_the_mount_table() {
        let own = own_groups("1:cpu:/\n0::/\n").unwrap();
        let nowhere = tempfile::tempdir().unwrap();
        assert_eq!(Hierarchy::usual(nowhere.path(), &own).unwrap(), None);
    }
}
