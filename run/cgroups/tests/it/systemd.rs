//! Groups that systemd makes. Where it is pid 1: in a guest.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use cgroups::{
    Cgroup, CgroupError, Controller, Delegation, Hierarchy, Instance, Options, Systemd, Unit,
    default_device_rules,
};
use oci::runtime::{Cpu, DeviceRule, Memory, Pids, Resources};
use testkit::needs;

use crate::{PATIENCE, enter, eventually, sleep, wait};

/// A unit for one test, which is stopped when dropped.
struct Scope {
    systemd: Systemd,
    hierarchy: Hierarchy,
    unit: Unit,
    path: String,
}

impl Scope {
    fn new(name: &str) -> Self {
        let path = format!("kista-test.slice:test:{name}-{}", std::process::id());
        Self {
            systemd: Systemd::connect(Instance::System).unwrap(),
            hierarchy: Hierarchy::detect().unwrap(),
            unit: Unit::new(Some(&path), "unused").unwrap(),
            path,
        }
    }

    /// As `linux.cgroupsPath` has it.
    fn path(&self) -> &str {
        &self.path
    }

    fn try_create(&mut self, resources: &Resources) -> Result<Cgroup, CgroupError> {
        self.systemd.create(&self.hierarchy, &self.unit, resources, &Options::default())
    }

    fn create(&mut self, resources: &Resources) -> Cgroup {
        self.try_create(resources).unwrap()
    }

    /// What systemd says of the unit.
    fn shown(&self, property: &str) -> String {
        show(&["show", self.unit.name(), "--property", property, "--value"])
    }

    fn is_known(&self) -> bool {
        self.shown("LoadState") != "not-found" && self.shown("ActiveState") == "active"
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let _ = self.systemd.stop(self.unit.name());
    }
}

fn show(arguments: &[&str]) -> String {
    let output = Command::new("systemctl").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn read(group: &Cgroup, controller: Controller, name: &str) -> String {
    let path = group.directory(controller).unwrap().join(name);
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

fn limits(bytes: i64, tasks: i64) -> Resources {
    Resources {
        memory: Some(Memory { limit: Some(bytes), ..Memory::default() }),
        pids: Some(Pids { limit: Some(tasks) }),
        ..Resources::default()
    }
}

#[test]
fn systemd_and_the_files_agree_on_limits() {
    needs!(Root, Systemd);
    let mut scope = Scope::new("limits");
    let cpu = Cpu {
        shares: Some(2048),
        quota: Some(33_333),
        period: Some(100_000),
        cpus: Some("0".into()),
        ..Cpu::default()
    };
    let mut group = scope.create(&Resources { cpu: Some(cpu), ..limits(64 << 20, 20) });
    assert_eq!(group.path(), &scope.systemd.path(&scope.unit).unwrap());
    assert!(group.path().as_str().starts_with("kista.slice/kista-test.slice/test-limits-"));
    assert!(group.processes().unwrap().is_empty(), "what keeps it is not the container's");
    let child = enter(&group.join_handle().unwrap(), sleep);
    group.settle().unwrap();
    assert_eq!(group.processes().unwrap(), [child.pid]);
    assert!(scope.is_known());
    assert_eq!(scope.shown("Delegate"), "yes");
    assert_eq!(scope.shown("TasksMax"), "20");
    assert_eq!(scope.shown("CPUQuotaPerSecUSec"), "340ms");
    assert_eq!(scope.shown("AllowedCPUs"), "0");
    assert_eq!(read(&group, Controller::Pids, "pids.max"), "20");
    let read = group.limits().unwrap();
    assert_eq!(read.memory.unwrap().limit, Some(64 << 20));
    assert_eq!(read.cpu.unwrap().quota, Some(34_000));

    // systemd writes all that it knows once more: nothing of ours may go.
    show(&["daemon-reload"]);
    assert_eq!(group.limits().unwrap().pids.unwrap().limit, Some(20));

    let update = Resources { cpu: None, ..limits(96 << 20, 30) };
    scope.systemd.update(&group, scope.unit.name(), &update).unwrap();
    assert_eq!(scope.shown("TasksMax"), "30");
    show(&["daemon-reload"]);
    let read = group.limits().unwrap();
    assert_eq!(read.memory.unwrap().limit, Some(96 << 20));
    assert_eq!(read.pids.unwrap().limit, Some(30));
    assert_eq!(read.cpu.unwrap().quota, Some(34_000), "what was not named stays");

    scope.systemd.stop(scope.unit.name()).unwrap();
    assert!(matches!(wait(&child), -15 | -9));
    scope.hierarchy.destroy(group.path(), PATIENCE).unwrap();
    assert!(!scope.is_known());
    scope.systemd.stop(scope.unit.name()).unwrap(); // again: no error
}

#[test]
fn a_scope_ends_with_its_last_process() {
    needs!(Root, Systemd);
    let mut scope = Scope::new("ends");
    let mut group = scope.create(&Resources::default());
    let child = enter(&group.join_handle().unwrap(), || 3);
    group.settle().unwrap();
    assert_eq!(wait(&child), 3);
    eventually("systemd lets it go", || !scope.is_known());
    scope.hierarchy.destroy(group.path(), PATIENCE).unwrap();
}

/// Whoever makes a container may be killed at any moment.
#[test]
fn a_scope_ends_with_its_maker_if_nobody_entered() {
    needs!(Root, Systemd);
    let mut scope = Scope::new("maker");
    let mut maker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "systemd::makes_a_scope_and_waits", "--ignored"])
        .env("SCOPE", scope.path())
        .spawn()
        .unwrap();
    eventually("it is made", || scope.is_known());
    maker.kill().unwrap();
    maker.wait().unwrap();
    eventually("systemd lets it go", || !scope.is_known());
    // Its name can be had again.
    drop(scope.create(&Resources::default()));
}

