//! What is left of a data directory's containers outside of it, and in it.
//!
//! A process is ours if the cookie is in its environment, if it holds a file below the data
//! directory open, or if a mount in its namespace comes from there. Nothing else is looked at,
//! so that tests do not see each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that marks the processes of a test.
pub const COOKIE: &str = "KISTA_TEST_COOKIE";

/// Whose leftovers are looked for.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The data directory.
    pub root: PathBuf,
    /// The value of [`COOKIE`].
    pub cookie: String,
}

impl Owner {
    /// The data directory's own cgroup in each hierarchy that has it.
    ///
    /// Its name is made from the path, so that data directories do not see each other's.
    fn cgroups(&self) -> Vec<PathBuf> {
        let path = self.root.as_os_str().as_encoded_bytes();
        let name = format!("kista-{}", &crate::image::digest(path)["sha256:".len()..][..16]);
        let top = Path::new("/sys/fs/cgroup");
        let entries = fs::read_dir(top).into_iter().flatten().flatten();
        let hierarchies = std::iter::once(top.to_owned()).chain(entries.map(|entry| entry.path()));
        hierarchies.map(|hierarchy| hierarchy.join(&name)).filter(|path| path.is_dir()).collect()
    }

    /// Removes those cgroups, which stay empty when there are no containers.
    pub(crate) fn remove_cgroups(&self) {
        for path in self.cgroups() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Looks until nothing is left, for half a minute; gives what is left then.
///
/// Deletion of a container's directory goes on after `rm` has answered, and disks can be slow.
pub fn wait_for_nothing(owner: &Owner) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left = leftovers(owner);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A line for each process, mount, cgroup and file that should not be there when all
/// containers have been removed.
pub fn leftovers(owner: &Owner) -> Vec<String> {
    let mut left = Vec::new();
    for pid in processes(owner) {
        left.push(format!("process {pid}: {}", command_line(pid)));
    }
    for mount in mounts("/proc/self/mountinfo".as_ref(), &owner.root) {
        left.push(format!("mount: {mount}"));
    }
    for path in owner.cgroups() {
        let children = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        left.extend(
            children.filter(|path| path.is_dir()).map(|p| format!("cgroup {}", p.display())),
        );
    }
    left.extend(files(&owner.root).into_iter().map(|path| format!("file {}", path.display())));
    left
}

/// The processes that belong to the owner, but for this one.
pub fn processes(owner: &Owner) -> Vec<i32> {
    all_processes().filter(|pid| owns_process(owner, *pid) && !is_zombie(*pid)).collect()
}

/// The shims that belong to the owner, by the name that they give themselves.
pub fn shims(owner: &Owner) -> Vec<i32> {
    let named = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"kista-shim"))
    };
    all_processes().filter(named).filter(|pid| owns_process(owner, *pid)).collect()
}

fn all_processes() -> impl Iterator<Item = i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(move |pid| *pid != own)
}

fn owns_process(owner: &Owner, pid: i32) -> bool {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let cookie = format!("{COOKIE}={}", owner.cookie);
    let marked = fs::read(folder.join("environ"))
        .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == cookie.as_bytes()));
    let holds = || {
        fs::read_dir(folder.join("fd")).is_ok_and(|fds| {
            fds.flatten()
                .any(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(&owner.root)))
        })
    };
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let inside = || {
        namespace(&pid.to_string()) != namespace("self")
            && !mounts(&folder.join("mountinfo"), &owner.root).is_empty()
    };
    marked || holds() || inside()
}

/// A dead process that its parent has yet to ask for.
fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// Ends a process of the owner's.
pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The lines of a mount table that name the data directory.
fn mounts(table: &Path, root: &Path) -> Vec<String> {
    let table = fs::read_to_string(table).unwrap_or_default();
    let root = root.to_string_lossy();
    table.lines().filter(|line| line.contains(&*root)).map(str::to_owned).collect()
}

/// Whether this is an emptied directory that is kept to be used again.
fn is_spare(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.parent().is_some_and(|parent| parent.ends_with("trash"))
        && name.starts_with("spare-")
        && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// What a data directory without containers does not hold.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for folder in ["containers", "names", "trash", "ingest"] {
        if let Ok(entries) = fs::read_dir(root.join(folder)) {
            let lock = std::ffi::OsStr::new(".lock");
            let entries = entries.flatten().filter(|entry| entry.file_name() != lock);
            left.extend(entries.map(|entry| entry.path()).filter(|path| !is_spare(path)));
        }
    }
    if let Ok(entries) = fs::read_dir(root.join("layers")) {
        let unfinished = entries.flatten().map(|entry| entry.path());
        let hidden = |path: &PathBuf| {
            path.file_name()
                .map(|name| name.to_string_lossy())
                // The lower directories of overlays that have too few are there for good.
                .is_some_and(|name| name.starts_with('.') && name != ".empty")
        };
        left.extend(unfinished.filter(hidden));
    }
    left
}
