//! What a container is to be: `ContainerConfig`, `HostConfig` and what they hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::null_default;

/// Go prints an empty list that was never set as `null`; clients compare with that.
fn nil_if_empty<T: Serialize, S: Serializer>(list: &Vec<T>, out: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { out.serialize_none() } else { list.serialize(out) }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_zero_mode(mode: &u32) -> bool {
    *mode == 0
}

/// The part of a container that does not depend on the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// The host name inside; the short id if empty.
    #[serde(deserialize_with = "null_default")]
    pub hostname: String,
    /// The NIS domain name inside.
    #[serde(deserialize_with = "null_default")]
    pub domainname: String,
    /// `name|uid[:group|gid]`; the image's user if empty.
    #[serde(deserialize_with = "null_default")]
    pub user: String,
    /// Whether the creator attaches to standard input.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdin: bool,
    /// Whether the creator attaches to standard output.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdout: bool,
    /// Whether the creator attaches to standard error.
    #[serde(deserialize_with = "null_default")]
    pub attach_stderr: bool,
    /// `port/protocol` as keys.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// Whether the container has a pseudo-terminal.
    #[serde(deserialize_with = "null_default")]
    pub tty: bool,
    /// Whether standard input is kept open when nobody is attached.
    #[serde(deserialize_with = "null_default")]
    pub open_stdin: bool,
    /// Whether standard input is closed when the first attached client leaves.
    #[serde(deserialize_with = "null_default")]
    pub stdin_once: bool,
    /// `NAME=value` each.
    #[serde(deserialize_with = "null_default")]
    pub env: Vec<String>,
    /// The command, or the arguments of the entrypoint.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub cmd: Vec<String>,
    /// How to tell whether the container is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Windows only.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// The image as the user named it.
    #[serde(deserialize_with = "null_default")]
    pub image: String,
    /// Paths as keys: each becomes an anonymous volume.
    #[serde(deserialize_with = "null_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// Where the process starts.
    #[serde(deserialize_with = "null_default")]
    pub working_dir: String,
    /// What is run; `[""]` or `[]` resets the image's, `None` keeps it.
    pub entrypoint: Option<Vec<String>>,
    /// Whether there is no network at all.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub network_disabled: bool,
    /// Triggers of the image.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub on_build: Vec<String>,
    /// Free key-value pairs.
    #[serde(deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that `stop` sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds that `stop` waits; -1 is for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell form's shell.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// How to tell whether a container is well; durations in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `NONE`, or `CMD` and arguments, or `CMD-SHELL` and a line.
    #[serde(deserialize_with = "null_default")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(deserialize_with = "null_default")]
    pub interval: i64,
    /// For one check.
    #[serde(deserialize_with = "null_default")]
    pub timeout: i64,
    /// In which failures do not count.
    #[serde(deserialize_with = "null_default")]
    pub start_period: i64,
    /// Between two checks in the start period.
    #[serde(deserialize_with = "null_default")]
    pub start_interval: i64,
    /// Failures in a row that make a container unwell.
    #[serde(deserialize_with = "null_default")]
    pub retries: i64,
}

/// Ids of a user namespace: `container:host:count` each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdMappings {
    /// Of users.
    pub uid_map: Vec<String>,
    /// Of groups.
    pub gid_map: Vec<String>,
}

