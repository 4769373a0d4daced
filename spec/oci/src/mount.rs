//! The value in which `store` and `run` meet.

use serde::{Deserialize, Serialize};

/// One mount to perform, with the words of mount(8).
///
/// `store` emits these for a root file system, `flow::bundle` for everything below it, and
/// `run::runtime` performs them inside the container's own mount namespace.
///
/// `destination` is a path inside the container; `/` stands for the root file system itself.
/// `source` is a path on the host for bind mounts and otherwise only a label.
///
/// runtime-spec 1.3.0, config.md, "Mounts".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where it goes, absolute inside the container.
    pub destination: String,
    /// The file system's type; `bind`, `none` or empty for a bind mount.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Options as in fstab(5), with `rbind`, propagation, `rro`, `idmap` and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Ids for an id-mapped mount: from the file system's view to the container's user namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<crate::runtime::IdMapping>,
    /// As `uid_mappings`, for groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<crate::runtime::IdMapping>,
}
