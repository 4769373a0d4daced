//! What a container cannot do or see.

use std::fs;

use testkit::{Kista, needs};

#[test]
fn every_namespace_is_its_own() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "for n in mnt pid ipc uts net cgroup time; do readlink /proc/self/ns/$n; done";
    let out = kista.ok(&["run", "--rm", "busybox", "sh", "-c", script]);
    for line in out.lines() {
        let name = line.split(':').next().unwrap();
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(line, host.to_str().unwrap());
    }
    assert_eq!(out.lines().count(), 7, "{out}");
}

#[test]
fn namespaces_of_the_host_or_of_another_container_on_request() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let shown = |flags: &[&str], name: &str| {
        let link = format!("/proc/self/ns/{name}");
        kista.ok(&[&["run", "--rm"], flags, &["busybox", "readlink", &link]].concat())
    };
    for (flags, name) in [
        (&["--network", "host"], "net"),
        (&["--pid", "host"], "pid"),
        (&["--ipc", "host"], "ipc"),
        (&["--uts", "host"], "uts"),
    ] {
        // The network is that of the host that the test made.
        let link = || fs::read_link(format!("/proc/thread-self/ns/{name}")).unwrap();
        let host = kista.host().enter(link);
        assert_eq!(shown(flags, name), host.to_str().unwrap(), "{flags:?}");
    }
    kista.ok(&super::idle(&["run", "-d", "--ipc", "shareable", "--name", "box", "busybox"]));
    for (flags, name) in [
        (&["--network", "container:box"], "net"),
        (&["--pid", "container:box"], "pid"),
        (&["--ipc", "container:box"], "ipc"),
    ] {
        let theirs = kista.ok(&["exec", "box", "readlink", &format!("/proc/self/ns/{name}")]);
        assert_eq!(shown(flags, name), theirs, "{flags:?}");
    }
}

#[test]
fn capabilities_are_few_and_as_asked() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let bounding = |flags: &[&str]| {
        let tail = ["busybox", "grep", "CapBnd", "/proc/self/status"];
        let line = kista.ok(&[&["run", "--rm"], flags, &tail].concat());
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let (chown, net_raw, sys_admin, mknod) = (1 << 0, 1 << 13, 1 << 21, 1 << 27);
    let standard = bounding(&[]);
    assert_eq!(standard & (sys_admin | mknod | net_raw), 0, "{standard:x}");
    assert_eq!(standard.count_ones(), 11, "{standard:x}");
    let docker = bounding(&["--profile", "docker"]);
    assert_eq!(docker, 0xa804_25fb, "{docker:x}");
    assert_eq!(bounding(&["--cap-drop", "ALL"]), 0);
    assert_eq!(bounding(&["--cap-drop", "ALL", "--cap-add", "CHOWN"]), chown);
    assert_eq!(bounding(&["--cap-add", "SYS_ADMIN"]), standard | sys_admin);
    assert!(bounding(&["--privileged"]) & sys_admin != 0);
    kista.run(&["run", "--cap-add", "NONSENSE", "busybox"]).fails(125, "CAP_NONSENSE");
}

#[test]
fn system_calls_are_filtered() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mode = |flags: &[&str]| {
        let tail = ["busybox", "grep", "Seccomp:", "/proc/self/status"];
        kista.ok(&[&["run", "--rm"], flags, &tail].concat())
    };
    assert_eq!(mode(&[]), "Seccomp:\t2");
    assert_eq!(mode(&["--security-opt", "seccomp=unconfined"]), "Seccomp:\t0");
    assert_eq!(mode(&["--privileged"]), "Seccomp:\t0");
    // A profile of one's own: no hostname(2) changes even with the capability.
    let profile = kista.root().join("profile.json");
    fs::write(&profile, r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 100}]}"#).unwrap();
    let option = format!("seccomp={}", profile.display());
    let out = kista.run(&["run", "--rm", "--security-opt", &option, "busybox", "mkdir", "/x"]);
    assert!(out.stderr.contains("Network is down"), "errno 100: {}", out.stderr);
    let unshare = kista.run(&["run", "--rm", "busybox", "unshare", "-U", "true"]);
    assert!(unshare.stderr.contains("Operation not permitted"), "{}", unshare.stderr);
}

