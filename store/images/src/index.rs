//! `index.json`: what makes the data root an OCI image layout that other tools read in place.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;

use oci::{Descriptor, Digest, Index, Reference, media_type};

use crate::{Images, ImagesError, failed};

/// image-spec 1.1.1, annotations.md, "Pre-Defined Annotation Keys".
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Writes the index from records and names. The caller holds the writers' lock.
///
/// Not synced: it is derived, and a rename over an old file is never seen half done by readers.
pub(crate) fn write(images: &Images) -> Result<(), ImagesError> {
    let mut listed = images.list()?;
    // Sorted by id, so that the same images always give the same bytes.
    listed.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    let firsts: HashMap<Reference, Digest> =
        images.names()?.into_iter().map(|(name, named)| (name, named.id)).collect();
    let mut manifests = Vec::new();
    // Behind all others: a reader who looks for a name alone takes the first that he finds.
    let mut variants = Vec::new();
    for (record, names) in listed {
        let descriptor = Descriptor { platform: Some(record.platform), ..record.manifest };
        if names.is_empty() {
            manifests.push(descriptor.clone());
        }
        for name in names {
            let is_first = firsts.get(&name).is_none_or(|first| *first == record.id);
            let list = if is_first { &mut manifests } else { &mut variants };
            list.push(named(&descriptor, &name));
        }
    }
    manifests.append(&mut variants);
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.into()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    };
    let path = images.inner.path.join("index.json");
    let bytes = serde_json::to_vec(&index).map_err(|source| failed("write", &path, source))?;
    sys::fs::replace_file(images.inner.root.as_fd(), "index.json", &bytes, false)
        .map_err(|source| failed("write", &path, source))
}

fn named(descriptor: &Descriptor, name: &Reference) -> Descriptor {
    let mut descriptor = descriptor.clone();
    descriptor.annotations.insert(REF_NAME.into(), name.to_string());
    descriptor
}
