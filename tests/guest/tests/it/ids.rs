//! Containers with ids of their own, on a kernel whose overlays want their layers attached.

use testkit::{Kista, needs};

use crate::idle;

#[test]
fn a_container_has_ids_of_its_own_and_files_keep_theirs() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    kista.ok(&idle(&["--userns", "auto", "-v", "vol:/vol", "--name", "box", "busybox"]));
    let script = "id -u; stat -c %u /bin/busybox; touch /new /vol/new && stat -c %u /new /vol/new; \
        grep -c ' 65536$' /proc/self/uid_map";
    assert_eq!(kista.ok(&["exec", "box", "sh", "-c", script]), "0\n0\n0\n0\n1");
    let pid = kista.format("{{.State.Pid}}", "box");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap();
    assert!(uid.split('\t').next().unwrap().parse::<u32>().unwrap() >= 1 << 30, "{uid}");
    kista.ok(&["rm", "-f", "box"]);
    kista.ok(&["system", "check"]);
}

/// Where procfs has no `pidns` option a container that joins another's processes is made inside.
#[test]
fn processes_of_another_container_are_joined() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    kista.ok(&idle(&["--name", "box", "busybox"]));
    let theirs = kista.ok(&["exec", "box", "readlink", "/proc/self/ns/pid"]);
    let run = ["run", "--rm", "--pid", "container:box", "busybox"];
    let out = kista
        .ok(&[&run[..], &["sh", "-c", "readlink /proc/self/ns/pid; cat /proc/1/comm"]].concat());
    assert_eq!(out, format!("{theirs}\nsleep"));
    kista.ok(&["rm", "-f", "box"]);
}
