//! `index.json`: what makes the data root an OCI image layout that other tools read in place.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use oci::{Descriptor, Index, Reference, media_type};

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
    let manifests = listed
        .into_iter()
        .flat_map(|(record, names)| {
            let descriptor = Descriptor { platform: Some(record.platform), ..record.manifest };
            let bare = names.is_empty().then(|| descriptor.clone());
            names.into_iter().map(move |name| named(&descriptor, &name)).chain(bare)
        })
        .collect();
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
