//! `save`: images as docker has saved them since 25, which every docker since 1.10 can load.
//!
//! ```text
//! blobs/sha256/<hex>   configurations, layers and manifests as they are in the store
//! index.json           an OCI layout's, with the names as containerd and Docker annotate them
//! manifest.json        docker-archive's: the same once more for those who know no index
//! oci-layout
//! ```
//!
//! The same images give the same bytes.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};

use content::{ContentError, Hasher, Lease, StoreLock};
use images::ImageRecord;
use oci::{Descriptor, Digest, Index, Reference, media_type};
use serde::Serialize;
use unpack::tar::{Entry, Kind, Writer};

use crate::{ArchiveError, Stores, layout};

/// One image that shall be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageToSave {
    /// The image's id.
    pub id: Digest,
    /// The names that the archive shall give it; the image need not have them. Those by digest
    /// are left out, since an archive cannot give them.
    pub names: Vec<Reference>,
}

/// What `manifest.json` says of one image.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    /// `null` rather than empty, as Docker writes it.
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Writes an archive of `images` to `writer`, which is not flushed.
///
/// Every blob is verified on its way; a damaged one is [`ContentError::Corrupt`], and what was
/// written until then no archive. Has a lease of what it writes.
pub fn save(
    writer: impl Write,
    stores: &Stores,
    images: &[ImageToSave],
) -> Result<(), ArchiveError> {
    let lock = StoreLock::shared(stores.content.root())?;
    let records: Vec<ImageRecord> =
        images.iter().map(|image| stores.images.get(&image.id)).collect::<Result<_, _>>()?;
    let blobs = records.iter().flat_map(ImageRecord::blobs);
    let _lease = Lease::take(stores.content.root(), blobs, [], &lock)?;
    drop(lock);
    let mut tar = Writer::new(writer);
    let mut folders = HashSet::new();
    let mut written: HashSet<&Digest> = HashSet::new();
    directory(&mut tar, "blobs/")?;
    for digest in records.iter().flat_map(ImageRecord::blobs) {
        if folders.insert(digest.algorithm()) {
            directory(&mut tar, &format!("blobs/{}/", digest.algorithm().name()))?;
        }
        if written.insert(digest) {
            blob(&mut tar, stores, digest)?;
        }
    }
    document(&mut tar, "index.json", &index(images, &records))?;
    document(&mut tar, "manifest.json", &items(images, &records))?;
    file(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    tar.finish().map(drop).map_err(write_error)
}

fn index(images: &[ImageToSave], records: &[ImageRecord]) -> Index {
    let mut manifests = Vec::new();
    for (image, record) in images.iter().zip(records) {
        let bare =
            Descriptor { platform: Some(record.platform.clone()), ..record.manifest.clone() };
        let names: Vec<Reference> = tags(image).collect();
        for name in &names {
            let mut named = bare.clone();
            named.annotations.insert(layout::CONTAINERD_NAME.into(), name.to_string());
            if let Some(tag) = name.tag() {
                named.annotations.insert(layout::REF_NAME.into(), tag.to_owned());
            }
            manifests.push(named);
        }
        if names.is_empty() {
            manifests.push(bare);
        }
    }
    Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.into()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

fn items(images: &[ImageToSave], records: &[ImageRecord]) -> Vec<Item> {
    let item = |(image, record): (&ImageToSave, &ImageRecord)| {
        let names: Vec<String> = tags(image).map(|name| name.familiar()).collect();
        Item {
            config: path(&record.id),
            repo_tags: (!names.is_empty()).then_some(names),
            layers: record.layers.iter().map(|layer| path(&layer.digest)).collect(),
        }
    };
    images.iter().zip(records).map(item).collect()
}

fn tags(image: &ImageToSave) -> impl Iterator<Item = Reference> {
    let tags = image.names.iter().filter(|name| name.digest().is_none());
    tags.map(|name| name.clone().with_default_tag())
}

fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn blob<W: Write>(
    tar: &mut Writer<W>,
    stores: &Stores,
    digest: &Digest,
) -> Result<(), ArchiveError> {
    let size = stores.content.size(digest)?;
    let mut source = Hashed {
        inner: stores.content.open_blob(digest)?,
        hasher: Hasher::new(digest.algorithm()),
    };
    append(tar, &path(digest), Kind::File, size, &mut source)?;
    let actual = source.hasher.finish();
    if actual == *digest {
        return Ok(());
    }
    let path = stores.content.path_of(digest);
    Err(ContentError::Corrupt { digest: digest.clone(), actual, path }.into())
}

fn document<W: Write>(
    tar: &mut Writer<W>,
    name: &str,
    value: &impl Serialize,
) -> Result<(), ArchiveError> {
    let bytes = serde_json::to_vec(value)
        .map_err(|source| ArchiveError::Syntax { what: name.to_owned(), source })?;
    file(tar, name, &bytes)
}

fn file<W: Write>(tar: &mut Writer<W>, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    append(tar, name, Kind::File, bytes.len() as u64, bytes)
}

fn directory<W: Write>(tar: &mut Writer<W>, name: &str) -> Result<(), ArchiveError> {
    append(tar, name, Kind::Directory, 0, io::empty())
}

fn append<W: Write>(
    tar: &mut Writer<W>,
    name: &str,
    kind: Kind,
    size: u64,
    data: impl Read,
) -> Result<(), ArchiveError> {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let entry = Entry { path: name.into(), kind, mode, size, ..Entry::default() };
    tar.append(&entry, data).map_err(write_error)
}

fn write_error(source: io::Error) -> ArchiveError {
    ArchiveError::Write { source }
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
