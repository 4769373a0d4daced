//! From layers and a configuration to an image in the store.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::AsFd;

use content::{Durability, Ingest, Staged};
use images::ImageRecord;
use oci::{
    Descriptor, Digest, History, ImageConfig, Manifest, Reference, RootFs, Timestamp, media_type,
};
use rustix::fs::{CWD, Mode, OFlags};

use crate::plan::{Plan, PlannedHistory};
use crate::request::Stores;
use crate::solve::Solved;
use crate::{BuildError, seal};

/// What a history entry says that made it; tools look for it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// Where an image goes.
#[derive(Debug, Clone, Default)]
pub struct ImageTarget {
    /// Its names.
    pub names: Vec<Reference>,
    /// Annotations of its manifest.
    pub annotations: std::collections::BTreeMap<String, String>,
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
    target: &ImageTarget,
) -> Result<Built, BuildError> {
    let layers = solved.layers(plan.target).to_vec();
    let config = config(plan, solved, layers.clone());
    let bytes = json(&config)?;
    let mut staged = vec![stores.content.stage(&bytes)?];
    let config_blob = staged[0].digest().clone();
    if let Some(built) = same_again(stores, &config_blob, target)? {
        return Ok(built);
    }
    let mut descriptors = Vec::new();
    let known = known_blobs(stores)?;
    for layer in &layers {
        descriptors.push(layer_blob(stores, layer, &known, &mut staged)?);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config: Descriptor::new(media_type::OCI_CONFIG, config_blob.clone(), bytes.len() as u64),
        layers: descriptors.clone(),
        subject: None,
        annotations: target.annotations.clone(),
    };
    let manifest_bytes = json(&manifest)?;
    let blob = stores.content.stage(&manifest_bytes)?;
    let descriptor = Descriptor::new(
        media_type::OCI_MANIFEST,
        blob.digest().clone(),
        manifest_bytes.len() as u64,
    );
    staged.push(blob);
    let mut size_bytes: u64 = 0;
    for layer in &layers {
        size_bytes = size_bytes.saturating_add(stores.snapshots.usage(layer)?.bytes);
    }
    // One call brings layers and staged blobs to the disk; what is staged is then cheap to sync.
    stores.snapshots.sync(&layers)?;
    stores.content.publish(staged, Durability::Power)?;
    let record = ImageRecord {
        id: config_blob.clone(),
        manifest: descriptor.clone(),
        platform: config.platform.clone(),
        created: config.created,
        size_bytes,
        stored_at: Timestamp::now(),
        layers: descriptors,
        diff_ids: layers,
    };
    let mut change = stores.images.change()?;
    change.record(&record)?;
    let mut previous = Vec::new();
    for name in &target.names {
        if let Some(before) = change.tag(name, &record.id)?
            && before != record.id
        {
            previous.push((name.clone(), before));
        }
    }
    change.finish()?;
    Ok(Built { id: config_blob, manifest: descriptor, previous })
}

/// The image, if the store has it already under all of the names: then all of it is durable.
fn same_again(
    stores: &Stores,
    id: &Digest,
    target: &ImageTarget,
) -> Result<Option<Built>, BuildError> {
    if !target.annotations.is_empty() {
        return Ok(None);
    }
    let Ok(record) = stores.images.get(id) else { return Ok(None) };
    for blob in record.blobs() {
        if !stores.content.contains(blob)? {
            return Ok(None);
        }
    }
    for name in &target.names {
        match stores.images.resolve(&name.to_string()) {
            Ok(named) if named.id == *id => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(Built { id: id.clone(), manifest: record.manifest, previous: Vec::new() }))
}

/// The image's configuration with its layers and its history.
fn config(plan: &Plan, solved: &Solved, layers: Vec<Digest>) -> ImageConfig {
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

/// The blobs that images have for their layers, by DiffID.
fn known_blobs(stores: &Stores) -> Result<HashMap<Digest, Descriptor>, BuildError> {
    let mut known = HashMap::new();
    for (record, _) in stores.images.list()? {
        known.extend(record.diff_ids.into_iter().zip(record.layers));
    }
    Ok(known)
}

/// The blob of a layer: an earlier one if some image has it, else the layer's tar as it is.
fn layer_blob(
    stores: &Stores,
    layer: &Digest,
    known: &HashMap<Digest, Descriptor>,
    staged: &mut Vec<Staged>,
) -> Result<Descriptor, BuildError> {
    if let Some(staged) = staged.iter().find(|blob| blob.digest() == layer) {
        return Ok(Descriptor::new(media_type::OCI_LAYER, layer.clone(), staged.size()));
    }
    if let Some(descriptor) = known.get(layer)
        && stores.content.contains(&descriptor.digest)?
    {
        return Ok(descriptor.clone());
    }
    if let Ok(size) = stores.content.size(layer) {
        return Ok(Descriptor::new(media_type::OCI_LAYER, layer.clone(), size));
    }
    let path = stores.snapshots.path_of(layer);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, &path, flags, Mode::empty())
        .map_err(BuildError::io("open", &path))?;
    let mut out = io::BufWriter::with_capacity(256 << 10, Blob(stores.content.ingest()?));
    seal::write(folder.as_fd(), None, true, &mut out)?;
    let blob = out.into_inner().map_err(|error| {
        BuildError::io("write", "a layer's blob")(io::Error::from(error.error().kind()))
    })?;
    let blob = blob.0.stage(Some(layer), None)?;
    let descriptor = Descriptor::new(media_type::OCI_LAYER, layer.clone(), blob.size());
    staged.push(blob);
    Ok(descriptor)
}

/// A blob as something to write to.
struct Blob(Ingest);

impl Write for Blob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
