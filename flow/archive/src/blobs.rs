//! The blobs of an image on its way in: in memory, staged, or published already.

use std::collections::HashMap;
use std::io::{self, Cursor, Read};

use content::{Content, ContentError, Durability, Hasher, SharedLock, Staged, StoreLock};
use oci::{Algorithm, Digest, media_type};
use unpack::Compression;

use crate::ArchiveError;

/// Blobs by digest, not yet named by any image.
#[derive(Debug)]
pub(crate) struct Blobs {
    content: Content,
    blobs: HashMap<Digest, Blob>,
    memory_bytes: usize,
    staged: usize,
    /// Taken as soon as something of ours could be collected.
    lock: Option<SharedLock>,
}

#[derive(Debug)]
struct Blob {
    size: u64,
    compression: Compression,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    Staged(Staged),
    Published,
}

/// What is this short stays in memory: an old archive has three small files a layer.
const SMALL_BYTES: u64 = 32 << 10;
/// As long as all of it together is no more than this.
const MEMORY_BYTES: usize = 8 << 20;
/// A staged blob costs a descriptor. With more than this many they are published, unnamed by any
/// image and so garbage should the rest of the archive be broken.
const MAX_STAGED: usize = 200;

impl Blobs {
    pub(crate) fn new(content: &Content) -> Self {
        Self {
            content: content.clone(),
            blobs: HashMap::new(),
            memory_bytes: 0,
            staged: 0,
            lock: None,
        }
    }

    /// Takes the lock of those who add to the store, if it is not held yet, until this is dropped.
    pub(crate) fn lock(&mut self) -> Result<(), ContentError> {
        if self.lock.is_none() {
            self.lock = Some(StoreLock::shared(self.content.root())?);
        }
        Ok(())
    }

    /// Adds the `size` bytes of `data`.
    pub(crate) fn read_from(
        &mut self,
        mut data: impl Read,
        size: u64,
        algorithm: Algorithm,
    ) -> Result<Digest, ArchiveError> {
        let small = usize::try_from(size).unwrap_or(usize::MAX);
        if size <= SMALL_BYTES && self.memory_bytes + small <= MEMORY_BYTES {
            let mut bytes = Vec::with_capacity(small);
            data.take(size).read_to_end(&mut bytes).map_err(read_error)?;
            return Ok(self.insert_bytes(bytes, algorithm));
        }
        let mut ingest = self.content.ingest_with(algorithm)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match data.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => ingest.append(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        }
        let staged = ingest.stage(None, Some(size))?;
        let digest = staged.digest().clone();
        self.insert_staged(staged)?;
        Ok(digest)
    }

