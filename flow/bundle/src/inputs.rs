//! What the engine finds out before a spec can be computed: facts, as plain values.

use std::io;

use dockerapi::{ContainerConfig, HostConfig};
use oci::runtime::{IdMapping, Seccomp, Spec};

use crate::PlannedMount;

/// Everything that [`spec`](crate::spec()) looks at.
pub struct Inputs<'a> {
    /// The container's id, 64 hex digits.
    pub id: &'a str,
    /// The wishes with the image's defaults filled in: what [`merge`](crate::merge) returned.
    pub config: &'a ContainerConfig,
    /// The wishes that concern the host.
    pub host: &'a HostConfig,
    /// The root file system and two of its files.
    pub rootfs: RootfsFacts<'a>,
    /// What [`plan_mounts`](crate::plan_mounts) returned, each volume with its `host_path`.
    pub mounts: &'a [PlannedMount],
    /// Files on the host that the engine has made for this container.
    pub files: Files<'a>,
    /// Namespaces of other containers, for the modes that ask for one.
    pub joined: Joined<'a>,
    /// Ids for a user namespace of its own, or why there are none.
    pub userns: Userns<'a>,
    /// Looks at a device node, or at all nodes below a directory (not crossing mounts), of the
    /// host. Links are followed. `/dev` is asked for when a container is privileged.
    pub devices: &'a dyn Fn(&str) -> io::Result<Vec<HostDevice>>,
    /// The cgroup, in the form that `run::cgroups` takes.
    pub cgroups_path: &'a str,
    /// The filter of `--security-opt seccomp=...`, turned into rules by the engine; needed only if
    /// that option holds one.
    pub seccomp: Option<&'a Seccomp>,
    /// The host.
    pub facts: &'a HostFacts,
}

/// The root file system before the container runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct RootfsFacts<'a> {
    /// What goes into `root.path`.
    pub path: &'a str,
    /// `/etc/passwd`, at most [`ACCOUNT_FILE_LIMIT_BYTES`](crate::ACCOUNT_FILE_LIMIT_BYTES) + 1
    /// bytes of it; `None` if there is no such regular file inside the root.
    pub passwd: Option<&'a [u8]>,
    /// `/etc/group`, likewise.
    pub group: Option<&'a [u8]>,
}

/// Paths on the host, absolute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files<'a> {
    /// For `/etc/hostname`; not mounted if `None`.
    pub hostname: Option<&'a str>,
    /// For `/etc/hosts`; not mounted if `None`.
    pub hosts: Option<&'a str>,
    /// For `/etc/resolv.conf`; not mounted if `None`.
    pub resolv_conf: Option<&'a str>,
    /// Our init, needed for `--init`.
    pub init: Option<&'a str>,
}

/// Namespaces of other containers: paths such as `/proc/PID/ns/net`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Joined<'a> {
    /// For `--network container:ID`.
    pub network: Option<&'a str>,
    /// For a container with a network of its own: a namespace that was made for it already. If
    /// there is none, it is made with the container.
    pub made_network: Option<&'a str>,
    /// For `--pid container:ID`.
    pub pid: Option<&'a str>,
    /// For `--ipc container:ID`.
    pub ipc: Option<&'a str>,
    /// The other container's `/dev/shm` as the host sees it (`/proc/PID/root/dev/shm`), for
    /// `--ipc container:ID`.
    pub shm: Option<&'a str>,
    /// The user namespace that owns the joined ones, if it is not the host's.
    pub user: Option<&'a str>,
}

/// Whether a container can have ids of its own.
#[derive(Debug, Clone, Copy)]
pub enum Userns<'a> {
    /// It cannot, and why.
    Unavailable(&'a str),
    /// These, with mounts that can be id-mapped.
    Available {
        /// User ids.
        uids: &'a [IdMapping],
        /// Group ids.
        gids: &'a [IdMapping],
    },
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Its path on the host: the one that was asked for, or one below it.
    pub path: String,
    /// `c` or `b`.
    pub kind: char,
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Which hierarchies the host's cgroups are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// One hierarchy.
    #[default]
    V2,
    /// One hierarchy a controller.
    V1,
    /// Controllers in v1, with a v2 hierarchy for processes beside them.
    Hybrid,
}

