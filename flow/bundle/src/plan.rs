//! Which mounts a container gets, and what the engine has to find or make for each.

use std::collections::BTreeMap;

use dockerapi::{ContainerConfig, HostConfig};
use serde::{Deserialize, Serialize};

use crate::mount_rules::{check_destination, check_kernel_files};
use crate::{BundleError, parse_bind, paths, tmpfs};

mod long;

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
/// What the user names wins over what is inherited, and a VOLUME only counts where nothing else
/// is mounted; the same destination twice among `-v`, `--mount` and `--tmpfs` is an error.
///
/// They come back with parents before what is mounted below them.
pub fn plan_mounts(
    config: &ContainerConfig,
    host: &HostConfig,
    inherited: &[PlannedMount],
) -> Result<Vec<PlannedMount>, BundleError> {
    let mut own: Vec<PlannedMount> = Vec::new();
    for text in &host.binds {
        add(&mut own, parse_bind(text, &host.volume_driver)?)?;
    }
    for mount in &host.mounts {
        add(&mut own, long::plan(mount, &host.volume_driver)?)?;
    }
    for (destination, options) in &host.tmpfs {
        check_destination(destination)?;
        let options = tmpfs::parse_options(options)?;
        let read_only = options.iter().rev().find(|word| *word == "ro" || *word == "rw");
        let access = match read_only.map(String::as_str) {
            Some("ro") => Access::ReadOnly,
            _ => Access::ReadWrite,
        };
        add(&mut own, planned(destination, PlannedSource::Tmpfs { options }, access))?;
    }
    let mut all: Vec<PlannedMount> = Vec::new();
    for mount in inherited {
        all.retain(|earlier| earlier.destination != mount.destination);
        all.push(PlannedMount { mode: String::new(), ..mount.clone() });
    }
    all.retain(|earlier| own.iter().all(|mount| mount.destination != earlier.destination));
    all.append(&mut own);
    for destination in config.volumes.keys() {
        let destination = paths::clean(destination);
        check_destination(&destination)?;
        if all.iter().all(|mount| mount.destination != destination) {
            let wanted = VolumeWanted {
                driver: host.volume_driver.clone(),
                copy_up: true,
                anonymous: true,
                ..Default::default()
            };
            let source = PlannedSource::Volume(wanted);
            all.push(planned(&destination, source, Access::ReadWrite));
        }
    }
    for mount in &all {
        check_kernel_files(mount)?;
        if let PlannedSource::Volume(wanted) = &mount.source {
            check_driver(&wanted.driver)?;
        }
    }
    all.sort_by_key(|mount| paths::depth(&mount.destination));
    Ok(all)
}

/// A mount with nothing but what each must have.
pub(crate) fn planned(destination: &str, source: PlannedSource, access: Access) -> PlannedMount {
    PlannedMount {
        destination: paths::clean(destination),
        source,
        access,
        propagation: None,
        mode: String::new(),
        host_path: None,
    }
}

fn add(mounts: &mut Vec<PlannedMount>, mount: PlannedMount) -> Result<(), BundleError> {
    if mounts.iter().any(|other| other.destination == mount.destination) {
        return Err(BundleError::conflict(format!("Duplicate mount point: {}", mount.destination)));
    }
    mounts.push(mount);
    Ok(())
}

fn check_driver(driver: &str) -> Result<(), BundleError> {
    match driver {
        "" | "local" => Ok(()),
        other => Err(BundleError::Later { what: format!("volume driver {other:?}"), hint: "" }),
    }
}

#[cfg(test)]
mod tests;
