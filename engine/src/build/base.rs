//! Base images, from the store.

use builder::{BaseImage, BaseImages, BuildError};
use oci::{Platform, Reference};

use super::foreign;
use crate::image::Image;
use crate::{Engine, EngineError};

/// Fetches an image by its name for a platform.
pub type FetchImage<'a> = dyn Fn(&str, &Platform) -> Result<(), EngineError> + 'a;

/// Finds images for a build.
pub(crate) struct Base<'a> {
    pub(crate) engine: &'a Engine,
    /// Fetches what is not here.
    pub(crate) fetch: &'a FetchImage<'a>,
    /// Fetches all anew.
    pub(crate) always: bool,
}

impl BaseImages for Base<'_> {
    fn find(&self, name: &str, platform: &Platform) -> Result<BaseImage, BuildError> {
        let here = match self.always {
            true => Err(EngineError::NoImage { name: name.to_owned() }),
            false => self.engine.resolve_image_for(name, Some(platform)),
        };
        let serves = |image: &Image| {
            let own = &image.config.platform;
            own.os.is_empty() || own.satisfies(platform)
        };
        let found = match here {
            // Its registry may have one for that platform.
            Ok(image) if !serves(&image) => match (self.fetch)(name, platform) {
                // Beside the one that is here, if both are of one index.
                Ok(()) => self.engine.resolve_image_for(name, Some(platform)),
                Err(_) => Ok(image),
            },
            Err(EngineError::NoImage { .. }) => {
                (self.fetch)(name, platform).map_err(|error| foreign(&full_name(name), error))?;
                self.engine.resolve_image_for(name, Some(platform))
            }
            other => other,
        };
        let image = match found {
            Ok(image) => image,
            Err(EngineError::NoImage { .. }) => {
                return Err(BuildError::NoImage { name: full_name(name) });
            }
            Err(error) => return Err(foreign(name, error)),
        };
        if !serves(&image) {
            let own = &image.config.platform;
            return Err(BuildError::Invalid(format!(
                "image {name} is for {own}, and the build is for {platform}: \
                 bring in one for {platform}, or build with --platform {own}"
            )));
        }
        // A layer that was lost with the power is unpacked again when its image is loaded again.
        let missing = self
            .engine
            .snapshots()
            .and_then(|snapshots| Ok(snapshots.missing(&image.record.diff_ids)?))
            .map_err(|error| foreign(name, error))?;
        if let Some(layer) = missing.first() {
            return Err(BuildError::Invalid(format!(
                "layer {layer} of image {name} is not unpacked: load the image again"
            )));
        }
        let images = self.engine.images().map_err(|error| foreign(name, error))?;
        let named = match name.parse::<Reference>() {
            Ok(reference) => images.named(&reference)?,
            Err(_) => None,
        };
        let named = named.filter(|named| named.ids().any(|id| *id == image.id));
        let index = named.and_then(|named| named.index).map(|index| index.digest);
        Ok(BaseImage {
            name: full_name(name),
            config: image.config,
            diff_ids: image.record.diff_ids,
            digest: Some(index.unwrap_or(image.record.manifest.digest)),
        })
    }
}

/// `docker.io/library/debian:12`
fn full_name(name: &str) -> String {
    match name.parse::<Reference>() {
        Ok(reference) => reference.with_default_tag().to_string(),
        Err(_) => name.to_owned(),
    }
}