/// The part of a container that depends on the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `source:destination[:options]` each.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub binds: Vec<String>,
    /// Where the client wrote the id.
    #[serde(rename = "ContainerIDFile", deserialize_with = "null_default")]
    pub container_id_file: String,
    /// Where the output goes.
    pub log_config: LogConfig,
    /// `none`, `host`, `bridge`, `container:ID` or a network's name.
    #[serde(deserialize_with = "null_default")]
    pub network_mode: String,
    /// Published ports by `port/protocol`.
    #[serde(deserialize_with = "null_default")]
    pub port_bindings: BTreeMap<String, Vec<PortBinding>>,
    /// What happens when the process ends.
    pub restart_policy: RestartPolicy,
    /// Whether the container is removed when it ends.
    #[serde(deserialize_with = "null_default")]
    pub auto_remove: bool,
    /// The driver of anonymous volumes.
    #[serde(deserialize_with = "null_default")]
    pub volume_driver: String,
    /// Containers whose volumes are mounted too.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub volumes_from: Vec<String>,
    /// Mounts in the long form.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// The terminal's first size: rows, columns.
    pub console_size: [u16; 2],
    /// Annotations for the runtime.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Capabilities beyond the profile's.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities of the profile that are taken away.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub cap_drop: Vec<String>,
    /// `private` or `host`.
    #[serde(deserialize_with = "null_default")]
    pub cgroupns_mode: String,
    /// Name servers.
    #[serde(deserialize_with = "null_default")]
    pub dns: Vec<String>,
    /// Options of the resolver.
    #[serde(deserialize_with = "null_default")]
    pub dns_options: Vec<String>,
    /// Search domains.
    #[serde(deserialize_with = "null_default")]
    pub dns_search: Vec<String>,
    /// `host:ip` each.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub extra_hosts: Vec<String>,
    /// Supplementary groups.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub group_add: Vec<String>,
    /// `private`, `shareable`, `none`, `host` or `container:ID`.
    #[serde(deserialize_with = "null_default")]
    pub ipc_mode: String,
    /// Unused.
    #[serde(deserialize_with = "null_default")]
    pub cgroup: String,
    /// Legacy links.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub links: Vec<String>,
    /// -1000 to 1000.
    #[serde(deserialize_with = "null_default")]
    pub oom_score_adj: i64,
    /// Empty, `host` or `container:ID`.
    #[serde(deserialize_with = "null_default")]
    pub pid_mode: String,
    /// Whether nearly all isolation is off.
    #[serde(deserialize_with = "null_default")]
    pub privileged: bool,
    /// Whether all exposed ports are published.
    #[serde(deserialize_with = "null_default")]
    pub publish_all_ports: bool,
    /// Whether the root file system is read-only inside.
    #[serde(deserialize_with = "null_default")]
    pub readonly_rootfs: bool,
    /// `no-new-privileges`, `seccomp=...` and so on.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub security_opt: Vec<String>,
    /// Options of the root file system.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// Options of a tmpfs by destination.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// Empty or `host`.
    #[serde(rename = "UTSMode", deserialize_with = "null_default")]
    pub uts_mode: String,
    /// Empty or `host`.
    #[serde(deserialize_with = "null_default")]
    pub userns_mode: String,
    /// The ids that are its own, as Podman shows them; no wish, but what it was given.
    #[serde(rename = "IDMappings", skip_serializing_if = "Option::is_none")]
    pub id_mappings: Option<IdMappings>,
    /// Bytes of `/dev/shm`; 64 MiB if 0.
    #[serde(deserialize_with = "null_default")]
    pub shm_size: i64,
    /// Kernel parameters of the container's namespaces.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The OCI runtime; ours if empty.
    #[serde(deserialize_with = "null_default")]
    pub runtime: String,
    /// Empty, `default` or `process`.
    #[serde(deserialize_with = "null_default")]
    pub isolation: String,
    /// Kista's own: `standard`, `docker`, `strict` or `build`; `standard` if empty.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Paths that are made unreadable; the profile's if `None`.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that are made read-only; the profile's if `None`.
    pub readonly_paths: Option<Vec<String>>,
    /// Weight against others; 0 is the default.
    #[serde(deserialize_with = "null_default")]
    pub cpu_shares: i64,
    /// Bytes; 0 is no limit.
    #[serde(deserialize_with = "null_default")]
    pub memory: i64,
    /// Billionths of a processor; 0 is no limit.
    #[serde(deserialize_with = "null_default")]
    pub nano_cpus: i64,
    /// The parent cgroup.
    #[serde(deserialize_with = "null_default")]
    pub cgroup_parent: String,
    /// 10 to 1000; 0 is the default.
    #[serde(deserialize_with = "null_default")]
    pub blkio_weight: u16,
    /// Weights by device.
    #[serde(deserialize_with = "null_default")]
    pub blkio_weight_device: Vec<WeightDevice>,
    /// Bytes a second by device.
    #[serde(deserialize_with = "null_default")]
    pub blkio_device_read_bps: Vec<ThrottleDevice>,
    /// Bytes a second by device.
    #[serde(deserialize_with = "null_default")]
    pub blkio_device_write_bps: Vec<ThrottleDevice>,
    /// Operations a second by device.
    #[serde(rename = "BlkioDeviceReadIOps", deserialize_with = "null_default")]
    pub blkio_device_read_iops: Vec<ThrottleDevice>,
    /// Operations a second by device.
    #[serde(rename = "BlkioDeviceWriteIOps", deserialize_with = "null_default")]
    pub blkio_device_write_iops: Vec<ThrottleDevice>,
    /// Microseconds.
    #[serde(deserialize_with = "null_default")]
    pub cpu_period: i64,
    /// Microseconds in a period.
    #[serde(deserialize_with = "null_default")]
    pub cpu_quota: i64,
    /// Microseconds.
    #[serde(deserialize_with = "null_default")]
    pub cpu_realtime_period: i64,
    /// Microseconds in a period.
    #[serde(deserialize_with = "null_default")]
    pub cpu_realtime_runtime: i64,
    /// A list such as `0-3,7`.
    #[serde(deserialize_with = "null_default")]
    pub cpuset_cpus: String,
    /// Memory nodes, likewise.
    #[serde(deserialize_with = "null_default")]
    pub cpuset_mems: String,
    /// Devices of the host.
    #[serde(deserialize_with = "null_default")]
    pub devices: Vec<DeviceMapping>,
    /// Rules such as `c 42:* rmw`.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub device_cgroup_rules: Vec<String>,
    /// Devices by driver (GPUs).
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub device_requests: Vec<DeviceRequest>,
    /// Bytes.
    #[serde(deserialize_with = "null_default")]
    pub memory_reservation: i64,
    /// Memory and swap together, bytes; -1 is no limit.
    #[serde(deserialize_with = "null_default")]
    pub memory_swap: i64,
    /// 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// Whether the kernel's killer is off.
    pub oom_kill_disable: Option<bool>,
    /// Whether our init is pid 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Number of tasks; -1 or 0 is no limit; the profile's if `None`.
    pub pids_limit: Option<i64>,
    /// Resource limits.
    #[serde(deserialize_with = "null_default")]
    pub ulimits: Vec<Ulimit>,
}

