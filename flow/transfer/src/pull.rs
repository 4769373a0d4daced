//! `pull`: from a reference to an image in the stores.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use archive::Stores;
use content::{Lease, StoreLock};
use images::{ImageRecord, Named};
use oci::{Descriptor, Digest, ImageConfig, Manifest, Platform, Reference, Timestamp, media_type};

use crate::document::Fetched;
use crate::layer::Layer;
use crate::parallel::at_once;
use crate::select::{Selection, said_about, select};
use crate::{Client, Progress, Repository, TransferError};

/// What to pull.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The image; `latest` if it has neither tag nor digest. A digest counts more than a tag.
    pub reference: Reference,
    /// What it must run on.
    pub platforms: Platforms,
}

/// Which variants of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Platforms {
    /// The one for this machine; of an image without variants, whatever it is for.
    #[default]
    Host,
    /// Those for these; [`TransferError::Platform`] if one is not there.
    These(Vec<Platform>),
    /// All that run on Linux, with what the index says about them.
    All,
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
/// Layers at once, on a machine with fewer cores. They wait for the network as well.
const LAYERS_AT_ONCE: usize = 3;

/// All tags of a repository.
pub fn tags(client: &Client, reference: &Reference) -> Result<Vec<String>, TransferError> {
    client.repository(reference)?.tags()
}

/// Brings an image into the stores, and gives it its name and that by its digest.
///
/// An index is kept whole, and variants that are here under the same index stay beside those that
/// come. Has a lease of what the image needs while it comes, and the store's lock only before and
/// after. Nothing has a name before all of it is there and durable. After an error, what was
/// complete stays for the next attempt, and is garbage until then.
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
    let root = stores.content.root();
    let top = repository.manifest(&reference)?;
    let digest = top.descriptor.digest.clone();
    let Selection { variants, lists } = select(&repository, top, &request.platforms)?;
    let names = [name.clone(), reference.with_digest(digest.clone())];
    let index = lists.first().map(|list| list.descriptor.clone());
    {
        let _lock = StoreLock::shared(root)?;
        if is_here(stores, &variants, index.as_ref(), &names)? {
            let id = variants[0].1.config.digest.clone();
            return Ok(Pulled { name, digest, id, is_new: false });
        }
    }
    let mut images = Vec::with_capacity(variants.len());
    for (document, manifest) in variants {
        let config_bytes = config_of(&repository, stores, &manifest)?;
        let config = check(&repository, &manifest, &config_bytes, &request.platforms)?;
        images.push(Coming { document, manifest, config_bytes, config });
    }
    let said = match request.platforms {
        Platforms::All => said_about(&repository, &lists, |digest| {
            images.iter().any(|image| image.document.descriptor.digest == *digest)
        })?,
        _ => Vec::new(),
    };
    let lease = {
        let lock = StoreLock::shared(root)?;
        let own = images.iter().flat_map(Coming::blobs);
        let others = said.iter().flat_map(|(_, blobs)| blobs);
        let lists = lists.iter().map(|list| &list.descriptor.digest);
        let layers = images.iter().flat_map(|image| &image.config.rootfs.diff_ids);
        Lease::take(root, own.chain(others).chain(lists), layers, &lock)?
    };
    layers(&repository, stores, &images, progress)?;
    for digest in said.iter().flat_map(|(_, blobs)| blobs) {
        // Leased: what is here stays.
        repository.fetch_blob(&stores.content, digest)?.publish(&stores.content, digest)?;
    }

    let _lock = StoreLock::shared(root)?;
    let said = said.iter().map(|(document, _)| document);
    for document in lists.iter().chain(said).chain(images.iter().map(|image| &image.document)) {
        document.store(&stores.content)?;
    }
    let mut records = Vec::with_capacity(images.len());
    for image in images {
        stores.content.put(&image.config_bytes)?;
        stores.snapshots.sync(&image.config.rootfs.diff_ids)?;
        records.push(record(stores, image)?);
    }
    let mut change = stores.images.change()?;
    for record in &records {
        change.record(record)?;
    }
    for name in names.iter().rev() {
        let named = named(stores, name, index.as_ref(), &records)?;
        change.name(name, &named)?;
    }
    change.finish()?;
    drop(lease);
    let id = records.swap_remove(0).id;
    Ok(Pulled { name, digest, id, is_new: true })
}

/// An image on its way in.
struct Coming {
    document: Fetched,
    manifest: Manifest,
    config_bytes: Vec<u8>,
    config: ImageConfig,
}

