//! `maskedPaths` and `readonlyPaths`. runtime-spec 1.3.0, config-linux.md.

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn masked_files_are_empty_and_masked_directories_too() {
    needs!(Root);
    let bundle = Bundle::script("cat /etc/secret; ls /etc/folder; cat /proc/timer_list; echo end")
        .set("linux.maskedPaths", json!(["/etc/secret", "/etc/folder", "/proc/timer_list"]));
    bundle.file("etc/secret", "secret");
    bundle.file("etc/folder/secret", "secret");
    let out = Runtime::under_test().run(&bundle);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("end\n", ""), "{out:?}");
}

#[test]
fn a_masked_directory_cannot_be_written() {
    needs!(Root);
    let bundle = Bundle::script("touch /etc/folder/x; touch /etc/folder/secret")
        .set("linux.maskedPaths", json!(["/etc/folder"]));
    bundle.file("etc/folder/secret", "secret");
    let out = Runtime::under_test().run(&bundle);
    assert_eq!(out.stderr.matches("Read-only file system").count(), 2, "{out:?}");
    assert_eq!(std::fs::read(bundle.rootfs().join("etc/folder/secret")).unwrap(), b"secret");
}

#[test]
fn paths_that_are_not_there_are_no_error() {
    needs!(Root);
    let none = json!(["/nowhere", "/nowhere/below", "/proc/none"]);
    let bundle = Bundle::running(&["true"])
        .set("linux.maskedPaths", none.clone())
        .set("linux.readonlyPaths", none);
    Runtime::under_test().run(&bundle).ok();
}

#[test]
fn read_only_paths_are() {
    needs!(Root);
    let bundle = Bundle::script(
        "echo x >/etc/file; echo x >/folder/deep/file; cat /etc/file; echo x >/proc/sys/kernel/domainname",
    )
    .set("linux.readonlyPaths", json!(["/etc/file", "/folder", "/proc/sys"]));
    bundle.file("etc/file", "readable");
    bundle.file("folder/deep/file", "");
    let out = Runtime::under_test().run(&bundle);
    assert_eq!(out.stdout, "readable", "{out:?}");
    assert_eq!(out.stderr.matches("Read-only file system").count(), 3, "{out:?}");
}

#[test]
fn read_only_paths_keep_other_flags_of_their_mount() {
    needs!(Root);
    let bundle = Bundle::script("grep ' /proc/sys ' /proc/self/mountinfo | cut -d' ' -f6")
        .without_mounts("/proc")
        .mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])
        .set("linux.readonlyPaths", json!(["/proc/sys"]));
    let out = Runtime::under_test().run(&bundle).ok();
    for flag in ["ro", "nosuid", "noexec", "nodev"] {
        assert!(out.split(',').any(|one| one == flag), "{flag}: {out}");
    }
}
