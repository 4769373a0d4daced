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
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use content::{ContentError, Hasher, Lease, StoreLock};
use images::{ImageRecord, Named};
use oci::{Descriptor, Digest, Index, Reference, media_type};
use serde::Serialize;
use unpack::tar::{Entry, Kind, Writer};

use crate::{ArchiveError, Stores, index_entry, layout, list_blobs};

/// One image that shall be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageToSave {
    /// What is known of it. Its blobs are in the store; a record of it need not be.
    pub record: ImageRecord,
    /// Annotations of its entry in the index.
    pub annotations: BTreeMap<String, String>,
    /// The names that the archive shall give it; the image need not have them. Those by digest
    /// are left out, since an archive cannot give them.
    pub names: Vec<Reference>,
}

/// What a name stands for, to be saved: an image, its variants for other platforms, and the index
/// that lists them, which is written as it is, whatever of it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedToSave {
    /// What is saved.
    pub named: Named,
    /// The names that the archive shall give it, as in [`ImageToSave`].
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

/// For whom a layout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Docker too: with `manifest.json`.
    All,
    /// Who knows the OCI's image-spec alone.
    Oci,
}

/// What a layout holds besides its blobs.
#[derive(Debug)]
pub struct Layout<'a> {
    images: &'a [ImageToSave],
    index: Index,
    /// The list that `index` leads to, if there is one between.
    list: Option<(Descriptor, Vec<u8>)>,
    /// Blobs of the store that belong to the index, and to none of the images.
    others: Vec<Digest>,
    has_items: bool,
}

impl<'a> Layout<'a> {
    /// Of images that have nothing to do with each other.
    pub fn new(images: &'a [ImageToSave], who: For) -> Self {
        let manifests = images.iter().flat_map(|image| {
            let platform = Some(image.record.platform.clone());
            let mut bare = Descriptor { platform, ..image.record.manifest.clone() };
            bare.annotations.extend(image.annotations.clone());
            named(bare, &image.names)
        });
        let index =
            index(manifests.chain(said(images.iter().map(|image| &image.record))).collect());
        Self { images, index, list: None, others: Vec::new(), has_items: who == For::All }
    }

    /// Of one image for several platforms: `list` points at their index, which is `bytes`.
    pub fn of_list(
        images: &'a [ImageToSave],
        list: Descriptor,
        bytes: Vec<u8>,
        names: &[Reference],
    ) -> Self {
        let listed: Vec<Digest> = serde_json::from_slice::<Index>(&bytes)
            .map(|list| list.manifests.into_iter().map(|entry| entry.digest).collect())
            .unwrap_or_default();
        let said = said(images.iter().map(|image| &image.record));
        let apart = said.filter(|entry| !listed.contains(&entry.digest));
        let index = index(named(list.clone(), names).into_iter().chain(apart).collect());
        Self { images, index, list: Some((list, bytes)), others: Vec::new(), has_items: false }
    }

    /// The same, with entries of the index that another layout in its place had.
    pub fn beside(mut self, others: Vec<Descriptor>) -> Self {
        self.index.manifests.extend(others);
        self
    }

    fn blobs(&self) -> impl Iterator<Item = &Digest> {
        self.images.iter().flat_map(|image| image.record.blobs()).chain(&self.others)
    }
}

