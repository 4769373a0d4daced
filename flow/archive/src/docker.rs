//! `manifest.json`: what `docker save` has written since 1.10, podman and skopeo as docker-archive.
//!
//! ```text
//! [{"Config": "<hex>.json", "RepoTags": ["debian:12"], "Layers": ["<id>/layer.tar", ...]}, ...]
//! ```
//!
//! Up to docker 24 the layers are plain tars in a directory each, where docker 20 and later write
//! one that occurs twice as a symbolic link; skopeo writes `<hex>.tar`; since docker 25 `Config` and
//! `Layers` are `blobs/sha256/<hex>`, compressed or not, and an OCI layout's `index.json` stands
//! beside, whose manifest for the same blobs is kept.

use oci::{Descriptor, Digest, media_type};
use serde::{Deserialize, Deserializer};

use crate::load::name;
use crate::members::Members;
use crate::store::{Image, Name};
use crate::{ArchiveError, MANIFEST_LIMIT, layout};

/// The member that makes an archive one of these.
pub(crate) const MANIFEST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default, deserialize_with = "null_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_default")]
    layers: Vec<String>,
}

/// More images than anybody saves at once.
const MAX_IMAGES: usize = 1024;

/// The images of the archive.
pub(crate) fn images(members: &Members) -> Result<Vec<Image>, ArchiveError> {
    let digest = members.need(MANIFEST, "the archive")?;
    let bytes = members.blobs.read(digest, MANIFEST, MANIFEST_LIMIT)?;
    let items: Vec<Item> = serde_json::from_slice(&bytes)
        .map_err(|source| ArchiveError::Syntax { what: MANIFEST.into(), source })?;
    if items.len() > MAX_IMAGES {
        let why = format!("it lists {} images, more than {MAX_IMAGES}", items.len());
        return Err(ArchiveError::Document { what: MANIFEST.into(), why });
    }
    let known = layout::manifests(members)?;
    items.iter().map(|item| image(members, item, &known)).collect()
}

fn image(members: &Members, item: &Item, known: &[layout::Known]) -> Result<Image, ArchiveError> {
    let config = members.need(&item.config, MANIFEST)?;
    check_id(&item.config, config)?;
    let mut layers = Vec::with_capacity(item.layers.len());
    for layer in &item.layers {
        let digest = members.need(layer, MANIFEST)?;
        layers.push(descriptor(members, members.blobs.layer_type(digest), digest));
    }
    let config = descriptor(members, media_type::OCI_CONFIG, config);
    let mut image = Image::new(&members.blobs, config, layers, &item.config)?;
    if let Some(known) = known.iter().find(|known| known.is_of(&image)) {
        image.layers.clone_from(&known.layers);
        image.manifest = Some(known.descriptor.clone());
    }
    let names = item.repo_tags.iter().map(|tag| Ok(Name::of(name(tag)?)));
    image.names = names.collect::<Result<_, ArchiveError>>()?;
    image.names.dedup();
    Ok(image)
}

fn descriptor(members: &Members, media_type: &str, digest: &Digest) -> Descriptor {
    let size = members.blobs.size(digest).unwrap_or(0);
    Descriptor::new(media_type, digest.clone(), size)
}

/// A configuration that is called by an id must have it: `<hex>.json`, `sha256:<hex>`.
///
/// `blobs/sha256/<hex>` was checked when the member came.
fn check_id(name: &str, actual: &Digest) -> Result<(), ArchiveError> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    let stem = stem.strip_prefix("sha256:").unwrap_or(stem);
    let hexadecimal = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || stem == actual.hex() {
        return Ok(());
    }
    let why = format!("its content is {actual}");
    Err(ArchiveError::Document { what: name.to_owned(), why })
}

/// Go writes empty lists as `null`.
pub(crate) fn null_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
