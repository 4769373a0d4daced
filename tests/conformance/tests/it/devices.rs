//! `devices`, and the device cgroup. runtime-spec 1.3.0, config-linux.md, "Devices" and
//! "Allowed Device list".

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn devices_are_made_as_configured() {
    needs!(Root);
    let bundle = Bundle::script("stat -c '%n %F %t:%T %a %u %g' /dev/one /opt/deep/two /dev/pipe /dev/usual")
        .set(
            "linux.devices",
            json!([
                {"path": "/dev/one", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 10, "gid": 20},
                {"path": "/opt/deep/two", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600},
                {"path": "/dev/pipe", "type": "p", "fileMode": 0o666},
                {"path": "/dev/usual", "type": "u", "major": 1, "minor": 7, "fileMode": 0o666},
            ]),
        );
    let out = Runtime::under_test().run(&bundle).ok();
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [
            "/dev/one character special file 1:5 640 10 20",
            "/opt/deep/two block special file 7:c8 600 0 0",
            "/dev/pipe fifo 0:0 666 0 0",
            "/dev/usual character special file 1:7 666 0 0",
        ]
    );
}

#[test]
fn a_file_in_the_place_of_a_device_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"])
        .set("linux.devices", json!([{"path": "/opt/node", "type": "c", "major": 1, "minor": 5}]));
    bundle.file("opt/node", "a file");
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_device_that_is_there_already_is_fine() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["stat", "-c", "%t:%T", "/opt/node"])
        .set("linux.devices", json!([{"path": "/opt/node", "type": "c", "major": 1, "minor": 5}]));
    let folder = bundle.file("opt/x", "").parent().unwrap().to_owned();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("node"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 5),
    )
    .unwrap();
    assert_eq!(runtime.run(&bundle).ok(), "1:5");
}

/// What a container may read and write of the devices that it makes itself.
fn access(rules: serde_json::Value, script: &str) -> testkit::Output {
    let bundle = Bundle::script(script).set("linux.resources.devices", rules);
    Runtime::under_test().run(&bundle)
}

#[test]
fn devices_are_denied_and_default_ones_are_not() {
    needs!(Root);
    let script = "cd /tmp; mknod zero c 1 5 && head -c 1 zero | wc -c; mknod mem c 1 1 && cat mem";
    let out = access(json!([{"allow": false, "access": "rwm"}]), script);
    assert_eq!(out.stdout, "1\n", "{out:?}");
    assert!(out.stderr.contains("not permitted"), "{out:?}");
}

#[test]
fn later_rules_allow_again() {
    needs!(Root);
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rm"},
    ]);
    let script = "cd /tmp; mknod fuse c 10 229; (: <fuse) && echo read; (: >>fuse) && echo written";
    let out = access(rules, script);
    assert_eq!(out.stdout, "read\n", "{out:?}");
    assert!(out.stderr.contains("not permitted"), "{out:?}");
}

#[test]
fn access_is_limited_to_what_is_named() {
    needs!(Root);
    // mknod itself is allowed for all, so that images with nodes can be unpacked inside.
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "access": "w"},
        {"allow": true, "type": "b", "major": 7, "minor": 250, "access": "r"},
    ]);
    let script = "cd /tmp; mknod fuse c 10 229; (: <fuse); (: >>fuse) && echo fuse written
        mknod loop b 7 250; (: >>loop); mknod other b 7 251; (: <other); true";
    let out = access(rules, script);
    assert_eq!(out.stdout, "fuse written\n", "{out:?}");
    assert_eq!(out.stderr.matches("not permitted").count(), 3, "{out:?}");
}

#[test]
fn rules_hold_for_exec_too() {
    needs!(Root);
    let bundle =
        Bundle::idle().set("linux.resources.devices", json!([{"allow": false, "access": "rwm"}]));
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let out = container.exec(&["sh", "-c", "cd /tmp; mknod x c 1 11; cat <x"]);
    assert!(out.stderr.contains("not permitted"), "{out:?}");
}
