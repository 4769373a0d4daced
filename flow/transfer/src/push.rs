//! `push`: from the stores to a repository.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use archive::Stores;
use content::{Lease, StoreLock};
use images::ImagesError;
use oci::{Descriptor, Digest, Reference};

use crate::document::MAX_BYTES;
use crate::upload::Upload;
use crate::{Client, Progress, TransferError};

/// What to push.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Where to; `latest` if it has no tag.
    pub name: Reference,
    /// Which image.
    pub id: Digest,
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
    // So that nothing is taken from under us, and nobody waits for us.
    let lock = StoreLock::shared(stores.content.root())?;
    let record = stores.images.get(&request.id)?;
    let lease = Lease::take(stores.content.root(), record.blobs(), [], &lock)?;
    drop(lock);
    let manifest = stores.content.read(&record.manifest.digest, MAX_BYTES)?;
    let mut seen = HashSet::new();
    let layers: Vec<&Descriptor> =
        record.layers.iter().filter(|layer| seen.insert(&layer.digest)).collect();
    let digests: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
    progress.layers(&digests);
    let sources = sources(stores, &name)?;
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
                repository: &repository,
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
        repository: &repository,
        content: &stores.content,
        blob: &config,
        mount_from: None,
        progress: &crate::Silent,
    }
    .bring()?;
    let tag = name.tag().unwrap_or("latest");
    let kind = &record.manifest.media_type;
    repository.put_manifest(tag, kind, &manifest, &record.manifest.digest)?;
    let digest = record.manifest.digest;
    drop(lease);
    match stores.images.tag(&name.with_digest(digest.clone()), &request.id) {
        // Somebody removed it here while it went there.
        Ok(_) | Err(ImagesError::NoRecord { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Pushed { digest, size_bytes: manifest.len() as u64 })
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
