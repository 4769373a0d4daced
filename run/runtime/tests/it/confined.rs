//! Filters and cgroups in force.

use std::os::fd::AsFd;

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

/// A program that answers for filters: takes what comes over `count` connections, and has no
/// answer to anything, so that the kernel gives `ENOSYS`.
fn agent(
    path: &std::path::Path,
    count: usize,
) -> std::thread::JoinHandle<Vec<oci::runtime::ContainerProcessState>> {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        (0..count)
            .map(|_| {
                let (connection, _) = listener.accept().unwrap();
                let mut bytes = vec![0; 65536];
                let flags = rustix::net::RecvFlags::empty();
                let (mut length, fds) =
                    sys::socket::receive(connection.as_fd(), &mut bytes, 4, flags).unwrap();
                let names: Vec<_> = fds
                    .iter()
                    .map(|fd| std::fs::read_link(sys::fs::fd_path(fd.as_fd())).unwrap())
                    .collect();
                assert_eq!(
                    names,
                    [std::path::Path::new("anon_inode:seccomp notify")],
                    "{length} bytes, {}",
                    String::from_utf8_lossy(&bytes[..length])
                );
                // Nothing more comes: one state a connection.
                while let more @ 1.. = rustix::io::read(&connection, &mut bytes[length..]).unwrap()
                {
                    length += more;
                }
                serde_json::from_slice(&bytes[..length]).unwrap()
            })
            .collect()
    })
}

#[test]
fn whoever_answers_for_a_filter_gets_its_listener() {
    for no_new_privileges in [true, false] {
        let mut process = bundle::spec(&["sh", "-c", "mkdir /tmp/x; echo $?"]).process.unwrap();
        process.no_new_privileges = no_new_privileges;
        let run = Run::shell("mkdir /tmp/x; echo $?; sleep 60");
        let socket = run.dir().join("agent");
        let notifying = Seccomp {
            listener_path: Some(socket.to_str().unwrap().to_owned()),
            listener_metadata: Some("some metadata".into()),
            syscalls: vec![SeccompRule {
                names: vec!["mkdir".into(), "mkdirat".into()],
                action: "SCMP_ACT_NOTIFY".into(),
                ..SeccompRule::default()
            }],
            ..deny(&[])
        };
        let agent = agent(&socket, 2);
        let out = run
            .linux(|linux| linux.seccomp = Some(notifying))
            .process(|process| process.no_new_privileges = no_new_privileges)
            .request(|request| request.exec = Some(process))
            .run();
        // Both programs write to the same file.
        assert!(out.ok().lines().all(|line| line == "1"), "{out:?}");
        assert!(out.stderr.contains("Function not implemented"), "{out:?}");
        let states = agent.join().unwrap();
        assert_eq!(states[0].metadata, "some metadata");
        assert_eq!((&*states[0].state.id, &*states[0].state.status), ("test", "creating"));
        assert_eq!(states[1].metadata, "for exec");
        assert_ne!(states[0].pid, states[1].pid);
        for state in states {
            assert_eq!(state.fds, ["seccompFd"]);
            assert_eq!(state.state.pid, Some(state.pid));
            assert!(state.pid > 2, "as the host sees it");
        }
    }
}

#[test]
fn a_filter_with_notifications_and_nobody_to_hear_them_is_refused() {
    let notify = |names: &[&str]| Seccomp {
        syscalls: vec![SeccompRule {
            names: names.iter().map(|&name| name.into()).collect(),
            action: "SCMP_ACT_NOTIFY".into(),
            ..SeccompRule::default()
        }],
        ..deny(&[])
    };
    let run = |filter| Run::new(&["true"]).linux(|linux| linux.seccomp = Some(filter)).run();
    assert!(run(notify(&["mkdir"])).refused().starts_with("linux.seccomp.listenerPath"));
    let path = Some("/nonexistent/agent".to_owned());
    let filter = Seccomp { listener_path: path.clone(), ..notify(&["mkdir"]) };
    assert!(run(filter).refused().contains("/nonexistent/agent"));
    let filter = Seccomp { listener_path: path.clone(), ..notify(&["sendmsg"]) };
    assert!(run(filter).refused().contains("must let sendmsg pass"));
    let filter = Seccomp { listener_metadata: Some("x".into()), ..deny(&["mkdir"]) };
    assert!(run(filter).refused().starts_with("linux.seccomp.listenerMetadata"));
    // Without notifications the path is not looked at.
    run(Seccomp { listener_path: path, ..deny(&["mkdir"]) }).ok();
}

#[test]
fn hooks_of_the_container_are_under_its_filter() {
    for no_new_privileges in [true, false] {
        let hook = oci::runtime::Hook {
            path: "/bin/sh".into(),
            args: ["sh", "-c", "mkdir /tmp/x"].map(String::from).to_vec(),
            env: vec!["PATH=/bin".into()],
            timeout: Some(30),
        };
        let out = Run::new(&["true"])
            .process(|process| process.no_new_privileges = no_new_privileges)
            .linux(|linux| linux.seccomp = Some(deny(&["mkdir", "mkdirat"])))
            .edit(|spec| {
                let start_container = vec![hook];
                spec.hooks = Some(oci::runtime::Hooks { start_container, ..Default::default() });
            })
            .run();
        let text = out.refused();
        assert!(text.contains("startContainer hook #0") && text.contains("mkdir"), "{out:?}");
    }
}
