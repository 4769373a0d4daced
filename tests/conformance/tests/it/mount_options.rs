//! Options of mounts, one by one. runtime-spec 1.3.0, config.md, "Linux mount options".

use std::fs;

use testkit::oci::{Bundle, Runtime};

/// The flags of the mount at `/data`, and those of the one below it, where `options` were
/// given: in a mount namespace where a tmpfs is mounted twice, flagged as `given`.
fn flags(given: &str, options: &[&str]) -> [Vec<String>; 2] {
    let script = "grep -E ' /data(/below)? ' /proc/self/mountinfo";
    let bundle = Bundle::script(script);
    let source = bundle.directory("source");
    let bundle = bundle.mount("/data", "none", source.to_str().unwrap(), options);
    bundle.write();
    let prepare = "mount -t tmpfs -o $GIVEN tmpfs $SOURCE && mkdir $SOURCE/below &&
        mount -t tmpfs -o $GIVEN tmpfs $SOURCE/below && mount -o remount,$GIVEN $SOURCE &&
        exec \"$0\" \"$@\"";
    let runtime = Runtime::under_test();
    let path = bundle.path().to_str().unwrap();
    let line = runtime.command(&["run", "--bundle", path, "conformance-options"]);
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", prepare])
        .arg(line.get_program())
        .args(line.get_args())
        .env("GIVEN", given)
        .env("SOURCE", &source)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{options:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ["/data", "/data/below"].map(|place| {
        let line = text.lines().find(|line| line.split(' ').nth(4) == Some(place));
        let flags = line.and_then(|line| line.split(' ').nth(5)).unwrap_or_default();
        flags.split(',').map(str::to_owned).collect()
    })
}

fn has(flags: &[String], flag: &str) -> bool {
    flags.iter().any(|one| one == flag)
}

/// The option shows as `flag` at the top, and not below.
#[track_caller]
fn sets(option: &str, flag: &str) {
    let [top, below] = flags("rw", &["rbind", option]);
    assert!(has(&top, flag), "{option}: {top:?}");
    assert!(!has(&below, flag) || ["rw", "relatime"].contains(&flag), "{option}: {below:?}");
}

/// The option takes `flag` away from the top, and not from below.
#[track_caller]
fn clears(option: &str, flag: &str) {
    let [top, below] = flags(flag, &["rbind", option]);
    assert!(!has(&top, flag), "{option}: {top:?}");
    assert!(has(&below, flag), "{option}: {below:?}");
}

/// The option leaves `flag` as it is. No runtime takes access times back without choosing others:
/// mount(2) has no such wish for a bind mount, and mount(8) does not either.
#[track_caller]
fn keeps(option: &str, flag: &str) {
    for flags in flags(flag, &["rbind", option]) {
        assert!(has(&flags, flag), "{option}: {flags:?}");
    }
}

/// As [`sets`] and [`clears`], of the whole tree.
#[track_caller]
fn sets_all(option: &str, flag: &str) {
    for flags in flags("rw", &["rbind", option]) {
        assert!(has(&flags, flag), "{option}: {flags:?}");
    }
}

#[track_caller]
fn clears_all(option: &str, flag: &str) {
    for flags in flags(flag, &["rbind", option]) {
        assert!(!has(&flags, flag), "{option}: {flags:?}");
    }
}

macro_rules! options {
    ($($test:ident: $check:ident $option:literal $flag:literal;)+) => {
        $(
            #[test]
            fn $test() {
                needs!(Root);
                $check($option, $flag);
            }
        )+
    };
}

options! {
    ro: sets "ro" "ro";
    rw: sets "rw" "rw";
    nosuid: sets "nosuid" "nosuid";
    nodev: sets "nodev" "nodev";
    noexec: sets "noexec" "noexec";
    noatime: sets "noatime" "noatime";
    nodiratime: sets "nodiratime" "nodiratime";
    relatime: sets "relatime" "relatime";
    nosymfollow: sets "nosymfollow" "nosymfollow";
    suid: clears "suid" "nosuid";
    dev: clears "dev" "nodev";
    exec: clears "exec" "noexec";
    atime: keeps "atime" "noatime";
    diratime: keeps "diratime" "nodiratime";
    strictatime: clears "strictatime" "noatime";
    symfollow: clears "symfollow" "nosymfollow";
    rro: sets_all "rro" "ro";
    rnosuid: sets_all "rnosuid" "nosuid";
    rnodev: sets_all "rnodev" "nodev";
    rnoexec: sets_all "rnoexec" "noexec";
    rnoatime: sets_all "rnoatime" "noatime";
    rnodiratime: sets_all "rnodiratime" "nodiratime";
    rrelatime: sets_all "rrelatime" "relatime";
    rnosymfollow: sets_all "rnosymfollow" "nosymfollow";
    rsuid: clears_all "rsuid" "nosuid";
    rdev: clears_all "rdev" "nodev";
    rexec: clears_all "rexec" "noexec";
    ratime: clears_all "ratime" "noatime";
    rdiratime: clears_all "rdiratime" "nodiratime";
    rstrictatime: clears_all "rstrictatime" "noatime";
    rsymfollow: clears_all "rsymfollow" "nosymfollow";
}

#[test]
fn rrw_makes_the_tree_writable() {
    needs!(Root);
    // The file systems stay writable, and only their mounts are read-only.
    let script = "echo x >/data/file && echo x >/data/below/file";
    let bundle = Bundle::script(script);
    let source = bundle.directory("source");
    let bundle = bundle.mount("/data", "none", source.to_str().unwrap(), &["rbind", "rrw"]);
    bundle.write();
    let prepare = "mount -t tmpfs tmpfs $SOURCE && mkdir $SOURCE/below && mount -t tmpfs tmpfs $SOURCE/below &&
        mount -o remount,bind,ro $SOURCE/below && mount -o remount,bind,ro $SOURCE && exec \"$0\" \"$@\"";
    let runtime = Runtime::under_test();
    let line =
        runtime.command(&["run", "--bundle", bundle.path().to_str().unwrap(), "conformance-rrw"]);
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", prepare])
        .arg(line.get_program())
        .args(line.get_args())
        .env("SOURCE", &source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Those of file systems, on a mount that is made.
#[test]
fn options_of_the_superblock() {
    needs!(Root);
    for (options, flag) in [
        (&["sync"][..], Some("sync")),
        (&["sync", "async"], None),
        (&["dirsync"], Some("dirsync")),
        (&["lazytime"], Some("lazytime")),
        (&["lazytime", "nolazytime"], None),
        (&["defaults"], None),
        (&["silent"], None),
        (&["silent", "loud"], None),
        (&["noiversion"], None),
        (&["ro", "rw"], Some("rw")),
    ] {
        let bundle = Bundle::script("grep ' /tmp ' /proc/self/mountinfo")
            .mount("/tmp", "tmpfs", "tmpfs", options);
        let out = Runtime::under_test().run(&bundle);
        assert_eq!(out.code, 0, "{options:?}: {out:?}");
        let shown = out.stdout.rsplit(" - ").next().unwrap();
        let shown: Vec<_> = shown.trim().rsplit(' ').next().unwrap().split(',').collect();
        for one in ["sync", "dirsync", "lazytime"] {
            assert_eq!(shown.contains(&one), flag == Some(one), "{options:?}: {shown:?}");
        }
        assert!(shown.contains(&"rw"), "{options:?}: {shown:?}");
    }
}

#[test]
fn remount_changes_an_earlier_mount() {
    needs!(Root);
    let bundle = Bundle::script("touch /tmp/file; stat -c %a /tmp/kept")
        .mount("/tmp", "tmpfs", "tmpfs", &["tmpcopyup"])
        .mount("/tmp", "tmpfs", "tmpfs", &["remount", "ro"]);
    let kept = bundle.file("tmp/kept", "");
    fs::set_permissions(kept, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let out = Runtime::under_test().run(&bundle);
    assert!(out.stderr.contains("Read-only"), "{out:?}");
    assert_eq!(out.stdout, "600\n", "{out:?}");
}

#[test]
fn bind_and_ro_make_one_mount_read_only_and_no_other() {
    needs!(Root);
    let bundle = Bundle::script("touch /data/x; touch /again/y");
    let data = bundle.directory("data");
    let bundle = bundle.bind(&data, "/data", &["ro"]).bind(&data, "/again", &[]);
    let out = Runtime::under_test().run(&bundle);
    assert_eq!(out.stderr.matches("Read-only").count(), 1, "{out:?}");
    assert!(data.join("y").exists() && !data.join("x").exists());
}
