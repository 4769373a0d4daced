//! `push`: from the stores to a repository.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use archive::Stores;
use content::{Content, Lease, SharedLock, StoreLock};
use images::{ImageRecord, ImagesError, Named, Referrer};
use oci::{Descriptor, Digest, Reference};

use crate::document::{Document, Fetched, MAX_BYTES};
use crate::parallel::at_once;
use crate::upload::Upload;
use crate::{Client, Progress, Repository, Silent, TransferError};

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

/// What a name here stands for, to be pushed.
#[derive(Debug, Clone)]
pub struct PushNamedRequest {
    /// Where to; `latest` if it has no tag.
    pub name: Reference,
    /// What: the index with all that it lists if that is here, else the first image alone.
    pub named: Named,
}

/// An image that is now there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of its manifest or its index.
    pub digest: Digest,
    /// How many bytes that has.
    pub size_bytes: u64,
    /// Whether there is an index here that was not sent, since something that it lists is not here.
    pub is_partial: bool,
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
    let target = Target::new(client, &request.name, request.by_digest)?;
    let lock = StoreLock::shared(stores.content.root())?;
    let mut sent = Sent::default();
    sent.add(stores, &request.record)?;
    let pushed = target.bring(stores, sent, lock, progress)?;
    target.remember(stores, &request.record)?;
    Ok(pushed)
}

/// Brings images and their list to a repository.
pub fn push_list(
    client: &Client,
    stores: &Stores,
    request: &PushListRequest,
    progress: &dyn Progress,
) -> Result<Pushed, TransferError> {
    let target = Target::new(client, &request.name, request.by_digest)?;
    let lock = StoreLock::shared(stores.content.root())?;
    let mut sent = Sent::default();
    let list = parsed(request.bytes.clone(), &request.list)?;
    for record in &request.records {
        sent.add(stores, record)?;
        for said in record.referrers.iter().filter(|said| is_listed(&list, &said.manifest.digest)) {
            sent.add_referrer(stores, said)?;
        }
    }
    sent.documents.push(list);
    let pushed = target.bring(stores, sent, lock, progress)?;
    for record in &request.records {
        target.remember(stores, record)?;
    }
    Ok(pushed)
}

/// Brings what a name stands for to a repository: of an index all images, then the index; at last
/// what is said about the images.
pub fn push_named(
    client: &Client,
    stores: &Stores,
    request: &PushNamedRequest,
    progress: &dyn Progress,
) -> Result<Pushed, TransferError> {
    let target = Target::new(client, &request.name, false)?;
    let lock = StoreLock::shared(stores.content.root())?;
    let Some(sent) = whole(&stores.content, &request.named)? else {
        let record = stores.images.get(&request.named.id)?;
        let mut sent = Sent::default();
        sent.add(stores, &record)?;
        let pushed = target.bring(stores, sent, lock, progress)?;
        target.remember(stores, &record)?;
        push_referrers(client, stores, &request.name, &record)?;
        return Ok(Pushed { is_partial: request.named.index.is_some(), ..pushed });
    };
    let pushed = target.bring(stores, sent, lock, progress)?;
    let mut change = stores.images.change()?;
    match change.name(&target.by_digest(&pushed.digest), &request.named) {
        // Somebody removed it here while it went there.
        Ok(_) | Err(ImagesError::NoRecord { .. }) => change.finish()?,
        Err(error) => return Err(error.into()),
    }
    for id in request.named.ids() {
        if let Ok(record) = stores.images.get(id) {
            push_referrers(client, stores, &request.name, &record)?;
        }
    }
    Ok(pushed)
}

/// Brings what is said about an image to the repository that has the image, after it.
///
/// A registry that does not list referrers by itself gets the index that lists them.
/// distribution-spec 1.1.1, "Pushing Manifests with Subject".
pub fn push_referrers(
    client: &Client,
    stores: &Stores,
    name: &Reference,
    record: &ImageRecord,
) -> Result<(), TransferError> {
    if record.referrers.is_empty() {
        return Ok(());
    }
    let target = Target::new(client, name, true)?;
    for said in &record.referrers {
        let lock = StoreLock::shared(stores.content.root())?;
        let mut sent = Sent::default();
        sent.add_referrer(stores, said)?;
        let document = sent.documents[0].clone();
        target.bring(stores, sent, lock, &Silent)?;
        target.repository.list_referrer(&record.manifest.digest, &document)?;
    }
    Ok(())
}

/// Where something is pushed to.
struct Target {
    name: Reference,
    repository: Repository,
    /// The last document gets no tag, and is known by its digest alone.
    by_digest: bool,
}

impl Target {
    fn new(client: &Client, name: &Reference, by_digest: bool) -> Result<Self, TransferError> {
        let name = name.clone().with_default_tag();
        Ok(Self { repository: client.repository(&name)?, name, by_digest })
    }

    fn by_digest(&self, digest: &Digest) -> Reference {
        self.name.clone().with_digest(digest.clone())
    }

