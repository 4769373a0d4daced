//! `push`: from the stores to a repository.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use archive::Stores;
use content::{Lease, StoreLock};
use images::{ImageRecord, ImagesError};
use oci::{Descriptor, Digest, Reference};

use crate::document::MAX_BYTES;
use crate::upload::Upload;
use crate::{Client, Progress, Repository, TransferError};

/// What to push.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Where to; `latest` if it has no tag.
    pub name: Reference,
    /// Which image. Its blobs are in the store; a record of it need not be.
    pub record: ImageRecord,
    /// Its manifest gets no tag, and is known by its digest alone.
    pub by_digest: bool,
}

/// A list of images to push, one a platform.
#[derive(Debug, Clone)]
pub struct PushListRequest {
    /// Where to; `latest` if it has no tag.
    pub name: Reference,
    /// The images that it lists.
    pub records: Vec<ImageRecord>,
    /// Points at the list.
    pub list: Descriptor,
    /// The list.
    pub bytes: Vec<u8>,
    /// The list gets no tag.
    pub by_digest: bool,
}

/// An image that is now there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of its manifest.
    pub digest: Digest,
    /// How many bytes the manifest has.
    pub size_bytes: u64,
}

/// Uploads at once.
const UPLOADS_AT_ONCE: usize = 4;

/// Brings an image to a repository: the blobs that are not there, then its manifest.
///
/// A blob that another repository of the registry has, as far as the names here tell, is mounted
/// from there. The image gets the name by its digest in the repository.
pub fn push(
    client: &Client,
    stores: &Stores,
    request: &PushRequest,
    progress: &dyn Progress,
) -> Result<Pushed, TransferError> {
    let name = request.name.clone().with_default_tag();
    let repository = client.repository(&name)?;
    let record = &request.record;
    let held = lease(stores, [record])?;
    let manifest = bring_blobs(&repository, stores, record, &name, progress)?;
    let digest = record.manifest.digest.clone();
    let own = digest.to_string();
    let tag = if request.by_digest { &own } else { name.tag().unwrap_or("latest") };
    repository.put_manifest(tag, &record.manifest.media_type, &manifest, &digest)?;
    drop(held);
    remember(stores, &name, record)?;
    Ok(Pushed { digest, size_bytes: manifest.len() as u64 })
}

/// Brings images and their list to a repository.
pub fn push_list(
    client: &Client,
    stores: &Stores,
    request: &PushListRequest,
    progress: &dyn Progress,
) -> Result<Pushed, TransferError> {
    let name = request.name.clone().with_default_tag();
    let repository = client.repository(&name)?;
    let _held = lease(stores, &request.records)?;
    for record in &request.records {
        let manifest = bring_blobs(&repository, stores, record, &name, progress)?;
        let digest = &record.manifest.digest;
        let kind = &record.manifest.media_type;
        repository.put_manifest(&digest.to_string(), kind, &manifest, digest)?;
        remember(stores, &name, record)?;
    }
    let digest = request.list.digest.clone();
    let own = digest.to_string();
    let tag = if request.by_digest { &own } else { name.tag().unwrap_or("latest") };
    repository.put_manifest(tag, &request.list.media_type, &request.bytes, &digest)?;
    Ok(Pushed { digest, size_bytes: request.bytes.len() as u64 })
}

/// Gives an image of the store the name by which the registry has it.
fn remember(stores: &Stores, name: &Reference, record: &ImageRecord) -> Result<(), TransferError> {
    let named = name.clone().with_digest(record.manifest.digest.clone());
    // One with the same configuration in other wrapping is no image of that digest.
    if stores.images.get(&record.id).is_ok_and(|own| own.manifest.digest == record.manifest.digest)
    {
        match stores.images.tag(&named, &record.id) {
            // Somebody removed it here while it went there.
            Ok(_) | Err(ImagesError::NoRecord { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// So that nothing is taken from under us, and nobody waits for us.
fn lease<'a>(
    stores: &Stores,
    records: impl IntoIterator<Item = &'a ImageRecord>,
) -> Result<Lease, TransferError> {
    let lock = StoreLock::shared(stores.content.root())?;
    let blobs = records.into_iter().flat_map(ImageRecord::blobs);
    Ok(Lease::take(stores.content.root(), blobs, [], &lock)?)
}

/// Brings all that an image is made of but its manifest, which it answers.
fn bring_blobs(
    repository: &Repository,
    stores: &Stores,
    record: &ImageRecord,
    name: &Reference,
    progress: &dyn Progress,
) -> Result<Vec<u8>, TransferError> {
    let manifest = stores.content.read(&record.manifest.digest, MAX_BYTES)?;
    let mut seen = HashSet::new();
    let layers: Vec<&Descriptor> =
        record.layers.iter().filter(|layer| seen.insert(&layer.digest)).collect();
    let digests: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
    progress.layers(&digests);
    let sources = sources(stores, name)?;
    let source_of = |digest: &Digest| {
        sources.iter().find(|(_, blobs)| blobs.contains(digest)).map(|(path, _)| path.as_str())
    };
    let stop = AtomicBool::new(false);
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<TransferError>> = Mutex::new(None);
    let run = || {
        while !stop.load(Ordering::Relaxed)
            && let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let upload = Upload {
                repository,
                content: &stores.content,
                blob: layer,
                mount_from: source_of(&layer.digest),
                progress,
            };
            if let Err(error) = upload.bring() {
                let poisoned = std::sync::PoisonError::into_inner;
                failed.lock().unwrap_or_else(poisoned).get_or_insert(error);
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..UPLOADS_AT_ONCE.min(layers.len()) {
            scope.spawn(run);
        }
        run();
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    let size_bytes = stores.content.size(&record.id)?;
    let config = Descriptor::new("", record.id.clone(), size_bytes);
    Upload {
        repository,
        content: &stores.content,
        blob: &config,
        mount_from: None,
        progress: &crate::Silent,
    }
    .bring()?;
    Ok(manifest)
}

/// Other repositories of the registry from which an image here came, with the image's blobs.
fn sources(
    stores: &Stores,
    target: &Reference,
) -> Result<Vec<(String, HashSet<Digest>)>, TransferError> {
    let mut found = Vec::new();
    for (record, names) in stores.images.list()? {
        for name in names {
            // Only a name by digest says that the registry had it once.
            if name.domain() == target.domain()
                && name.path() != target.path()
                && name.digest().is_some()
            {
                let blobs = record.layers.iter().map(|layer| layer.digest.clone()).collect();
                found.push((name.path().to_owned(), blobs));
            }
        }
    }
    Ok(found)
}
