//! A root directory of the runtime's, bundles, and the runtime itself.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Output, PATIENCE, wait_until};

/// A runtime with a state of its own. When dropped it deletes every container by force, and then
/// nothing may be left in it.
pub(crate) struct Oci {
    dir: TempDir,
    program: PathBuf,
    bundles: Cell<u32>,
}

impl Oci {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kista-oci-test-").tempdir().unwrap();
        // By its name, as engines call it.
        let program = dir.path().join("kista-oci");
        std::os::unix::fs::symlink(testkit::program(), &program).unwrap();
        Self { dir, program, bundles: Cell::new(0) }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Where states are kept.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// An id that no other test has.
    pub(crate) fn id(&self, name: &str) -> String {
        let dir = self.dir.path().file_name().unwrap().to_string_lossy().into_owned();
        format!("{dir}.{name}")
    }

    /// A bundle that runs a command line of busybox's, with what `change` makes of it.
    pub(crate) fn bundle(&self, args: &[&str], change: impl FnOnce(&mut Value)) -> PathBuf {
        self.bundles.set(self.bundles.get() + 1);
        let bundle = self.dir.path().join(format!("bundle-{}", self.bundles.get()));
        fs::create_dir(&bundle).unwrap();
        let mut spec = spec(args);
        change(&mut spec);
        fs::write(bundle.join("config.json"), serde_json::to_vec_pretty(&spec).unwrap()).unwrap();
        bundle
    }

    /// The runtime, about to be run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.root()).args(args);
        // What the user who runs the tests has set must not matter.
        command.env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS").env_remove("LISTEN_PID");
        command
    }

    /// Runs it to its end. What the container has open of its output is not waited for.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        output(&mut self.command(args), self.dir())
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok()
    }

    /// Creates a container; its output goes to a file, which is answered.
    #[track_caller]
    pub(crate) fn create(&self, id: &str, bundle: &Path) -> PathBuf {
        let log = self.dir.path().join(format!("{id}.out"));
        let file = fs::File::create(&log).unwrap();
        let status = self
            .command(&["create", "--bundle", bundle.to_str().unwrap(), id])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap();
        assert!(status.success(), "create: {}", fs::read_to_string(&log).unwrap());
        log
    }

    #[track_caller]
    pub(crate) fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    #[track_caller]
    pub(crate) fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, id: &str, status: &str) {
        wait_until(status, || (self.status(id) == status).then_some(()));
    }
}

impl Drop for Oci {
    fn drop(&mut self) {
        let ids = self.run(&["list", "--quiet"]).stdout;
        for id in ids.lines() {
            let deleted = self.run(&["delete", "--force", id]);
            if !std::thread::panicking() {
                assert_eq!(deleted.code, 0, "delete: {}", deleted.stderr);
            }
        }
        if std::thread::panicking() {
            return;
        }
        let left: Vec<_> = fs::read_dir(self.root()).into_iter().flatten().collect();
        assert!(left.is_empty(), "left in the state directory: {left:?}");
        let name = self.dir.path().file_name().unwrap().to_string_lossy().into_owned();
        let groups = cgroups_with(&name);
        assert!(groups.is_empty(), "left behind: {groups:?}");
    }
}

/// Runs a command whose output goes to files, so that a container that has them open is not
/// waited for.
#[track_caller]
pub(crate) fn output(command: &mut Command, dir: &Path) -> Output {
    let mut files = [tempfile::NamedTempFile::new_in(dir), tempfile::NamedTempFile::new_in(dir)]
        .map(Result::unwrap);
    command.stdout(files[0].reopen().unwrap()).stderr(files[1].reopen().unwrap());
    if command.get_current_dir().is_none() {
        command.current_dir(dir);
    }
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let deadline = std::time::Instant::now() + PATIENCE * 2;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if std::time::Instant::now() > deadline {
            child.kill().unwrap();
            let errors = fs::read_to_string(files[1].path()).unwrap();
            panic!("{command:?} takes too long: {errors}");
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let [bytes, errors] = files.each_mut().map(|file| fs::read(file.path()).unwrap());
    Output {
        code: status.code().unwrap_or(255),
        stdout: String::from_utf8_lossy(&bytes).into_owned(),
        stderr: String::from_utf8_lossy(&errors).into_owned(),
        bytes,
    }
}

/// Directories of cgroups, in every hierarchy, that have a text in their name.
pub(crate) fn cgroups_with(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path());
    for dir in hierarchies.chain([top.to_owned()]).filter(|dir| dir.is_dir()) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(name) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// A root file system with busybox, unpacked once.
pub(crate) fn rootfs() -> &'static Path {
    static ROOTFS: OnceLock<PathBuf> = OnceLock::new();
    ROOTFS.get_or_init(|| {
        let path = std::env::temp_dir().join("kista-oci-test-rootfs");
        if path.exists() {
            return path;
        }
        // By rename: other test processes make it too.
        let new = tempfile::Builder::new().prefix("kista-oci-rootfs-").tempdir().unwrap();
        let archive = new.path().join("layer.tar");
        fs::write(&archive, testkit::image::busybox_layer()).unwrap();
        let tree = new.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let status = Command::new("tar").arg("-xpf").arg(&archive).arg("-C").arg(&tree).status();
        assert!(status.unwrap().success());
        let _ = fs::rename(&tree, &path);
        path
    })
}

/// A configuration such as engines write.
pub(crate) fn spec(args: &[&str]) -> Value {
    let capabilities = ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT"];
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": rootfs(), "readonly": true},
        "hostname": "box",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/bin:/usr/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"},
            ],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}
