//! What `image inspect` answers, and how `rmi` reports.

use serde::{Deserialize, Serialize};

use crate::{DriverData, null_default};

/// All about one image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    /// The configuration's digest.
    #[serde(deserialize_with = "null_default")]
    pub id: String,
    /// Names with tags.
    #[serde(deserialize_with = "null_default")]
    pub repo_tags: Vec<String>,
    /// Names with digests.
    #[serde(deserialize_with = "null_default")]
    pub repo_digests: Vec<String>,
    /// Of the last step.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// RFC 3339.
    #[serde(deserialize_with = "null_default")]
    pub created: String,
    /// Who made it.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The `config` section as it stands in the blob.
    pub config: serde_json::Value,
    /// `amd64` and so on.
    #[serde(deserialize_with = "null_default")]
    pub architecture: String,
    /// Of the architecture.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `linux`.
    #[serde(deserialize_with = "null_default")]
    pub os: String,
    /// Bytes, unpacked.
    #[serde(deserialize_with = "null_default")]
    pub size: i64,
    /// Directories of the layers.
    pub graph_driver: DriverData,
    /// The layers.
    #[serde(rename = "RootFS")]
    pub root_fs: ImageRootFs,
    /// What this store knows.
    pub metadata: ImageMetadata,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageRootFs {
    /// `layers`.
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub kind: String,
    /// DiffIDs, lowest first.
    #[serde(deserialize_with = "null_default")]
    pub layers: Vec<String>,
}

/// What this store knows of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageMetadata {
    /// RFC 3339.
    #[serde(deserialize_with = "null_default")]
    pub last_tag_time: String,
}

/// One line of what `rmi` did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageDeleteResponse {
    /// A name that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untagged: Option<String>,
    /// A digest that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
}
