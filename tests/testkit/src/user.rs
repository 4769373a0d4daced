//! An ordinary user of the test's own: in no file of the machine, and with ids that nobody has.
//!
//! Its commands run in a mount namespace in which the machine's lists of users have it. Each
//! has one of its own, so that nothing but files and processes is shared between them.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, Mode};
use tempfile::TempDir;

/// A user without any rights, with or without subordinate ids.
#[derive(Debug)]
pub struct User {
    folder: TempDir,
    /// Delegated to it, below the version 2 hierarchy.
    group: Option<PathBuf>,
}

impl User {
    /// Its user and group id.
    pub const ID: u32 = 61_234;
    /// Its first subordinate id: 1 in its containers.
    pub const FIRST: u32 = 700_000;
    /// How many it has of those.
    pub const COUNT: u32 = 65_536;

    /// One with subordinate ids.
    pub fn new() -> Self {
        let (first, count) = (Self::FIRST, Self::COUNT);
        Self::with_ids(&format!("kistatest:{first}:{count}\n"))
    }

    /// One whose lines in /etc/subuid and /etc/subgid are these.
    pub fn with_ids(subordinate: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("kista-user-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(path("sub"), subordinate).unwrap();
        std::fs::write(path("kista"), "").unwrap();
        std::os::unix::fs::symlink("kista", path("kista-oci")).unwrap();
        std::fs::create_dir(path("home")).unwrap();
        // Open to all, as on most machines.
        let device = rustix::fs::makedev(10, 200);
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, Mode::from_raw_mode(0o666));
        rustix::fs::mknodat(CWD, path("tun"), kind, mode, device).unwrap();
        rustix::fs::chmodat(CWD, path("tun"), mode, AtFlags::empty()).unwrap();
        chown(path("home"), Some(Self::ID), Some(Self::ID)).unwrap();
        let home = path("home").display().to_string();
        let add = |list: &str, line: String| {
            let all = std::fs::read_to_string(format!("/etc/{list}")).unwrap() + &line;
            std::fs::write(path(list), all).unwrap();
        };
        add("passwd", format!("kistatest:x:{0}:{0}::{home}:/bin/sh\n", Self::ID));
        add("group", format!("kistatest:x:{}:\n", Self::ID));
        Self { folder, group: None }
    }

    /// Delegates a control group of version 2 to it, in which its commands see that version alone,
    /// as on a machine with nothing else.
    #[must_use]
    pub fn with_group(mut self) -> Self {
        let unified = Path::new("/sys/fs/cgroup/unified");
        let top = if unified.exists() { unified } else { Path::new("/sys/fs/cgroup") };
        let name = self.folder.path().file_name().unwrap();
        let group = top.join(name);
        std::fs::create_dir_all(group.join("session")).unwrap();
        for path in
            ["", "cgroup.procs", "cgroup.subtree_control", "session", "session/cgroup.procs"]
        {
            chown(group.join(path), Some(Self::ID), Some(Self::ID)).unwrap();
        }
        std::fs::write(self.folder.path().join("cgroup-top"), top.to_str().unwrap()).unwrap();
        std::fs::write(self.folder.path().join("cgroup"), name.to_str().unwrap()).unwrap();
        self.group = Some(group);
        self
    }

    /// Takes a program away from it.
    #[must_use]
    pub fn without(self, program: &str) -> Self {
        std::fs::write(self.folder.path().join("hidden"), program).unwrap();
        self
    }

    /// Takes /dev/net/tun from it, which only root may open then.
    #[must_use]
    pub fn without_tun(self) -> Self {
        let (path, mode) = (self.folder.path().join("tun"), Mode::from_raw_mode(0o600));
        rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()).unwrap();
        self
    }

    /// Its home directory.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Where it finds the program under test, by the name of an OCI runtime.
    pub fn oci_runtime(&self) -> PathBuf {
        self.folder.path().join("kista-oci")
    }

    /// `program` with arguments, to be run by this user. It is found under another path, since
    /// the user may not be able to reach where it is.
    pub fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let own = self.folder.path().join("kista").display().to_string();
        self.beside(program, &[&[own.as_str()], arguments].concat())
    }

    /// Another program's words, to be run by this user, to whom `program` is there as
    /// [`User::oci_runtime`].
    pub fn beside(&self, program: &Path, words: &[&str]) -> Command {
        let script = "set -e; for list in passwd group; do mount --bind $1/$list /etc/$list; done; \
            for list in subuid subgid; do mount --bind $1/sub /etc/$list; done; \
            mount --bind \"$2\" $1/kista; \
            [ ! -e /dev/net/tun ] || mount --bind $1/tun /dev/net/tun; \
            [ ! -e $1/hidden ] || for path in $(cat $1/hidden); do \
                mount --bind /dev/null $path; done; \
            if [ -e $1/cgroup ]; then mount --bind $(cat $1/cgroup-top) /sys/fs/cgroup; \
                echo $$ > /sys/fs/cgroup/$(cat $1/cgroup)/session/cgroup.procs; fi; \
            id=$3; shift 3; exec setpriv --reuid $id --regid $id --clear-groups -- \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "slave", "sh", "-c", script, "sh"])
            .arg(self.folder.path())
            .arg(program)
            .arg(Self::ID.to_string())
            .args(words)
            .current_dir(self.home());
        command
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let Some(group) = &self.group else { return };
        // The last ones may just be on their way out.
        for _ in 0..100 {
            let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.path().is_dir()) {
                let _ = std::fs::remove_dir(entry.path());
            }
            if std::fs::remove_dir(group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Default for User {
    fn default() -> Self {
        Self::new()
    }
}