/// Writes an archive of what names stand for: with the indexes that they have, and for those who
/// know none with each variant as an image, of which the first has the names.
pub fn save_names(
    writer: impl Write,
    stores: &Stores,
    wanted: &[NamedToSave],
) -> Result<(), ArchiveError> {
    let (mut images, mut manifests, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for NamedToSave { named: wanted, names } in wanted {
        let mut variants = Vec::new();
        for id in wanted.ids() {
            let record = stores.images.get(id)?;
            let names = if variants.is_empty() { names.clone() } else { Vec::new() };
            variants.push(ImageToSave { record, annotations: BTreeMap::new(), names });
        }
        match &wanted.index {
            Some(index) => manifests.extend(named(index.clone(), names)),
            None => manifests.extend(variants.iter().flat_map(|ImageToSave { record, .. }| {
                let platform = Some(record.platform.clone());
                named(Descriptor { platform, ..record.manifest.clone() }, names)
            })),
        }
        manifests.extend(said(variants.iter().map(|variant| &variant.record)));
        for digest in list_blobs(&stores.content, &stores.images, wanted)? {
            // What is said about an image may not have come with it.
            if stores.content.contains(&digest)? {
                others.push(digest);
            }
        }
        images.append(&mut variants);
    }
    // The same images give the same bytes.
    others.sort();
    let index = index(manifests);
    save(writer, stores, &Layout { images: &images, index, list: None, others, has_items: true })
}

/// Writes an archive of images to `writer`, which is not flushed.
///
/// Every blob is verified on its way; a damaged one is [`ContentError::Corrupt`], and what was
/// written until then no archive. Has a lease of what it writes.
pub fn save(writer: impl Write, stores: &Stores, layout: &Layout<'_>) -> Result<(), ArchiveError> {
    let _lease = lease(stores, layout)?;
    let mut tar = Writer::new(writer);
    let mut folders = HashSet::new();
    let mut written: HashSet<&Digest> = HashSet::new();
    directory(&mut tar, "blobs/")?;
    for digest in layout.blobs() {
        if folders.insert(digest.algorithm()) {
            directory(&mut tar, &format!("blobs/{}/", digest.algorithm().name()))?;
        }
        if written.insert(digest) {
            blob(&mut tar, stores, digest)?;
        }
    }
    if let Some((list, bytes)) = &layout.list {
        file(&mut tar, &path(&list.digest), bytes)?;
    }
    document(&mut tar, "index.json", &layout.index)?;
    if layout.has_items {
        document(&mut tar, "manifest.json", &items(layout.images))?;
    }
    file(&mut tar, "oci-layout", LAYOUT)?;
    tar.finish().map(drop).map_err(write_error)
}

/// Writes images into a directory, as an OCI layout that other programs read in place.
///
/// What is there of an earlier layout stays, but `index.json` is replaced. Each file takes the place
/// of an older one when all of it is there: whoever reads meanwhile sees the one or the other.
pub fn save_directory(
    folder: &Path,
    stores: &Stores,
    layout: &Layout<'_>,
) -> Result<(), ArchiveError> {
    let _lease = lease(stores, layout)?;
    let mut written: HashSet<&Digest> = HashSet::new();
    let create = |path: &Path| std::fs::create_dir_all(path).map_err(write_error);
    for digest in layout.blobs() {
        create(&folder.join("blobs").join(digest.algorithm().name()))?;
        if written.insert(digest) {
            let mut source = verified(stores, digest)?;
            replace(&folder.join(path(digest)), |out| {
                io::copy(&mut source, out).map(drop).map_err(write_error)
            })?;
            source.check(stores, digest)?;
        }
    }
    let write = |name: &str, bytes: &[u8]| {
        replace(&folder.join(name), |out| out.write_all(bytes).map_err(write_error))
    };
    if let Some((list, bytes)) = &layout.list {
        write(&path(&list.digest), bytes)?;
    }
    write("oci-layout", LAYOUT)?;
    write("index.json", &json("index.json", &layout.index)?)
}

/// Writes a file that appears when it is whole.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let temporary = path.with_extension(format!("{}.tmp", sys::names::random_hex::<8>()));
    let mut file = File::create_new(&temporary).map_err(write_error)?;
    let written =
        write(&mut file).and_then(|()| std::fs::rename(&temporary, path).map_err(write_error));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// So that nothing is taken from under us, and nobody waits for us.
fn lease(stores: &Stores, layout: &Layout<'_>) -> Result<Lease, ArchiveError> {
    let lock = StoreLock::shared(stores.content.root())?;
    Ok(Lease::take(stores.content.root(), layout.blobs(), [], &lock)?)
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What is said about images.
fn said<'a>(
    records: impl Iterator<Item = &'a ImageRecord> + 'a,
) -> impl Iterator<Item = Descriptor> + 'a {
    records.flat_map(|record| {
        record.referrers.iter().map(move |referrer| index_entry(record, referrer))
    })
}

/// An entry for each name, or one without.
fn named(bare: Descriptor, names: &[Reference]) -> Vec<Descriptor> {
    let mut entries = Vec::new();
    for name in tags(names) {
        let mut named = bare.clone();
        named.annotations.insert(layout::CONTAINERD_NAME.into(), name.to_string());
        if let Some(tag) = name.tag() {
            named.annotations.insert(layout::REF_NAME.into(), tag.to_owned());
        }
        entries.push(named);
    }
    if entries.is_empty() {
        entries.push(bare);
    }
    entries
}

fn index(manifests: Vec<Descriptor>) -> Index {
    Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.into()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

fn items(images: &[ImageToSave]) -> Vec<Item> {
    let item = |image: &ImageToSave| {
        let names: Vec<String> = tags(&image.names).map(|name| name.familiar()).collect();
        Item {
            config: path(&image.record.id),
            repo_tags: (!names.is_empty()).then_some(names),
            layers: image.record.layers.iter().map(|layer| path(&layer.digest)).collect(),
        }
    };
    images.iter().map(item).collect()
}

fn tags(names: &[Reference]) -> impl Iterator<Item = Reference> {
    let tags = names.iter().filter(|name| name.digest().is_none());
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
    let mut source = verified(stores, digest)?;
    append(tar, &path(digest), Kind::File, size, &mut source)?;
    source.check(stores, digest)
}

fn verified(stores: &Stores, digest: &Digest) -> Result<Hashed<File>, ArchiveError> {
    let inner = stores.content.open_blob(digest)?;
    Ok(Hashed { inner, hasher: Hasher::new(digest.algorithm()) })
}

fn document<W: Write>(
    tar: &mut Writer<W>,
    name: &str,
    value: &impl Serialize,
) -> Result<(), ArchiveError> {
    file(tar, name, &json(name, value)?)
}

fn json(name: &str, value: &impl Serialize) -> Result<Vec<u8>, ArchiveError> {
    serde_json::to_vec(value)
        .map_err(|source| ArchiveError::Syntax { what: name.to_owned(), source })
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

impl<R> Hashed<R> {
    /// Whether what was read is the blob of that digest.
    fn check(self, stores: &Stores, digest: &Digest) -> Result<(), ArchiveError> {
        let actual = self.hasher.finish();
        if actual == *digest {
            return Ok(());
        }
        let path = stores.content.path_of(digest);
        Err(ContentError::Corrupt { digest: digest.clone(), actual, path }.into())
    }
}
