//! What a container shares with the host, and what not.

use oci::runtime::{IdMapping, Namespace, NamespaceKind, TimeOffset};

use crate::driver::Run;

const KINDS: [&str; 8] = ["pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time"];

fn host(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn each_kind_that_is_asked_for_is_new_and_no_other() {
    let script = KINDS.map(|kind| format!("readlink /proc/self/ns/{kind}")).join("; ");
    let out = Run::shell(&script).run();
    for (kind, inside) in KINDS.iter().zip(out.ok().lines()) {
        let shared = matches!(*kind, "user" | "time");
        assert_eq!(inside == host(kind), shared, "{kind}");
    }
}

#[test]
fn the_first_process_is_number_one_with_its_own_names() {
    let out =
        Run::shell("echo $$; hostname; ip link show lo up | wc -l; ls /proc | grep -c '^[0-9]'")
            .run();
    let lines: Vec<_> = out.ok().lines().collect();
    assert_eq!(lines[..2], ["1", "testbox"]);
    assert_ne!(lines[2], "0", "the loopback interface is up");
    assert!(lines[3].parse::<u32>().unwrap() <= 4, "{lines:?}");
}

#[test]
fn a_user_namespace_maps_ids_both_ways() {
    let out = Run::shell("id -u; cat /proc/self/uid_map; touch /tmp/mine; ls -n /tmp/mine; cat /dev/null && echo null")
        .linux(|linux| {
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
            let map = IdMapping { container_id: 0, host_id: 0, size: 1000 };
            linux.uid_mappings = vec![map];
            linux.gid_mappings = vec![map];
        })
        .run();
    let lines: Vec<_> = out.ok().lines().collect();
    assert_eq!(lines[0], "0");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "0", "1000"]);
    assert!(lines[3] == "null", "{lines:?}");
}

/// A sysfs shows a network, and a container with ids of its own has no rights over one that it
/// shares.
#[test]
fn a_user_namespace_in_another_network_has_a_sysfs_of_that() {
    let map = vec![IdMapping { container_id: 0, host_id: 0, size: 1000 }];
    let out = Run::shell("ls /sys/class/net; touch /sys/x 2>/dev/null || echo ro")
        .linux(|linux| {
            linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
            (linux.uid_mappings, linux.gid_mappings) = (map.clone(), map);
        })
        .run();
    let mut names: Vec<_> = out.ok().lines().collect();
    assert_eq!(names.pop(), Some("ro"));
    assert!(names.contains(&"lo"), "{names:?}");
}

#[test]
fn clocks_are_moved_in_a_time_namespace() {
    let out = Run::shell("readlink /proc/self/ns/time; cut -d. -f1 /proc/uptime")
        .linux(|linux| {
            linux.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
            let offset = TimeOffset { secs: 1_000_000, nanosecs: 0 };
            linux.time_offsets.insert("boottime".into(), offset);
        })
        .run();
    let lines: Vec<_> = out.ok().lines().collect();
    assert_ne!(lines[0], host("time"));
    assert!(lines[1].parse::<u64>().unwrap() >= 1_000_000, "{lines:?}");
}

#[test]
fn namespaces_are_joined_by_their_files() {
    let holder = Run::new(&["sleep", "60"]).request(|request| request.hold = true);
    let mut driver = holder
        .command()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = wait_for(&holder.dir().join("pid"));

    let join = |kind, name: &str| Namespace { kind, path: Some(format!("/proc/{pid}/ns/{name}")) };
    let out = Run::shell("readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; ls /proc | grep -c '^[0-9]'; hostname")
        .edit(|spec| spec.hostname = None)
        .linux(|linux| {
            for (kind, name) in [
                (NamespaceKind::Network, "net"),
                (NamespaceKind::Ipc, "ipc"),
                (NamespaceKind::Pid, "pid"),
                (NamespaceKind::Uts, "uts"),
            ] {
                linux.namespaces.retain(|namespace| namespace.kind != kind);
                linux.namespaces.push(join(kind, name));
            }
        })
        .run();
    let lines: Vec<_> = out.ok().lines().map(str::to_owned).collect();
    let theirs = |name: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        link.to_str().unwrap().to_owned()
    };
    assert_eq!(lines[..2], [theirs("net"), theirs("ipc")]);
    assert!(lines[2].parse::<u32>().unwrap() >= 3, "the other's init is seen: {lines:?}");
    assert_eq!(lines[3], "testbox");
    drop(driver.stdin.take());
    driver.wait().unwrap();
    let pid: i32 = pid.parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[test]
