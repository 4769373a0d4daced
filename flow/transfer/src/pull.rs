//! `pull`: from a reference to an image in the stores.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use archive::Stores;
use content::{Lease, StoreLock};
use images::ImageRecord;
use oci::{Descriptor, Digest, ImageConfig, Manifest, Platform, Reference, Timestamp, media_type};

use crate::document::{Document, Fetched, choose, platforms};
use crate::layer::Layer;
use crate::{Client, Progress, Repository, TransferError};

/// What to pull.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The image; `latest` if it has neither tag nor digest. A digest counts more than a tag.
    pub reference: Reference,
    /// What it must run on; the machine's own platform if `None`.
    pub platform: Option<Platform>,
}

/// An image that is now here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The name that it was pulled by.
    pub name: Reference,
    /// The digest that the registry knows it by: of the index, if it is in one.
    pub digest: Digest,
    /// Its id.
    pub id: Digest,
    /// Whether the name stood for something else before, or for nothing.
    pub is_new: bool,
}

/// The most bytes of a configuration.
const MAX_CONFIG_BYTES: u64 = 8 << 20;
/// How deep indexes may stand in indexes.
const MAX_DEPTH: usize = 4;
/// Layers at once, on a machine with fewer cores. They wait for the network as well.
const LAYERS_AT_ONCE: usize = 3;

/// All tags of a repository.
pub fn tags(client: &Client, reference: &Reference) -> Result<Vec<String>, TransferError> {
    client.repository(reference)?.tags()
}

/// Brings an image into the stores, and gives it its name and that by its digest.
///
/// Has a lease of what the image needs while it comes, and the store's lock only before and after.
/// Nothing has a name before all of it is there and durable. After an error, what was complete
/// stays for the next attempt, and is garbage until then.
pub fn pull(
    client: &Client,
    stores: &Stores,
    request: &PullRequest,
    progress: &dyn Progress,
) -> Result<Pulled, TransferError> {
    let reference = request.reference.clone().with_default_tag();
    let name = match reference.digest() {
        Some(digest) => reference.with_digest(digest.clone()),
        None => reference.clone(),
    };
    let repository = client.repository(&reference)?;
    let top = repository.manifest(&reference)?;
    let digest = top.descriptor.digest.clone();
    let (found, manifest) = image_of(&repository, top, request.platform.as_ref())?;
    let by_digest = reference.with_digest(digest.clone());
    let id = manifest.config.digest.clone();
    {
        let _lock = StoreLock::shared(stores.content.root())?;
        if is_here(stores, &manifest, &found.descriptor, [&name, &by_digest])? {
            return Ok(Pulled { name, digest, id, is_new: false });
        }
    }
    let config_bytes = config_of(&repository, stores, &manifest)?;
    let config = check(&repository, &manifest, &config_bytes, request.platform.as_ref())?;
    let lease = {
        let lock = StoreLock::shared(stores.content.root())?;
        let blobs = manifest.layers.iter().map(|layer| &layer.digest);
        let blobs = blobs.chain([&found.descriptor.digest, &id]);
        Lease::take(stores.content.root(), blobs, &config.rootfs.diff_ids, &lock)?
    };
    layers(&repository, stores, &manifest, &config.rootfs.diff_ids, progress)?;

    let _lock = StoreLock::shared(stores.content.root())?;
    stores.content.put(&config_bytes)?;
    stores.content.put(&found.bytes)?;
    stores.snapshots.sync(&config.rootfs.diff_ids)?;
    let record = record(stores, &manifest, found.descriptor, config)?;
    let mut change = stores.images.change()?;
    change.record(&record)?;
    change.tag(&by_digest, &id)?;
    change.tag(&name, &id)?;
    change.finish()?;
    drop(lease);
    Ok(Pulled { name, digest, id, is_new: true })
}

impl Repository {
    /// What an image runs on, as its configuration says.
    pub fn platform_of(&self, manifest: &Manifest) -> Result<Platform, TransferError> {
        let bytes = self.blob("configuration", &manifest.config, MAX_CONFIG_BYTES)?;
        let config: ImageConfig = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(config.platform)
    }
}

/// The manifest of the image that a document stands for.
fn image_of(
    repository: &Repository,
    mut fetched: Fetched,
    platform: Option<&Platform>,
) -> Result<(Fetched, Manifest), TransferError> {
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    for _ in 0..MAX_DEPTH {
        let index = match &fetched.document {
            Document::Manifest(manifest) => {
                let manifest = Manifest::clone(manifest);
                return Ok((fetched, manifest));
            }
            Document::Index(index) => index,
        };
        let Some(entry) = choose(index, wanted) else {
            return Err(TransferError::Platform {
                wanted: wanted.to_string(),
                available: platforms(index),
                repository: repository.name.clone(),
            });
        };
        let by_digest: Reference = format!("{}@{}", repository.name, entry.digest)
            .parse()
            .expect("a repository's name and a digest are a reference");
        let (size, kind) = (entry.size_bytes, entry.media_type.clone());
        fetched = repository.manifest(&by_digest)?;
        let got = &fetched.descriptor;
        if got.size_bytes != size || (got.media_type != kind && !kind.is_empty()) {
            return Err(TransferError::Document {
                what: format!("manifest {}", got.digest),
                repository: repository.name.clone(),
                why: format!(
                    "the index announces {size} bytes of {kind}, and {} of {} came",
                    got.size_bytes, got.media_type
                ),
            });
        }
    }
    Err(TransferError::Document {
        what: format!("index {}", fetched.descriptor.digest),
        repository: repository.name.clone(),
        why: format!("indexes stand in it more than {MAX_DEPTH} deep"),
    })
}

