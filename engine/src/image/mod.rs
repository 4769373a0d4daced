//! Images: what can be asked for and what is answered; the verbs are one file each.

mod bring;
mod list;
mod lists;
mod registry;
mod remove;
mod save;
mod search;

use std::collections::BTreeMap;

use dockerapi::ImageDeleteResponse;
use images::{ImageRecord, ImagesError};
use oci::{Digest, ImageConfig, Platform, Timestamp};

pub use lists::AnnotateManifest;
pub(crate) use registry::parse as parse_reference;
pub use registry::{
    PullImage, PulledImage, PushImage, PushedImage, Registries, RegistryLogin, RegistryManifest,
};

pub use search::SearchRegistry;

use crate::{Engine, EngineError, Filters};

/// The most bytes that an image's configuration may have.
const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// An image, with its configuration read.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) id: Digest,
    pub(crate) record: ImageRecord,
    pub(crate) config: ImageConfig,
}

/// A root file system that becomes an image.
#[derive(Debug, Clone, Default)]
pub struct ImportImage {
    /// The name, or none.
    pub reference: Option<String>,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// For the history.
    pub message: String,
    /// What it runs on; the machine's own platform if `None`.
    pub platform: Option<Platform>,
    /// Where it came from, for the history: `-` or a file.
    pub source: String,
}

/// Images into an archive.
#[derive(Debug, Clone, Default)]
pub struct SaveImages {
    /// Names, ids, or repositories, which stand for all their tags.
    pub images: Vec<String>,
    /// Only the variants for these; all that are here, with their index, if empty.
    pub platforms: Vec<Platform>,
}

/// Images from an archive.
#[derive(Debug, Clone, Default)]
pub struct LoadImages {
    /// Only images for these; all if empty.
    pub platforms: Vec<Platform>,
}

/// One image of an archive, for `Loaded image: NAME` or `Loaded image ID: ID`.
#[derive(Debug, Clone)]
pub struct LoadedImage {
    /// The name as Docker shows it, if it has one.
    pub name: Option<String>,
    /// Its id.
    pub id: Digest,
    /// The name that the archive moved away from another image: that image's id.
    pub replaced: Option<Digest>,
}

/// Which images to list.
#[derive(Debug, Clone, Default)]
pub struct ListImages {
    /// Intermediate ones too.
    pub all: bool,
    /// Only this repository, or repository and tag; may hold `*`.
    pub reference: Option<String>,
    /// Only those that match; Docker's keys (`dangling`, `label`, `before`, `since`, `reference`, `until`).
    pub filters: Filters,
}

/// One image.
#[derive(Debug, Clone)]
pub struct ImageSummary {
    /// The configuration's digest.
    pub id: Digest,
    /// `repository:tag` as Docker shows them; empty for a dangling image.
    pub repo_tags: Vec<String>,
    /// `repository@digest` as Docker shows them.
    pub repo_digests: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Bytes, unpacked.
    pub size_bytes: u64,
    /// Free key-value pairs.
    pub labels: BTreeMap<String, String>,
    /// How many containers use it.
    pub containers: usize,
    /// What it runs on.
    pub platform: Platform,
}

/// Removes an image or a name of it.
#[derive(Debug, Clone, Default)]
pub struct RemoveImage {
    /// A name, a digest or the prefix of an id.
    pub image: String,
    /// Also when stopped containers use it, and all names at once.
    pub force: bool,
    /// Only the variants for these; the image with all of them if empty.
    pub platforms: Vec<Platform>,
}

/// What a prune removed.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// Names and digests.
    pub images: Vec<ImageDeleteResponse>,
    /// Bytes.
    pub reclaimed_bytes: u64,
    /// Whether the images' space is given back later, since somebody is adding something.
    pub is_deferred: bool,
}

impl Engine {
    /// Finds an image by name, digest or the prefix of its id, and reads its configuration.
    pub(crate) fn resolve_image(&self, text: &str) -> Result<Image, EngineError> {
        self.read_image(self.image_record(text)?, text)
    }

    /// As [`Engine::resolve_image`]; of a name's variants the one for `platform`, if there is one,
    /// else what the name stands for.
    pub(crate) fn resolve_image_for(
        &self,
        text: &str,
        platform: Option<&Platform>,
    ) -> Result<Image, EngineError> {
        let record = match platform {
            None => self.image_record(text)?,
            Some(platform) => match self.images()?.resolve_for(text, platform) {
                Ok(Ok(record) | Err(record)) => record,
                // For its message.
                Err(_) => self.image_record(text)?,
            },
        };
        self.read_image(record, text)
    }

    fn read_image(&self, record: ImageRecord, text: &str) -> Result<Image, EngineError> {
        let bytes = self.content()?.read(&record.id, MAX_CONFIG_BYTES)?;
        let config = serde_json::from_slice(&bytes).map_err(|error| EngineError::Invalid {
            message: format!("the configuration {} of image {text} is damaged: {error}", record.id),
        })?;
        Ok(Image { id: record.id.clone(), record, config })
    }

    /// Finds an image and leaves its configuration alone.
    pub(crate) fn image_record(&self, text: &str) -> Result<ImageRecord, EngineError> {
        match self.images()?.resolve(text) {
            Ok(record) => Ok(record),
            Err(ImagesError::NotFound { .. }) => {
                // What is no reference at all gets the grammar's complaint.
                if let Err(error) = text.parse::<oci::Reference>()
                    && !matches!(error, oci::ReferenceError::Identifier { .. })
                {
                    return Err(EngineError::Invalid { message: error.to_string() });
                }
                Err(EngineError::NoImage { name: shown_name(text) })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A name as Docker shows it when it is not there: with its tag.
fn shown_name(text: &str) -> String {
    match text.parse::<oci::Reference>() {
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => text.to_owned(),
    }
}
