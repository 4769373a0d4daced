//! The blobs of an image: documents, and layers as tars, compressed if that is wanted.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use content::{Hasher, Ingest, Staged};
use oci::{Algorithm, Descriptor, Digest, media_type};
use rustix::fs::{CWD, Mode, OFlags};
use unpack::{Compression, Compressor};

use crate::image::ImageOptions;
use crate::request::Stores;
use crate::{BuildError, seal};

/// What an image is made of, as far as the store does not have it.
pub(crate) struct Blobs<'a> {
    stores: &'a Stores,
    options: &'a ImageOptions,
    /// What images have for their layers, by DiffID.
    known: HashMap<Digest, Vec<Descriptor>>,
    /// Those that were made, by DiffID.
    made: HashMap<Digest, Descriptor>,
    pub(crate) staged: Vec<Staged>,
}

impl<'a> Blobs<'a> {
    pub(crate) fn new(stores: &'a Stores, options: &'a ImageOptions) -> Result<Self, BuildError> {
        let mut known: HashMap<Digest, Vec<Descriptor>> = HashMap::new();
        for (record, _) in stores.images.list()? {
            for (diff_id, layer) in record.diff_ids.into_iter().zip(record.layers) {
                known.entry(diff_id).or_default().push(layer);
            }
        }
        Ok(Self { stores, options, known, made: HashMap::new(), staged: Vec::new() })
    }

    /// A document of some type.
    pub(crate) fn document(&mut self, kind: &str, bytes: &[u8]) -> Result<Descriptor, BuildError> {
        let blob = self.stores.content.stage(bytes)?;
        let descriptor = Descriptor::new(kind, blob.digest().clone(), blob.size());
        self.staged.push(blob);
        Ok(descriptor)
    }

    /// The blob of a layer: an earlier one that will do, else the layer's tar.
    pub(crate) fn layer(&mut self, layer: &Digest) -> Result<Descriptor, BuildError> {
        if let Some(made) = self.made.get(layer) {
            return Ok(made.clone());
        }
        let descriptor = match self.found(layer)? {
            Some(found) => found,
            None => self.make(layer)?,
        };
        self.made.insert(layer.clone(), descriptor.clone());
        Ok(descriptor)
    }

    fn found(&self, layer: &Digest) -> Result<Option<Descriptor>, BuildError> {
        for descriptor in self.known.get(layer).into_iter().flatten() {
            let will_do = match (self.options.compression, self.options.force) {
                (None, _) => true,
                (Some(wanted), true) => compression_of(descriptor) == Some(wanted),
                // What is compressed in another way is left as its maker had it.
                (Some(wanted), false) => {
                    wanted == Compression::Plain
                        || compression_of(descriptor) != Some(Compression::Plain)
                }
            };
            if will_do && self.stores.content.contains(&descriptor.digest)? {
                let mut found =
                    Descriptor::new("", descriptor.digest.clone(), descriptor.size_bytes);
                found.media_type = match compression_of(descriptor) {
                    Some(compression) => self.layer_type(compression).to_owned(),
                    None => descriptor.media_type.clone(),
                };
                return Ok(Some(found));
            }
        }
        let plain = matches!(self.options.compression, None | Some(Compression::Plain));
        match self.stores.content.size(layer) {
            Ok(size) if plain => {
                let kind = self.layer_type(Compression::Plain);
                Ok(Some(Descriptor::new(kind, layer.clone(), size)))
            }
            _ => Ok(None),
        }
    }

    /// The tar of a directory that is no layer.
    pub(crate) fn folder(&mut self, folder: BorrowedFd<'_>) -> Result<Descriptor, BuildError> {
        let failed = || BuildError::io::<io::Error>("write", "a blob");
        let compression = self.options.compression.unwrap_or(Compression::Plain);
        let blob = self.stores.content.ingest()?;
        let compressor = Compressor::new(blob, compression, self.options.level).map_err(failed())?;
        let mut out = io::BufWriter::with_capacity(256 << 10, compressor);
        seal::write(folder, None, false, &mut out)?;
        let out = out.into_inner().map_err(|error| failed()(error.error().kind().into()))?;
        let blob = out.finish().map_err(failed())?.stage(None, None)?;
        let kind = self.layer_type(compression);
        let descriptor = Descriptor::new(kind, blob.digest().clone(), blob.size());
        self.staged.push(blob);
        Ok(descriptor)
    }

