//! The container's view of the cgroups.

use testkit::oci::{Bundle, Runtime};

/// Tries to write to every file that moves processes, and to make a group in every directory.
const ATTEMPTS: &str =
    "cd /sys/fs/cgroup && for d in $(find . -type d 2>/dev/null | head -n 200); do
        for f in cgroup.procs tasks release_agent notify_on_release; do
            [ -e $d/$f ] && (echo 0 >$d/$f) && echo wrote $d/$f; done
        [ -e $d/cgroup.procs ] && mkdir $d/made && echo made $d/made && rmdir $d/made; done 2>/dev/null; echo end";

fn view(namespace: bool, user: bool, flag: &str) -> Bundle {
    let bundle = Bundle::script(ATTEMPTS)
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", flag])
        .capabilities(&["CAP_DAC_OVERRIDE", "CAP_CHOWN"]);
    let bundle = if namespace { bundle.namespace("cgroup") } else { bundle };
    if user { bundle.user_namespace(100_000) } else { bundle }
}

/// CVE-2023-25809: in a user namespace, and without a cgroup namespace, the host's cgroups are
/// mounted writable though `ro` is asked for.
///
/// The attempts are seen to bite where the mount is writable
/// (`the_attempts_bite_on_a_writable_mount`). runc 1.1.4 has the defect on cgroup v2 alone.
#[test]
fn cgroups_that_are_mounted_read_only_cannot_be_written() {
    needs!(Root);
    for (namespace, user) in [(true, true), (true, false), (false, true), (false, false)] {
        let out = Runtime::under_test().run(&view(namespace, user, "ro"));
        assert!(out.code != 0 || out.stdout == "end\n", "{namespace} {user}: {out:?}");
    }
}

/// That the attempts would be seen.
#[test]
fn the_attempts_bite_on_a_writable_mount() {
    needs!(Root);
    let out = Runtime::under_test().run(&view(true, false, "rw"));
    assert!(out.stdout.contains("wrote") && out.stdout.contains("made"), "{out:?}");
}
