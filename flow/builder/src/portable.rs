//! A build cache that is carried to another machine.
//!
//! ```text
//! manifest      config: application/vnd.kista.buildcache.config.v1+json
//!   layers      what steps have made, and what cache mounts hold
//! config        {"version": 1,
//!                "steps":  [{"keys": [...], "layer": DiffID or null, "created": ..., "name": ...}],
//!                "layers": [DiffID of each layer of steps, in the manifest's order],
//!                "mounts": [the name of each cache mount, whose tars come after these]}
//! ```
//!
//! Inside an image (`type=inline`) the steps of its last stage are an annotation of its manifest,
//! and the layers are the image's own.
//!
//! Keys hold nothing of a machine, so that they are the same elsewhere. A layer is fetched when a
//! step asks for it, and is what its DiffID says or is not there. Whoever gives a cache is
//! believed when he says that a step makes some layer: that is what a cache is.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use content::Content;
use images::ImageRecord;
use oci::{Descriptor, Digest, ImageConfig, Manifest, Platform, Timestamp, media_type};
use serde::{Deserialize, Serialize};

use crate::blobs::Blobs;
use crate::cache::{BuildCache, CacheEntry};
use crate::image::ImageOptions;
use crate::plan::{Action, MountFrom, Plan};
use crate::request::Stores;
use crate::solve::Solved;
use crate::{BuildError, StepId};

/// What the configuration of a cache is.
pub const MEDIA_TYPE: &str = "application/vnd.kista.buildcache.config.v1+json";
/// The annotation of an image that holds its cache.
pub const ANNOTATION: &str = "io.kista.buildcache.v1";

const VERSION: u32 = 1;
/// More steps than this are of no build.
const MAX_STEPS: usize = 100_000;

/// How a cache is written.
#[derive(Debug, Clone, Default)]
pub struct CacheOptions {
    /// The steps of all stages, and not of the last one alone.
    pub all: bool,
    /// What cache mounts hold, too.
    pub mounts: bool,
    /// How blobs are written.
    pub image: ImageOptions,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    steps: Vec<StepRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Digest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StepRecord {
    keys: Vec<Digest>,
    #[serde(flatten)]
    entry: CacheEntry,
}

/// Writes the blobs of a cache, as those of an image that is none: for whoever carries them away
/// before he lets go of the store's lock.
pub fn assemble(
    builds: &[(&Plan, &Solved)],
    stores: &Stores,
    options: &CacheOptions,
) -> Result<ImageRecord, BuildError> {
    let mut blobs = Blobs::new(stores, &options.image)?;
    let mut document =
        Document { version: VERSION, steps: Vec::new(), layers: Vec::new(), mounts: Vec::new() };
    let mut seen = HashSet::new();
    let mut descriptors = Vec::new();
    for (plan, solved) in builds {
        let steps = match options.all {
            true => (0..plan.steps.len()).collect(),
            false => chain(plan),
        };
        for record in records(plan, solved, &steps) {
            if !seen.insert(record.keys.clone()) {
                continue;
            }
            if let Some(layer) = &record.entry.layer
                && !document.layers.contains(layer)
            {
                descriptors.push(blobs.layer(layer)?);
                document.layers.push(layer.clone());
            }
            document.steps.push(record);
        }
    }
    if options.mounts {
        for (name, folder) in mounts(builds, stores)? {
            descriptors.push(blobs.folder(folder.as_fd())?);
            document.mounts.push(name);
        }
    }
    let config = blobs.document(MEDIA_TYPE, &json(&document)?)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: None,
        config: config.clone(),
        layers: descriptors.clone(),
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let manifest = blobs.document(media_type::OCI_MANIFEST, &json(&manifest)?)?;
    stores.content.publish(blobs.staged, content::Durability::Process)?;
    Ok(ImageRecord {
        id: config.digest,
        manifest,
        platform: Platform::host(),
        created: None,
        size_bytes: 0,
        stored_at: Timestamp::now(),
        layers: descriptors,
        diff_ids: document.layers,
        referrers: Vec::new(),
    })
}

/// The value of [`ANNOTATION`] for the image of a plan.
pub fn inline(plan: &Plan, solved: &Solved) -> Result<String, BuildError> {
    let steps = records(plan, solved, &chain(plan)).collect();
    let document = Document { version: VERSION, steps, layers: Vec::new(), mounts: Vec::new() };
    Ok(String::from_utf8_lossy(&json(&document)?).into_owned())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, BuildError> {
    serde_json::to_vec(value)
        .map_err(|error| BuildError::io("write", "the cache")(io::Error::from(error)))
}

/// The steps that the target is a stack of, lowest first.
fn chain(plan: &Plan) -> Vec<StepId> {
    let mut steps: Vec<StepId> =
        std::iter::successors(plan.target, |step| plan.steps[*step].below).collect();
    steps.reverse();
    steps
}

/// What those of the steps that were done or known gave.
fn records<'a>(
    plan: &'a Plan,
    solved: &'a Solved,
    steps: &'a [StepId],
) -> impl Iterator<Item = StepRecord> + 'a {
    steps.iter().filter_map(|step| {
        let result = solved.results[*step].as_ref()?;
        let created = result.created?;
        let (keys, name) = (result.keys.clone(), plan.steps[*step].name.clone());
        let entry = CacheEntry { layer: result.own.clone(), created, name };
        (!keys.is_empty()).then_some(StepRecord { keys, entry })
    })
}

