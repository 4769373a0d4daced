//! From blobs that are complete to an image in the store: unpack, publish, record, name.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use content::Durability;
use images::{ImageRecord, Named};
use oci::{
    Algorithm, Descriptor, Digest, ImageConfig, Manifest, Platform, Reference, Timestamp,
    media_type,
};
use unpack::tar::TarError;
use unpack::{Expected, Limits, UnpackError};

use crate::blobs::Blobs;
use crate::lists::companions;
use crate::{ArchiveError, CONFIG_LIMIT, MANIFEST_LIMIT, Stores};

/// An image all of whose blobs are there.
#[derive(Debug)]
pub(crate) struct Image {
    /// Points at the configuration; its digest is the image's id.
    pub(crate) config: Descriptor,
    /// What the configuration says.
    pub(crate) parsed: ImageConfig,
    /// Point at the layers, lowest first.
    pub(crate) layers: Vec<Descriptor>,
    /// The manifest that came with the image; `None` has one written.
    pub(crate) manifest: Option<Descriptor>,
    /// What it shall be called.
    pub(crate) names: Vec<Name>,
}

/// A name in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: Reference,
    /// The index that it stands for, of which the image is a variant.
    pub(crate) index: Option<Descriptor>,
}

impl Name {
    /// One that stands for an image alone.
    pub(crate) fn of(name: Reference) -> Self {
        Self { name, index: None }
    }
}

/// What was put into the store.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// The names, each with the image that who names no platform gets.
    pub(crate) named: Vec<(Reference, Digest)>,
    /// Names that were another image's before.
    pub(crate) moved: Vec<(Reference, Digest)>,
}

impl Image {
    /// Reads the configuration and checks it against the layers. `what` is what errors call it.
    pub(crate) fn new(
        blobs: &Blobs,
        config: Descriptor,
        layers: Vec<Descriptor>,
        what: &str,
    ) -> Result<Self, ArchiveError> {
        let bytes = blobs.read(&config.digest, what, CONFIG_LIMIT)?;
        let parsed: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(|source| ArchiveError::Syntax { what: what.to_owned(), source })?;
        let refuse = |why: String| ArchiveError::Document { what: what.to_owned(), why };
        if !matches!(parsed.platform.os.as_str(), "" | "linux") {
            return Err(refuse(format!("it is for {}, not for linux", parsed.platform)));
        }
        if parsed.rootfs.kind != "layers" {
            return Err(refuse(format!("its rootfs is of type {:?}", parsed.rootfs.kind)));
        }
        let (diff_ids, blobs) = (parsed.rootfs.diff_ids.len(), layers.len());
        if diff_ids != blobs {
            return Err(refuse(format!("it has {diff_ids} DiffIDs for {blobs} layers")));
        }
        Ok(Self { config, parsed, layers, manifest: None, names: Vec::new() })
    }

    fn pairs(&self) -> impl Iterator<Item = (&Descriptor, &Digest)> {
        self.layers.iter().zip(&self.parsed.rootfs.diff_ids)
    }
}

/// Puts images into the store. Nothing is recorded before everything of all images is there.
pub(crate) fn add(
    stores: &Stores,
    blobs: &mut Blobs,
    images: &mut [Image],
    durability: Durability,
) -> Result<Added, ArchiveError> {
    blobs.lock()?;
    unpack_missing(stores, blobs, images)?;
    let mut records = Vec::new();
    for image in images.iter_mut() {
        let manifest = match image.manifest.take() {
            Some(manifest) => manifest,
            None => write_manifest(blobs, image)?,
        };
        records.push(record(stores, image, manifest)?);
    }
    if durability == Durability::Power {
        let diff_ids: Vec<Digest> =
            records.iter().flat_map(|record| record.diff_ids.iter().cloned()).collect();
        // First: it also brings the staged blobs to the disk, so that their own sync is cheap.
        stores.snapshots.sync(&diff_ids)?;
    }
    let names = names(images);
    let mut needed: HashSet<Digest> =
        records.iter().flat_map(ImageRecord::blobs).cloned().collect();
    for (_, named) in &names {
        needed.extend(list_blobs(blobs, named, &records)?);
    }
    blobs.publish(&needed, durability)?;
    let mut change = stores.images.change()?;
    for record in &records {
        change.record(record)?;
    }
    let mut added = Added::default();
    for (name, named) in names {
        let id = named.id.clone();
        if let Some(previous) = change.name(&name, &named)?
            && previous.id != id
        {
            added.moved.push((name.clone(), previous.id));
        }
        added.named.push((name, id));
    }
    change.finish()?;
    Ok(added)
}

/// What each name shall stand for. Several images under one name are its variants if they are for
/// several platforms, and otherwise the last one has it.
fn names(images: &[Image]) -> Vec<(Reference, Named)> {
    let mut order: Vec<&Reference> = Vec::new();
    let mut of: HashMap<&Reference, Vec<(&Image, &Name)>> = HashMap::new();
    for image in images {
        for name in &image.names {
            let list = of.entry(&name.name).or_insert_with(|| {
                order.push(&name.name);
                Vec::new()
            });
            list.retain(|(other, _)| other.parsed.platform != image.parsed.platform);
            list.push((image, name));
        }
    }
    let host = Platform::host();
    let stands_for = |name: &Reference| {
        let mut list = of.remove(name)?;
        let index = list.iter().find_map(|(_, name)| name.index.clone());
        let own = list.iter().position(|(image, _)| image.parsed.platform.satisfies(&host));
        let (first, _) = list.remove(own.unwrap_or(0));
        let others = list.into_iter().map(|(image, _)| image.config.digest.clone()).collect();
        Some((name.clone(), Named { id: first.config.digest.clone(), others, index }))
    };
    order.into_iter().filter_map(stands_for).collect()
}

