//! The cgroups of a process, read on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TOP: &str = "/sys/fs/cgroup";

/// Where a process is in each hierarchy.
#[derive(Debug)]
pub struct Cgroup {
    /// Controllers and paths; the controllers of v2 are empty.
    paths: Vec<(Vec<String>, PathBuf)>,
}

impl Cgroup {
    /// Those of a process.
    pub fn of(pid: i32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let paths = text.lines().map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next().unwrap(), fields.next().unwrap());
            let folder = match controllers {
                "" if is_v2() => PathBuf::from(TOP),
                "" => Path::new(TOP).join("unified"),
                named if named.starts_with("name=") => Path::new(TOP).join(&named[5..]),
                names => Path::new(TOP).join(names),
            };
            let controllers = controllers.split(',').map(str::to_owned).collect();
            (controllers, folder.join(path.trim_start_matches('/')))
        });
        Self { paths: paths.collect() }
    }

    /// The directory of a controller.
    #[track_caller]
    pub fn path(&self, controller: &str) -> &Path {
        let found = self.paths.iter().find(|(names, _)| names.iter().any(|n| n == controller));
        let found = found.or_else(|| self.paths.iter().find(|(names, _)| names == &[""]));
        &found.unwrap_or_else(|| panic!("no {controller} in {self:?}")).1
    }

    /// A file of a controller, without its last line's end.
    #[track_caller]
    pub fn read(&self, controller: &str, file: &str) -> String {
        let path = self.path(controller).join(file);
        let text = fs::read_to_string(&path);
        text.unwrap_or_else(|err| panic!("{}: {err}", path.display())).trim_end().to_owned()
    }

    /// Whether a controller has a file: not every kernel has each.
    pub fn has(&self, controller: &str, file: &str) -> bool {
        self.path(controller).join(file).exists()
    }
}

/// Whether the machine has cgroup v2 alone.
pub fn is_v2() -> bool {
    Path::new(TOP).join("cgroup.procs").exists()
}

/// The directories of a cgroup in all hierarchies.
pub fn directories(path: &str) -> Vec<PathBuf> {
    let path = path.trim_start_matches('/');
    let entries = fs::read_dir(TOP).into_iter().flatten().flatten();
    let hierarchies = std::iter::once(TOP.into()).chain(entries.map(|entry| entry.path()));
    hierarchies.map(|top: PathBuf| top.join(path)).filter(|path| path.is_dir()).collect()
}

/// Waits until a cgroup is in no hierarchy any more.
#[track_caller]
pub(super) fn assert_gone(path: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !directories(path).is_empty() {
        assert!(Instant::now() < deadline, "cgroups are left: {:?}", directories(path));
        std::thread::sleep(Duration::from_millis(5));
    }
}