/// Where the output goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file`, `local`, `journald`, `none`; the default if empty.
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub kind: String,
    /// Options of the driver.
    #[serde(deserialize_with = "null_default")]
    pub config: BTreeMap<String, String>,
}

/// One published port.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// The address on the host.
    #[serde(deserialize_with = "null_default")]
    pub host_ip: String,
    /// The port or range on the host.
    #[serde(deserialize_with = "null_default")]
    pub host_port: String,
}

/// What happens when the process ends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `on-failure`, `always` or `unless-stopped`; `no` if empty.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// For `on-failure`; 0 is no limit.
    #[serde(deserialize_with = "null_default")]
    pub maximum_retry_count: i64,
}

/// A mount in the long form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs` or `image`.
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub kind: String,
    /// The path on the host, or the volume.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where, inside.
    #[serde(deserialize_with = "null_default")]
    pub target: String,
    /// Whether it is read-only.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Not used on Linux.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// For `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// For `volume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// For `image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// For `tmpfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `rprivate` if empty.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Whether mounts below the source stay out.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// Whether a missing source is made.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub create_mountpoint: bool,
    /// Whether only the top mount is read-only.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// Whether it is an error if a lower mount cannot be made read-only.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Whether the image's content is not copied in.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// Labels of a new volume.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The driver of a new volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<VolumeDriver>,
    /// The part of the volume that is mounted.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// The driver of a volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeDriver {
    /// `local` if empty.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// Its options.
    #[serde(deserialize_with = "null_default")]
    pub options: BTreeMap<String, String>,
}

/// Options of an image mount.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOptions {
    /// The part of the image that is mounted.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// Options of a tmpfs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// The size; half of memory if 0.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero")]
    pub size_bytes: i64,
    /// The mode of its root; 01777 if 0.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_zero_mode")]
    pub mode: u32,
    /// Further options: one or two words each.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Vec<String>>,
}

