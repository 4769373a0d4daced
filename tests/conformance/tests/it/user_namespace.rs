//! User namespaces. runtime-spec 1.3.0, config-linux.md, "User namespace mappings".

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

const HOST: u32 = 100_000;

#[test]
fn ids_are_mapped_as_configured() {
    needs!(Root);
    let bundle =
        Bundle::script("cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /tmp/file")
            .user_namespace(HOST);
    let out = Runtime::under_test().run(&bundle).ok();
    let lines: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["0", "100000", "65536"]);
    assert_eq!(lines[1], ["0", "100000", "65536"]);
    assert_eq!(lines[2], ["0"]);
    assert_eq!(fs::metadata(bundle.rootfs().join("tmp/file")).unwrap().uid(), HOST);
}

#[test]
fn several_mappings_are_kept() {
    needs!(Root);
    let bundle = Bundle::script("cat /proc/self/uid_map; id -u; id -g")
        .user_namespace(HOST)
        .set(
            "linux.uidMappings",
            json!([
                {"containerID": 0, "hostID": HOST, "size": 10},
                {"containerID": 10, "hostID": 200_000, "size": 5},
                {"containerID": 1000, "hostID": 300_000, "size": 1},
            ]),
        )
        .set("process.user", json!({"uid": 1000, "gid": 12}));
    let out = Runtime::under_test().run(&bundle).ok();
    let lines: Vec<Vec<_>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines[..3],
        [vec!["0", "100000", "10"], vec!["10", "200000", "5"], vec!["1000", "300000", "1"],]
    );
    assert_eq!(lines[3..], [vec!["1000"], vec!["12"]]);
}

#[test]
fn default_devices_work_in_a_user_namespace() {
    needs!(Root);
    let bundle = Bundle::script(
        "echo x >/dev/null && head -c 2 /dev/zero | wc -c && stat -c %t:%T /dev/full",
    )
    .user_namespace(HOST);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "2\n1:7");
}

#[test]
fn every_namespace_belongs_to_the_user_namespace() {
    needs!(Root);
    // hostname(1) writes: that is allowed if the UTS namespace belongs to ours.
    let bundle =
        Bundle::script("hostname renamed && hostname && mount -t tmpfs tmpfs /tmp && echo mounted")
            .user_namespace(HOST)
            .capabilities(&["CAP_SYS_ADMIN"]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "renamed\nmounted");
}

#[test]
fn all_features_together() {
    needs!(Root);
    let bundle = Bundle::script("cat /etc/secret; id -u; cat /proc/sys/net/ipv4/ip_forward; pwd")
        .user_namespace(HOST)
        .namespace("cgroup")
        .set("linux.maskedPaths", json!(["/etc/secret", "/proc/timer_list", "/proc/acpi"]))
        .set("linux.readonlyPaths", json!(["/proc/sys", "/proc/bus"]))
        .set("linux.sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("process.user", json!({"uid": 1000, "gid": 1000}))
        .set("root.readonly", true)
        .set("process.cwd", "/tmp");
    bundle.file("etc/secret", "secret");
    assert_eq!(Runtime::under_test().run(&bundle.chown(HOST)).ok(), "1000\n1\n/tmp");
}

#[test]
fn exec_joins_the_user_namespace() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle().user_namespace(HOST));
    container.start();
    let out = container.exec(&["sh", "-c", "id -u; cat /proc/self/uid_map"]).ok();
    assert!(out.starts_with("0\n") && out.contains("100000"), "{out}");
    let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_ne!(link(&container.pid().to_string()), link("self"));
}

#[test]
fn a_user_namespace_can_be_joined() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let first = runtime.create(&Bundle::idle().user_namespace(HOST));
    first.start();
    let path = format!("/proc/{}/ns/user", first.pid());
    let bundle = Bundle::script("cat /proc/self/uid_map; readlink /proc/self/ns/user")
        .chown(HOST)
        .namespace("network")
        .join("user", &path);
    let out = runtime.run(&bundle).ok();
    assert!(out.contains("100000"), "{out}");
    assert!(out.ends_with(fs::read_link(path).unwrap().to_str().unwrap()), "{out}");
}

#[test]
fn mappings_without_the_namespace_are_not_applied_in_silence() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let map = json!([{"containerID": 0, "hostID": HOST, "size": 10}]);
    let bundle = Bundle::running(&["true"])
        .set("linux.uidMappings", map.clone())
        .set("linux.gidMappings", map);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_user_that_is_not_mapped_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).user_namespace(HOST).set("process.user.uid", 70_000);
    let out = runtime.run(&bundle);
    assert_ne!(out.code, 0);
    runtime.assert_nothing_left(&bundle);
}