impl Coming {
    fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let layers = self.manifest.layers.iter().map(|layer| &layer.digest);
        layers.chain([&self.document.descriptor.digest, &self.manifest.config.digest])
    }

    /// The layers, each as a blob and as a tree.
    fn pairs(&self) -> impl Iterator<Item = (&Descriptor, &Digest)> {
        self.manifest.layers.iter().zip(&self.config.rootfs.diff_ids)
    }
}

/// What a name stands for now that these have come: with what is here of the same index.
fn named(
    stores: &Stores,
    name: &Reference,
    index: Option<&Descriptor>,
    records: &[ImageRecord],
) -> Result<Named, TransferError> {
    let before = stores.images.named(name)?;
    let before = before.filter(|before| index.is_some() && before.index.as_ref() == index);
    let mut found: Vec<(Digest, bool)> = Vec::new();
    let host = Platform::host();
    for id in before.iter().flat_map(Named::ids) {
        if let Ok(record) = stores.images.get(id)
            && records.iter().all(|new| new.id != record.id)
        {
            found.push((record.id, record.platform.satisfies(&host)));
        }
    }
    found.extend(records.iter().map(|new| (new.id.clone(), new.platform.satisfies(&host))));
    // The machine's own comes first, else the one that came last was wanted last.
    let first = found.iter().position(|(_, is_own)| *is_own);
    let first = first.unwrap_or(found.len() - records.len());
    let (id, _) = found.remove(first);
    let others = found.into_iter().map(|(id, _)| id).collect();
    Ok(Named { id, others, index: index.cloned() })
}

impl Repository {
    /// What an image runs on, as its configuration says.
    pub fn platform_of(&self, manifest: &Manifest) -> Result<Platform, TransferError> {
        let bytes = self.blob("configuration", &manifest.config, MAX_CONFIG_BYTES)?;
        let config: ImageConfig = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(config.platform)
    }
}

/// Whether everything of the images is here, under these names.
fn is_here(
    stores: &Stores,
    variants: &[(Fetched, Manifest)],
    index: Option<&Descriptor>,
    names: &[Reference],
) -> Result<bool, TransferError> {
    for name in names {
        let Some(named) = stores.images.named(name)? else { return Ok(false) };
        let is_known = |(_, manifest): &(Fetched, Manifest)| {
            named.ids().any(|id| *id == manifest.config.digest)
        };
        let is_same = named.index.as_ref() == index && variants.iter().all(is_known);
        // Without an index nothing but the one image is meant.
        if !is_same || (index.is_none() && !named.others.is_empty()) {
            return Ok(false);
        }
        for digest in archive::list_blobs(&stores.content, &stores.images, &named)? {
            if index.is_some_and(|index| index.digest == digest)
                && !stores.content.contains(&digest)?
            {
                return Ok(false);
            }
        }
    }
    for (document, manifest) in variants {
        let Ok(record) = stores.images.get(&manifest.config.digest) else { return Ok(false) };
        if record.manifest.digest != document.descriptor.digest {
            return Ok(false);
        }
        for digest in record.blobs() {
            if !stores.content.contains(digest)? {
                return Ok(false);
            }
        }
        if !stores.snapshots.missing(&record.diff_ids)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
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
    platforms: &Platforms,
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
    if let Platforms::These(wanted) = platforms
        && !wanted.iter().any(|wanted| config.platform.satisfies(wanted))
    {
        let wanted: Vec<String> = wanted.iter().map(Platform::to_string).collect();
        return Err(TransferError::Platform {
            wanted: wanted.join(", "),
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
    images: &[Coming],
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let pairs = || images.iter().flat_map(Coming::pairs);
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
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    at_once(&work, cores.max(LAYERS_AT_ONCE), &stop, Layer::bring)
}

fn record(stores: &Stores, image: Coming) -> Result<ImageRecord, TransferError> {
    let diff_ids = image.config.rootfs.diff_ids;
    let mut size_bytes: u64 = 0;
    let mut seen = HashSet::new();
    for diff_id in diff_ids.iter().filter(|diff_id| seen.insert(*diff_id)) {
        size_bytes = size_bytes.saturating_add(stores.snapshots.usage(diff_id)?.bytes);
    }
    Ok(ImageRecord {
        id: image.manifest.config.digest,
        manifest: image.document.descriptor,
        platform: image.config.platform,
        created: image.config.created,
        size_bytes,
        stored_at: Timestamp::now(),
        layers: image.manifest.layers,
        diff_ids,
        referrers: Vec::new(),
    })
}