#[test]
#[ignore = "run by the test above, to be killed"]
fn makes_a_scope_and_waits() {
    let mut systemd = Systemd::connect(Instance::System).unwrap();
    let unit = Unit::new(Some(&std::env::var("SCOPE").unwrap()), "unused").unwrap();
    let hierarchy = Hierarchy::detect().unwrap();
    let options = Options::default();
    let _group = systemd.create(&hierarchy, &unit, &Resources::default(), &options).unwrap();
    sleep();
}

#[test]
fn one_task_is_the_containers() {
    needs!(Root, Systemd);
    let mut scope = Scope::new("one");
    let mut group = scope.create(&limits(64 << 20, 0));
    let child = enter(&group.join_handle().unwrap(), || {
        eventually("the limit is in force", || sys::process::fork(|| 0).is_err());
        7
    });
    group.settle().unwrap();
    assert_eq!(wait(&child), 7);
}

#[test]
fn devices_stay_forbidden_when_systemd_writes_its_rules_again() {
    needs!(Root, Systemd);
    let mut scope = Scope::new("devices");
    let rules = default_device_rules();
    let mut group = scope.create(&Resources { devices: rules.clone(), ..Resources::default() });
    let keeper = enter(&group.join_handle().unwrap(), sleep);
    group.settle().unwrap();
    let opens = |path: &'static str| {
        let child = enter(&group.join_handle().unwrap(), || {
            let flags = rustix::fs::OFlags::RDONLY;
            i32::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).is_ok())
        });
        wait(&child) == 1
    };
    let check = |kmsg: bool| {
        assert!(opens("/dev/null"));
        assert_eq!(opens("/dev/kmsg"), kmsg);
    };
    check(false);
    show(&["daemon-reload"]);
    check(false);
    // Rules for which systemd has no words: any but one.
    let rule = |allow, minor: Option<i64>, kind: Option<&str>| DeviceRule {
        allow,
        kind: kind.map(str::to_owned),
        major: minor.map(|_| 1),
        minor,
        access: None,
    };
    for (minor, kmsg) in [(11, false), (5, true)] {
        let rules = vec![rule(true, None, None), rule(false, Some(minor), Some("c"))];
        let resources = Resources { devices: rules, ..Resources::default() };
        scope.systemd.update(&group, scope.unit.name(), &resources).unwrap();
        check(kmsg);
        assert_eq!(opens("/dev/zero"), minor != 5);
    }
    let resources = Resources { devices: rules, ..Resources::default() };
    scope.systemd.update(&group, scope.unit.name(), &resources).unwrap();
    check(false);
    group.kill(PATIENCE).unwrap();
    wait(&keeper);
}