/// Whether everything of the image is here, under these names.
fn is_here(
    stores: &Stores,
    manifest: &Manifest,
    descriptor: &Descriptor,
    names: [&Reference; 2],
) -> Result<bool, TransferError> {
    let id = &manifest.config.digest;
    let Ok(record) = stores.images.get(id) else { return Ok(false) };
    let known = stores.images.names_of(id)?;
    if record.manifest.digest != descriptor.digest || !names.iter().all(|n| known.contains(n)) {
        return Ok(false);
    }
    for digest in record.blobs() {
        if !stores.content.contains(digest)? {
            return Ok(false);
        }
    }
    Ok(stores.snapshots.missing(&record.diff_ids)?.is_empty())
}

/// The bytes of the configuration, from here or from there.
fn config_of(
    repository: &Repository,
    stores: &Stores,
    manifest: &Manifest,
) -> Result<Vec<u8>, TransferError> {
    let kind = manifest.config.media_type.as_str();
    if !matches!(kind, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) {
        let kind = manifest.artifact_type.as_deref().unwrap_or(kind);
        return Err(TransferError::Document {
            what: "the manifest".into(),
            repository: repository.name.clone(),
            why: format!("it is an artifact of type {kind}, not an image"),
        });
    }
    match stores.content.read(&manifest.config.digest, MAX_CONFIG_BYTES) {
        Ok(bytes) => Ok(bytes),
        // Also one that is damaged here: it is written anew.
        Err(_) => repository.blob("configuration", &manifest.config, MAX_CONFIG_BYTES),
    }
}

/// Checks the configuration against the manifest and the wish.
fn check(
    repository: &Repository,
    manifest: &Manifest,
    bytes: &[u8],
    platform: Option<&Platform>,
) -> Result<ImageConfig, TransferError> {
    let refuse = |why: String| TransferError::Document {
        what: format!("configuration {}", manifest.config.digest),
        repository: repository.name.clone(),
        why,
    };
    let config: ImageConfig = serde_json::from_slice(bytes)
        .map_err(|error| refuse(format!("it is malformed: {error}")))?;
    if !matches!(config.platform.os.as_str(), "" | "linux") {
        return Err(refuse(format!("it is for {}, not for linux", config.platform)));
    }
    if let Some(wanted) = platform.filter(|wanted| !config.platform.satisfies(wanted)) {
        return Err(TransferError::Platform {
            wanted: wanted.to_string(),
            available: config.platform.to_string(),
            repository: repository.name.clone(),
        });
    }
    if config.rootfs.kind != "layers" {
        return Err(refuse(format!("its rootfs is of type {:?}", config.rootfs.kind)));
    }
    let (diff_ids, blobs) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    if diff_ids != blobs {
        return Err(refuse(format!("it has {diff_ids} DiffIDs for {blobs} layers")));
    }
    Ok(config)
}

/// Brings the layers, several at once, the largest first: one that began last would be waited for
/// alone.
fn layers(
    repository: &Repository,
    stores: &Stores,
    manifest: &Manifest,
    diff_ids: &[Digest],
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let pairs = || manifest.layers.iter().zip(diff_ids);
    let known: HashSet<(Digest, Digest)> = stores
        .images
        .list()?
        .into_iter()
        .flat_map(|(record, _)| record.layers.into_iter().zip(record.diff_ids))
        .map(|(blob, diff_id)| (blob.digest, diff_id))
        .collect();
    let mut seen = HashSet::new();
    let mut shown = HashSet::new();
    let digests: Vec<Digest> = pairs()
        .map(|(blob, _)| &blob.digest)
        .filter(|digest| shown.insert(*digest))
        .cloned()
        .collect();
    progress.layers(&digests);
    let stop = AtomicBool::new(false);
    let mut work: Vec<Layer<'_>> = pairs()
        .filter(|(blob, diff_id)| seen.insert((&blob.digest, *diff_id)))
        .map(|(blob, diff_id)| Layer {
            repository,
            stores,
            blob,
            diff_id,
            is_known: known.contains(&(blob.digest.clone(), diff_id.clone())),
            stop: &stop,
            progress,
        })
        .collect();
    work.sort_by_key(|layer| std::cmp::Reverse(layer.blob.size_bytes));
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<TransferError>> = Mutex::new(None);
    let run = || {
        while !stop.load(Ordering::Relaxed)
            && let Some(layer) = work.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = layer.bring() {
                let poisoned = std::sync::PoisonError::into_inner;
                let mut failed = failed.lock().unwrap_or_else(poisoned);
                // The first is the cause; the others may be its consequence.
                failed.get_or_insert(error);
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = cores.max(LAYERS_AT_ONCE).min(work.len());
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(run);
        }
        run();
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

fn record(
    stores: &Stores,
    manifest: &Manifest,
    descriptor: Descriptor,
    config: ImageConfig,
) -> Result<ImageRecord, TransferError> {
    let diff_ids = config.rootfs.diff_ids;
    let mut size_bytes: u64 = 0;
    let mut seen = HashSet::new();
    for diff_id in diff_ids.iter().filter(|diff_id| seen.insert(*diff_id)) {
        size_bytes = size_bytes.saturating_add(stores.snapshots.usage(diff_id)?.bytes);
    }
    Ok(ImageRecord {
        id: manifest.config.digest.clone(),
        manifest: descriptor,
        platform: config.platform,
        created: config.created,
        size_bytes,
        stored_at: Timestamp::now(),
        layers: manifest.layers.clone(),
        diff_ids,
    })
}