    /// Adds a document that we wrote.
    pub(crate) fn insert_bytes(&mut self, bytes: Vec<u8>, algorithm: Algorithm) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish();
        if !self.blobs.contains_key(&digest) {
            self.memory_bytes += bytes.len();
            let compression = Compression::of(&bytes);
            let (size, place) = (bytes.len() as u64, Place::Memory(bytes));
            self.blobs.insert(digest.clone(), Blob { size, compression, place });
        }
        digest
    }

    /// Adds a blob that was staged elsewhere.
    pub(crate) fn insert_staged(&mut self, staged: Staged) -> Result<(), ArchiveError> {
        let digest = staged.digest().clone();
        if self.blobs.contains_key(&digest) {
            return Ok(());
        }
        let mut start = Vec::new();
        staged.open()?.take(6).read_to_end(&mut start).map_err(read_error)?;
        let (size, compression) = (staged.size(), Compression::of(&start));
        self.blobs.insert(digest, Blob { size, compression, place: Place::Staged(staged) });
        self.staged += 1;
        if self.staged > MAX_STAGED {
            let all: Vec<Digest> = self.blobs.keys().cloned().collect();
            self.publish_staged(all.iter(), Durability::Power)?;
        }
        Ok(())
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// How many bytes a blob has.
    pub(crate) fn size(&self, digest: &Digest) -> Option<u64> {
        self.blobs.get(digest).map(|blob| blob.size)
    }

    /// What a layer of these bytes is called, by what the bytes are.
    pub(crate) fn layer_type(&self, digest: &Digest) -> &'static str {
        layer_type(self.blobs.get(digest).map_or(Compression::Plain, |blob| blob.compression))
    }

    /// All bytes of a blob that is called `what` in errors.
    pub(crate) fn read(
        &self,
        digest: &Digest,
        what: &str,
        limit: u64,
    ) -> Result<Vec<u8>, ArchiveError> {
        let blob = self.blobs.get(digest).ok_or_else(|| not_found(digest))?;
        if blob.size > limit {
            let (what, size) = (what.to_owned(), blob.size);
            return Err(ArchiveError::TooLarge { what, size, limit });
        }
        match &blob.place {
            Place::Memory(bytes) => Ok(bytes.clone()),
            Place::Published => Ok(self.content.read(digest, limit)?),
            Place::Staged(staged) => {
                let mut bytes = Vec::new();
                staged.open()?.take(limit).read_to_end(&mut bytes).map_err(read_error)?;
                Ok(bytes)
            }
        }
    }

    /// A blob's bytes as a stream.
    pub(crate) fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ContentError> {
        match self.blobs.get(digest).map(|blob| &blob.place) {
            Some(Place::Memory(bytes)) => Ok(Box::new(Cursor::new(bytes))),
            Some(Place::Staged(staged)) => staged.reader(),
            Some(Place::Published) => Ok(Box::new(self.content.open_blob(digest)?)),
            None => Err(ContentError::NotFound { digest: digest.clone() }),
        }
    }

    /// Names these blobs in the store; what is in memory is written first.
    pub(crate) fn publish<'a>(
        &mut self,
        digests: impl IntoIterator<Item = &'a Digest>,
        durability: Durability,
    ) -> Result<(), ArchiveError> {
        let digests: Vec<&Digest> = digests.into_iter().collect();
        for digest in &digests {
            let Some(blob) = self.blobs.get_mut(*digest) else { return Err(not_found(digest)) };
            if let Place::Memory(bytes) = &blob.place {
                let mut ingest = self.content.ingest_with(digest.algorithm())?;
                ingest.append(bytes)?;
                blob.place = Place::Staged(ingest.stage(Some(digest), Some(blob.size))?);
            }
        }
        self.publish_staged(digests, durability)
    }

    fn publish_staged<'a>(
        &mut self,
        digests: impl IntoIterator<Item = &'a Digest>,
        durability: Durability,
    ) -> Result<(), ArchiveError> {
        self.lock()?;
        let mut staged = Vec::new();
        for digest in digests {
            if let Some(blob) = self.blobs.get_mut(digest)
                && matches!(blob.place, Place::Staged(_))
                && let Place::Staged(one) = std::mem::replace(&mut blob.place, Place::Published)
            {
                staged.push(one);
                self.staged = self.staged.saturating_sub(1);
            }
        }
        Ok(self.content.publish(staged, durability)?)
    }
}

/// The media type of a layer that is compressed like this.
pub(crate) fn layer_type(compression: Compression) -> &'static str {
    match compression {
        Compression::Plain => media_type::OCI_LAYER,
        Compression::Gzip => media_type::OCI_LAYER_GZIP,
        Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        // No standard names it, but the pattern is obvious and readers go by the bytes.
        Compression::Xz => "application/vnd.oci.image.layer.v1.tar+xz",
    }
}

fn not_found(digest: &Digest) -> ArchiveError {
    ContentError::NotFound { digest: digest.clone() }.into()
}

/// Tells an error of ours that travelled through [`io::Error`] from one of the stream.
fn read_error(source: io::Error) -> ArchiveError {
    ArchiveError::Read { source }
}
