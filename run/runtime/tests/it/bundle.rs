//! A spec such as an engine writes, for a root file system of busybox alone.

use std::path::Path;

use oci::Mount;
use oci::runtime::{Capabilities, Linux, Namespace, NamespaceKind, Process, Root, Spec};

/// Docker's fourteen.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The same as bits.
#[allow(dead_code, reason = "this file is an example's too")]
pub(crate) const RIGHTS: u64 = 0xa804_25fb;

/// Makes a root file system out of the host's static busybox.
pub(crate) fn make_rootfs(path: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "root", "usr"] {
        std::fs::create_dir_all(path.join(dir)).expect("a writable directory");
    }
    std::fs::copy("/bin/busybox", path.join("bin/busybox")).expect("busybox-static is installed");
    for applet in [
        "sh", "true", "false", "cat", "ls", "id", "echo", "sleep", "grep", "readlink", "stat",
        "mount", "hostname", "ip", "tty", "stty", "test", "head", "wc", "mknod", "kill", "touch",
        "mkdir", "rm", "ln", "dd", "tr", "sort", "nice", "chroot", "find", "printf", "env", "cut",
    ] {
        std::os::unix::fs::symlink("busybox", path.join("bin").join(applet))
            .expect("a writable directory");
    }
    std::fs::write(path.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
        .expect("a writable directory");
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(kind.into()),
        options: options.iter().map(|&option| option.into()).collect(),
        ..Mount::default()
    }
}

/// The OCI's default mounts, masks, read-only paths and Docker's capabilities, in new namespaces
/// of every kind but user and time.
pub(crate) fn spec(args: &[&str]) -> Spec {
    let names: Vec<String> = CAPABILITIES.iter().map(|&name| name.into()).collect();
    let strings = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    Spec {
        oci_version: oci::runtime::VERSION.into(),
        root: Some(Root { path: "rootfs".into(), readonly: false }),
        process: Some(Process {
            args: strings(args),
            env: strings(&["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root"]),
            cwd: "/".into(),
            no_new_privileges: true,
            capabilities: Some(Capabilities {
                bounding: names.clone(),
                effective: names.clone(),
                permitted: names,
                ..Capabilities::default()
            }),
            ..Process::default()
        }),
        hostname: Some("testbox".into()),
        mounts: vec![
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount(
                "/dev/pts",
                "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            ),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        linux: Some(Linux {
            namespaces: [
                NamespaceKind::Pid,
                NamespaceKind::Network,
                NamespaceKind::Ipc,
                NamespaceKind::Uts,
                NamespaceKind::Mount,
                NamespaceKind::Cgroup,
            ]
            .map(|kind| Namespace { kind, path: None })
            .to_vec(),
            masked_paths: strings(&[
                "/proc/asound",
                "/proc/acpi",
                "/proc/interrupts",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/sys/firmware",
                "/sys/devices/virtual/powercap",
            ]),
            readonly_paths: strings(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}
