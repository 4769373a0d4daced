//! Descriptors of the runtime.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use testkit::oci::{Bundle, CAPABILITIES, Runtime};

/// Whether something in the working directory's parents is the host's.
const WHERE: &str = "pwd; ls -d ../../../../../../proc/1/fd >/dev/null";

/// CVE-2024-21626: the working directory is a descriptor that the runtime left open on the
/// host's file system.
///
/// Seen to bite on runc 1.1.4, with descriptor 7.
#[test]
fn a_working_directory_is_not_a_descriptor_of_the_runtime() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for number in 3..20 {
        let bundle = Bundle::script(WHERE).set("process.cwd", format!("/proc/self/fd/{number}"));
        let out = runtime.run(&bundle);
        assert!(out.code != 0 || is_inside(&out.stdout), "{number}: {out:?}");
    }
}

/// The same by a link of the image, and by exec.
///
/// Seen to bite on runc 1.1.4, as above.
#[test]
fn a_working_directory_is_not_a_link_to_a_descriptor() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::idle();
    for number in 3..20 {
        let link = bundle.rootfs().join(format!("link{number}"));
        symlink(format!("/proc/self/fd/{number}"), link).unwrap();
    }
    let container = runtime.create(&bundle);
    container.start();
    for number in 3..20 {
        let cwd = format!("/link{number}");
        let out = container.exec_with(&["--cwd", &cwd], &["sh", "-c", WHERE]);
        assert!(out.code != 0 || is_inside(&out.stdout), "{number}: {out:?}");
        let link = Bundle::script(WHERE).set("process.cwd", cwd.as_str());
        symlink(format!("/proc/self/fd/{number}"), link.rootfs().join(&cwd[1..])).unwrap();
        let out = runtime.run(&link);
        assert!(out.code != 0 || is_inside(&out.stdout), "{number}: {out:?}");
    }
}

/// getcwd(3) of a directory outside begins with "(unreachable)", or fails.
fn is_inside(stdout: &str) -> bool {
    let first = stdout.lines().next().unwrap_or_default();
    first.starts_with('/') && !first.contains("sys/fs/cgroup")
}

/// CVE-2016-9962: a process of the container looks at the descriptors of one that joins it, and
/// goes through those of the host.
///
/// That the spy would see one is shown by `the_spy_sees_a_descriptor`.
#[test]
fn a_joining_process_shows_no_descriptor() {
    needs!(Root);
    assert_eq!(spied(Bundle::script(SPY)), BTreeSet::new());
}

/// The same with the right to trace, which the host's user namespace gives over what is not
/// dumpable, too: there must be nothing to see.
///
/// Seen to bite on runc 1.1.5 and, in some runs, crun 1.8.1.
#[test]
fn a_joining_process_shows_no_descriptor_to_one_that_may_trace() {
    needs!(Root);
    assert_eq!(spied(tracing()), BTreeSet::new());
}

fn tracing() -> Bundle {
    Bundle::script(SPY).capabilities(&[CAPABILITIES, &["CAP_SYS_PTRACE"]].concat())
}

/// What the spy sees while processes join.
fn spied(bundle: Bundle) -> BTreeSet<String> {
    let container = Runtime::under_test().create(&bundle);
    container.start();
    container.wait_for_output("ready");
    for _ in 0..20 {
        container.exec(&["true"]).ok();
    }
    seen(&bundle)
}

/// Notes every descriptor of every other process that is no pipe, no socket (which cannot be
/// opened through /proc) and no device.
const SPY: &str =
    "echo ready; while :; do for p in /proc/[2-9] /proc/[0-9][0-9]*; do for f in $p/fd/*; do
    l=$(readlink $f) || continue
    case $l in pipe:*|socket:*|/dev/null|/proc/$$/*|/proc/[0-9]*|'') ;; *) echo \"$l\" >>/seen ;; esac
    done; done; done 2>/dev/null";

fn seen(bundle: &Bundle) -> BTreeSet<String> {
    let text = std::fs::read_to_string(bundle.rootfs().join("seen")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// That the spy sees what there is.
#[test]
fn the_spy_sees_a_descriptor() {
    needs!(Root);
    let bundle = Bundle::script(&format!("sh -c 'exec 7</etc/passwd; sleep 1000' & {SPY}"));
    let container = Runtime::under_test().create(&bundle);
    container.start();
    testkit::wait_until("the spy to see it", || {
        seen(&bundle).contains("/etc/passwd").then_some(())
    });
}
