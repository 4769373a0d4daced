//! `mounts`. runtime-spec 1.3.0, config.md, "Mounts".

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn mounts_are_made_in_order() {
    needs!(Root);
    let bundle = Bundle::script("ls /one; ls /one/two");
    let (outer, inner) = (bundle.directory("outer"), bundle.directory("inner"));
    fs::create_dir(outer.join("two")).unwrap();
    fs::write(inner.join("found"), "").unwrap();
    let bundle = bundle.bind(&outer, "/one", &[]).bind(&inner, "/one/two", &[]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "two\nfound");
}

#[test]
fn a_later_mount_hides_an_earlier_one() {
    needs!(Root);
    let bundle = Bundle::script("ls /place");
    let (first, second) = (bundle.directory("first"), bundle.directory("second"));
    fs::write(first.join("first"), "").unwrap();
    fs::write(second.join("second"), "").unwrap();
    let bundle = bundle.bind(&first, "/place", &[]).bind(&second, "/place", &[]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "second");
}

#[test]
fn files_and_directories_are_bound_and_places_are_made() {
    needs!(Root);
    let bundle =
        Bundle::script("cat /made/for/file /made/for/folder/content; echo new >/made/for/file");
    let folder = bundle.directory("data");
    let file = bundle.path().join("file");
    fs::write(&file, "one ").unwrap();
    fs::write(folder.join("content"), "two").unwrap();
    let bundle = bundle.bind(&file, "/made/for/file", &[]).bind(&folder, "/made/for/folder", &[]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "one two");
    assert_eq!(fs::read_to_string(file).unwrap(), "new\n");
}

#[test]
fn a_source_may_be_relative_to_the_bundle() {
    needs!(Root);
    let bundle = Bundle::running(&["cat", "/data/content"]);
    fs::write(bundle.directory("data").join("content"), "relative").unwrap();
    let bundle = bundle.mount("/data", "bind", "data", &["bind"]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "relative");
}

#[test]
fn a_destination_may_be_relative_to_the_root() {
    needs!(Root);
    let bundle = Bundle::running(&["grep", " /tmp ", "/proc/self/mountinfo"]).mount(
        "tmp",
        "tmpfs",
        "tmpfs",
        &[],
    );
    Runtime::under_test().run(&bundle).ok();
}

#[test]
fn a_bind_is_told_by_its_options_whatever_its_type() {
    needs!(Root);
    let bundle = Bundle::running(&["cat", "/data/content"]);
    let data = bundle.directory("data");
    fs::write(data.join("content"), "bound").unwrap();
    let source = data.to_str().unwrap();
    for kind in ["none", "bind", "dummy"] {
        let bundle =
            Bundle::running(&["cat", "/data/content"]).mount("/data", kind, source, &["bind"]);
        assert_eq!(Runtime::under_test().run(&bundle).ok(), "bound", "{kind}");
    }
    let bundle = Bundle::running(&["cat", "/data/content"])
        .push("mounts", json!({"destination": "/data", "source": source, "options": ["bind"]}));
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "bound");
}

/// mount(2), MS_BIND: "The filesystemtype and data arguments are ignored."
#[test]
fn options_of_a_file_system_are_ignored_for_a_bind() {
    needs!(Root);
    let bundle = Bundle::running(&["cat", "/data/content"]);
    let data = bundle.directory("data");
    fs::write(data.join("content"), "bound").unwrap();
    let bundle = bundle.bind(&data, "/data", &["mode=755", "size=1m", "anything"]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "bound");
}

#[test]
fn rbind_brings_what_is_mounted_below() {
    needs!(Root);
    // /dev has mounts below it on every host; here, in the container's own tree, they are made.
    let bundle = Bundle::script("cat /again/below/file; ls /flat/below");
    let outer = bundle.directory("outer");
    fs::create_dir(outer.join("below")).unwrap();
    let inner = bundle.directory("inner");
    fs::write(inner.join("file"), "deep").unwrap();
    let script = "mount --bind $INNER $OUTER/below && exec \"$0\" \"$@\"";
    let bundle = bundle.mount("/again", "none", outer.to_str().unwrap(), &["rbind"]).mount(
        "/flat",
        "none",
        outer.to_str().unwrap(),
        &["bind"],
    );
    bundle.write();
    let runtime = Runtime::under_test();
    let line =
        runtime.command(&["run", "--bundle", bundle.path().to_str().unwrap(), "conformance-rbind"]);
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(line.get_program())
        .args(line.get_args())
        .env("INNER", &inner)
        .env("OUTER", &outer)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "deep", "{output:?}");
}