    /// The layer's tar: that of a blob that is compressed in another way, if there is one, since
    /// somebody else may have written it; else its directory's.
    fn make(&mut self, layer: &Digest) -> Result<Descriptor, BuildError> {
        let failed = BuildError::io::<io::Error>;
        let compression = self.options.compression.unwrap_or(Compression::Plain);
        let blob = self.stores.content.ingest()?;
        let compressor = Compressor::new(blob, compression, self.options.level)
            .map_err(|error| BuildError::Invalid(format!("compression-level: {error}")))?;
        let out = Tee { hasher: Hasher::new(Algorithm::Sha256), out: compressor };
        let mut out = io::BufWriter::with_capacity(256 << 10, out);
        match self.other_blob(layer)? {
            Some(digest) => {
                let file = self.stores.content.open_blob(&digest)?;
                // Its size is known to be within bounds: it was unpacked once.
                let limits = unpack::Limits::default();
                unpack::decompress(file, &limits)
                    .and_then(|mut plain| io::copy(&mut plain, &mut out))
                    .map_err(failed("compress", self.stores.content.path_of(&digest)))?;
            }
            None => {
                let path = self.stores.snapshots.path_of(layer);
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = rustix::fs::openat(CWD, &path, flags, Mode::empty())
                    .map_err(BuildError::io("open", &path))?;
                seal::write(folder.as_fd(), None, true, &mut out)?;
            }
        }
        let out = out.into_inner().map_err(|error| {
            failed("write", "a layer's blob".into())(error.error().kind().into())
        })?;
        let actual = out.hasher.finish();
        if actual != *layer {
            return Err(BuildError::Damaged { layer: layer.clone(), actual });
        }
        let blob: Ingest = out.out.finish().map_err(failed("write", "a layer's blob".into()))?;
        let blob = blob.stage(None, None)?;
        let kind = self.layer_type(compression);
        let descriptor = Descriptor::new(kind, blob.digest().clone(), blob.size());
        self.staged.push(blob);
        Ok(descriptor)
    }

    /// Some blob of a layer, whatever it is compressed by.
    fn other_blob(&self, layer: &Digest) -> Result<Option<Digest>, BuildError> {
        let known = self.known.get(layer).into_iter().flatten().map(|known| &known.digest);
        for digest in std::iter::once(layer).chain(known) {
            if self.stores.content.contains(digest)? {
                return Ok(Some(digest.clone()));
            }
        }
        Ok(None)
    }

    fn layer_type(&self, compression: Compression) -> &'static str {
        match (compression, self.options.docker_types) {
            (Compression::Gzip, true) => media_type::DOCKER_LAYER_GZIP,
            (Compression::Gzip, false) => media_type::OCI_LAYER_GZIP,
            // Docker's media types have none for it.
            (Compression::Zstd, _) => media_type::OCI_LAYER_ZSTD,
            (_, true) => media_type::DOCKER_LAYER,
            (_, false) => media_type::OCI_LAYER,
        }
    }
}

/// What a layer's media type says; `None` for one that we do not know.
fn compression_of(layer: &Descriptor) -> Option<Compression> {
    match layer.media_type.as_str() {
        media_type::OCI_LAYER | media_type::DOCKER_LAYER => Some(Compression::Plain),
        media_type::OCI_LAYER_GZIP | media_type::DOCKER_LAYER_GZIP => Some(Compression::Gzip),
        media_type::OCI_LAYER_ZSTD => Some(Compression::Zstd),
        _ => None,
    }
}

/// Hashes what is written before it is compressed.
struct Tee<W> {
    hasher: Hasher,
    out: W,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
