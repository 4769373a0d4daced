//! `kista-oci --systemd-cgroup`, where systemd is pid 1.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use testkit::oci::{Bundle, Runtime};
use testkit::{needs, wait_until};

/// A container whose group systemd makes, by the name of its scope.
struct Scoped {
    runtime: Runtime,
    bundle: Bundle,
    name: String,
    /// Whose it is, and whose systemd.
    user: Option<u32>,
}

impl Scoped {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let bundle = Bundle::running(&["sleep", "1000"])
            .set("linux.cgroupsPath", format!("kista-test.slice:test:{name}"))
            .set("linux.resources.pids.limit", 33)
            .set("linux.resources.memory.limit", 64 << 20);
        bundle.write();
        Self { runtime: Runtime::under_test(), bundle, name, user: None }
    }

    /// Of a user with their own two ids alone.
    fn of_user(name: &str, user: u32) -> Self {
        let mut scoped = Self::new(name);
        let map = json!([{"containerID": 0, "hostID": user, "size": 1}]);
        let name = &scoped.name;
        scoped.bundle = Bundle::running(&["sleep", "1000"])
            .set("linux.cgroupsPath", format!(":test:{name}"))
            .set("linux.resources.pids.limit", 33)
            .namespace("network")
            .namespace("user")
            .namespace("cgroup")
            .set("linux.uidMappings", map.clone())
            .set("linux.gidMappings", map)
            .chown(user);
        scoped.bundle.write();
        // Its state is the user's, too.
        let folder = scoped.runtime.folder();
        std::os::unix::fs::chown(folder, Some(user), Some(user)).unwrap();
        scoped.user = Some(user);
        scoped
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.runtime.command(&["--systemd-cgroup"]);
        command.args(words).current_dir(self.bundle.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user).env("XDG_RUNTIME_DIR", format!("/run/user/{user}"));
        }
        command
    }

    fn run(&self, words: &[&str]) -> bool {
        self.command(words).status().unwrap().success()
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) {
        assert!(self.run(words), "{words:?}");
    }

    fn state(&self) -> String {
        let out = self.runtime.command(&["--systemd-cgroup", "state", &self.name]).output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    }

    fn scope(&self) -> String {
        format!("test-{}.scope", self.name)
    }

    fn shown(&self, property: &str) -> String {
        let show = ["show", &self.scope(), "--property", property, "--value"];
        let out = Command::new("systemctl").args(show).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn group(&self) -> PathBuf {
        // A slice with a dash is below the one before the dash.
        Path::new("/sys/fs/cgroup/kista.slice/kista-test.slice").join(self.scope())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.group().join(file)).unwrap().trim().to_owned()
    }

    #[track_caller]
    fn assert_gone(&self) {
        wait_until("the scope is gone", || {
            (self.shown("ActiveState") == "inactive" && !self.group().exists()).then_some(())
        });
    }
}

#[test]
fn a_scope_has_the_limits_and_all_processes_and_goes_with_the_container() {
    needs!(Root, StaticKista, Systemd, CgroupV2);
    let scoped = Scoped::new("life");
    let name = scoped.name.as_str();
    scoped.ok(&["create", name]);
    assert_eq!(scoped.shown("ActiveState"), "active");
    assert_eq!(scoped.shown("Slice"), "kista-test.slice");
    assert_eq!(scoped.shown("TasksMax"), "33");
    assert_eq!(scoped.shown("MemoryMax"), (64 << 20).to_string());
    assert_eq!(
        (scoped.read("pids.max"), scoped.read("cgroup.procs").lines().count()),
        ("33".into(), 1)
    );

    scoped.ok(&["start", name]);
    scoped.ok(&["exec", "--detach", name, "sleep", "1000"]);
    wait_until("two processes", || {
        (scoped.read("cgroup.procs").lines().count() == 2).then_some(())
    });
    scoped.ok(&["update", "--pids-limit", "44", "--memory", "96M", name]);
    assert_eq!((scoped.shown("TasksMax"), scoped.read("pids.max")), ("44".into(), "44".into()));
    assert_eq!(scoped.read("memory.max"), (96 << 20).to_string());
    // What systemd sets anew by itself is what was said to it.
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    assert_eq!(scoped.read("pids.max"), "44");

    scoped.ok(&["pause", name]);
    assert!(scoped.state().contains("\"paused\""), "{}", scoped.state());
    assert!(scoped.read("cgroup.events").contains("frozen 1"));
    scoped.ok(&["resume", name]);
    assert!(scoped.state().contains("\"running\""), "{}", scoped.state());
    assert!(!scoped.run(&["delete", name]), "it runs");
    scoped.ok(&["delete", "--force", name]);
    scoped.assert_gone();
}

#[test]
fn a_killed_maker_leaves_no_scope() {
    needs!(Root, StaticKista, Systemd, CgroupV2);
    let scoped = Scoped::new("killed");
    let name = scoped.name.as_str();
    for milliseconds in [0, 5, 10, 20, 40, 60, 80, 120, 160, 240, 320] {
        let mut maker = scoped.command(&["run", "--detach", name]).spawn().unwrap();
        // The instant is chance: what must hold holds at each.
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let _ = maker.kill();
        maker.wait().unwrap();
        scoped.ok(&["delete", "--force", name]);
        scoped.assert_gone();
    }
    scoped.ok(&["run", "--detach", name]);
    scoped.ok(&["delete", "--force", name]);
    scoped.assert_gone();
}

