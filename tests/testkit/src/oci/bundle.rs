//! A directory with a config.json and a root file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What the default configuration's process may do.
pub const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The commands of busybox that have a link in `/bin`.
const COMMANDS: &[&str] = &[
    "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dirname", "echo", "env", "false",
    "find", "grep", "head", "hostname", "id", "ionice", "kill", "ln", "ls", "mkdir", "mkfifo",
    "mknod", "mount", "mv", "nc", "nproc", "nice", "od", "printf", "ps", "pwd", "readlink", "rm",
    "rmdir", "sed", "seq", "setsid", "sh", "sleep", "sort", "stat", "stty", "sync", "sysctl",
    "tail", "taskset", "test", "timeout", "touch", "tr", "true", "truncate", "tty", "umount",
    "uname", "unshare", "usleep", "wc",
];

/// A bundle that goes away with the last container that was made of it.
#[derive(Debug)]
pub struct Bundle {
    folder: Arc<TempDir>,
    /// What config.json will hold.
    pub config: Value,
}

impl Bundle {
    /// A container that runs a program of the busybox in its root file system.
    pub fn running(arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("kista-bundle-").tempdir().unwrap();
        // The user of a user namespace walks through it, too.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).unwrap();
        let bundle = Self { folder: Arc::new(folder), config: config(arguments) };
        bundle.make_rootfs();
        bundle
    }

    /// A container that runs a script of the shell.
    pub fn script(text: &str) -> Self {
        Self::running(&["sh", "-c", text])
    }

    /// A container that runs until it is killed, and ends at once on TERM.
    pub fn idle() -> Self {
        Self::script("trap 'exit 0' TERM; while :; do sleep 30 & wait $!; done")
    }

    fn make_rootfs(&self) {
        let root = self.rootfs();
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in COMMANDS {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        self.file("etc/passwd", "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n");
        self.file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\n");
    }

    /// The bundle's directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the directory.
    pub(super) fn hold(&self) -> Arc<TempDir> {
        self.folder.clone()
    }

    /// The root file system, on the host.
    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// Puts a file into the root file system, with the folders above it; gives its path.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.rootfs().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Makes a directory of the bundle, beside the root file system.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Sets a property, named with dots: `process.user.uid`.
    pub fn set(mut self, property: &str, value: impl Into<Value>) -> Self {
        *self.at(property) = value.into();
        self
    }

    /// Adds to a list, named with dots.
    pub fn push(mut self, list: &str, value: impl Into<Value>) -> Self {
        let list = self.at(list);
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap().push(value.into());
        self
    }

    /// Takes a property away.
    pub fn without(mut self, property: &str) -> Self {
        let (object, name) = property.rsplit_once('.').unwrap_or(("", property));
        let object = if object.is_empty() { &mut self.config } else { self.at(object) };
        object.as_object_mut().unwrap().shift_remove(name);
        self
    }

    /// Adds a mount.
    pub fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        let mount = json!({
            "destination": destination, "type": kind, "source": source, "options": options,
        });
        self.push("mounts", mount)
    }

    /// Binds a path of the host.
    pub fn bind(self, source: &Path, destination: &str, options: &[&str]) -> Self {
        let options = [&["bind"], options].concat();
        self.mount(destination, "bind", source.to_str().unwrap(), &options)
    }

    /// Takes the default mounts at or below a place away.
    pub fn without_mounts(mut self, place: &str) -> Self {
        let below = format!("{place}/");
        let kept = |mount: &Value| {
            let destination = mount["destination"].as_str().unwrap_or_default();
            destination != place && !destination.starts_with(&below)
        };
        self.at("mounts").as_array_mut().unwrap().retain(kept);
        self
    }

    /// Adds a new namespace.
    pub fn namespace(self, kind: &str) -> Self {
        self.push("linux.namespaces", json!({"type": kind}))
    }

    /// Takes a namespace away.
    pub fn without_namespace(mut self, kind: &str) -> Self {
        self.at("linux.namespaces").as_array_mut().unwrap().retain(|one| one["type"] != kind);
        self
    }

    /// Joins a namespace.
    pub fn join(self, kind: &str, path: &str) -> Self {
        self.without_namespace(kind).push("linux.namespaces", json!({"type": kind, "path": path}))
    }

    /// A user namespace in which ids from 0 on are the host's from `host` on; and a network
    /// namespace, without which the kernel does not let it mount a sysfs.
    pub fn user_namespace(self, host: u32) -> Self {
        let map = json!([{"containerID": 0, "hostID": host, "size": 65536}]);
        self.chown(host)
            .without_namespace("network")
            .namespace("network")
            .namespace("user")
            .set("linux.uidMappings", map.clone())
            .set("linux.gidMappings", map)
    }

    /// Gives the root file system to someone, as whoever makes an image ready does.
    pub fn chown(self, id: u32) -> Self {
        fn walk(path: &Path, id: u32) {
            std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
            if path.is_dir() && !path.is_symlink() {
                fs::read_dir(path).unwrap().flatten().for_each(|entry| walk(&entry.path(), id));
            }
        }
        walk(&self.rootfs(), id);
        self
    }

    /// All five sets of capabilities.
    pub fn capabilities(self, names: &[&str]) -> Self {
        let sets = ["bounding", "effective", "inheritable", "permitted", "ambient"];
        sets.iter().fold(self, |bundle, set| {
            let names = if matches!(*set, "inheritable" | "ambient") { &[] } else { names };
            bundle.set(&format!("process.capabilities.{set}"), json!(names))
        })
    }

    /// Where the container's cgroup will be, below the mount of each hierarchy.
    pub fn cgroup(&self) -> &str {
        self.config["linux"]["cgroupsPath"].as_str().unwrap_or_default()
    }

    /// Writes config.json.
    pub fn write(&self) {
        fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    fn at(&mut self, property: &str) -> &mut Value {
        property.split('.').fold(&mut self.config, |value, name| match name.parse::<usize>() {
            Ok(index) if value.is_array() => &mut value[index],
            _ => &mut value[name],
        })
    }
}

impl Drop for Bundle {
    /// What a runtime left is told by the test that sees it, and need not stay.
    fn drop(&mut self) {
        if !self.cgroup().is_empty() {
            for path in super::cgroup::directories(self.cgroup()) {
                let _ = fs::remove_dir(path);
            }
        }
    }
}

/// A name that no other test has.
pub(super) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    // Pids come again, and what a runtime of others leaves behind may stay.
    let time = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    format!("conformance-{}-{time:x}-{next}", std::process::id())
}

fn config(arguments: &[&str]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            },
        },
        "root": {"path": "rootfs"},
        "hostname": "conformance",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
            },
            {
                "destination": "/dev/mqueue",
                "type": "mqueue",
                "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"],
            },
            {
                "destination": "/sys",
                "type": "sysfs",
                "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"],
            },
        ],
        "linux": {
            "cgroupsPath": format!("/{}", unique()),
            "namespaces": [
                {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
            ],
        },
    })
}
