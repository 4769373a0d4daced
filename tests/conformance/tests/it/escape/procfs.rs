//! What a runtime writes to /proc reaches the kernel, or there is no container.

use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::Output;
use testkit::oci::{Bundle, Runtime};

/// CVE-2025-52881 (runc), CVE-2025-62596 (youki): the image's /proc is a tree of links, and what
/// is written for the configuration lands on other parameters.
///
/// Seen to bite with a runtime of the tests that writes in the new root
/// (`the_attempts_bite_where_paths_are_joined`): runc and crun refuse for other reasons.
#[test]
fn a_parameter_is_not_written_through_a_link() {
    needs!(Root);
    check_link(&Runtime::under_test().run(&linked()));
}

fn linked() -> Bundle {
    let bundle = Bundle::script("cd /real/sys/kernel && cat msgmax msgmnb")
        .without_mounts("/proc")
        .mount("/real", "proc", "proc", &[])
        .set("linux.sysctl", json!({"kernel.msgmax": "4321"}));
    let folder = bundle.rootfs().join("proc/sys/kernel");
    std::fs::create_dir_all(&folder).unwrap();
    symlink("/real/sys/kernel/msgmnb", folder.join("msgmax")).unwrap();
    bundle
}

fn check_link(out: &Output) {
    assert!(!out.stdout.contains("\n4321"), "{out:?}");
    assert!(out.code != 0 || out.stdout.starts_with("4321\n"), "{out:?}");
}

/// CVE-2019-16884: the image's /proc is made of files, so that what is written (there, labels)
/// has no effect, and nobody is told.
///
/// Seen to bite as the test above.
#[test]
fn a_parameter_is_not_written_to_a_file() {
    needs!(Root);
    check_file(&Runtime::under_test().run(&faked()));
}

fn faked() -> Bundle {
    let bundle = Bundle::script("cat /real/sys/kernel/msgmax; cat /proc/sys/kernel/msgmax")
        .without_mounts("/proc")
        .mount("/real", "proc", "proc", &[])
        .set("linux.sysctl", json!({"kernel.msgmax": "4321"}));
    bundle.file("proc/sys/kernel/msgmax", "fake\n");
    bundle
}

fn check_file(out: &Output) {
    assert!(out.code != 0 || out.stdout == "4321\nfake\n", "{out:?}");
}

/// That the attempts above would be seen: a runtime that enters the root and writes there.
#[test]
fn the_attempts_bite_where_paths_are_joined() {
    needs!(Root);
    let naive = |bundle: &Bundle| {
        let script = "mkdir -p $ROOT/real && mount -t proc proc $ROOT/real &&
            exec chroot $ROOT /bin/sh -c 'echo 4321 >/proc/sys/kernel/msgmax; eval \"$1\"' sh \"$0\"";
        let text = bundle.config["process"]["args"][2].as_str().unwrap();
        let output = std::process::Command::new("unshare")
            .args(["--mount", "--ipc", "sh", "-c", script, text])
            .env("ROOT", bundle.rootfs())
            .output()
            .unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    };
    let (linked, faked) = (naive(&linked()), naive(&faked()));
    assert_eq!((linked.code, faked.code), (0, 0), "{linked:?} {faked:?}");
    assert!(std::panic::catch_unwind(|| check_link(&linked)).is_err(), "{linked:?}");
    assert!(std::panic::catch_unwind(|| check_file(&faked)).is_err(), "{faked:?}");
}

/// CVE-2019-16884, CVE-2015-3631: a volume over /proc.
///
/// Seen to bite on crun 1.8.1, which mounts it.
#[test]
fn no_volume_is_mounted_over_proc() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]);
    let volume = bundle.directory("volume");
    for name in ["self/attr", "sys"] {
        std::fs::create_dir_all(volume.join(name)).unwrap();
    }
    let bundle = bundle.bind(&volume, "/proc", &[]);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

/// CVE-2015-1334 (LXC): a container that may mount puts a /proc of its own over the real one; a
/// process that is added is confined all the same.
///
/// Seen to bite with `oomScoreAdj` taken out of the process: the host then shows the caller's.
#[test]
fn an_exec_is_confined_though_proc_is_covered() {
    needs!(Root);
    let script = "mount -t tmpfs tmpfs /proc && mkdir -p /proc/self/attr /proc/self/fd && echo 0 >/proc/self/oom_score_adj && touch /proc/self/attr/exec && echo ready; sleep 1000";
    let bundle = Bundle::script(script)
        .capabilities(&["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"])
        .set("process.oomScoreAdj", 321)
        .set("process.noNewPrivileges", true);
    let container = Runtime::under_test().create(&bundle);
    container.start();
    container.wait_for_output("ready");
    std::thread::scope(|scope| {
        let exec = scope.spawn(|| container.exec(&["sleep", "1234"]));
        let found = testkit::wait_until("the exec, or its refusal", || {
            exec.is_finished().then_some(None).or_else(|| added(container.pid()).map(Some))
        });
        if let Some(pid) = found {
            let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
            let (score, status) = (read("oom_score_adj"), read("status"));
            container.kill("KILL");
            assert_eq!(score, "321\n");
            assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        }
        container.runtime(&["kill", container.id(), "KILL"]);
    });
}

/// The process that sleeps for 1234 seconds in the pid namespace of another.
fn added(of: i32) -> Option<i32> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&of.to_string());
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).find_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        (line == b"sleep\x001234\0" && namespace(&pid) == wanted).then(|| pid.parse().ok())?
    })
}