fn a_user_namespace_is_joined_with_a_pid_namespace_of_its_own() {
    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1000 }];
    let holder = Run::new(&["sleep", "60"])
        .linux(|linux| {
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
            (linux.uid_mappings, linux.gid_mappings) = (map(0), map(0));
        })
        .request(|request| request.hold = true);
    let mut driver = holder
        .command()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = wait_for(&holder.dir().join("pid"));
    let path = format!("/proc/{pid}/ns/user");
    let theirs = std::fs::read_link(&path).unwrap();
    for sibling in [false, true] {
        let out = Run::shell(
            "readlink /proc/self/ns/user; echo $$; hostname; mount -t tmpfs x /tmp && echo mine",
        )
        .linux(|linux| {
            let path = Some(path.clone());
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path });
        })
        .process(|process| {
            let capabilities = process.capabilities.as_mut().unwrap();
            for set in [
                &mut capabilities.bounding,
                &mut capabilities.permitted,
                &mut capabilities.effective,
            ] {
                set.push("CAP_SYS_ADMIN".into());
            }
        })
        .request(|request| request.sibling = sibling)
        .run();
        assert_eq!(out.ok(), format!("{}\n1\ntestbox\nmine", theirs.display()));
    }
    drop(driver.stdin.take());
    driver.wait().unwrap();
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub(crate) fn wait_for(path: &std::path::Path) -> String {
    for _ in 0..1000 {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    panic!("{} did not appear", path.display());
}

#[test]
fn parameters_are_set_in_the_containers_namespaces_only() {
    let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let before = std::fs::read_to_string(path).unwrap();
    let out = Run::shell(&format!("cat {path}"))
        .linux(|linux| {
            let key = "net.ipv4.ip_unprivileged_port_start";
            linux.sysctl.insert(key.into(), "77".into());
        })
        .run();
    assert_eq!(out.ok(), "77");
    assert_eq!(std::fs::read_to_string(path).unwrap(), before);
    for key in ["kernel.core_pattern", "vm.overcommit_memory", "net.ipv4/../../kernel.core_pattern"]
    {
        let run = Run::new(&["true"]).linux(|linux| {
            linux.sysctl.insert(key.into(), "1".into());
        });
        assert!(run.run().refused().contains("linux.sysctl"), "{key}");
    }
}

#[test]
fn the_hosts_mount_table_does_not_change() {
    let table = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = table();
    let out = Run::shell("cat /proc/self/mountinfo").run();
    assert_eq!(table(), before);
    let inside = out.ok();
    for place in ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]
    {
        let found = inside.lines().filter(|line| line.split(' ').nth(4) == Some(place)).count();
        assert!(found >= 1, "{place} is not mounted: {inside}");
    }
    assert!(inside.lines().all(|line| !line.contains("/oldroot")), "{inside}");
}

/// In a network of its own, which is the host's for this test.
#[test]
fn network_devices_go_to_the_container_with_their_addresses() {
    let device = |name: &str| oci::runtime::NetDevice { name: Some(name.into()) };
    let script = "ip addr show dev inside; cat /sys/class/net/lan0/flags; ls /sys/class/net";
    let run = |script: &str, devices: &[(&str, &str)]| {
        let run = Run::shell(script).linux(|linux| {
            let devices = devices.iter().map(|(host, name)| ((*host).to_owned(), device(name)));
            linux.net_devices = devices.collect();
        });
        let driver = run.command();
        let setup = "ip link add one type veth peer name two && ip link add three type veth peer name four && \
            ip addr add 10.77.0.5/24 dev one && ip addr add fd00:77::5/64 dev one nodad && \
            ip link set one mtu 1400 up && exec \"$@\"";
        let status = std::process::Command::new("unshare")
            .args(["--net", "sh", "-c", setup, "sh"])
            .arg(driver.get_program())
            .args(driver.get_args())
            .env("RUNTIME_DRIVER", run.dir())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        run.report()
    };
    let out = run(script, &[("one", "inside"), ("three", "lan%d")]);
    let text = out.ok();
    for part in [
        "inet 10.77.0.5/24",
        "inet6 fd00:77::5/64",
        "mtu 1400",
        ",UP",
        "global inside",
        "0x1003",
        "lan0\nlo",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let out = run("true", &[("absent", "inside")]);
    assert_eq!(out.refused(), "linux.netDevices[\"absent\"]: there is no such device");
    let out = run("true", &[("one", "lo")]);
    assert!(out.refused().contains("move network device one"), "{out:?}");
    let out = run("true", &[("one", "a/b")]);
    assert!(out.refused().starts_with("linux.netDevices[\"one\"].name"), "{out:?}");
}
