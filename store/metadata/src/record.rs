//! `record.json`: what was decided when the container was created. It never changes.

use dockerapi::{ContainerConfig, HostConfig, NetworkingConfig};
use oci::{Digest, Platform, Timestamp};
use serde::{Deserialize, Serialize};

use crate::IdRange;

/// What was decided when the container was created.
///
/// `config` is the user's wish merged with the image's defaults, as `inspect` shows it; a start
/// needs the image's blobs no more, only its layers. `M` is a planned mount, which this shelf does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<M> {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When.
    pub created: Timestamp,
    /// The image's id.
    pub image_id: Digest,
    /// What the image runs on.
    pub platform: Platform,
    /// The layers of the root file system, lowest first: as long as this record is there, so are
    /// they.
    pub diff_ids: Vec<Digest>,
    /// The program and its arguments, with the entrypoint first.
    pub command: Vec<String>,
    /// The part that does not depend on the host.
    pub config: ContainerConfig,
    /// The part that does.
    pub host: HostConfig,
    /// The networks.
    pub networking: NetworkingConfig,
    /// What is mounted below the root file system, in the form of whoever decides on it.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<M>,
    /// Whether the upper directory is mounted without ever being synced (`--rm`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub volatile: bool,
    /// The ids that are its own, if it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdRange>,
}
