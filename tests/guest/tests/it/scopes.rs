//! `kista-oci --systemd-cgroup`, where systemd is pid 1.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::oci::{Bundle, Runtime};
use testkit::{needs, wait_until};

/// A container whose group systemd makes, by the name of its scope.
struct Scoped {
    runtime: Runtime,
    bundle: Bundle,
    name: String,
}

impl Scoped {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let bundle = Bundle::running(&["sleep", "1000"])
            .set("linux.cgroupsPath", format!("kista-test.slice:test:{name}"))
            .set("linux.resources.pids.limit", 33)
            .set("linux.resources.memory.limit", 64 << 20);
        bundle.write();
        Self { runtime: Runtime::under_test(), bundle, name }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.runtime.command(&["--systemd-cgroup"]);
        command.args(words).current_dir(self.bundle.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
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