    /// Brings blobs, then documents. The lock of the store is given back as soon as all that goes
    /// is leased: nothing is taken from under us, and nobody waits for us.
    fn bring(
        &self,
        stores: &Stores,
        mut sent: Sent,
        lock: SharedLock,
        progress: &dyn Progress,
    ) -> Result<Pushed, TransferError> {
        let (repository, content) = (&self.repository, &stores.content);
        sent.unite();
        let blobs = sent.layers.iter().chain(&sent.others).map(|blob| &blob.digest);
        let documents = sent.documents.iter().map(|document| &document.descriptor.digest);
        let _lease = Lease::take(content.root(), blobs.chain(documents), [], &lock)?;
        drop(lock);
        let digests: Vec<Digest> = sent.layers.iter().map(|layer| layer.digest.clone()).collect();
        progress.layers(&digests);
        let sources = sources(stores, &self.name)?;
        upload(repository, content, &sources, &sent.layers, progress)?;
        upload(repository, content, &[], &sent.others, &Silent)?;
        let (last, inner) = sent.documents.split_last().expect("a manifest is sent");
        for document in inner {
            let (digest, kind) = (&document.descriptor.digest, &document.descriptor.media_type);
            repository.put_manifest(&digest.to_string(), kind, &document.bytes, digest)?;
        }
        let Descriptor { digest, media_type, size_bytes, .. } = last.descriptor.clone();
        let own = digest.to_string();
        let tag = if self.by_digest { &own } else { self.name.tag().unwrap_or("latest") };
        repository.put_manifest(tag, &media_type, &last.bytes, &digest)?;
        Ok(Pushed { digest, size_bytes, is_partial: false })
    }

    /// Gives an image of the store the name by which the registry has it.
    fn remember(&self, stores: &Stores, record: &ImageRecord) -> Result<(), TransferError> {
        let name = self.by_digest(&record.manifest.digest);
        let own = stores.images.get(&record.id);
        // One with the same configuration in other wrapping is no image of that digest.
        if !own.is_ok_and(|own| own.manifest.digest == record.manifest.digest) {
            return Ok(());
        }
        match stores.images.tag(&name, &record.id) {
            // Somebody removed it here while it went there.
            Ok(_) | Err(ImagesError::NoRecord { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What is sent, each blob once.
#[derive(Default)]
struct Sent {
    layers: Vec<Descriptor>,
    /// Configurations.
    others: Vec<Descriptor>,
    /// What names others comes after them.
    documents: Vec<Fetched>,
}

impl Sent {
    /// Adds an image.
    fn add(&mut self, stores: &Stores, record: &ImageRecord) -> Result<(), TransferError> {
        let bytes = stores.content.read(&record.manifest.digest, MAX_BYTES)?;
        let size = stores.content.size(&record.id)?;
        self.layers.extend(record.layers.iter().cloned());
        self.others.push(Descriptor::new("", record.id.clone(), size));
        self.documents.push(parsed(bytes, &record.manifest)?);
        Ok(())
    }

    /// Adds what is said about an image.
    fn add_referrer(&mut self, stores: &Stores, said: &Referrer) -> Result<(), TransferError> {
        let bytes = stores.content.read(&said.manifest.digest, MAX_BYTES)?;
        self.others.extend(said.blobs.iter().cloned());
        self.documents.push(parsed(bytes, &said.manifest)?);
        Ok(())
    }

    fn unite(&mut self) {
        let mut seen = HashSet::new();
        for list in [&mut self.layers, &mut self.others] {
            // What may not be distributed stays where it is: image-spec 1.1.1, layer.md,
            // "Non-Distributable Layers".
            list.retain(|blob| !is_foreign(blob) && seen.insert(blob.digest.clone()));
        }
    }
}

fn is_listed(list: &Fetched, digest: &Digest) -> bool {
    match &list.document {
        Document::Index(index) => index.manifests.iter().any(|entry| entry.digest == *digest),
        Document::Manifest(_) => false,
    }
}

/// Whether a blob is to be had from its own place alone.
pub(crate) fn is_foreign(blob: &Descriptor) -> bool {
    let kind = &blob.media_type;
    !blob.urls.is_empty() && (kind.contains("nondistributable") || kind.contains("foreign"))
}

/// The index of a name with all that it lists; `None` if there is no index, or not all is here.
fn whole(content: &Content, named: &Named) -> Result<Option<Sent>, TransferError> {
    let Some(index) = &named.index else { return Ok(None) };
    let read = |digest: &Digest| content.read(digest, MAX_BYTES).ok();
    let Some(bytes) = read(&index.digest) else { return Ok(None) };
    let mut sent = Sent::default();
    sent.documents.push(parsed(bytes, index)?);
    let mut seen = HashSet::new();
    for (_, entry) in archive::entries(&index.digest, &read) {
        if !seen.insert(entry.digest.clone()) {
            continue;
        }
        let Some(bytes) = read(&entry.digest) else { return Ok(None) };
        let document = parsed(bytes, &entry)?;
        if let Document::Manifest(manifest) = &document.document {
            sent.layers.extend(manifest.layers.iter().cloned());
            sent.others.push(manifest.config.clone());
        }
        sent.documents.push(document);
    }
    sent.unite();
    for blob in sent.layers.iter().chain(&sent.others) {
        if !content.contains(&blob.digest)? {
            return Ok(None);
        }
    }
    // They were found from the outside in.
    sent.documents.reverse();
    Ok(Some(sent))
}

fn parsed(bytes: Vec<u8>, descriptor: &Descriptor) -> Result<Fetched, TransferError> {
    let kind = Some(descriptor.media_type.as_str());
    Fetched::new(bytes, descriptor.digest.clone(), kind).map_err(|why| TransferError::Document {
        what: format!("manifest {}", descriptor.digest),
        repository: "this machine".into(),
        why,
    })
}

/// Brings blobs there, several at once.
fn upload(
    repository: &Repository,
    content: &Content,
    sources: &[(String, HashSet<Digest>)],
    blobs: &[Descriptor],
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let source_of = |digest: &Digest| {
        sources.iter().find(|(_, blobs)| blobs.contains(digest)).map(|(path, _)| path.as_str())
    };
    at_once(blobs, UPLOADS_AT_ONCE, &AtomicBool::new(false), |blob| {
        let mount_from = source_of(&blob.digest);
        Upload { repository, content, blob, mount_from, progress }.bring()
    })
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
