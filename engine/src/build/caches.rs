//! Build caches in other places: directories, registries, and images themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use archive::{For, ImageToSave, Layout as SavedLayout};
use builder::portable::{self, BlobSource, CacheOptions, ImportedCache, MEDIA_TYPE};
use builder::{BuildError, Plan, Solved, Stores};
use content::{Content, Durability};
use oci::{Descriptor, Digest, ImageConfig, Manifest, Platform, Reference};
use transfer::{Document, PushRequest, Repository};

use super::foreign;
use super::layout::Layout;
use super::output::Wrapping;
use super::sweep;
use crate::{Engine, EngineError, Registries};

/// The largest description of a cache.
const MAX_CONFIG: u64 = 64 << 20;
/// What an image of a layout is called by.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Where a cache is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// An OCI layout.
    Layout {
        /// The directory.
        path: PathBuf,
        /// What it is called in there.
        tag: String,
        /// Its manifest; whatever has the name if `None`.
        digest: Option<Digest>,
    },
    /// A name in a registry: of a cache, or of an image that has one in it.
    Registry(String),
}

/// A cache that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheExport {
    /// Where to; into the image itself if `None`.
    pub place: Option<CachePlace>,
    /// The steps of all stages.
    pub all: bool,
    /// What cache mounts hold.
    pub mounts: bool,
    /// How layers are compressed.
    pub wrapping: Wrapping,
    /// Whether a failure is none of the build's.
    pub ignores_errors: bool,
}

impl Engine {
    /// Finds a cache; its layers come when a step asks for them.
    pub fn import_cache(
        &self,
        registries: &Registries,
        place: &CachePlace,
    ) -> Result<ImportedCache, BuildError> {
        let here = |error| foreign("the data directory", error);
        let content = self.content().map_err(here)?;
        match place {
            CachePlace::Layout { path, tag, digest } => {
                let layout = Layout::open(&path.to_string_lossy())?;
                let found = layout
                    .find(Some(tag.as_str()).filter(|_| digest.is_none()), digest.as_ref())?;
                let manifest: Manifest = layout.blob(&found.digest)?;
                read(manifest, Box::new(layout), content)
            }
            CachePlace::Registry(name) => {
                let failed = |error| foreign(name, EngineError::Transfer(error));
                let reference = crate::image::parse_reference(name)
                    .map_err(|error| foreign(name, error))?
                    .with_default_tag();
                let repository = registries.client().repository(&reference).map_err(failed)?;
                let mut document = repository.manifest(&reference).map_err(failed)?.document;
                if let Document::Index(index) = &document {
                    let host = Platform::host();
                    let is_own = |entry: &&Descriptor| {
                        entry.platform.as_ref().is_some_and(|platform| platform.satisfies(&host))
                    };
                    let entry = index.manifests.iter().find(is_own);
                    let entry = entry.ok_or_else(|| no_cache(name))?;
                    let exact = reference.with_digest(entry.digest.clone());
                    document = repository.manifest(&exact).map_err(failed)?.document;
                }
                let Document::Manifest(manifest) = document else { return Err(no_cache(name)) };
                let source = Registry { name: name.clone(), repository };
                read(*manifest, Box::new(source), content)
            }
        }
    }
}

fn no_cache(name: &str) -> BuildError {
    BuildError::Invalid(format!("{name} holds no cache"))
}

fn read(
    manifest: Manifest,
    source: Box<dyn BlobSource>,
    content: &Content,
) -> Result<ImportedCache, BuildError> {
    source.fetch(&manifest.config, content)?;
    let config = content.read(&manifest.config.digest, MAX_CONFIG)?;
    if manifest.config.media_type == MEDIA_TYPE {
        return ImportedCache::read(&config, manifest, source);
    }
    let parsed = serde_json::from_slice::<ImageConfig>(&config);
    let config = parsed.map_err(|error| BuildError::Invalid(error.to_string()))?;
    ImportedCache::of_image(&config, manifest, source)?.ok_or_else(|| no_cache("the image"))
}

#[derive(Debug)]
struct Registry {
    name: String,
    repository: Repository,
}

impl BlobSource for Registry {
    fn fetch(&self, blob: &Descriptor, content: &Content) -> Result<(), BuildError> {
        let failed = |error| foreign(&self.name, EngineError::Transfer(error));
        // One that was here may have been collected meanwhile: then it is fetched.
        for _ in 0..2 {
            let fetched = self.repository.fetch_blob(content, &blob.digest).map_err(failed)?;
            if fetched.publish(content, &blob.digest)? {
                return Ok(());
            }
        }
        Err(no_cache(&self.name))
    }
}

impl BlobSource for Layout {
    fn fetch(&self, blob: &Descriptor, content: &Content) -> Result<(), BuildError> {
        if content.contains(&blob.digest)? {
            return Ok(());
        }
        let mut file = self.open_blob(&blob.digest)?;
        let mut ingest = content.ingest_with(blob.digest.algorithm())?;
        let copied = std::io::copy(&mut file, &mut ingest);
        copied.map_err(|error| self.failed(&blob.digest.to_string(), error))?;
        let staged = ingest.stage(Some(&blob.digest), Some(blob.size_bytes))?;
        Ok(content.publish([staged], Durability::Process)?)
    }
}

/// Writes a cache to its place. One in the image itself is that output's to write.
pub(super) fn export(
    export: &CacheExport,
    builds: &[(&Plan, &Solved)],
    stores: &Stores,
    registries: &Registries,
) -> Result<(), BuildError> {
    let Some(place) = &export.place else { return Ok(()) };
    let image = export.wrapping.options(&Platform::host());
    let options = CacheOptions { all: export.all, mounts: export.mounts, image };
    let record = portable::assemble(builds, stores, &options)?;
    let archive_stores = archive::Stores {
        content: stores.content.clone(),
        images: stores.images.clone(),
        snapshots: stores.snapshots.clone(),
    };
    match place {
        CachePlace::Layout { path, tag, .. } => {
            let made = std::fs::create_dir_all(path);
            made.map_err(|source| BuildError::Io { action: "create", path: path.clone(), source })?;
            let shared = sweep::SharedLayout::lock(path)?;
            let others = shared
                .entries()
                .iter()
                .filter(|entry| entry.annotations.get(REF_NAME).is_some_and(|other| other != tag));
            let others = others.cloned().collect();
            let annotations = BTreeMap::from([(REF_NAME.to_owned(), tag.clone())]);
            let images = [ImageToSave { record, annotations, names: Vec::new() }];
            let layout = SavedLayout::new(&images, For::Oci).beside(others);
            archive::save_directory(path, &archive_stores, &layout)
                .map_err(|error| foreign("cannot write the cache", EngineError::Archive(error)))?;
            shared.sweep()
        }
        CachePlace::Registry(name) => {
            let reference: Reference = crate::image::parse_reference(name)
                .map_err(|error| foreign(name, error))?
                .with_default_tag();
            let request = PushRequest { name: reference, record, by_digest: false };
            transfer::push(registries.client(), &archive_stores, &request, &transfer::Silent)
                .map(drop)
                .map_err(|error| foreign(name, EngineError::Transfer(error)))
        }
    }
}
