//! `index.json`: an OCI layout in a tar (oci-archive).
//!
//! image-spec 1.1.1, image-layout.md. Each descriptor of the index is an image, or a list of one
//! image's variants by platform. Docker's media types are read like OCI's.

use std::collections::HashSet;

use oci::{Descriptor, Index, Manifest, Reference, media_type};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::load::name;
use crate::members::Members;
use crate::store::{Image, Name};
use crate::{ArchiveError, MANIFEST_LIMIT};

/// The member that makes an archive one of these.
pub(crate) const INDEX: &str = "index.json";

/// containerd's and docker's annotation: the whole name.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// image-spec 1.1.1, annotations.md: some part of the name, by taste of who wrote it.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// How deep indexes may stand in each other.
const MAX_DEPTH: usize = 4;
/// How many descriptors are looked at in an archive.
const MAX_DESCRIPTORS: usize = 1024;

/// An image's manifest that the archive has, with all blobs or without.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) descriptor: Descriptor,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

impl Known {
    /// Whether this is the manifest of just this configuration and these layers.
    pub(crate) fn is_of(&self, image: &Image) -> bool {
        self.config.digest == image.config.digest
            && self.layers.len() == image.layers.len()
            && self.layers.iter().zip(&image.layers).all(|(a, b)| a.digest == b.digest)
    }
}

/// One tree below a descriptor of `index.json`.
#[derive(Debug)]
struct Tree {
    name: Option<Reference>,
    /// The descriptor itself, if it is that of an index.
    index: Option<Descriptor>,
    /// The manifests in it, as the indexes list them.
    manifests: Vec<Descriptor>,
}

/// Whether some of the images in `index.json` are one for several platforms: there is an index in
/// it, or a name twice.
pub(crate) fn lists_variants(members: &Members) -> Result<bool, ArchiveError> {
    let mut names = HashSet::new();
    for descriptor in top(members)?.manifests {
        let is_twice = named(&descriptor)?.is_some_and(|name| !names.insert(name));
        if is_twice || media_type::is_index(&descriptor.media_type) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The images of the archive: for each descriptor of `index.json` all variants that are there.
///
/// What is for another operating system, and what says something about an image, is left out.
pub(crate) fn images(members: &Members) -> Result<Vec<Image>, ArchiveError> {
    let mut images: Vec<Image> = Vec::new();
    let mut foreign: Vec<String> = Vec::new();
    for tree in trees(members)? {
        for manifest in &tree.manifests {
            if let Some(platform) = manifest.platform.as_ref().filter(|p| p.os != "linux") {
                foreign.push(platform.to_string());
                continue;
            }
            // docker lists platforms whose blobs it did not save.
            if tree.index.is_some() && !members.blobs.contains(&manifest.digest) {
                continue;
            }
            let known = read_manifest(members, manifest)?;
            let image = assemble(members, known)?;
            // The same image under another name is one image with both.
            let at = images.iter().position(|other| other.config.digest == image.config.digest);
            let at = at.unwrap_or_else(|| {
                images.push(image);
                images.len() - 1
            });
            if let Some(name) = &tree.name {
                images[at].names.push(Name { name: name.clone(), index: tree.index.clone() });
            }
        }
    }
    if images.is_empty() && !foreign.is_empty() {
        let (wanted, available) = ("linux".to_owned(), foreign.join(", "));
        return Err(ArchiveError::Platform { wanted, available });
    }
    Ok(images)
}

/// The image manifests that an archive has beside its `manifest.json`; none without an index.
pub(crate) fn manifests(members: &Members) -> Result<Vec<Known>, ArchiveError> {
    if members.find(INDEX).is_none() {
        return Ok(Vec::new());
    }
    let mut known = Vec::new();
    for descriptor in trees(members)?.into_iter().flat_map(|tree| tree.manifests) {
        // docker lists platforms whose blobs it did not save.
        if members.blobs.contains(&descriptor.digest) {
            known.push(read_manifest(members, &descriptor)?);
        }
    }
    Ok(known)
}

/// Walks `index.json` and the indexes below it, within bounds.
fn trees(members: &Members) -> Result<Vec<Tree>, ArchiveError> {
    let index = top(members)?;
    let mut walk = Walk { members, descriptors: 0, seen: HashSet::new() };
    let mut trees = Vec::new();
    for descriptor in index.manifests {
        let index = media_type::is_index(&descriptor.media_type).then(|| bare(&descriptor));
        let mut tree = Tree { name: named(&descriptor)?, index, manifests: Vec::new() };
        walk.seen.clear();
        walk.descend(descriptor, 1, &mut tree.manifests)?;
        if !tree.manifests.is_empty() {
            trees.push(tree);
        }
    }
    Ok(trees)
}

fn top(members: &Members) -> Result<Index, ArchiveError> {
    let digest = members.need(INDEX, "the archive")?;
    let bytes = members.blobs.read(digest, INDEX, MANIFEST_LIMIT)?;
    document(&bytes, INDEX, media_type::is_index)
}

/// A descriptor without what the archive says besides.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(descriptor.media_type.clone(), descriptor.digest.clone(), descriptor.size_bytes)
}

struct Walk<'a> {
    members: &'a Members,
    descriptors: usize,
    /// What was met below the present descriptor of `index.json`.
    seen: HashSet<oci::Digest>,
}