/// A weight for one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// The device's node.
    #[serde(deserialize_with = "null_default")]
    pub path: String,
    /// 10 to 1000.
    #[serde(deserialize_with = "null_default")]
    pub weight: u16,
}

/// A rate for one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// The device's node.
    #[serde(deserialize_with = "null_default")]
    pub path: String,
    /// Bytes or operations a second.
    #[serde(deserialize_with = "null_default")]
    pub rate: u64,
}

/// A device of the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// The node, or a directory of them.
    #[serde(deserialize_with = "null_default")]
    pub path_on_host: String,
    /// Where, inside.
    #[serde(deserialize_with = "null_default")]
    pub path_in_container: String,
    /// Letters of `rwm`.
    #[serde(deserialize_with = "null_default")]
    pub cgroup_permissions: String,
}

/// Devices by driver (GPUs).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// The driver.
    #[serde(deserialize_with = "null_default")]
    pub driver: String,
    /// How many; -1 is all.
    #[serde(deserialize_with = "null_default")]
    pub count: i64,
    /// Which.
    #[serde(
        rename = "DeviceIDs",
        deserialize_with = "null_default",
        serialize_with = "nil_if_empty"
    )]
    pub device_ids: Vec<String>,
    /// What they must be capable of.
    #[serde(deserialize_with = "null_default")]
    pub capabilities: Vec<Vec<String>>,
    /// Options of the driver.
    #[serde(deserialize_with = "null_default")]
    pub options: BTreeMap<String, String>,
}

/// A resource limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile` and so on.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// -1 is no limit.
    #[serde(deserialize_with = "null_default")]
    pub hard: i64,
    /// -1 is no limit.
    #[serde(deserialize_with = "null_default")]
    pub soft: i64,
}

/// The networks of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    /// By network.
    #[serde(deserialize_with = "null_default")]
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// A container's end in one network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    /// Static addresses.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpam>,
    /// Legacy links.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub links: Vec<String>,
    /// Further names.
    #[serde(deserialize_with = "null_default", serialize_with = "nil_if_empty")]
    pub aliases: Vec<String>,
    /// The hardware address.
    #[serde(deserialize_with = "null_default")]
    pub mac_address: String,
    /// Options of the driver.
    #[serde(deserialize_with = "null_default")]
    pub driver_opts: BTreeMap<String, String>,
    /// The highest gives the default route.
    #[serde(deserialize_with = "null_default")]
    pub gw_priority: i64,
    /// The network.
    #[serde(rename = "NetworkID", deserialize_with = "null_default")]
    pub network_id: String,
    /// This end.
    #[serde(rename = "EndpointID", deserialize_with = "null_default")]
    pub endpoint_id: String,
    /// The IPv4 gateway.
    #[serde(deserialize_with = "null_default")]
    pub gateway: String,
    /// The IPv4 address.
    #[serde(rename = "IPAddress", deserialize_with = "null_default")]
    pub ip_address: String,
    /// Bits of the IPv4 network.
    #[serde(rename = "IPPrefixLen", deserialize_with = "null_default")]
    pub ip_prefix_len: i64,
    /// The IPv6 gateway.
    #[serde(rename = "IPv6Gateway", deserialize_with = "null_default")]
    pub ipv6_gateway: String,
    /// The IPv6 address.
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "null_default")]
    pub global_ipv6_address: String,
    /// Bits of the IPv6 network.
    #[serde(rename = "GlobalIPv6PrefixLen", deserialize_with = "null_default")]
    pub global_ipv6_prefix_len: i64,
    /// All names.
    #[serde(
        rename = "DNSNames",
        deserialize_with = "null_default",
        serialize_with = "nil_if_empty"
    )]
    pub dns_names: Vec<String>,
}

/// Static addresses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointIpam {
    /// IPv4.
    #[serde(
        rename = "IPv4Address",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ipv4_address: String,
    /// IPv6.
    #[serde(
        rename = "IPv6Address",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ipv6_address: String,
    /// Link-local.
    #[serde(
        rename = "LinkLocalIPs",
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub link_local_ips: Vec<String>,
}
