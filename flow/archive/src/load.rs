//! `load`: images that some `save` wrote, under the names that the archive gives them.

use std::io::Read;

use content::Durability;
use oci::{Digest, Platform, Reference};

use crate::members::Members;
use crate::store::Image;
use crate::{ArchiveError, Stores, docker, layout, legacy, store};

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Only images for these platforms; all that the archive has if empty.
    pub platforms: Vec<Platform>,
    /// What the images survive once this returns.
    pub durability: Durability,
}

/// What was loaded, in the archive's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The images.
    pub images: Vec<LoadedImage>,
    /// Names that were another image's before, with that image's id.
    pub moved: Vec<(Reference, Digest)>,
}

/// One image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedImage {
    /// The image's id.
    pub id: Digest,
    /// The names that it got.
    pub names: Vec<Reference>,
}

impl Loaded {
    /// What `docker load` prints, a line each. Scripts read the image's name or id from it.
    pub fn lines(&self) -> Vec<String> {
        let moved = self.moved.iter().map(|(name, id)| {
            let name = name.familiar();
            format!(
                "The image {name} already exists, renaming the old one with ID {id} to empty string"
            )
        });
        let loaded = self.images.iter().flat_map(|image| {
            let names = image.names.iter().map(|name| format!("Loaded image: {}", name.familiar()));
            let bare = image.names.is_empty().then(|| format!("Loaded image ID: {}", image.id));
            names.chain(bare)
        });
        moved.chain(loaded).collect()
    }
}

/// Loads a docker-archive or an oci-archive of any age and compression from `reader`.
///
/// What it is told by: `manifest.json` (docker since 1.10; also if there is an index), else
/// `index.json` (an OCI layout), else `repositories` or bare layer directories (docker before
/// 1.10). Only the names that the archive has for its images are given; a name that another image
/// had moves, and that image stays without it. A name that stands for an index has all variants of
/// the image that the archive has, the machine's own first, and the index is kept whole.
///
/// Takes the store's shared lock once the archive has been read. After an error nothing has a
/// name; blobs and layers that were complete by then are garbage.
pub fn load(
    reader: impl Read,
    stores: &Stores,
    options: &LoadOptions,
) -> Result<Loaded, ArchiveError> {
    let mut members = Members::spool(reader, &stores.content)?;
    let has_index = members.find(layout::INDEX).is_some();
    let mut images = if has_index && layout::lists_variants(&members)? {
        // Only this says which images are variants of one.
        layout::images(&members)?
    } else if members.find(docker::MANIFEST).is_some() {
        docker::images(&members)?
    } else if has_index {
        layout::images(&members)?
    } else {
        legacy::images(&mut members)?
    };
    if images.is_empty() {
        return Err(ArchiveError::NoImage);
    }
    only(&mut images, &options.platforms)?;
    let added = store::add(stores, &mut members.blobs, &mut images, options.durability)?;
    let first = |image: &Image| -> Vec<Reference> {
        let of = added.named.iter().filter(|(_, id)| *id == image.config.digest);
        of.map(|(name, _)| name.clone()).collect()
    };
    let loaded = images.iter().filter_map(|image| {
        let names = first(image);
        // A variant that is not the first of any name is told of by that name.
        let is_told = names.is_empty() && !image.names.is_empty();
        (!is_told).then(|| LoadedImage { id: image.config.digest.clone(), names })
    });
    Ok(Loaded { images: loaded.collect(), moved: added.moved })
}

/// Leaves out what was not asked for; [`ArchiveError::Platform`] if nothing is left then.
fn only(images: &mut Vec<Image>, wanted: &[Platform]) -> Result<(), ArchiveError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut available: Vec<String> =
        images.iter().map(|image| image.parsed.platform.to_string()).collect();
    images.retain(|image| wanted.iter().any(|one| image.parsed.platform.satisfies(one)));
    if !images.is_empty() {
        return Ok(());
    }
    available.sort();
    available.dedup();
    let wanted: Vec<String> = wanted.iter().map(Platform::to_string).collect();
    let (wanted, available) = (wanted.join(", "), available.join(", "));
    Err(ArchiveError::Platform { wanted, available })
}

/// A name from an archive: a tag, with Docker's defaults. One by digest would claim what only the
/// registry can say, and is refused.
pub(crate) fn name(text: &str) -> Result<Reference, ArchiveError> {
    let reference: Reference =
        text.parse().map_err(|source| ArchiveError::Name { text: text.to_owned(), source })?;
    if reference.digest().is_some() {
        let why = format!("the name {text:?} has a digest");
        return Err(ArchiveError::Document { what: "the archive".into(), why });
    }
    Ok(reference.with_default_tag())
}
