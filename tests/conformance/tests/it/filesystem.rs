//! `root`, default file systems, default devices and links. runtime-spec 1.3.0, config.md,
//! "Root"; config-linux.md, "Default Filesystems", "Default Devices"; runtime-linux.md.

use testkit::oci::{Bundle, Runtime};

#[test]
fn the_root_is_writable_unless_configured() {
    needs!(Root);
    let bundle = Bundle::script("echo x >/file && cat /file");
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "x");
    assert!(bundle.rootfs().join("file").exists());
}

#[test]
fn a_read_only_root_is() {
    needs!(Root);
    let bundle = Bundle::script(
        "echo x >/file; mkdir /directory; chmod 700 /etc; echo fine >/dev/shm/x; cat /dev/shm/x",
    )
    .set("root.readonly", true);
    let out = Runtime::under_test().run(&bundle);
    assert_eq!(out.stdout, "fine\n", "{out:?}");
    assert_eq!(out.stderr.matches("Read-only file system").count(), 3, "{out:?}");
    assert!(!bundle.rootfs().join("file").exists());
}

#[test]
fn the_root_may_be_absolute() {
    needs!(Root);
    let bundle = Bundle::running(&["echo", "here"]);
    let path = bundle.rootfs();
    assert_eq!(
        Runtime::under_test().run(&bundle.set("root.path", path.to_str().unwrap())).ok(),
        "here"
    );
}

#[test]
fn nothing_of_the_host_is_mounted_inside() {
    needs!(Root);
    let out = Runtime::under_test().run(&Bundle::running(&["cat", "/proc/self/mountinfo"])).ok();
    let mut places: Vec<_> = out.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, ["/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/proc", "/sys"]);
}

#[test]
fn default_devices_are_there_and_work() {
    needs!(Root);
    let script = "cd /dev; for d in null zero full random urandom tty; do
            echo $d $(stat -c '%F %t:%T %a' $d); done
        echo x >null && head -c 3 zero | od -An -tx1 && echo x >full; head -c 8 urandom | wc -c";
    let out = Runtime::under_test().run(&Bundle::script(script));
    let lines: Vec<_> = out.stdout.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "null character special file 1:3 666",
            "zero character special file 1:5 666",
            "full character special file 1:7 666",
            "random character special file 1:8 666",
            "urandom character special file 1:9 666",
            "tty character special file 5:0 666",
            "00 00 00",
            "8",
        ],
        "{out:?}"
    );
    assert!(out.stderr.contains("No space left"), "{out:?}");
}

#[test]
fn links_of_dev_are_there() {
    needs!(Root);
    let script = "cd /dev; for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done; stat -c %t:%T /dev/pts/ptmx";
    let out = Runtime::under_test().run(&Bundle::script(script)).ok();
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [
            "fd /proc/self/fd",
            "stdin /proc/self/fd/0",
            "stdout /proc/self/fd/1",
            "stderr /proc/self/fd/2",
            "ptmx pts/ptmx",
            "5:2"
        ]
    );
}

#[test]
fn no_console_without_a_terminal() {
    needs!(Root);
    let out = Runtime::under_test().run(&Bundle::script("ls /dev/console"));
    assert_ne!(out.code, 0);
}

#[test]
fn default_file_systems_are_of_their_kinds() {
    needs!(Root);
    let script = "while read -r id parent dev top place options rest; do
        echo $place ${rest#*- }; done </proc/self/mountinfo | cut -d' ' -f1,2";
    let out = Runtime::under_test().run(&Bundle::script(script)).ok();
    for line in [
        "/proc proc",
        "/dev tmpfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/dev/mqueue mqueue",
        "/sys sysfs",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}: {out}");
    }
}

#[test]
fn terminals_of_the_host_are_not_in_dev_pts() {
    needs!(Root);
    assert_eq!(Runtime::under_test().run(&Bundle::running(&["ls", "/dev/pts"])).ok(), "ptmx");
}

#[test]
fn a_bundle_with_dev_of_its_own_keeps_it() {
    needs!(Root);
    let bundle = Bundle::script("stat -c %t:%T /dev/null; ls /dev/mine").without_mounts("/dev");
    bundle.file("dev/mine", "");
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "1:3\n/dev/mine");
}