#[test]
fn annotations_and_slices_reach_systemd() {
    needs!(Root, Systemd);
    let mut scope = Scope::new("annotated");
    let annotations = BTreeMap::from(
        [("TimeoutStopSec", "uint64 77"), ("CollectMode", "'inactive-or-failed'")]
            .map(|(name, value)| (format!("org.systemd.property.{name}"), value.to_owned())),
    );
    scope.unit = scope.unit.clone().with_annotations(&annotations).unwrap();
    let mut group = scope.create(&Resources::default());
    let child = enter(&group.join_handle().unwrap(), sleep);
    group.settle().unwrap();
    assert_eq!(scope.shown("TimeoutStopUSec"), "1min 17s");
    assert_eq!(scope.shown("CollectMode"), "inactive-or-failed");
    assert_eq!(scope.shown("Slice"), "kista-test.slice");
    // Taken: somebody is in it.
    assert!(matches!(scope.try_create(&Resources::default()), Err(CgroupError::Exists { .. })));
    assert_eq!(group.processes().unwrap(), [child.pid], "the one that is there stays");
    group.kill(PATIENCE).unwrap();
    wait(&child);

    let mut scope = Scope::new("odd");
    let odd = BTreeMap::from([("org.systemd.property.NoSuchThing".to_owned(), "1".to_owned())]);
    scope.unit = scope.unit.clone().with_annotations(&odd).unwrap();
    let error = scope.try_create(&Resources::default()).unwrap_err();
    assert!(matches!(error, CgroupError::Unit { .. }), "{error}");
    assert!(error.to_string().contains("NoSuchThing"), "{error}");
}

/// A user's own systemd makes groups below its own, without any right of root.
#[test]
fn a_user_has_groups_by_their_own_systemd() {
    needs!(Root, Systemd, CgroupV2);
    if show(&["is-active", "user@1000.service"]) != "active" {
        let started = Command::new("systemctl").args(["start", "user@1000.service"]).status();
        assert!(started.unwrap().success(), "{}", show(&["status", "user@1000.service"]));
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "systemd::inside_a_users_session", "--ignored", "--nocapture"])
        .env("XDG_RUNTIME_DIR", "/run/user/1000")
        .uid(1000)
        .gid(1000)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
}

#[test]
#[ignore = "run by the test above, as a user"]
fn inside_a_users_session() {
    let mut systemd = Systemd::connect(Instance::User).unwrap();
    let hierarchy = Hierarchy::detect().unwrap();
    let unit = Unit::new(Some(&format!(":test:user-{}", std::process::id())), "unused").unwrap();
    let options = Options::default();
    let reason = match hierarchy.delegation().unwrap() {
        Delegation::Nothing { reason } => reason,
        other => panic!("a session's group is its user's: {other:?}"),
    };
    assert!(reason.contains("systemd-run --user --scope"), "{reason}");
    let mut group = systemd.create(&hierarchy, &unit, &limits(64 << 20, 20), &options).unwrap();
    let path = group.path().to_string();
    assert!(path.starts_with("user.slice/user-1000.slice/user@1000.service/user.slice/"), "{path}");
    assert_eq!(read(&group, Controller::Pids, "pids.max"), "20");
    assert_eq!(read(&group, Controller::Memory, "memory.max"), (64 << 20).to_string());
    assert!(group.directories().all(|(dir, _)| {
        rustix::fs::access(dir.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok()
    }));
    // From a session the kernel lets nobody in; from inside, a child is born there.
    let outside = group.join_handle().unwrap();
    let clone = sys::process::clone(sys::process::CloneFlags::empty(), outside.clone_into(), || 0);
    assert!(clone.is_err());
    systemd.attach(unit.name(), rustix::process::getpid()).unwrap();
    group.settle().unwrap();
    let hierarchy = Hierarchy::detect().unwrap(); // where we are is asked once
    assert_eq!(hierarchy.own_group(&hierarchy.mounts()[0]).unwrap(), Some(path.as_str()));
    let child = enter(&group.join_handle().unwrap(), sleep);
    assert!(group.processes().unwrap().contains(&child.pid));
    // And here there is a place for groups of our own, without asking anybody.
    let Delegation::Below { parent, controllers } = hierarchy.delegation().unwrap() else {
        panic!("{:?}", hierarchy.delegation());
    };
    assert_eq!(parent, group.path().parent().unwrap());
    assert!(controllers.contains(Controller::Memory), "{controllers:?}");
    let own = parent.join("kista-own").unwrap();
    let below = hierarchy.create(&own, &limits(32 << 20, 5), &options).unwrap();
    let second = enter(&below.join_handle().unwrap(), sleep);
    assert_eq!(below.processes().unwrap(), [second.pid]);
    assert_eq!(read(&below, Controller::Pids, "pids.max"), "5");
    hierarchy.destroy(&own, PATIENCE).unwrap();
    assert_eq!(wait(&second), -9);
    rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL).unwrap();
    assert_eq!(wait(&child), -9);
}
