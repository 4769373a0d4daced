//! `status.json`: what changes, and all that `ps` shows, so that a listing reads one small file
//! per container.

use std::collections::BTreeMap;

use oci::Timestamp;
use serde::{Deserialize, Serialize};

/// The states that are written down. Whether `Running` is still true, the lock says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Never started.
    #[default]
    Created,
    /// Started.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
}

/// What changes in a container's life, and what `ps` shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Without a slash.
    pub name: String,
    /// The image as the user named it.
    pub image: String,
    /// The image's id, with `sha256:`.
    pub image_id: String,
    /// The program and its arguments, joined by spaces.
    pub command: String,
    /// When it was created.
    pub created: Timestamp,
    /// Free key-value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Volumes and host paths that are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// The network mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// The state as last written.
    pub phase: Phase,
    /// Whether its maker was about to start it at once: one that then never ran, and that is to be
    /// removed when it ends, is left over from a killed process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub launching: bool,
    /// Whether its shim has paused it for as long as somebody copies its files. If nobody is at it,
    /// the shim is about to let it go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub committing: bool,
    /// The first process, as the host sees it; 0 unless running.
    #[serde(default)]
    pub pid: i32,
    /// The shim; 0 unless running.
    #[serde(default)]
    pub shim_pid: i32,
    /// The cgroup below each hierarchy, such as `/kista/<id>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cgroup: String,
    /// Of the last run.
    #[serde(default)]
    pub exit_code: i32,
    /// Whether the kernel killed it for memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// Why it did not start.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What could not be had as asked when it last started, and was not worth failing for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When it last started.
    #[serde(default)]
    pub started: Timestamp,
    /// When it last ended.
    #[serde(default)]
    pub finished: Timestamp,
    /// Whether it is removed when it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_remove: bool,
}
