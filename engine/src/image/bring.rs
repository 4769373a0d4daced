//! `import` and `load`: images that come from outside.

use std::io::Read;

use archive::{ImportOptions, LoadOptions, Stores};
use oci::{Digest, Reference};

use super::{ImportImage, LoadImages, LoadedImage};
use crate::{Engine, EngineError};

impl Engine {
    /// Makes an image of a root file system tar, compressed or not; returns its id.
    pub fn import_image(
        &self,
        source: &mut (dyn Read + Send),
        request: &ImportImage,
    ) -> Result<Digest, EngineError> {
        let name = match request.reference.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(tag_only(text)?),
            None => None,
        };
        let message = match (request.message.as_str(), request.source.as_str()) {
            ("", source) => format!("Imported from {source}"),
            (message, _) => message.to_owned(),
        };
        let options = ImportOptions {
            changes: request.changes.clone(),
            message: Some(message),
            platform: request.platform.clone(),
            ..ImportOptions::default()
        };
        Ok(archive::import(source, name.as_ref(), &self.stores()?, &options)?.id)
    }

    /// Takes in all images of an archive.
    pub fn load_images(
        &self,
        source: &mut (dyn Read + Send),
        request: &LoadImages,
    ) -> Result<Vec<LoadedImage>, EngineError> {
        let options =
            LoadOptions { platforms: request.platforms.clone(), ..LoadOptions::default() };
        let loaded = archive::load(source, &self.stores()?, &options)?;
        let replaced = |name: &Reference| {
            loaded.moved.iter().find(|(moved, _)| moved == name).map(|(_, id)| id.clone())
        };
        let mut answers = Vec::new();
        for image in &loaded.images {
            if image.names.is_empty() {
                answers.push(LoadedImage { name: None, id: image.id.clone(), replaced: None });
            }
            answers.extend(image.names.iter().map(|name| LoadedImage {
                name: Some(name.familiar()),
                id: image.id.clone(),
                replaced: replaced(name),
            }));
        }
        Ok(answers)
    }

    /// The stores that an archive is taken into.
    pub(crate) fn stores(&self) -> Result<Stores, EngineError> {
        Ok(Stores {
            content: self.content()?.clone(),
            images: self.images()?.clone(),
            snapshots: self.snapshots()?.clone(),
        })
    }
}

fn tag_only(text: &str) -> Result<Reference, EngineError> {
    let name: Reference = text.parse().map_err(|error: oci::ReferenceError| {
        EngineError::Invalid { message: error.to_string() }
    })?;
    if name.digest().is_some() {
        return Err(EngineError::Invalid { message: "cannot import digest reference".into() });
    }
    Ok(name.with_default_tag())
}
