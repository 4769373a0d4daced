//! One layer: whatever of it is missing, blob or tree, is brought.
//!
//! ```text
//!               tree is there                     tree is missing
//! blob there    believed, or compared once        unpacked from the blob
//! blob missing  fetched and compared              fetched and unpacked in one pass
//! ```
//!
//! "Compared" means that the blob is decompressed and hashed: a manifest may claim that a blob is
//! some layer that is here already, and whoever gets the image from us would find out.

use std::io::{self, Read};
use std::sync::atomic::AtomicBool;

use archive::Stores;
use content::{Content, ContentError, Durability, Hasher, Staged};
use oci::{Algorithm, Descriptor, Digest};
use unpack::tar::TarError;
use unpack::{Expected, Limits, UnpackError};

use crate::blob::{Download, Tee};
use crate::lock::FetchLock;
use crate::{LayerState, Progress, Repository, Silent, TransferError};

/// A layer that an image needs.
pub(crate) struct Layer<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) stores: &'a Stores,
    pub(crate) blob: &'a Descriptor,
    pub(crate) diff_id: &'a Digest,
    /// Whether an image that is here already pairs the two.
    pub(crate) is_known: bool,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) progress: &'a dyn Progress,
}

/// What is read further of a broken layer to learn whose fault it is.
const MAX_REST: u64 = 64 << 20;

