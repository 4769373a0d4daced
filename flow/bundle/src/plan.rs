//! Which mounts a container gets, and what the engine has to find or make for each.

use std::collections::BTreeMap;

use dockerapi::{ContainerConfig, HostConfig};
use serde::{Deserialize, Serialize};

use crate::BundleError;

/// One mount that the user, the image or another container asked for.
///
/// The engine makes volumes and missing directories, writes the path that is mounted into
/// `host_path`, keeps the list in the container's record and hands it to [`spec`](crate::spec())
/// at each start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedMount {
    /// Where, inside: absolute and without `.`, `..` or doubled slashes.
    pub destination: String,
    /// What.
    pub source: PlannedSource,
    /// Whether it can be written to.
    #[serde(default)]
    pub access: Access,
    /// How mounts made later on one side reach the other; `rprivate` if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// The options of `-v` as they were written: `inspect` shows them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// The path on the host that is mounted, absolute. The engine fills it in for volumes (with
    /// the subpath, resolved inside the volume); for a bind it overrides the source's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum PlannedSource {
    /// A file or directory of the host.
    Bind {
        /// Absolute and clean.
        path: String,
        /// Whether a missing one is made, as a directory; it is an error otherwise.
        create: bool,
        /// Whether mounts below it stay out.
        non_recursive: bool,
    },
    /// A volume.
    Volume(VolumeWanted),
    /// An empty file system in memory.
    Tmpfs {
        /// Checked options, without the defaults.
        options: Vec<String>,
    },
}

/// A volume to find or to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeWanted {
    /// `None` for an anonymous one; the engine makes a name up and writes it here.
    pub name: Option<String>,
    /// `local` if empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Options of the driver, for a new volume.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, String>,
    /// Labels of a new volume.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether an empty one gets what the image has at the destination.
    pub copy_up: bool,
    /// The part that is mounted: relative, never leaving the volume; empty for all of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// Whether it was born as an anonymous one: `rm -v` and `--rm` remove it then.
    #[serde(default)]
    pub anonymous: bool,
}

/// Whether a mount can be written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It can.
    #[default]
    ReadWrite,
    /// It and all mounts below it cannot, where the kernel can do that; else only it.
    ReadOnly,
    /// It cannot; mounts below it can.
    ReadOnlyTop,
    /// It and all mounts below it cannot, or the container does not start.
    ReadOnlyForced,
}

impl Access {
    /// Whether the mount itself can be written to.
    pub fn is_writable(self) -> bool {
        self == Self::ReadWrite
    }
}

/// How mounts made later on one side reach the other. mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words of mount(8)")]
pub enum Propagation {
    Private,
    Rprivate,
    Shared,
    Rshared,
    Slave,
    Rslave,
}

impl Propagation {
    /// The word of mount(8).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Rprivate => "rprivate",
            Self::Shared => "shared",
            Self::Rshared => "rshared",
            Self::Slave => "slave",
            Self::Rslave => "rslave",
        }
    }

    /// Reads the word of mount(8).
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "private" => Self::Private,
            "rprivate" => Self::Rprivate,
            "shared" => Self::Shared,
            "rshared" => Self::Rshared,
            "slave" => Self::Slave,
            "rslave" => Self::Rslave,
            _ => return None,
        })
    }
}

/// Decides on the mounts of a container at its creation.
///
/// `config` is the merged one, so that the image's VOLUMEs are in it. `inherited` are the mounts
/// of the containers that `volumes_from` names, in that order, made read-only where it says so.
/// What is named later wins over what is named earlier, and a VOLUME only counts where nothing
/// else is mounted; the same destination twice among `-v`, `--mount` and `--tmpfs` is an error.
pub fn plan_mounts(
    config: &ContainerConfig,
    host: &HostConfig,
    inherited: &[PlannedMount],
) -> Result<Vec<PlannedMount>, BundleError> {
    let _ = (config, host, inherited);
    Err(BundleError::invalid("mounts cannot be planned"))
}