/// The cache mounts of builds that are there, by the names of their folders.
fn mounts(
    builds: &[(&Plan, &Solved)],
    stores: &Stores,
) -> Result<Vec<(String, std::fs::File)>, BuildError> {
    let folder = BuildCache::new(&stores.root).folder("mounts")?;
    let mut found: Vec<(String, std::fs::File)> = Vec::new();
    for (plan, _) in builds {
        for step in &plan.steps {
            let Action::Run(run) = &step.action else { continue };
            for mount in &run.mounts {
                let MountFrom::Cache { id, .. } = &mount.from else { continue };
                let name = crate::mounts::cache_name(id);
                if found.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                if let Ok(opened) = std::fs::File::open(folder.join(&name)) {
                    found.push((name, opened));
                }
            }
        }
    }
    Ok(found)
}

/// Brings blobs of a cache.
pub trait BlobSource: std::fmt::Debug + Send + Sync {
    /// Brings one into a store, verified.
    fn fetch(&self, blob: &Descriptor, content: &Content) -> Result<(), BuildError>;
}

/// A cache from elsewhere.
#[derive(Debug)]
pub struct ImportedCache {
    entries: HashMap<Digest, CacheEntry>,
    /// Blobs of layers by DiffID.
    blobs: HashMap<Digest, Descriptor>,
    mounts: HashMap<String, Descriptor>,
    source: Box<dyn BlobSource>,
}

impl ImportedCache {
    /// Reads a cache that stands alone. `config` is the blob that its manifest names.
    pub fn read(
        config: &[u8],
        manifest: Manifest,
        source: Box<dyn BlobSource>,
    ) -> Result<Self, BuildError> {
        let document = document(config)?;
        let layers = document.layers.len();
        if manifest.layers.len() != layers + document.mounts.len() {
            return Err(bad("it has other layers than it says"));
        }
        let mut blobs = manifest.layers;
        let mounts = document.mounts.iter().cloned().zip(blobs.split_off(layers)).collect();
        let blobs = document.layers.iter().cloned().zip(blobs).collect();
        Ok(Self { mounts, ..Self::of(document, blobs, source) })
    }

    /// Reads the cache in an image; `None` if it has none.
    pub fn of_image(
        config: &ImageConfig,
        manifest: Manifest,
        source: Box<dyn BlobSource>,
    ) -> Result<Option<Self>, BuildError> {
        let Some(text) = manifest.annotations.get(ANNOTATION) else { return Ok(None) };
        let document = document(text.as_bytes())?;
        let blobs = config.rootfs.diff_ids.iter().cloned().zip(manifest.layers).collect();
        Ok(Some(Self::of(document, blobs, source)))
    }

    fn of(
        document: Document,
        blobs: HashMap<Digest, Descriptor>,
        source: Box<dyn BlobSource>,
    ) -> Self {
        let mut entries = HashMap::new();
        for StepRecord { keys, entry } in document.steps {
            entries.extend(keys.into_iter().map(|key| (key, entry.clone())));
        }
        Self { entries, blobs, mounts: HashMap::new(), source }
    }

    /// What it knows of a key; its layer is in the stores then.
    pub(crate) fn find(
        &self,
        key: &Digest,
        stores: &Stores,
    ) -> Result<Option<CacheEntry>, BuildError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        let Some(layer) = &entry.layer else { return Ok(Some(entry.clone())) };
        if stores.snapshots.contains(layer)? {
            return Ok(Some(entry.clone()));
        }
        let Some(blob) = self.blobs.get(layer) else { return Ok(None) };
        self.source.fetch(blob, &stores.content)?;
        let file = stores.content.open_blob(&blob.digest)?;
        let expected = unpack::Expected { blob: Some(&blob.digest), diff_id: Some(layer) };
        unpack::layer(file, expected, &stores.snapshots)
            .map_err(|source| BuildError::Unpack { path: "a layer of a cache".into(), source })?;
        Ok(Some(entry.clone()))
    }

    /// Fills a new cache mount with what it holds of it.
    pub(crate) fn fill(
        &self,
        name: &str,
        folder: BorrowedFd<'_>,
        stores: &Stores,
    ) -> Result<bool, BuildError> {
        let Some(blob) = self.mounts.get(name) else { return Ok(false) };
        self.source.fetch(blob, &stores.content)?;
        let options = unpack::ApplyOptions {
            whiteouts: unpack::Whiteouts::Delete,
            devices: unpack::Devices::Skip,
            ..unpack::ApplyOptions::default()
        };
        let file = stores.content.open_blob(&blob.digest)?;
        let plain = unpack::decompress(file, &options.limits)
            .map_err(BuildError::io("read", "a cache mount's archive"))?;
        unpack::apply(plain, folder, &options)
            .map_err(|source| BuildError::Unpack { path: "a cache mount".into(), source })?;
        Ok(true)
    }
}

fn bad(why: &str) -> BuildError {
    BuildError::Invalid(format!("the cache is not understood: {why}"))
}

fn document(bytes: &[u8]) -> Result<Document, BuildError> {
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| bad(&error.to_string()))?;
    if document.version != VERSION {
        return Err(bad(&format!("it has version {}", document.version)));
    }
    if document.steps.len() > MAX_STEPS {
        return Err(bad("it has too many steps"));
    }
    Ok(document)
}
