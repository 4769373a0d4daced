//! What a container may use, and that it reads back.

use testkit::{Kista, needs};

#[test]
fn memory_is_limited() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    let out = kista.ok(&["run", "--rm", "--memory", "32m", "busybox", "sh", "-c", script]);
    assert_eq!(out, (32 << 20).to_string());
    // The memory of a shell variable that doubles until it does not fit.
    let hungry = "x=aaaaaaaa; while :; do x=$x$x; done";
    let out = kista.run(&[
        "run",
        "--name",
        "box",
        "--memory",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sh",
        "-c",
        hungry,
    ]);
    assert_eq!(out.code, 137, "{}", out.stderr);
    assert_eq!(kista.format("{{.State.OOMKilled}} {{.State.ExitCode}}", "box"), "true 137");
    kista
        .run(&["run", "--rm", "--memory", "1k", "busybox", "true"])
        .fails(125, "Minimum memory limit allowed is 6MB");
}

#[test]
fn processor_time_is_limited() {
    needs!(Root, Busybox, CgroupV1);
    let kista = Kista::with_busybox();
    let read = |flags: &[&str], files: &str| {
        let script = format!("cd /sys/fs/cgroup/cpu; cat {files} | tr '\\n' ' '");
        kista.ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", &script]].concat())
    };
    let quota = "cpu.cfs_period_us cpu.cfs_quota_us";
    assert_eq!(read(&["--cpus", "0.5"], quota), "100000 50000 ");
    assert_eq!(read(&["--cpu-period", "50000", "--cpu-quota", "20000"], quota), "50000 20000 ");
    assert_eq!(read(&["--cpu-shares", "512"], "cpu.shares"), "512 ");
    let out = kista.ok(&[
        "run",
        "--rm",
        "--cpuset-cpus",
        "0",
        "busybox",
        "grep",
        "Cpus_allowed_list",
        "/proc/self/status",
    ]);
    assert_eq!(out, "Cpus_allowed_list:\t0");
    kista
        .run(&["run", "--cpus", "0.5", "--cpu-quota", "1000", "busybox"])
        .fails(125, "Conflicting options");
}

#[test]
fn processes_are_limited() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait";
    let out = kista.run(&["run", "--rm", "--pids-limit", "4", "busybox", "sh", "-c", script]);
    assert!(out.code != 0 && out.stderr.contains("fork"), "{} {}", out.code, out.stderr);
}

#[test]
fn ulimits_are_set() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let flags = ["--ulimit", "nofile=123:456", "--ulimit", "core=0"];
    let script = "ulimit -Sn; ulimit -Hn; ulimit -c";
    let out = kista.ok(&[&["run", "--rm"][..], &flags, &["busybox", "sh", "-c", script]].concat());
    assert_eq!(out, "123\n456\n0");
    kista
        .run(&["run", "--ulimit", "nofile=9:8", "busybox"])
        .fails(125, "ulimit soft limit must be less than or equal to hard limit");
}

#[test]
fn shared_memory_and_kernel_settings() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.ok(&[
        "run",
        "--rm",
        "--shm-size",
        "2m",
        "busybox",
        "sh",
        "-c",
        "df -k /dev/shm | tail -n 1 | awk '{print $2}'",
    ]);
    assert_eq!(out, "2048");
    let out = kista.ok(&[
        "run",
        "--rm",
        "--sysctl",
        "kernel.msgmax=1234",
        "busybox",
        "cat",
        "/proc/sys/kernel/msgmax",
    ]);
    assert_eq!(out, "1234");
    let refused = kista.run(&["run", "--rm", "--sysctl", "vm.swappiness=1", "busybox", "true"]);
    assert_eq!(refused.code, 125, "not of a namespace: {}", refused.stderr);
}