impl Walk<'_> {
    fn descend(
        &mut self,
        descriptor: Descriptor,
        depth: usize,
        found: &mut Vec<Descriptor>,
    ) -> Result<(), ArchiveError> {
        let refuse = |why: String| ArchiveError::Document { what: INDEX.into(), why };
        self.descriptors += 1;
        if self.descriptors > MAX_DESCRIPTORS {
            return Err(refuse(format!("it leads to more than {MAX_DESCRIPTORS} descriptors")));
        }
        if depth > MAX_DEPTH {
            return Err(refuse(format!("its indexes stand more than {MAX_DEPTH} deep")));
        }
        if !self.seen.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        if media_type::is_manifest(&descriptor.media_type) {
            // What is for "unknown" says something about an image and is none.
            if descriptor.platform.as_ref().is_none_or(|platform| platform.os != "unknown") {
                found.push(descriptor);
            }
            return Ok(());
        }
        // Other things (artifacts, old schemas) are no images; nested indexes may be absent.
        if media_type::is_index(&descriptor.media_type)
            && self.members.blobs.contains(&descriptor.digest)
        {
            let what = format!("index {}", descriptor.digest);
            let bytes = read_sized(self.members, &descriptor, &what, MANIFEST_LIMIT)?;
            let index: Index = document(&bytes, &what, media_type::is_index)?;
            for child in index.manifests {
                self.descend(child, depth + 1, found)?;
            }
        }
        Ok(())
    }
}

fn read_manifest(members: &Members, descriptor: &Descriptor) -> Result<Known, ArchiveError> {
    let what = format!("manifest {}", descriptor.digest);
    let bytes = read_sized(members, descriptor, &what, MANIFEST_LIMIT)?;
    let manifest: Manifest = document(&bytes, &what, media_type::is_manifest)?;
    if manifest.media_type.as_ref().is_some_and(|own| *own != descriptor.media_type) {
        let why = "it calls itself something else than its descriptor does".into();
        return Err(ArchiveError::Document { what, why });
    }
    Ok(Known { descriptor: bare(descriptor), config: manifest.config, layers: manifest.layers })
}

fn assemble(members: &Members, known: Known) -> Result<Image, ArchiveError> {
    let what = format!("manifest {}", known.descriptor.digest);
    let kind = known.config.media_type.as_str();
    if !matches!(kind, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) {
        let why = format!("its configuration is of type {kind:?}, so that it is no image");
        return Err(ArchiveError::Document { what, why });
    }
    for blob in std::iter::once(&known.config).chain(&known.layers) {
        check_size(members, blob, &what)?;
    }
    let name = format!("configuration {}", known.config.digest);
    let mut image = Image::new(&members.blobs, known.config, known.layers, &name)?;
    image.manifest = Some(known.descriptor);
    Ok(image)
}

/// The name that the archive gives to an image.
///
/// `ref.name` may hold anything: `latest` alone is a tag of nobody knows what, so that only what
/// has a registry, a namespace or a tag of its own counts as a name.
fn named(descriptor: &Descriptor) -> Result<Option<Reference>, ArchiveError> {
    if let Some(text) = descriptor.annotations.get(CONTAINERD_NAME) {
        return name(text).map(Some);
    }
    match descriptor.annotations.get(REF_NAME) {
        Some(text) if text.contains(['/', ':']) => name(text).map(Some),
        _ => Ok(None),
    }
}

fn check_size(members: &Members, descriptor: &Descriptor, by: &str) -> Result<(), ArchiveError> {
    match members.blobs.size(&descriptor.digest) {
        Some(size) if size == descriptor.size_bytes => Ok(()),
        Some(size) => Err(ArchiveError::Document {
            what: by.to_owned(),
            why: format!(
                "it gives {} {} bytes where it has {size}",
                descriptor.digest, descriptor.size_bytes
            ),
        }),
        None => Err(ArchiveError::Missing {
            what: format!("blob {}", descriptor.digest),
            by: by.to_owned(),
        }),
    }
}

fn read_sized(
    members: &Members,
    descriptor: &Descriptor,
    what: &str,
    limit: u64,
) -> Result<Vec<u8>, ArchiveError> {
    check_size(members, descriptor, INDEX)?;
    members.blobs.read(&descriptor.digest, what, limit)
}

/// Parses a document that must be of one kind and of no other.
///
/// One that is both index and manifest means different things to different readers.
fn document<T: DeserializeOwned>(
    bytes: &[u8],
    what: &str,
    is_kind: fn(&str) -> bool,
) -> Result<T, ArchiveError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        schema_version: u32,
        media_type: Option<String>,
        manifests: Option<IgnoredAny>,
        layers: Option<IgnoredAny>,
        config: Option<IgnoredAny>,
        fs_layers: Option<IgnoredAny>,
    }
    let syntax = |source| ArchiveError::Syntax { what: what.to_owned(), source };
    let refuse = |why: &str| ArchiveError::Document { what: what.to_owned(), why: why.to_owned() };
    let probe: Probe = serde_json::from_slice(bytes).map_err(syntax)?;
    if probe.schema_version != 2 || probe.fs_layers.is_some() {
        return Err(refuse("only schema version 2 is read"));
    }
    if probe.manifests.is_some() && (probe.layers.is_some() || probe.config.is_some()) {
        return Err(refuse("it is an index and a manifest at once"));
    }
    if probe.media_type.is_some_and(|own| !is_kind(&own)) {
        return Err(refuse("its media type is another document's"));
    }
    serde_json::from_slice(bytes).map_err(syntax)
}