/// The blobs that are needed for a name's index beside its images.
fn list_blobs(
    blobs: &Blobs,
    named: &Named,
    records: &[ImageRecord],
) -> Result<Vec<Digest>, ArchiveError> {
    let Some(index) = &named.index else { return Ok(Vec::new()) };
    let manifests: HashSet<&Digest> = records
        .iter()
        .filter(|record| named.ids().any(|id| *id == record.id))
        .map(|record| &record.manifest.digest)
        .collect();
    let read = |digest: &Digest| blobs.read(digest, "the index", MANIFEST_LIMIT).ok();
    let needed = companions(&index.digest, &manifests, read);
    Ok(needed.into_iter().filter(|digest| blobs.contains(digest)).collect())
}

/// Unpacks the layers that are not there, as many at once as there are cores, the largest first.
fn unpack_missing(stores: &Stores, blobs: &Blobs, images: &[Image]) -> Result<(), ArchiveError> {
    let mut missing: Vec<(&Descriptor, &Digest)> = Vec::new();
    let mut seen = HashSet::new();
    let mut unpacked = HashSet::new();
    for (layer, diff_id) in images.iter().flat_map(Image::pairs) {
        if !seen.insert((&layer.digest, diff_id)) {
            continue;
        }
        if !unpacked.insert(diff_id) || stores.snapshots.contains(diff_id)? {
            // Its tree is there already: make sure that the blob would give the same one, since
            // the manifest says so and others will pull it from there.
            verify(blobs, layer, diff_id).map_err(|source| ArchiveError::Layer {
                layer: diff_id.to_string(),
                source: Box::new(source),
            })?;
        } else {
            missing.push((layer, diff_id));
        }
    }
    missing.sort_by_key(|(layer, _)| std::cmp::Reverse(layer.size_bytes));
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let work = || {
        while let Some((layer, diff_id)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(source) = unpack_one(stores, blobs, layer, diff_id) {
                next.store(missing.len(), Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let (layer, source) = (diff_id.to_string(), Box::new(source));
                failed.get_or_insert(ArchiveError::Layer { layer, source });
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..cores.min(missing.len()) {
            scope.spawn(work);
        }
        work();
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// Compares what a blob holds with the DiffID that it is said to have.
fn verify(blobs: &Blobs, layer: &Descriptor, diff_id: &Digest) -> Result<(), UnpackError> {
    if layer.digest == *diff_id {
        return Ok(());
    }
    let read = |source| UnpackError::Tar(TarError::Read { source });
    let mut tar =
        unpack::decompress(blobs.open(&layer.digest)?, &Limits::default()).map_err(read)?;
    let mut hasher = content::Hasher::new(diff_id.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match tar.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read(error)),
        }
    }
    tar.finish().map_err(read)?;
    match hasher.finish() {
        actual if actual == *diff_id => Ok(()),
        actual => Err(UnpackError::Mismatch { what: "layer", expected: diff_id.clone(), actual }),
    }
}

fn unpack_one(
    stores: &Stores,
    blobs: &Blobs,
    layer: &Descriptor,
    diff_id: &Digest,
) -> Result<(), UnpackError> {
    // The blob's own digest was taken when it was staged.
    let expected = Expected { blob: None, diff_id: Some(diff_id) };
    unpack::layer(blobs.open(&layer.digest)?, expected, &stores.snapshots).map(drop)
}

/// Writes the manifest of an image that came without one.
fn write_manifest(blobs: &mut Blobs, image: &Image) -> Result<Descriptor, ArchiveError> {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config: image.config.clone(),
        layers: image.layers.clone(),
        subject: None,
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|source| ArchiveError::Syntax { what: "the manifest".into(), source })?;
    let size = bytes.len() as u64;
    let digest = blobs.insert_bytes(bytes, Algorithm::Sha256);
    Ok(Descriptor::new(media_type::OCI_MANIFEST, digest, size))
}

fn record(
    stores: &Stores,
    image: &Image,
    manifest: Descriptor,
) -> Result<ImageRecord, ArchiveError> {
    let diff_ids = image.parsed.rootfs.diff_ids.clone();
    let mut size_bytes: u64 = 0;
    let mut seen = HashSet::new();
    for diff_id in diff_ids.iter().filter(|diff_id| seen.insert(*diff_id)) {
        size_bytes = size_bytes.saturating_add(stores.snapshots.usage(diff_id)?.bytes);
    }
    Ok(ImageRecord {
        id: image.config.digest.clone(),
        manifest,
        platform: image.parsed.platform.clone(),
        created: image.parsed.created,
        size_bytes,
        stored_at: Timestamp::now(),
        layers: image.layers.clone(),
        diff_ids,
        referrers: Vec::new(),
    })
}