#[test]
fn a_missing_source_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).bind("/nonexistent/source".as_ref(), "/data", &[]);
    let out = runtime.try_create(&bundle).unwrap_err();
    assert!(out.stderr.contains("/nonexistent/source"), "{out:?}");
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_file_system_that_the_kernel_lacks_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).mount("/x", "nonsensefs", "none", &[]);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn options_of_the_file_system_are_passed_on() {
    needs!(Root);
    let bundle =
        Bundle::script("stat -c %a /tmp; df -k /tmp | tail -1; grep ' /tmp ' /proc/self/mountinfo")
            .mount("/tmp", "tmpfs", "mine", &["size=123k", "mode=1750", "nr_inodes=77", "nosuid"]);
    let out = Runtime::under_test().run(&bundle).ok();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "1750");
    assert!(lines[1].split_whitespace().any(|word| word == "124"), "{out}");
    assert!(lines[2].contains("nr_inodes=77") && lines[2].contains("nosuid"), "{out}");
}

#[test]
fn an_option_that_the_file_system_lacks_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).mount("/tmp", "tmpfs", "tmpfs", &["nonsense=1"]);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn tmpcopyup_brings_what_was_there() {
    needs!(Root);
    let bundle = Bundle::script(
        "cd /data; cat deep/file; readlink link; stat -c '%a %u' mode; echo; echo new >deep/file",
    )
    .mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let path = bundle.file("data/deep/file", "content\n");
    let mode = bundle.file("data/mode", "");
    fs::set_permissions(&mode, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&mode, Some(7), Some(7)).unwrap();
    symlink("deep", bundle.rootfs().join("data/link")).unwrap();
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "content\ndeep\n640 7");
    assert_eq!(fs::read_to_string(path).unwrap(), "content\n");
}

#[test]
fn links_in_a_destination_stay_in_the_root() {
    needs!(Root);
    let bundle = Bundle::script("ls /real");
    let data = bundle.directory("data");
    fs::write(data.join("found"), "").unwrap();
    fs::create_dir(bundle.rootfs().join("real")).unwrap();
    symlink("/real", bundle.rootfs().join("link")).unwrap();
    let bundle = bundle.bind(&data, "/link", &[]);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "found");
}

#[test]
fn a_file_is_not_bound_over_a_directory() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).bind("/etc/passwd".as_ref(), "/tmp", &[]);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn the_hosts_mounts_do_not_change() {
    needs!(Root);
    let bundle = Bundle::idle();
    let data = bundle.directory("data");
    let bundle = bundle.bind(&data, "/data", &["shared"]);
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = bundle.path().to_str().unwrap();
    assert!(!mounts.contains(path), "{mounts}");
}

#[test]
fn the_cgroup_mount_shows_the_containers_cgroups() {
    needs!(Root, CgroupV1);
    let bundle = Bundle::script("ls -d /sys/fs/cgroup/memory /sys/fs/cgroup/pids; cat /sys/fs/cgroup/memory/cgroup.procs; mkdir /sys/fs/cgroup/memory/x")
        .namespace("cgroup")
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]);
    let out = Runtime::under_test().run(&bundle);
    assert!(out.stdout.starts_with("/sys/fs/cgroup/memory\n/sys/fs/cgroup/pids\n1\n"), "{out:?}");
    assert!(out.stderr.contains("Read-only"), "{out:?}");
}

#[test]
fn the_cgroup_mount_shows_no_other_cgroups_without_a_namespace_either() {
    needs!(Root, CgroupV1);
    let bundle = Bundle::script(
        "cat /sys/fs/cgroup/memory/cgroup.procs; ls -d /sys/fs/cgroup/*/conformance-*",
    )
    .mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", "ro"],
    );
    let out = Runtime::under_test().run(&bundle);
    assert!(out.stdout.starts_with("1\n"), "{out:?}");
    assert!(!out.stdout.contains("conformance-"), "{out:?}");
}
