//! Attempts to get at the kernel's own files: /proc, /sys/fs/cgroup, terminals.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use oci::runtime::{IdMapping, Namespace, NamespaceKind, Process};

use crate::driver::Run;
use crate::escape::Racer;

/// CVE-2023-25809: root of a user namespace that sees the host's cgroups owns the files there.
///
/// Shown to bite: without the read-only bit that `source::open_cgroup` adds, the limit is written.
#[test]
fn cgroups_of_the_host_are_read_only_for_whoever_is_root_only_inside() {
    let script = "grep -c ' /sys/fs/cgroup' /proc/self/mountinfo; \
        for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name pids.max); do \
        (cat $f > /tmp/was; head -n 1 /tmp/was > $f) 2>/dev/null && echo written: $f; done; \
        mkdir /sys/fs/cgroup/*/x /sys/fs/cgroup/x 2>/dev/null && echo made; echo end";
    let out = Run::shell(script)
        .linux(|linux| {
            linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Cgroup);
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
            // The host's root, so that nothing but the mount stands in the way.
            let map = IdMapping { container_id: 0, host_id: 0, size: 65_536 };
            (linux.uid_mappings, linux.gid_mappings) = (vec![map], vec![map]);
        })
        .edit(|spec| {
            for mount in &mut spec.mounts {
                if mount.destination == "/sys/fs/cgroup" {
                    mount.options = vec!["rw".into()];
                }
            }
        })
        .request(|request| request.cgroup = true)
        .run();
    let (mounts, rest) = out.ok().split_once('\n').unwrap();
    assert_ne!(mounts, "0", "not exercised");
    assert_eq!(rest, "end");
}

/// CVE-2025-52565: the place of /dev/console becomes a link while the terminal is put there.
///
/// Shown to bite: with `target::find` that follows links in place of `target::ensure`, the terminal
/// is mounted over /etc/passwd.
#[test]
fn a_race_for_the_console_is_not_won() {
    let script = "grep -q ' /etc/passwd ' /proc/self/mountinfo && echo won >> /dev/won; \
        stat -c %t /dev/console >> /dev/seen";
    let run = Run::shell(script).process(|process| process.terminal = true);
    // A volume that somebody else has too, over all of /dev.
    let volume = run.dir().join("volume");
    for dir in ["pts", "shm", "mqueue"] {
        std::fs::create_dir_all(volume.join(dir)).unwrap();
    }
    std::fs::write(volume.join("console"), "").unwrap();
    symlink("/etc/passwd", volume.join("link")).unwrap();
    let source = volume.to_str().unwrap().to_owned();
    let run = run
        .edit(|spec| {
            let dev = spec.mounts.iter_mut().find(|mount| mount.destination == "/dev").unwrap();
            dev.kind = Some("bind".into());
            dev.source = Some(source);
            dev.options.clear();
        })
        .request(|request| request.repeat = 60);
    let racer = Racer::start(volume.join("console"), volume.join("link"));
    run.run();
    let swaps = racer.swaps();
    assert!(swaps > 1000, "not exercised: {swaps} exchanges");
    assert!(volume.join("seen").exists(), "never put there");
    assert!(!volume.join("won").exists());
}

/// CVE-2019-16884, CVE-2019-19921, CVE-2025-52881: whatever the runtime writes below /proc goes
/// where it is meant to, since no path of the container leads there.
///
/// Shown to bite: a build that opens `/proc/self/oom_score_adj` by its path is caught.
#[test]
fn nothing_of_proc_is_opened_by_its_path() {
    let run = Run::new(&["true"])
        .linux(|linux| {
            linux.sysctl.insert("net.ipv4.ip_unprivileged_port_start".into(), "77".into());
        })
        .process(|process| process.oom_score_adj = Some(100));
    let trace = run.dir().join("trace");
    let driver = run.command();
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=open,openat,openat2,pivot_root,execve", "-o"])
        .arg(&trace)
        .arg(driver.get_program())
        .args(driver.get_args())
        .env("RUNTIME_DRIVER", run.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("strace is installed").success());
    run.report().ok();
    let trace = std::fs::read_to_string(trace).unwrap();
    let init = trace.lines().find(|line| line.contains(" pivot_root(")).unwrap();
    let init = init.split(' ').next().unwrap();
    let calls: Vec<_> = trace
        .lines()
        .filter(|line| line.split(' ').next() == Some(init))
        .take_while(|line| !line.contains("execve("))
        .collect();
    let written = |name: &str| calls.iter().any(|line| line.contains(name));
    assert!(written("self/oom_score_adj") && written("ip_unprivileged_port_start"), "{calls:?}");
    // To mount over a place it is found, by a descriptor that reads and writes nothing.
    let by_path = calls.iter().filter(|line| line.contains("\"/proc") && !line.contains("O_PATH"));
    assert_eq!(by_path.collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// CVE-2022-24769, CVE-2022-29162, CVE-2025-27612: an added process has nothing to inherit.
///
/// Shown to bite: `CapabilityPlan::apply` with the permitted set as the inheritable one.
#[test]
fn an_added_process_has_no_capabilities_to_inherit() {
    for uid in [0, 1000] {
        let script = "grep -E '^Cap(Inh|Amb)' /proc/self/status | cut -f 2";
        let mut process: Process = crate::bundle::spec(&["sh", "-c", script]).process.unwrap();
        process.user.uid = uid;
        let out = Run::new(&["sleep", "60"]).request(|request| request.exec = Some(process)).run();
        assert_eq!(out.ok(), "0000000000000000\n0000000000000000", "{uid}");
    }
}

/// CVE-2021-43784: fields of any length are taken whole or refused, never cut.
#[test]
fn long_fields_are_not_cut() {
    for length in [65_530, 65_535, 65_536, 65_541, 1 << 20] {
        let path = format!("/proc/self/ns/net{}", "/".repeat(length));
        let out = Run::new(&["true"])
            .linux(|linux| {
                linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
                let kind = NamespaceKind::Network;
                linux.namespaces.push(Namespace { kind, path: Some(path) });
            })
            .run();
        assert!(out.refused().contains("open namespace"), "{length}");
    }
    // Each of the maps that the kernel takes in one piece or not at all.
    let out = Run::new(&["true"])
        .linux(|linux| {
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
            let maps = (0..5000).map(|at| IdMapping { container_id: at, host_id: at, size: 1 });
            linux.uid_mappings = maps.collect();
            linux.gid_mappings = linux.uid_mappings.clone();
        })
        .run();
    assert!(out.refused().contains("uid_map"), "{out:?}");
}