/// What the host is and can do.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// The host's name, for `--uts host` and `--network host`.
    pub hostname: String,
    /// How many processors are online.
    pub cpu_count: u32,
    /// Tells the processors that may be used, as a list such as `0-3,7`; few containers ask.
    pub cpus: fn() -> String,
    /// The memory nodes that may be used, likewise.
    pub mems: fn() -> String,
    /// Processors for which `/sys/devices/system/cpu/cpuN/thermal_throttle` exists.
    pub thermal_cpus: Vec<u32>,
    /// Where cgroups are.
    pub cgroup: CgroupMode,
    /// What the cgroup controllers offer.
    pub limits: LimitFacts,
    /// The bounding set, bit n for capability n.
    pub capabilities: u64,
    /// The hard limits that we ourselves have: `RLIMIT_NOFILE` and the value.
    pub rlimits: Vec<(String, u64)>,
    /// Whether a hard limit may be raised (CAP_SYS_RESOURCE).
    pub may_raise_rlimits: bool,
    /// Whether mounts can be made read-only with all below them (Linux 5.12).
    pub recursive_read_only: bool,
    /// Whether there are time namespaces (Linux 5.6).
    pub time_namespaces: bool,
    /// Whether there are cgroup namespaces (Linux 4.6).
    pub cgroup_namespaces: bool,
    /// Whether the kernel filters system calls.
    pub seccomp: bool,
    /// Whether AppArmor is in force.
    pub apparmor: bool,
    /// Whether SELinux is in force.
    pub selinux: bool,
    /// Whether `net.ipv4.ping_group_range` and `net.ipv4.ip_unprivileged_port_start` exist.
    pub ipv4_sysctls: bool,
    /// Whether we ourselves run without root's rights.
    pub rootless: bool,
    /// How many users and how many groups there are, from 0 on: `u32::MAX` for all. With one group
    /// a process can be in no other.
    pub ids: (u32, u32),
}

/// What the cgroup controllers offer; a wish for what is missing is dropped with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitFacts {
    /// Memory can be limited.
    pub memory: bool,
    /// Memory and swap together can be limited.
    pub swap: bool,
    /// `memory.soft_limit_in_bytes` or `memory.low`.
    pub memory_reservation: bool,
    /// v1 only.
    pub swappiness: bool,
    /// v1 only.
    pub oom_kill_disable: bool,
    /// `cpu.shares` or `cpu.weight`.
    pub cpu_shares: bool,
    /// Quota and period.
    pub cpu_quota: bool,
    /// v1 with `CONFIG_RT_GROUP_SCHED`.
    pub cpu_realtime: bool,
    /// Processors and memory nodes can be chosen.
    pub cpuset: bool,
    /// `blkio.weight`, `blkio.bfq.weight` or `io.weight`.
    pub blkio_weight: bool,
    /// Weights by device.
    pub blkio_weight_device: bool,
    /// Rates by device.
    pub blkio_throttle: bool,
    /// The number of tasks can be limited.
    pub pids: bool,
}

impl LimitFacts {
    /// Everything: a host with all controllers of v1.
    pub const ALL: Self = Self {
        memory: true,
        swap: true,
        memory_reservation: true,
        swappiness: true,
        oom_kill_disable: true,
        cpu_shares: true,
        cpu_quota: true,
        cpu_realtime: true,
        cpuset: true,
        blkio_weight: true,
        blkio_weight_device: true,
        blkio_throttle: true,
        pids: true,
    };
}

/// What came out: the spec, and what it does not say.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// `config.json`.
    pub spec: Spec,
    /// What the user should hear; whole sentences of Docker's.
    pub warnings: Vec<String>,
    /// What the engine has to do itself.
    pub needs: Needs,
}

/// What the spec has no words for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Options for the mount of the root file system itself, such as `nosuid`.
    pub rootfs_options: Vec<&'static str>,
    /// User ids that the root file system must be id-mapped with; empty for none.
    pub rootfs_uids: Vec<IdMapping>,
    /// Group ids, likewise.
    pub rootfs_gids: Vec<IdMapping>,
    /// The system call filter, if it is one that comes with Kista: it is compiled straight from its
    /// tables, for the capabilities in the spec, and only a foreign runtime needs it as text.
    /// A filter of the user's is in the spec. If there is neither, calls are not filtered.
    pub seccomp: Option<seccomp::profile::Profile>,
}
