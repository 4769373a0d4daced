//! `namespaces`, `hostname`, `domainname`, `timeOffsets`. runtime-spec 1.3.0, config-linux.md,
//! "Namespaces"; config.md, "Hostname", "Domainname".

use std::fs;

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

/// Names as the spec has them, and as the kernel has.
const KINDS: &[(&str, &str)] = &[
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
];

fn link(path: &str) -> String {
    fs::read_link(path).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn listed_namespaces_are_new() {
    needs!(Root);
    let bundle = Bundle::idle().namespace("network").namespace("cgroup");
    let container = Runtime::under_test().create(&bundle);
    for (_, name) in KINDS {
        let theirs = link(&format!("/proc/{}/ns/{name}", container.pid()));
        assert_ne!(theirs, link(&format!("/proc/self/ns/{name}")));
    }
}

#[test]
fn namespaces_that_are_not_listed_are_the_runtimes() {
    needs!(Root);
    let bundle = Bundle::idle()
        .without("hostname")
        .without_mounts("/dev/mqueue")
        .set("linux.namespaces", json!([{"type": "mount"}]));
    let container = Runtime::under_test().create(&bundle);
    for name in ["pid", "net", "ipc", "uts", "cgroup", "user", "time"] {
        let theirs = link(&format!("/proc/{}/ns/{name}", container.pid()));
        assert_eq!(theirs, link(&format!("/proc/self/ns/{name}")));
    }
}

#[test]
fn namespaces_are_joined_by_their_paths() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let first = runtime.create(&Bundle::idle().namespace("network"));
    first.start();
    for (kind, name) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
        let path = format!("/proc/{}/ns/{name}", first.pid());
        let bundle = Bundle::idle().without("hostname").join(kind, &path);
        let container = runtime.create(&bundle);
        container.start();
        assert_eq!(link(&format!("/proc/{}/ns/{name}", container.pid())), link(&path), "{kind}");
    }
}

#[test]
fn a_joined_pid_namespace_shows_the_others_processes() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let first = runtime.create(&Bundle::script("exec sleep 1234"));
    first.start();
    let path = format!("/proc/{}/ns/pid", first.pid());
    let bundle = Bundle::script("echo $$; cat /proc/1/cmdline").join("pid", &path);
    let out = runtime.run(&bundle).ok();
    assert!(out.contains("sleep\x001234") && !out.starts_with("1\n"), "{out:?}");
}

#[test]
fn the_host_and_domain_names_are_the_containers() {
    needs!(Root);
    let names = || {
        ["hostname", "domainname"].map(|name| fs::read(format!("/proc/sys/kernel/{name}")).unwrap())
    };
    let before = names();
    let bundle = Bundle::script("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname")
        .set("hostname", "mrs.dalloway")
        .set("domainname", "foo.test");
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "mrs.dalloway\nfoo.test");
    assert_eq!(names(), before);
}

#[test]
fn a_host_name_needs_a_uts_namespace() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let before = fs::read("/proc/sys/kernel/hostname").unwrap();
    for property in ["hostname", "domainname"] {
        let bundle = Bundle::running(&["true"])
            .without("hostname")
            .without_namespace("uts")
            .set(property, "conformance");
        assert!(runtime.try_create(&bundle).is_err(), "{property}");
        runtime.assert_nothing_left(&bundle);
    }
    assert_eq!(fs::read("/proc/sys/kernel/hostname").unwrap(), before);
}

#[test]
fn clocks_are_offset_in_a_time_namespace() {
    needs!(Root);
    let bundle = Bundle::script("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime")
        .namespace("time")
        .set(
            "linux.timeOffsets",
            json!({"monotonic": {"secs": 7881, "nanosecs": 2}, "boottime": {"secs": 1_000_000_000}}),
        );
    let out = Runtime::under_test().run(&bundle).ok();
    let lines: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["monotonic", "7881", "2"]);
    assert_eq!(lines[1], ["boottime", "1000000000", "0"]);
    assert!(lines[2][0].parse::<u64>().unwrap() >= 1_000_000_000, "{out}");
}

#[test]
fn offsets_need_a_time_namespace() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle =
        Bundle::running(&["true"]).set("linux.timeOffsets", json!({"boottime": {"secs": 1}}));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_clock_that_is_none_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"])
        .namespace("time")
        .set("linux.timeOffsets", json!({"realtime": {"secs": 1}}));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn the_cgroup_namespace_begins_at_the_containers_cgroup() {
    needs!(Root);
    let bundle = Bundle::script("cat /proc/self/cgroup").namespace("cgroup");
    let out = Runtime::under_test().run(&bundle).ok();
    for line in out.lines().filter(|line| line.contains("memory") || line.contains("pids")) {
        assert!(line.ends_with(":/"), "{line}");
    }
}

#[test]
fn loopback_is_up_in_a_new_network_namespace() {
    needs!(Root);
    let bundle = Bundle::script(
        "cat /sys/class/net/lo/operstate /proc/net/dev | grep -c lo:; cat /sys/class/net/lo/flags",
    )
    .namespace("network");
    let out = Runtime::under_test().run(&bundle).ok();
    assert!(out.ends_with("0x9"), "{out}"); // IFF_UP | IFF_LOOPBACK
}
