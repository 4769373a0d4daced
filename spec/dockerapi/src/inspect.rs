//! What `inspect` and `ps` answer about a container, and the form of volumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ContainerConfig, EndpointSettings, HostConfig, PortBinding, null_default};

/// All about one container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerInspect {
    /// 64 hexadecimal digits.
    #[serde(deserialize_with = "null_default")]
    pub id: String,
    /// RFC 3339.
    #[serde(deserialize_with = "null_default")]
    pub created: String,
    /// The program.
    #[serde(deserialize_with = "null_default")]
    pub path: String,
    /// Its arguments.
    #[serde(deserialize_with = "null_default")]
    pub args: Vec<String>,
    /// Its state.
    pub state: ContainerState,
    /// The image's id, with `sha256:`.
    #[serde(deserialize_with = "null_default")]
    pub image: String,
    /// On the host.
    #[serde(deserialize_with = "null_default")]
    pub resolv_conf_path: String,
    /// On the host.
    #[serde(deserialize_with = "null_default")]
    pub hostname_path: String,
    /// On the host.
    #[serde(deserialize_with = "null_default")]
    pub hosts_path: String,
    /// On the host; empty if there is no file.
    #[serde(deserialize_with = "null_default")]
    pub log_path: String,
    /// With a leading slash.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// How often the policy restarted it.
    #[serde(deserialize_with = "null_default")]
    pub restart_count: i64,
    /// The snapshotter.
    #[serde(deserialize_with = "null_default")]
    pub driver: String,
    /// `linux`.
    #[serde(deserialize_with = "null_default")]
    pub platform: String,
    /// SELinux.
    #[serde(deserialize_with = "null_default")]
    pub mount_label: String,
    /// SELinux.
    #[serde(deserialize_with = "null_default")]
    pub process_label: String,
    /// AppArmor.
    #[serde(deserialize_with = "null_default")]
    pub app_armor_profile: String,
    /// Processes added by `exec`.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// The part that depends on the host.
    pub host_config: HostConfig,
    /// The root file system.
    pub graph_driver: DriverData,
    /// Bytes written by the container; with `--size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes in all; with `--size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// What is mounted below the root.
    #[serde(deserialize_with = "null_default")]
    pub mounts: Vec<MountPoint>,
    /// The part that does not depend on the host.
    pub config: ContainerConfig,
    /// The network.
    pub network_settings: NetworkSettings,
}

/// The state of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    #[serde(deserialize_with = "null_default")]
    pub status: String,
    /// Also true when paused.
    #[serde(deserialize_with = "null_default")]
    pub running: bool,
    /// Frozen.
    #[serde(deserialize_with = "null_default")]
    pub paused: bool,
    /// Between two runs.
    #[serde(deserialize_with = "null_default")]
    pub restarting: bool,
    /// Whether the kernel killed it for memory.
    #[serde(rename = "OOMKilled", deserialize_with = "null_default")]
    pub oom_killed: bool,
    /// Its removal failed.
    #[serde(deserialize_with = "null_default")]
    pub dead: bool,
    /// On the host; 0 if not running.
    #[serde(deserialize_with = "null_default")]
    pub pid: i64,
    /// 128+n when killed by signal n.
    #[serde(deserialize_with = "null_default")]
    pub exit_code: i64,
    /// Why it did not start.
    #[serde(deserialize_with = "null_default")]
    pub error: String,
    /// RFC 3339.
    #[serde(deserialize_with = "null_default")]
    pub started_at: String,
    /// RFC 3339.
    #[serde(deserialize_with = "null_default")]
    pub finished_at: String,
}

/// A root file system.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverData {
    /// Directories.
    #[serde(deserialize_with = "null_default")]
    pub data: BTreeMap<String, String>,
    /// The snapshotter.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
}

/// What is mounted at one place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`.
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub kind: String,
    /// The volume.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// On the host.
    #[serde(deserialize_with = "null_default")]
    pub source: String,
    /// Inside.
    #[serde(deserialize_with = "null_default")]
    pub destination: String,
    /// The volume's driver.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// As given.
    #[serde(deserialize_with = "null_default")]
    pub mode: String,
    /// Whether it can be written.
    #[serde(rename = "RW", deserialize_with = "null_default")]
    pub rw: bool,
    /// Of mounts below it.
    #[serde(deserialize_with = "null_default")]
    pub propagation: String,
}

/// The network of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// The network namespace.
    #[serde(rename = "SandboxID", deserialize_with = "null_default")]
    pub sandbox_id: String,
    /// A file that stands for it.
    #[serde(deserialize_with = "null_default")]
    pub sandbox_key: String,
    /// Published ports.
    #[serde(deserialize_with = "null_default")]
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// By network.
    #[serde(deserialize_with = "null_default")]
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// RFC 3339.
    #[serde(deserialize_with = "null_default")]
    pub created_at: String,
    /// `local`.
    #[serde(deserialize_with = "null_default")]
    pub driver: String,
    /// Free key-value pairs.
    #[serde(deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
    /// On the host.
    #[serde(deserialize_with = "null_default")]
    pub mountpoint: String,
    /// Its name.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// Of the driver.
    #[serde(deserialize_with = "null_default")]
    pub options: BTreeMap<String, String>,
    /// `local`.
    #[serde(deserialize_with = "null_default")]
    pub scope: String,
}