#[test]
fn no_new_privileges_on_request() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let tail = ["busybox", "grep", "NoNewPrivs", "/proc/self/status"];
    let out =
        kista.ok(&[&["run", "--rm", "--security-opt", "no-new-privileges"][..], &tail].concat());
    assert_eq!(out, "NoNewPrivs:\t1");
}

#[test]
fn what_the_kernel_shows_is_masked_or_read_only() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "
        for f in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/sysrq-trigger; do
            [ -e $f ] && head -c 1 $f 2>/dev/null | grep -q . && echo readable $f
        done
        ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v : | grep . && echo listed
        for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_helper; do
            ( : >> $f ) 2>/dev/null && echo writable $f
        done; true";
    assert_eq!(kista.ok(&["run", "--rm", "busybox", "sh", "-c", script]), "");
}

#[test]
fn devices_are_a_few_and_those_asked_for() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let names = kista.ok(&["run", "--rm", "busybox", "ls", "/dev"]);
    let expected = [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ];
    let mut names: Vec<&str> =
        names.split_whitespace().filter(|n| *n != "core" && *n != "console").collect();
    names.sort_unstable();
    assert_eq!(names, expected);
    let out = kista.run(&[
        "run",
        "--rm",
        "--cap-add",
        "MKNOD",
        "busybox",
        "sh",
        "-c",
        "mknod /k c 1 2 && cat /k",
    ]);
    assert!(out.stderr.contains("Operation not permitted"), "/dev/kmem by number: {}", out.stderr);
    let out = kista.ok(&[
        "run",
        "--rm",
        "--device",
        "/dev/null:/dev/mine:rw",
        "busybox",
        "sh",
        "-c",
        "echo x > /dev/mine; stat -c %t:%T /dev/mine",
    ]);
    assert_eq!(out, "1:3");
}

#[test]
fn no_descriptor_comes_in_from_outside() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let decoy = fs::File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&decoy, rustix::io::FdFlags::empty()).unwrap();
    let fds = kista.ok(&["run", "--rm", "busybox", "ls", "/proc/self/fd"]);
    // 3 is the directory that ls reads.
    assert_eq!(fds, "0\n1\n2\n3");
    kista.ok(&super::idle(&["run", "-d", "--name", "box", "busybox"]));
    assert_eq!(kista.ok(&["exec", "box", "ls", "/proc/self/fd"]), "0\n1\n2\n3");
    assert_eq!(kista.ok(&["exec", "box", "ls", "/proc/1/fd"]), "0\n1\n2");
}

#[test]
fn the_hosts_mount_table_does_not_change() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--name", "box", "-v", "data:/d", "busybox"]));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = kista.root().to_str().unwrap();
    assert!(!mounts.contains(root), "{mounts}");
    let inside = kista.ok(&["exec", "box", "cat", "/proc/self/mountinfo"]);
    let points: Vec<&str> = inside.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert!(points.contains(&"/") && points.contains(&"/d"), "{points:?}");
    assert!(points.iter().all(|point| !point.contains("kista")), "{points:?}");
}

#[test]
fn a_privileged_container_sees_the_devices() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.ok(&[
        "run",
        "--rm",
        "--privileged",
        "busybox",
        "sh",
        "-c",
        "ls /dev | wc -l; echo box > /proc/sys/kernel/hostname; hostname",
    ]);
    let (count, name) = out.split_once('\n').unwrap();
    assert!(count.trim().parse::<u32>().unwrap() > 14, "{count}");
    assert_eq!(name, "box");
}

#[test]
fn a_death_of_the_parent_is_the_death_of_the_container() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--name", "box", "busybox"]));
    let pid: i32 = kista.format("{{.State.Pid}}", "box").parse().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    testkit::audit::kill(parent.parse().unwrap());
    testkit::wait_until("the death of init", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    let state = kista.ok(&[
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}",
        "box",
    ]);
    // Nobody saw how it ended, and nothing is invented.
    assert_eq!(state, "exited 255 false");
    kista.ok(&["start", "box"]);
    assert_eq!(kista.ok(&["exec", "box", "echo", "again"]), "again");
}