/// By their own systemd, from a place in the tree from which the kernel lets them enter no group.
#[test]
fn a_users_container_is_in_a_scope_of_their_own_systemd() {
    needs!(Root, StaticKista, Systemd, CgroupV2);
    let user = 1000;
    let started = Command::new("systemctl").args(["start", "user@1000.service"]).status();
    assert!(started.unwrap().success());
    let scoped = Scoped::of_user("user", user);
    let name = scoped.name.as_str();
    scoped.ok(&["create", name]);
    let group = Path::new("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice")
        .join(scoped.scope());
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap().trim().to_owned();
    let count = || read("cgroup.procs").lines().count();
    assert_eq!((read("pids.max"), count()), ("33".into(), 1));
    scoped.ok(&["start", name]);
    let init = read("cgroup.procs");
    // Its own view of the tree begins at its group, although it was born elsewhere.
    assert!(fs::read_to_string(format!("/proc/{init}/cgroup")).unwrap().contains(name));
    let out = scoped.command(&["exec", name, "cat", "/proc/1/cgroup", "/proc/self/cgroup"]);
    let out = { out }.stdout(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "0::/\n0::/\n");
    scoped.ok(&["exec", "--detach", name, "sleep", "1000"]);
    wait_until("two processes", || (count() == 2).then_some(()));
    scoped.ok(&["update", "--pids-limit", "44", name]);
    assert_eq!(read("pids.max"), "44");
    scoped.ok(&["pause", name]);
    assert!(read("cgroup.events").contains("frozen 1"));
    scoped.ok(&["delete", "--force", name]);
    wait_until("the scope is gone", || (!group.exists()).then_some(()));
    // Where the group is ours to make, limits cannot be had here, and it is said why.
    let out = scoped
        .runtime
        .command(&["run", "--bundle"])
        .arg(scoped.bundle.path())
        .arg(name)
        .uid(user)
        .gid(user)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("pids.limit cannot be set by this user"), "{said}");
}

/// From a session whose group is not the user's, and with no right of root: each command that needs
/// a place for groups asks for one.
#[test]
fn a_users_containers_have_limits_in_a_plain_session() {
    needs!(Root, Busybox, Systemd, CgroupV2);
    let started = Command::new("systemctl").args(["start", "user@1000.service"]).status();
    assert!(started.unwrap().success());
    let home = Path::new("/home/user");
    let archive = home.join("image.tar");
    fs::write(&archive, testkit::Image::busybox("busybox").docker_archive()).unwrap();
    let command = |words: &[&str]| {
        let mut command = Command::new(testkit::program());
        command.args(words).current_dir(home).uid(1000).gid(1000).stdin(Stdio::null());
        command.env("HOME", home).env("XDG_RUNTIME_DIR", "/run/user/1000");
        command.env_remove("KISTA_CONFIG").env_remove("KISTA_ROOT");
        command
    };
    let run = |words: &[&str]| {
        let out = command(words).output().unwrap();
        let (said, text) = (String::from_utf8_lossy(&out.stderr), out.stdout);
        assert!(out.status.success(), "{words:?}: {said}");
        // No warning: all of it is done.
        assert_eq!(said, "", "{words:?}");
        String::from_utf8(text).unwrap().trim().to_owned()
    };
    run(&["load", "-q", "-i", archive.to_str().unwrap()]);
    let limits = ["--memory", "64m", "--pids-limit", "33", "--network", "none"];
    run(&[&["run", "-d", "--name", "one"], &limits[..], &["busybox", "sleep", "1000"]].concat());
    let group_of = |pid: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        Path::new("/sys/fs/cgroup").join(text.trim().trim_start_matches("0::/"))
    };
    let group = group_of(&run(&["inspect", "--format", "{{.State.Pid}}", "one"]));
    let own = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice";
    assert!(group.starts_with(own), "{}", group.display());
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap().trim().to_owned();
    assert_eq!((read("memory.max"), read("pids.max")), ((64 << 20).to_string(), "33".into()));
    // Every command comes from outside: into the group, too.
    run(&["exec", "-d", "one", "sleep", "1000"]);
    wait_until("two processes", || (read("cgroup.procs").lines().count() == 2).then_some(()));
    run(&["pause", "one"]);
    assert!(read("cgroup.events").contains("frozen 1"));
    run(&["unpause", "one"]);
    run(&["rm", "-f", "one"]);
    assert!(!group.exists(), "{}", group.display());
    // The scopes of the commands are gone with what they started.
    wait_until("the scopes are gone", || {
        let left = fs::read_dir(own).unwrap().flatten();
        let names = left.map(|entry| entry.file_name().into_string().unwrap());
        let mut scopes =
            names.filter(|name| name.starts_with("kista-") && name.ends_with(".scope"));
        scopes.next().is_none().then_some(())
    });
    // Where nobody can be asked, it is said.
    let words = [&["run", "--rm"], &limits[..], &["busybox", "true"]].concat();
    let out = command(&words).env_remove("XDG_RUNTIME_DIR").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains("no control groups"), "{said}");
}
