//! Limits in version 2's words, read back and felt.

use std::fs;

use testkit::{Kista, needs};

use crate::basics::group_of;
use crate::idle;

#[test]
fn limits_stand_in_version_2s_files() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    kista.ok(&idle(&[
        "--name",
        "box",
        "--memory",
        "64m",
        "--memory-swap",
        "96m",
        "--memory-reservation",
        "32m",
        "--cpus",
        "0.5",
        "--cpu-shares",
        "2048",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "33",
        "--blkio-weight",
        "500",
        "busybox",
    ]));
    let group = group_of(&kista, "box");
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap().trim().to_owned();
    assert_eq!(read("memory.max"), (64 << 20).to_string());
    assert_eq!(read("memory.low"), (32 << 20).to_string());
    assert_eq!(read("cpu.max"), "50000 100000");
    assert_eq!(read("cpu.weight"), "174");
    assert_eq!(read("cpuset.cpus"), "0");
    assert_eq!(read("pids.max"), "33");
    assert_eq!(read("io.bfq.weight"), "default 500");
    if group.join("memory.swap.max").exists() {
        assert_eq!(read("memory.swap.max"), (32 << 20).to_string());
    }
}

#[test]
fn memory_that_runs_out_is_told() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    let hungry = "x=aaaaaaaa; while :; do x=$x$x; done";
    let limits = ["--memory", "16m", "--memory-swap", "16m"];
    let out = kista
        .run(&[&["run", "--name", "box"], &limits[..], &["busybox", "sh", "-c", hungry]].concat());
    assert_eq!(out.code, 137, "{}", out.stderr);
    assert_eq!(kista.format("{{.State.OOMKilled}} {{.State.ExitCode}}", "box"), "true 137");
}

#[test]
fn tasks_are_counted() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait";
    let out = kista.run(&["run", "--rm", "--pids-limit", "4", "busybox", "sh", "-c", script]);
    assert!(out.code != 0 && out.stderr.contains("fork"), "{} {}", out.code, out.stderr);
}

/// The device program of version 2, from inside: nodes can be made, and not used.
#[test]
fn devices_are_those_allowed() {
    needs!(Root, Busybox, CgroupV2);
    let kista = Kista::with_busybox();
    let script = "mknod /tmp/kmsg c 1 11 && mknod /tmp/zero c 1 5 && head -c 1 /tmp/zero | wc -c; \
                  cat /tmp/kmsg";
    let flags = ["run", "--rm", "--profile", "docker"];
    let out = kista.run(&[&flags[..], &["busybox", "sh", "-c", script]].concat());
    assert_eq!(out.stdout.trim(), "1", "{}", out.stderr);
    assert!(out.stderr.contains("Operation not permitted"), "{}", out.stderr);
    let zero = ["--device", "/dev/vda:/dev/disk:r", "busybox", "sh", "-c"];
    let script = "head -c 1 /dev/disk | wc -c; echo x >/dev/disk";
    let out = kista.run(&[&["run", "--rm"], &zero[..], &[script]].concat());
    assert_eq!(out.stdout.trim(), "1", "{}", out.stderr);
    assert!(out.stderr.contains("Operation not permitted"), "{}", out.stderr);
}
