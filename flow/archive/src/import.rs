//! `import`: an image of one layer, from a root file system's tar; and of a generated layer.
//!
//! ```text
//! stream -> hash, staged blob        one pass, as it comes
//!        \-> decompress -> hash -> files
//! ```

use std::io::{self, Read};

use content::{ContentError, Durability, Ingest};
use oci::{
    Algorithm, Descriptor, Digest, History, ImageConfig, Platform, Reference, Timestamp, media_type,
};
use unpack::Expected;

use crate::blobs::{Blobs, layer_type};
use crate::store::{self, Image, Name};
use crate::{ArchiveError, Stores, apply_changes};

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Instructions for the configuration, as `--change` takes them.
    pub changes: Vec<String>,
    /// The remark in the image's history; `None` is Docker's `Imported from -`.
    pub message: Option<String>,
    /// What the image runs on; `None` is the machine's own.
    pub platform: Option<Platform>,
    /// When the image was made; `None` is now. Given, the same tar gives the same image.
    pub created: Option<Timestamp>,
    /// What the image survives once this returns.
    pub durability: Durability,
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The image's id.
    pub id: Digest,
    /// The image that had the name before.
    pub previous: Option<Digest>,
}

/// Makes an image of one layer from the tar that `reader` gives, of any compression.
///
/// One pass: the layer's blob is kept as it comes. `name` gets the tag `latest` if it has neither
/// tag nor digest; without a name the image has only its id. The changes are looked at before the
/// first byte is read. Holds the store's shared lock throughout. After an error nothing has a name.
pub fn import(
    reader: impl Read + Send,
    name: Option<&Reference>,
    stores: &Stores,
    options: &ImportOptions,
) -> Result<Imported, ArchiveError> {
    let created = Some(options.created.unwrap_or_else(Timestamp::now));
    let mut config = ImageConfig {
        created,
        platform: options.platform.clone().unwrap_or_else(Platform::host),
        ..ImageConfig::default()
    };
    apply_changes(&mut config.config, &options.changes)?;
    let comment = options.message.clone().unwrap_or_else(|| "Imported from -".into());
    let history = History { created, comment, ..History::default() };
    from_layer(reader, config, history, name, stores, options.durability)
}

/// Makes an image of `template` and the layer that `reader` gives, of any compression.
///
/// The layer's DiffID is appended to the template's, of which there must be none, and `history` to
/// its history. The same bytes and template give the same image. Otherwise as [`import`].
pub fn from_layer(
    reader: impl Read + Send,
    template: ImageConfig,
    history: History,
    name: Option<&Reference>,
    stores: &Stores,
    durability: Durability,
) -> Result<Imported, ArchiveError> {
    let mut config = template;
    if !config.rootfs.diff_ids.is_empty() {
        let why = "the template has layers of its own".into();
        return Err(ArchiveError::Document { what: "the configuration".into(), why });
    }
    let mut blobs = Blobs::new(&stores.content);
    blobs.lock()?;
    let (layer, diff_id) = take_layer(reader, stores, &mut blobs)?;
    config.rootfs.diff_ids.push(diff_id);
    config.history.push(history);

    let bytes = serde_json::to_vec(&config)
        .map_err(|source| ArchiveError::Syntax { what: "the configuration".into(), source })?;
    let size = bytes.len() as u64;
    let digest = blobs.insert_bytes(bytes, Algorithm::Sha256);
    let descriptor = Descriptor::new(media_type::OCI_CONFIG, digest, size);
    let mut image = Image::new(&blobs, descriptor, vec![layer], "the configuration")?;
    image.names.extend(name.map(|name| Name::of(name.clone().with_default_tag())));
    let id = image.config.digest.clone();
    let added = store::add(stores, &mut blobs, &mut [image], durability)?;
    Ok(Imported { id, previous: added.moved.into_iter().next().map(|(_, previous)| previous) })
}

/// Stores and unpacks one layer in one pass; returns its descriptor and DiffID.
fn take_layer(
    reader: impl Read + Send,
    stores: &Stores,
    blobs: &mut Blobs,
) -> Result<(Descriptor, Digest), ArchiveError> {
    let mut tee = Tee { reader, ingest: stores.content.ingest()?, failed: None };
    let unpacked = unpack::layer(&mut tee, Expected::default(), &stores.snapshots);
    // A blob that could not be written is the cause of what the unpacker then complained about.
    if let Some(error) = tee.failed {
        return Err(error.into());
    }
    let unpacked = unpacked.map_err(|source| ArchiveError::Layer {
        layer: "of the root file system".into(),
        source: Box::new(source),
    })?;
    let staged = tee.ingest.stage(None, Some(unpacked.blob_bytes))?;
    let (digest, size) = (staged.digest().clone(), staged.size());
    blobs.insert_staged(staged)?;
    let layer = Descriptor::new(layer_type(unpacked.compression), digest, size);
    Ok((layer, unpacked.diff_id))
}

/// Writes into a blob what is read through it.
#[derive(Debug)]
struct Tee<R> {
    reader: R,
    ingest: Ingest,
    failed: Option<ContentError>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        match self.ingest.append(&buffer[..count]) {
            Ok(()) => Ok(count),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the layer's blob could not be written"))
            }
        }
    }
}
