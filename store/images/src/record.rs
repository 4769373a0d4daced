//! What is known of an image, and the files that hold it.

use oci::{Descriptor, Digest, Platform, Timestamp};
use rustix::fs::Dir;
use serde::{Deserialize, Serialize};

use crate::{Images, ImagesError, failed, open_directory};

/// What is known of one image without opening any of its blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The digest of the image's configuration: the image id.
    pub id: Digest,
    /// Points at the manifest.
    pub manifest: Descriptor,
    /// What the image runs on.
    pub platform: Platform,
    /// When the image says that it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The sum of the layers' files as a container sees them.
    pub size_bytes: u64,
    /// When the image came into this store.
    pub stored_at: Timestamp,
    /// Point at the layers' blobs, lowest first, as in the manifest.
    pub layers: Vec<Descriptor>,
    /// The layers by DiffID, lowest first, as in the configuration.
    pub diff_ids: Vec<Digest>,
    /// What is said about the manifest: attestations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<Referrer>,
}

/// A manifest that is about another one, which it names as its subject, with all of its blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    /// Points at it; with the type of its artifact.
    pub manifest: Descriptor,
    /// Its configuration, and what it says.
    pub blobs: Vec<Descriptor>,
}

impl ImageRecord {
    /// The digests of all blobs that the image is made of, and of what is said about it; the roots
    /// of garbage collection.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let said = self.referrers.iter().flat_map(|referrer| {
            std::iter::once(&referrer.manifest.digest)
                .chain(referrer.blobs.iter().map(|blob| &blob.digest))
        });
        self.own_blobs().chain(said)
    }

    /// The digests of the blobs that the image itself is made of.
    pub fn own_blobs(&self) -> impl Iterator<Item = &Digest> {
        [&self.manifest.digest, &self.id]
            .into_iter()
            .chain(self.layers.iter().map(|layer| &layer.digest))
    }
}

impl Images {
    /// An image's record, or `None` if there is none.
    pub(crate) fn record_of(&self, id: &Digest) -> Result<Option<ImageRecord>, ImagesError> {
        self.read_record(&file_name(id))
    }

    /// All records, in no particular order.
    pub(crate) fn records(&self) -> Result<Vec<ImageRecord>, ImagesError> {
        let mut records = Vec::new();
        for id in self.ids()? {
            // One that goes away while we read is not there.
            records.extend(self.record_of(&id)?);
        }
        Ok(records)
    }

    /// The ids of all images, from the files' names alone.
    pub(crate) fn ids(&self) -> Result<Vec<Digest>, ImagesError> {
        let path = self.inner.file("records");
        let list = |errno| failed("list", &path, errno);
        let folder = open_directory(&self.inner.images, "records").map_err(list)?;
        let mut ids = Vec::new();
        for entry in Dir::read_from(&folder).map_err(list)? {
            let entry = entry.map_err(list)?;
            let name = entry.file_name().to_str().ok();
            if let Some(hex) = name.and_then(|name| name.strip_suffix(".json")) {
                let algorithm = if hex.len() == 64 { "sha256" } else { "sha512" };
                ids.extend(format!("{algorithm}:{hex}").parse::<Digest>().ok());
            }
        }
        Ok(ids)
    }

    fn read_record(&self, name: &str) -> Result<Option<ImageRecord>, ImagesError> {
        let Some(bytes) = self.inner.read(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| ImagesError::Damaged { path: self.inner.file(name), source })
    }
}

/// Where an image's record is, below `images`.
pub(crate) fn file_name(id: &Digest) -> String {
    format!("records/{}.json", id.hex())
}
