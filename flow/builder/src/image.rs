//! From layers and a configuration to an image in the store.

use std::collections::BTreeMap;
use std::io;

use content::{Durability, Staged};
use images::ImageRecord;
use oci::{
    Descriptor, Digest, History, ImageConfig, Manifest, Reference, RootFs, Timestamp, media_type,
};
use unpack::Compression;

use crate::BuildError;
use crate::blobs::Blobs;
use crate::plan::{Plan, PlannedHistory};
use crate::request::Stores;
use crate::solve::Solved;

/// What a history entry says that made it; tools look for it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// How an image is written.
#[derive(Debug, Clone, Default)]
pub struct ImageOptions {
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// How its layers are compressed; as they are if `None`.
    pub compression: Option<Compression>,
    /// The compression's level; its own default if `None`.
    pub level: Option<i32>,
    /// Layers that are compressed in some other way, as those of base images, are compressed anew.
    pub force: bool,
    /// Documents and layers have Docker's media types and not those of the OCI.
    pub docker_types: bool,
}

impl ImageOptions {
    /// The media types of a manifest, a configuration, and a layer of some compression.
    fn types(&self) -> (&'static str, &'static str) {
        match self.docker_types {
            true => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
            false => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
        }
    }

    fn is_default(&self) -> bool {
        self.annotations.is_empty()
            && self.compression.is_none()
            && !self.force
            && !self.docker_types
    }
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image's id: the digest of its configuration.
    pub id: Digest,
    /// Points at its manifest.
    pub manifest: Descriptor,
    /// Images that had one of the names before.
    pub previous: Vec<(Reference, Digest)>,
}

/// Writes the image of a plan: its blobs, its record, its names. Durable when this returns.
///
/// The caller holds the store's shared lock since before the first step was looked up. The same
/// steps give the same image, also when all of them were known: its times are those of its layers.
pub fn write(
    plan: &Plan,
    solved: &Solved,
    stores: &Stores,
    options: &ImageOptions,
    names: &[Reference],
) -> Result<Built, BuildError> {
    if options.is_default() {
        let config = json(&config(plan, solved))?;
        if let Some(built) = same_again(stores, &content::sha256(&config), names)? {
            return Ok(built);
        }
    }
    write_config(&config(plan, solved), stores, options, names)
}

/// Writes an image of a configuration, whose layers are in the store, as [`write`] does.
pub fn write_config(
    config: &ImageConfig,
    stores: &Stores,
    options: &ImageOptions,
    names: &[Reference],
) -> Result<Built, BuildError> {
    let (record, staged) = stage(config, stores, options)?;
    // One call brings layers and staged blobs to the disk; what is staged is then cheap to sync.
    stores.snapshots.sync(&record.diff_ids)?;
    stores.content.publish(staged, Durability::Power)?;
    name(stores, &record, names)
}

/// Writes the blobs of a plan's image, for somebody who takes them elsewhere before he lets go of
/// the store's lock: the store gets no record of the image.
pub fn assemble(
    plan: &Plan,
    solved: &Solved,
    stores: &Stores,
    options: &ImageOptions,
) -> Result<ImageRecord, BuildError> {
    let (record, staged) = stage(&config(plan, solved), stores, options)?;
    stores.content.publish(staged, Durability::Process)?;
    Ok(record)
}

/// Gives an image its record and its names.
fn name(stores: &Stores, record: &ImageRecord, names: &[Reference]) -> Result<Built, BuildError> {
    let mut change = stores.images.change()?;
    change.record(record)?;
    let mut previous = Vec::new();
    for name in names {
        if let Some(before) = change.tag(name, &record.id)?
            && before != record.id
        {
            previous.push((name.clone(), before));
        }
    }
    change.finish()?;
    Ok(Built { id: record.id.clone(), manifest: record.manifest.clone(), previous })
}

/// The image's record, and its blobs as far as the store does not have them.
fn stage(
    config: &ImageConfig,
    stores: &Stores,
    options: &ImageOptions,
) -> Result<(ImageRecord, Vec<Staged>), BuildError> {
    let layers = config.rootfs.diff_ids.clone();
    let bytes = json(config)?;
    let mut blobs = Blobs::new(stores, options)?;
    let (manifest_type, config_type) = options.types();
    let config_blob = blobs.document(config_type, &bytes)?;
    let descriptors: Vec<Descriptor> =
        layers.iter().map(|layer| blobs.layer(layer)).collect::<Result<_, _>>()?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(manifest_type.into()),
        artifact_type: None,
        config: config_blob.clone(),
        layers: descriptors.clone(),
        subject: None,
        annotations: options.annotations.clone(),
    };
    let manifest = blobs.document(manifest_type, &json(&manifest)?)?;
    let mut size_bytes: u64 = 0;
    for layer in &layers {
        size_bytes = size_bytes.saturating_add(stores.snapshots.usage(layer)?.bytes);
    }
    let record = ImageRecord {
        id: config_blob.digest,
        manifest,
        platform: config.platform.clone(),
        created: config.created,
        size_bytes,
        stored_at: Timestamp::now(),
        layers: descriptors,
        diff_ids: layers,
        referrers: Vec::new(),
    };
    Ok((record, blobs.staged))
}

/// The image, if the store has it already under all of the names: then all of it is durable.
fn same_again(
    stores: &Stores,
    id: &Digest,
    names: &[Reference],
) -> Result<Option<Built>, BuildError> {
    let Ok(record) = stores.images.get(id) else { return Ok(None) };
    for blob in record.blobs() {
        if !stores.content.contains(blob)? {
            return Ok(None);
        }
    }
    for name in names {
        match stores.images.resolve(&name.to_string()) {
            Ok(named) if named.id == *id => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(Built { id: id.clone(), manifest: record.manifest, previous: Vec::new() }))
}

/// The image's configuration with its layers and its history.
pub(crate) fn config(plan: &Plan, solved: &Solved) -> ImageConfig {
    let layers = solved.layers(plan.target).to_vec();
    let mut config = plan.config.clone();
    let mut last: Option<Timestamp> = None;
    config.history = plan
        .history
        .iter()
        .map(|entry| match entry {
            PlannedHistory::Base(entry) => {
                last = entry.created.or(last);
                entry.clone()
            }
            PlannedHistory::Own { created_by, step } => {
                let result = step.and_then(|step| solved.results[step].as_ref());
                // What makes no layer is as old as what it stands on, so that it is always the
                // same; on nothing it is as old as time.
                let created = match result.and_then(|result| result.created) {
                    Some(created) => created,
                    None => plan.epoch.or(last).unwrap_or(Timestamp::from_unix(0, 0)),
                };
                last = Some(created);
                History {
                    created: Some(created),
                    created_by: created_by.clone(),
                    comment: COMMENT.into(),
                    empty_layer: result.is_none_or(|result| result.own.is_none()),
                    ..History::default()
                }
            }
        })
        .collect();
    config.created = plan.epoch.or(last);
    config.rootfs = RootFs { diff_ids: layers, ..RootFs::default() };
    config
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, BuildError> {
    serde_json::to_vec(value)
        .map_err(|error| BuildError::io("write", "a document of the image")(io::Error::from(error)))
}
