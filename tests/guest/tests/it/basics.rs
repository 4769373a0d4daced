//! The first things that anyone does.

use std::fs;
use std::path::Path;

use testkit::{Kista, needs, wait_until};

use crate::idle;

#[test]
fn the_embedded_image_runs() {
    needs!(Root, StaticKista, CgroupV2);
    let kista = Kista::new();
    let out = kista.ok(&["run", "--rm", "hello"]);
    assert!(out.contains("pid"), "{out}");
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
    kista.ok(&["system", "check"]);
}

#[test]
fn containers_are_paused_killed_and_removed_without_a_trace() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    let id = kista.ok(&idle(&["--name", "box", "busybox"]));
    let group = group_of(&kista, "box");
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap();
    assert!(read("cgroup.events").contains("populated 1"));

    kista.ok(&["pause", "box"]);
    assert!(read("cgroup.events").contains("frozen 1"));
    assert_eq!(kista.format("{{.State.Status}}", "box"), "paused");
    kista.ok(&["unpause", "box"]);
    assert!(read("cgroup.events").contains("frozen 0"));

    assert_eq!(kista.ok(&["exec", "box", "echo", "inside"]), "inside");
    kista.ok(&["kill", "box"]);
    assert_eq!(kista.ok(&["wait", "box"]), "137");
    wait_until("the group is gone", || (!group.exists()).then_some(()));
    kista.ok(&["rm", "box"]);
    assert!(!kista.ok(&["ps", "-aq", "--no-trunc"]).contains(&id));
    kista.ok(&["system", "check"]);
}

/// A paused container can be removed by force: its processes die although they are frozen.
#[test]
fn a_paused_container_is_removed_by_force() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    kista.ok(&idle(&["--name", "cold", "busybox"]));
    let group = group_of(&kista, "cold");
    kista.ok(&["pause", "cold"]);
    kista.ok(&["rm", "-f", "cold"]);
    wait_until("the group is gone", || (!group.exists()).then_some(()));
}

/// The group of a container: the only child of the data directory's own.
pub(crate) fn group_of(kista: &Kista, name: &str) -> std::path::PathBuf {
    let pid = kista.format("{{.State.Pid}}", name);
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = own.trim().strip_prefix("0::/").unwrap_or_else(|| panic!("{own}"));
    Path::new("/sys/fs/cgroup").join(path)
}