impl Layer<'_> {
    /// Brings what is missing.
    pub(crate) fn bring(&self) -> Result<(), TransferError> {
        let digest = &self.blob.digest;
        let (content, snapshots) = (&self.stores.content, &self.stores.snapshots);
        let _lock = FetchLock::take(content.root(), digest, || {
            self.progress.layer(digest, LayerState::Waiting);
        })?;
        let has_tree = snapshots.contains(self.diff_id)?;
        match content.size(digest) {
            Ok(size) if size != self.blob.size_bytes => {
                return Err(
                    self.mismatch(format!("{size} bytes instead of {}", self.blob.size_bytes))
                );
            }
            Ok(_) if has_tree && self.is_known => {
                self.progress.layer(digest, LayerState::Exists);
                return Ok(());
            }
            Ok(_) => {
                if self.use_stored(has_tree)? {
                    let state = if has_tree { LayerState::Exists } else { LayerState::Complete };
                    self.progress.layer(digest, state);
                    return Ok(());
                }
            }
            Err(ContentError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.fetch(has_tree)?;
        self.progress.layer(digest, LayerState::Complete);
        Ok(())
    }

    /// Unpacks or compares the blob that is here; `false` if it was damaged, and is gone.
    fn use_stored(&self, has_tree: bool) -> Result<bool, TransferError> {
        self.progress.layer(&self.blob.digest, LayerState::Unpacking);
        let content = &self.stores.content;
        let outcome = self.consume(content.open_blob(&self.blob.digest)?, has_tree);
        let Err(source) = outcome else { return Ok(true) };
        match content.verify(&self.blob.digest) {
            Err(ContentError::Corrupt { .. }) => {
                content.remove(&self.blob.digest)?;
                Ok(false)
            }
            _ => Err(self.broken(source)),
        }
    }

    fn fetch(&self, has_tree: bool) -> Result<(), TransferError> {
        let (digest, size) = (&self.blob.digest, self.blob.size_bytes);
        let content = &self.stores.content;
        self.progress.layer(digest, LayerState::Downloading { current: 0, total: size });
        let mut ingest = content.ingest_with(digest.algorithm())?;
        let source = Download::new(self.repository, self.blob, self.progress, self.stop);
        let mut tee = Tee { source, ingest: &mut ingest };
        let outcome = self.consume(&mut tee, has_tree);
        if outcome.is_err() && tee.source.failed.is_none() {
            // Is it broken, or was it broken on its way? Its digest tells, if there is little left.
            let _ = io::copy(&mut (&mut tee).take(MAX_REST), &mut io::sink());
        }
        let failed = tee.source.failed.take();
        let staged = match (failed, &outcome) {
            (Some(error), _) => return Err(error),
            (None, _) => ingest.stage(Some(digest), Some(size)),
        };
        match (staged, outcome) {
            (Err(ContentError::Mismatch { actual, .. }), _) => {
                Err(self.mismatch(actual.to_string()))
            }
            (_, Err(source)) => Err(self.broken(source)),
            (staged, Ok(())) => Ok(content.publish([staged?], Durability::Power)?),
        }
    }

    /// Reads the whole layer, and makes its tree if it is not there.
    fn consume(&self, source: impl Read + Send, has_tree: bool) -> Result<(), UnpackError> {
        if !has_tree {
            let expected = Expected { blob: None, diff_id: Some(self.diff_id) };
            return unpack::layer(source, expected, &self.stores.snapshots).map(drop);
        }
        let actual = archive_digest(source, self.diff_id.algorithm())
            .map_err(|source| UnpackError::Tar(TarError::Read { source }))?;
        match actual == *self.diff_id {
            true => Ok(()),
            false => {
                Err(UnpackError::Mismatch { what: "layer", expected: self.diff_id.clone(), actual })
            }
        }
    }

    fn mismatch(&self, actual: String) -> TransferError {
        TransferError::Mismatch {
            what: "layer",
            repository: self.repository.name.clone(),
            digest: self.blob.digest.clone(),
            actual,
        }
    }

    fn broken(&self, source: UnpackError) -> TransferError {
        match source {
            UnpackError::Stopped => TransferError::Stopped,
            source => TransferError::Layer {
                repository: self.repository.name.clone(),
                digest: self.blob.digest.clone(),
                source: Box::new(source),
            },
        }
    }
}

/// A blob that was brought, or was here.
#[derive(Debug)]
pub struct FetchedBlob {
    /// How many bytes it has.
    pub size_bytes: u64,
    /// To be published; `None` if it was here.
    staged: Option<Staged>,
    /// Those who want the same one wait until it has its name.
    _lock: FetchLock,
}

impl FetchedBlob {
    /// Names it. The caller holds the store's lock until he has written down what needs it.
    ///
    /// `false` if it was here and has been collected since: it is to be fetched then.
    pub fn publish(self, content: &Content, digest: &Digest) -> Result<bool, ContentError> {
        match self.staged {
            Some(staged) => content.publish([staged], Durability::Power).map(|()| true),
            None => content.contains(digest),
        }
    }
}

impl Repository {
    /// Brings a blob of any kind to a store, if it is not there.
    ///
    /// Compared with its digest, resumed where it is cut, and fetched once by all who want it at
    /// the same time. No lock of the store is needed while it comes.
    pub fn fetch_blob(
        &self,
        content: &Content,
        digest: &Digest,
    ) -> Result<FetchedBlob, TransferError> {
        let lock = FetchLock::take(content.root(), digest, || {})?;
        match content.size(digest) {
            Ok(size_bytes) => return Ok(FetchedBlob { size_bytes, staged: None, _lock: lock }),
            Err(ContentError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let size = self.blob_size(digest)?;
        let blob = Descriptor::new("application/octet-stream", digest.clone(), size);
        let mut ingest = content.ingest_with(digest.algorithm())?;
        let stop = AtomicBool::new(false);
        let source = Download::new(self, &blob, &Silent, &stop);
        let mut tee = Tee { source, ingest: &mut ingest };
        let mut buffer = vec![0; 256 << 10];
        while tee.read(&mut buffer).is_ok_and(|count| count > 0) {}
        if let Some(error) = tee.source.failed.take() {
            return Err(error);
        }
        match ingest.stage(Some(digest), Some(size)) {
            Ok(staged) => Ok(FetchedBlob { size_bytes: size, staged: Some(staged), _lock: lock }),
            Err(ContentError::Mismatch { actual, .. }) => Err(TransferError::Mismatch {
                what: "blob",
                repository: self.name.clone(),
                digest: digest.clone(),
                actual: actual.to_string(),
            }),
            Err(error) => Err(error.into()),
        }
    }
}

/// The digest of the archive in a layer, compressed or not.
fn archive_digest(source: impl Read, algorithm: Algorithm) -> io::Result<Digest> {
    let mut archive = unpack::decompress(source, &Limits::default())?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match archive.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    archive.finish()?;
    Ok(hasher.finish())
}
