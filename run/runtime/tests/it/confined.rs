//! Filters and cgroups in force.

use oci::runtime::{NamespaceKind, Pids, Resources, Seccomp, SeccompRule};

use crate::bundle;
use crate::driver::Run;

pub(crate) fn deny(names: &[&str]) -> Seccomp {
    Seccomp {
        default_action: "SCMP_ACT_ALLOW".into(),
        syscalls: vec![SeccompRule {
            names: names.iter().map(|&name| name.into()).collect(),
            action: "SCMP_ACT_ERRNO".into(),
            errno_ret: Some(1),
            ..SeccompRule::default()
        }],
        ..Seccomp::default()
    }
}

#[test]
fn a_filter_is_in_force_with_and_without_new_privileges() {
    for no_new_privileges in [true, false] {
        for uid in [0, 1000] {
            let script = "grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status; \
                mkdir /tmp/x 2>/dev/null || echo refused";
            let out = Run::shell(script)
                .linux(|linux| linux.seccomp = Some(deny(&["mkdir", "mkdirat"])))
                .process(|process| {
                    process.no_new_privileges = no_new_privileges;
                    process.user.uid = uid;
                })
                .run();
            let lines: Vec<_> = out.ok().lines().collect();
            let caps = if uid == 0 { "00000000a80425fb" } else { "0000000000000000" };
            assert_eq!(
                lines,
                [
                    &format!("CapEff:\t{caps}"),
                    &format!("NoNewPrivs:\t{}", u8::from(no_new_privileges)),
                    "Seccomp:\t2",
                    "refused"
                ],
                "{no_new_privileges} {uid}"
            );
        }
    }
}

#[test]
fn an_added_process_has_the_filter_too() {
    let mut process =
        bundle::spec(&["sh", "-c", "mkdir /tmp/x 2>/dev/null || echo refused"]).process.unwrap();
    process.cwd = "/tmp".into();
    let out = Run::new(&["sleep", "60"])
        .linux(|linux| linux.seccomp = Some(deny(&["mkdir", "mkdirat"])))
        .request(|request| request.exec = Some(process))
        .run();
    assert_eq!(out.ok(), "refused");
}

#[test]
fn a_filter_that_forbids_all_that_is_not_needed_lets_the_program_begin() {
    let filter = Seccomp {
        default_action: "SCMP_ACT_KILL_PROCESS".into(),
        syscalls: vec![SeccompRule {
            names: [
                "execve",
                "brk",
                "arch_prctl",
                "set_tid_address",
                "set_robust_list",
                "rseq",
                "prlimit64",
                "readlink",
                "getrandom",
                "mprotect",
                "prctl",
                "getuid",
                "exit_group",
                "mmap",
                "munmap",
                "readlinkat",
            ]
            .map(String::from)
            .to_vec(),
            action: "SCMP_ACT_ALLOW".into(),
            ..SeccompRule::default()
        }],
        ..Seccomp::default()
    };
    let out = Run::new(&["true"]).linux(|linux| linux.seccomp = Some(filter)).run();
    out.ok();
}

#[test]
fn the_container_and_what_is_added_are_in_its_cgroup() {
    let script = "cut -d: -f3 /proc/self/cgroup | sort -u; ls /sys/fs/cgroup; \
        for d in /sys/fs/cgroup/* /sys/fs/cgroup; do grep -qx 1 $d/cgroup.procs 2>/dev/null && echo in; done | sort -u; \
        cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; \
        mkdir /sys/fs/cgroup/pids/x /sys/fs/cgroup/x 2>/dev/null || echo ro";
    let edit = |run: Run| {
        run.request(|request| request.cgroup = true).linux(|linux| {
            linux.resources =
                Some(Resources { pids: Some(Pids { limit: Some(77) }), ..Resources::default() });
        })
    };
    let check = |text: &str| {
        let lines: Vec<_> = text.lines().collect();
        for line in ["in", "77", "ro"] {
            assert!(lines.contains(&line), "{line}: {text}");
        }
    };
    let out = edit(Run::shell(script)).run();
    check(out.ok());
    assert_eq!(out.ok().lines().next(), Some("/"), "the namespace begins at the group");

    let process = bundle::spec(&["sh", "-c", script]).process.unwrap();
    let out =
        edit(Run::new(&["sleep", "60"])).request(|request| request.exec = Some(process)).run();
    check(out.ok());
}

#[test]
fn without_a_namespace_the_host_sees_the_groups_name() {
    let out = Run::shell("cut -d: -f3 /proc/self/cgroup | sort -u; ls /sys/fs/cgroup | wc -l")
        .request(|request| request.cgroup = true)
        .linux(|linux| linux.namespaces.retain(|one| one.kind != NamespaceKind::Cgroup))
        .run();
    assert!(out.ok().contains("/kista-test/"), "{out:?}");
}
