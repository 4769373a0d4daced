//! From an index to the manifests of the images that are wanted.

use std::collections::HashSet;

use oci::{Descriptor, Digest, Index, Manifest, Platform, Reference};

use crate::document::{Document, Fetched, choose, platforms};
use crate::{Platforms, Repository, TransferError};

/// What was chosen.
pub(crate) struct Selection {
    /// The images, one or more; what was asked for first comes first.
    pub(crate) variants: Vec<(Fetched, Manifest)>,
    /// The indexes on the way to them, the outermost first; none if there is none.
    pub(crate) lists: Vec<Fetched>,
}

/// How deep indexes may stand in indexes.
const MAX_DEPTH: usize = 4;
/// How many indexes, and how many images of one, are fetched.
const MAX_INDEXES: usize = 16;
const MAX_VARIANTS: usize = 64;

/// Fetches the manifests of the images that are wanted of what `top` is.
pub(crate) fn select(
    repository: &Repository,
    top: Fetched,
    wanted: &Platforms,
) -> Result<Selection, TransferError> {
    let mut selection = Selection { variants: Vec::new(), lists: Vec::new() };
    let index = match top.document {
        Document::Index(ref index) => Index::clone(index),
        Document::Manifest(ref manifest) => {
            let manifest = Manifest::clone(manifest);
            selection.variants.push((top, manifest));
            return Ok(selection);
        }
    };
    selection.lists.push(top);
    let chosen = match wanted {
        Platforms::Host => vec![one(repository, &index, &Platform::host(), &mut selection)?],
        Platforms::These(platforms) => {
            let mut chosen = Vec::new();
            for platform in platforms {
                chosen.push(one(repository, &index, platform, &mut selection)?);
            }
            chosen
        }
        Platforms::All => all(repository, &index, &mut selection)?,
    };
    let mut seen = HashSet::new();
    for (fetched, manifest) in chosen {
        if seen.insert(fetched.descriptor.digest.clone()) {
            selection.variants.push((fetched, manifest));
        }
    }
    Ok(selection)
}

/// The image for one platform.
fn one(
    repository: &Repository,
    index: &Index,
    wanted: &Platform,
    selection: &mut Selection,
) -> Result<(Fetched, Manifest), TransferError> {
    let mut index = index.clone();
    for _ in 0..MAX_DEPTH {
        let Some(entry) = choose(&index, wanted) else {
            return Err(TransferError::Platform {
                wanted: wanted.to_string(),
                available: platforms(&index),
                repository: repository.name.clone(),
            });
        };
        let fetched = fetch(repository, entry)?;
        match &fetched.document {
            Document::Manifest(manifest) => {
                let manifest = Manifest::clone(manifest);
                return Ok((fetched, manifest));
            }
            Document::Index(inner) => {
                index = Index::clone(inner);
                keep(selection, fetched);
            }
        }
    }
    Err(too_deep(repository))
}

/// The images for all platforms of Linux.
fn all(
    repository: &Repository,
    index: &Index,
    selection: &mut Selection,
) -> Result<Vec<(Fetched, Manifest)>, TransferError> {
    let mut found = Vec::new();
    let mut level = vec![index.clone()];
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for entry in level.iter().flat_map(|index| &index.manifests) {
            let is_other = entry.platform.as_ref().is_some_and(|platform| platform.os != "linux");
            if is_other || entry.artifact_type.is_some() {
                continue;
            }
            if found.len() >= MAX_VARIANTS || selection.lists.len() >= MAX_INDEXES {
                return Err(TransferError::Document {
                    what: "the index".into(),
                    repository: repository.name.clone(),
                    why: format!("it lists more than {MAX_VARIANTS} images: name the platforms"),
                });
            }
            let fetched = fetch(repository, entry)?;
            match &fetched.document {
                Document::Manifest(manifest) => {
                    let manifest = Manifest::clone(manifest);
                    found.push((fetched, manifest));
                }
                Document::Index(inner) => {
                    next.push(Index::clone(inner));
                    keep(selection, fetched);
                }
            }
        }
        if next.is_empty() {
            return match found.is_empty() {
                true => Err(TransferError::Platform {
                    wanted: "linux".into(),
                    available: platforms(index),
                    repository: repository.name.clone(),
                }),
                false => Ok(found),
            };
        }
        level = next;
    }
    Err(too_deep(repository))
}

/// What an index says about images that come (attestations): each document with its blobs.
pub(crate) fn said_about(
    repository: &Repository,
    lists: &[Fetched],
    images: impl Fn(&Digest) -> bool,
) -> Result<Vec<(Fetched, Vec<Digest>)>, TransferError> {
    let mut said = Vec::new();
    let indexes = lists.iter().filter_map(|list| match &list.document {
        Document::Index(index) => Some(index),
        Document::Manifest(_) => None,
    });
    for entry in indexes.flat_map(|index| &index.manifests) {
        let is_nobodys = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        if !is_nobodys || !archive::is_about(entry).is_some_and(|about| images(&about)) {
            continue;
        }
        let fetched = fetch(repository, entry)?;
        if let Document::Manifest(manifest) = &fetched.document {
            let blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
            let blobs = blobs.map(|blob| blob.digest.clone()).collect();
            said.push((fetched, blobs));
        }
    }
    Ok(said)
}

/// An entry of an index, which must be what the index says.
fn fetch(repository: &Repository, entry: &Descriptor) -> Result<Fetched, TransferError> {
    let by_digest: Reference = format!("{}@{}", repository.name, entry.digest)
        .parse()
        .expect("a repository's name and a digest are a reference");
    let fetched = repository.manifest(&by_digest)?;
    let (size, kind) = (entry.size_bytes, &entry.media_type);
    let got = &fetched.descriptor;
    if got.size_bytes != size || (got.media_type != *kind && !kind.is_empty()) {
        return Err(TransferError::Document {
            what: format!("manifest {}", got.digest),
            repository: repository.name.clone(),
            why: format!(
                "the index announces {size} bytes of {kind}, and {} of {} came",
                got.size_bytes, got.media_type
            ),
        });
    }
    Ok(fetched)
}

fn keep(selection: &mut Selection, list: Fetched) {
    let is_known = |known: &Fetched| known.descriptor.digest == list.descriptor.digest;
    if !selection.lists.iter().any(is_known) {
        selection.lists.push(list);
    }
}

fn too_deep(repository: &Repository) -> TransferError {
    TransferError::Document {
        what: "the index".into(),
        repository: repository.name.clone(),
        why: format!("indexes stand in it more than {MAX_DEPTH} deep"),
    }
}
