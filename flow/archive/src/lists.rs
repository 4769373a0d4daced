//! Indexes that are kept whole: which blobs belong to one.

use std::collections::{BTreeMap, HashSet};

use attestation::{ATTESTATION_MANIFEST, REFERENCE_DIGEST, REFERENCE_TYPE};
use content::Content;
use images::{ImageRecord, Images, ImagesError, Named, Referrer};
use oci::{Descriptor, Digest, Index, Manifest, Platform, media_type};

use crate::MANIFEST_LIMIT;

/// How deep indexes may stand in indexes.
const MAX_DEPTH: usize = 4;
/// How many descriptors are looked at.
const MAX_DESCRIPTORS: usize = 4096;

/// The blobs that a name needs for its index, beside those of its images: the index, the indexes
/// in it, and what is said there about the images that are here (attestations).
pub fn list_blobs(
    content: &Content,
    images: &Images,
    named: &Named,
) -> Result<HashSet<Digest>, ImagesError> {
    let Some(index) = &named.index else { return Ok(HashSet::new()) };
    let mut records: Vec<ImageRecord> = Vec::new();
    for id in named.ids() {
        match images.get(id) {
            Ok(record) => records.push(record),
            Err(ImagesError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let manifests = records.iter().map(|record| &record.manifest.digest).collect();
    Ok(companions(&index.digest, &manifests, |digest| content.read(digest, MANIFEST_LIMIT).ok()))
}

/// As [`list_blobs`], for an index whose images have these manifests. What cannot be read is
/// nothing.
pub(crate) fn companions(
    index: &Digest,
    manifests: &HashSet<&Digest>,
    read: impl Fn(&Digest) -> Option<Vec<u8>>,
) -> HashSet<Digest> {
    let mut needed = HashSet::new();
    for (parent, entry) in entries(index, &read) {
        needed.insert(parent);
        let is_ours = is_about(&entry).is_some_and(|about| manifests.contains(&about));
        let is_nobodys = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        if !(is_ours && is_nobodys && media_type::is_manifest(&entry.media_type)) {
            continue;
        }
        let Some(bytes) = read(&entry.digest) else { continue };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { continue };
        needed.insert(entry.digest);
        needed.insert(manifest.config.digest);
        needed.extend(manifest.layers.into_iter().map(|layer| layer.digest));
    }
    needed.insert(index.clone());
    needed
}

/// The manifest that an entry of an index says something about, if it is of that kind.
pub fn is_about(entry: &Descriptor) -> Option<Digest> {
    entry.annotations.get(REFERENCE_DIGEST)?.parse().ok()
}

/// The entry of an index for what is said about one of its images: BuildKit's, which is for a
/// platform that nobody has.
pub fn index_entry(record: &ImageRecord, said: &Referrer) -> Descriptor {
    let unknown = || "unknown".to_owned();
    let nobodys = Platform { os: unknown(), architecture: unknown(), ..Platform::default() };
    Descriptor {
        platform: Some(nobodys),
        annotations: BTreeMap::from([
            (REFERENCE_DIGEST.to_owned(), record.manifest.digest.to_string()),
            (REFERENCE_TYPE.to_owned(), ATTESTATION_MANIFEST.to_owned()),
        ]),
        artifact_type: None,
        ..said.manifest.clone()
    }
}

/// All that an index lists, and the indexes in it that can be read list: each with the index that
/// lists it. Within bounds, since a stranger wrote it.
pub fn entries(
    index: &Digest,
    read: &impl Fn(&Digest) -> Option<Vec<u8>>,
) -> Vec<(Digest, Descriptor)> {
    let mut found = Vec::new();
    let mut level = vec![index.clone()];
    let mut seen: HashSet<Digest> = HashSet::new();
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for parent in level {
            if !seen.insert(parent.clone()) {
                continue;
            }
            let Some(bytes) = read(&parent) else { continue };
            let Ok(list) = serde_json::from_slice::<Index>(&bytes) else { continue };
            for entry in list.manifests {
                if found.len() >= MAX_DESCRIPTORS {
                    return found;
                }
                if media_type::is_index(&entry.media_type) {
                    next.push(entry.digest.clone());
                }
                found.push((parent.clone(), entry));
            }
        }
        level = next;
    }
    found
}
