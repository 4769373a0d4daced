//! Who a process is and what it may.

use oci::runtime::{Capabilities, Process, Rlimit};

use crate::bundle::CAPABILITIES;
use crate::driver::Run;

const STATUS: &str = "grep -E '^(Cap|NoNewPrivs|Groups|Uid|Gid|Seccomp:)' /proc/self/status";

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

/// Docker's fourteen as a mask.
const MASK: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

#[test]
fn root_has_the_capabilities_of_the_spec_and_none_to_inherit() {
    let out = Run::shell(STATUS).run();
    let status = out.ok();
    for (name, wanted) in [
        ("CapInh:", NONE),
        ("CapPrm:", MASK),
        ("CapEff:", MASK),
        ("CapBnd:", MASK),
        ("CapAmb:", NONE),
        ("NoNewPrivs:", "1"),
        ("Groups:", ""),
    ] {
        assert_eq!(field(status, name), wanted, "{name}");
    }
}

fn as_user(process: &mut Process) {
    process.user.uid = 1000;
    process.user.gid = 1001;
    process.user.additional_gids = vec![5, 6];
}

#[test]
fn a_user_has_no_capability_and_exactly_its_groups() {
    let run = Run::shell(&format!("{STATUS}; cat /secret 2>/dev/null || echo unreadable"));
    std::fs::write(run.rootfs().join("secret"), "x").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o0);
    std::fs::set_permissions(run.rootfs().join("secret"), mode).unwrap();
    let out = run.process(as_user).run();
    let status = out.ok();
    for (name, wanted) in [
        ("CapInh:", NONE),
        ("CapPrm:", NONE),
        ("CapEff:", NONE),
        ("CapBnd:", MASK),
        ("CapAmb:", NONE),
        ("Uid:", "1000\t1000\t1000\t1000"),
        ("Gid:", "1001\t1001\t1001\t1001"),
        ("Groups:", "5 6"),
    ] {
        assert_eq!(field(status, name), wanted, "{name}");
    }
    assert!(status.ends_with("unreadable"));
}

#[test]
fn ambient_capabilities_reach_a_user_who_is_given_them() {
    let out = Run::shell(STATUS)
        .process(|process| {
            as_user(process);
            let caps = process.capabilities.as_mut().unwrap();
            caps.inheritable = vec!["CAP_NET_RAW".into()];
            caps.ambient = vec!["CAP_NET_RAW".into()];
        })
        .run();
    assert_eq!(field(out.ok(), "CapEff:"), "0000000000002000");
    assert_eq!(field(out.ok(), "CapAmb:"), "0000000000002000");
}

#[test]
fn no_capabilities_at_all_are_none() {
    let out = Run::shell(STATUS).process(|process| process.capabilities = None).run();
    assert_eq!(field(out.ok(), "CapEff:"), NONE);
    assert_eq!(field(out.ok(), "CapBnd:"), NONE);
}

#[test]
fn what_cannot_be_given_is_warned_of() {
    let out = Run::new(&["true"])
        .process(|process| {
            let mut names: Vec<String> = CAPABILITIES.iter().map(|&name| name.into()).collect();
            names.push("CAP_FLY".into());
            process.capabilities = Some(Capabilities {
                bounding: names.clone(),
                effective: names.clone(),
                permitted: names,
                ..Capabilities::default()
            });
            let limit = |kind: &str, soft, hard| Rlimit { kind: kind.into(), soft, hard };
            process.rlimits = vec![limit("RLIMIT_NOFILE", 1024, 1 << 30)];
        })
        .run();
    out.ok();
    assert!(out.warnings.iter().any(|text| text.contains("CAP_FLY")), "{:?}", out.warnings);
    // 1 << 30 is above fs.nr_open for everyone.
    assert!(out.warnings.iter().any(|text| text.contains("RLIMIT_NOFILE")), "{:?}", out.warnings);
}

#[test]
fn limits_scores_masks_and_priorities_are_as_asked() {
    let out = Run::shell(
        "ulimit -n; ulimit -c; umask; cut -d' ' -f19 /proc/self/stat; cat /proc/self/oom_score_adj",
    )
    .process(|process| {
        let limit = |kind: &str, soft, hard| Rlimit { kind: kind.into(), soft, hard };
        process.rlimits = vec![limit("RLIMIT_NOFILE", 100, 200), limit("RLIMIT_CORE", 0, 0)];
        process.user.umask = Some(0o027);
        process.oom_score_adj = Some(500);
        process.scheduler = Some(oci::runtime::Scheduler {
            policy: "SCHED_OTHER".into(),
            nice: 7,
            ..oci::runtime::Scheduler::default()
        });
    })
    .run();
    assert_eq!(out.ok().lines().collect::<Vec<_>>(), ["100", "0", "0027", "7", "500"]);
}

#[test]
fn labels_for_modules_that_do_not_run_are_refused() {
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        return;
    }
    let run = Run::new(&["true"]).process(|process| process.selinux_label = Some("x:y:z".into()));
    assert!(run.run().refused().contains("process.selinuxLabel"));
}

#[test]
fn ids_that_mean_no_change_are_refused() {
    for edit in [
        (|process: &mut Process| process.user.uid = u32::MAX) as fn(&mut Process),
        |process| process.user.gid = u32::MAX,
        |process| process.user.additional_gids = vec![1, u32::MAX],
    ] {
        assert!(Run::new(&["true"]).process(edit).run().refused().contains("is not an id"));
    }
    let out = Run::shell("id -u").process(|process| process.user.uid = u32::MAX - 1).run();
    assert_eq!(out.ok(), "4294967294");
}

#[test]
fn memory_comes_from_the_nodes_of_the_policy() {
    let policy = |mode: &str, nodes: &str| oci::runtime::MemoryPolicy {
        mode: mode.into(),
        nodes: nodes.into(),
        flags: vec!["MPOL_F_STATIC_NODES".into()],
    };
    let run = |policy| {
        Run::shell("head -n 1 /proc/self/numa_maps | cut -d' ' -f2")
            .linux(|linux| linux.memory_policy = Some(policy))
            .run()
    };
    assert_eq!(run(policy("MPOL_BIND", "0")).ok(), "bind=static:0");
    assert!(run(policy("MPOL_BIND", "")).refused().contains("linux.memoryPolicy"));
    assert!(run(policy("MPOL_NEAR", "0")).refused().starts_with("linux.memoryPolicy.mode"));
}
