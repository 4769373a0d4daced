//! `process.user`. runtime-spec 1.3.0, config.md, "POSIX-platform User".

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn user_group_and_additional_groups_are_exact() {
    needs!(Root);
    let bundle = Bundle::script("grep -E '^(Uid|Gid|Groups)' /proc/self/status").set(
        "process.user",
        json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 6, 4_000_000]}),
    );
    let out = Runtime::under_test().run(&bundle).ok();
    let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words, "Uid: 1000 1000 1000 1000 Gid: 1001 1001 1001 1001 Groups: 5 6 4000000");
}

#[test]
fn no_group_comes_from_the_caller_or_from_the_image() {
    needs!(Root);
    let bundle = Bundle::script("grep Groups /proc/self/status")
        .set("process.user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(Runtime::under_test().run(&bundle).ok().trim(), "Groups:");
}

#[test]
fn a_user_without_a_name_is_fine() {
    needs!(Root);
    let bundle =
        Bundle::script("id -u; id -g").set("process.user", json!({"uid": 54321, "gid": 65535}));
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "54321\n65535");
}

#[test]
fn the_largest_id_is_used_and_larger_ones_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle =
        Bundle::script("id -u").set("process.user.uid", 4_294_967_294_u32).without_namespace("ipc");
    assert_eq!(runtime.run(&bundle).ok(), "4294967294");
    for id in [json!(4_294_967_296_u64), json!(-1), json!("0"), json!(0.5)] {
        let bundle = Bundle::script("id -u").set("process.user.uid", id.clone());
        assert!(runtime.try_create(&bundle).is_err(), "{id}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn the_umask_is_as_configured() {
    needs!(Root);
    for (mask, shown) in [(0o77, "0077"), (0, "0000"), (0o27, "0027")] {
        let bundle = Bundle::script("umask").set("process.user.umask", mask);
        assert_eq!(Runtime::under_test().run(&bundle).ok(), shown);
    }
}

/// The spec would leave the caller's; engines rely on what runc does.
#[test]
fn the_umask_is_022_when_none_is_configured() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::script("umask");
    bundle.write();
    let folder = bundle.path().to_str().unwrap();
    let line = runtime.command(&["run", "--bundle", folder, "conformance-umask"]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "umask 077; exec \"$0\" \"$@\""])
        .arg(line.get_program())
        .args(line.get_args());
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0022\n", "{:?}", output.stderr);
}

#[test]
fn standard_streams_can_be_opened_again_by_the_user() {
    needs!(Root);
    let bundle = Bundle::script("echo again >/dev/stdout")
        .set("process.user", json!({"uid": 1000, "gid": 1000}))
        .capabilities(&[]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "again");
}
