//! `oci-layout://`: an image of a layout in a directory, for one build.
//!
//! It is loaded as from an archive, verified on its way, and gets no name. What the layout calls
//! its images is only looked at to find the one that is meant.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use archive::LoadOptions;
use builder::BuildError;
use oci::{Descriptor, Digest, Index, Manifest, media_type};
use rustix::fs::{CWD, Mode, OFlags};
use unpack::tar::{Entry, Kind, Writer};

use super::foreign;
use crate::{Engine, EngineError};

/// The largest document of a layout.
const MAX_DOCUMENT: u64 = 4 << 20;
/// How many manifests are looked at.
const MAX_MANIFESTS: usize = 1024;
/// What a layout calls its images by.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

impl Engine {
    /// Loads `PATH[:TAG][@DIGEST]`; answers the image's id.
    pub fn load_layout(&self, text: &str) -> Result<String, BuildError> {
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => {
                let parsed = digest.parse::<Digest>();
                let invalid = |error| BuildError::Invalid(format!("{digest:?}: {error}"));
                (text, Some(parsed.map_err(|error| invalid(error.to_string()))?))
            }
            None => (text, None),
        };
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') && !Path::new(text).exists() => {
                (path, Some(tag))
            }
            _ => (text, None),
        };
        let layout = Layout::open(path)?;
        let wanted = layout.find(tag, digest.as_ref())?;
        let blobs = layout.blobs(&wanted)?;
        let failed = |source| BuildError::Io { action: "read", path: path.into(), source };
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let stores = self.stores().map_err(|error| foreign(path, error))?;
        let loaded = std::thread::scope(|scope| {
            let writing = scope.spawn(|| layout.write(writer, &wanted, &blobs));
            let loaded = archive::load(reader, &stores, &LoadOptions::default());
            let written = writing
                .join()
                .unwrap_or_else(|_| Err(BuildError::Invalid("the layout is not read".into())));
            match (loaded, written) {
                (Ok(loaded), Ok(())) => Ok(loaded),
                // A reader that gives up breaks the pipe of the writer, and is the one to blame.
                (Err(error), _) => Err(foreign(path, EngineError::Archive(error))),
                (Ok(_), Err(error)) => Err(error),
            }
        })?;
        match loaded.images.as_slice() {
            [image, ..] => Ok(image.id.to_string()),
            [] => Err(BuildError::NoImage { name: path.to_owned() }),
        }
    }
}

/// An OCI layout.
#[derive(Debug)]
pub(super) struct Layout {
    folder: OwnedFd,
    path: String,
}

impl Layout {
    pub(super) fn open(path: &str) -> Result<Self, BuildError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| {
            BuildError::Io { action: "open", path: path.into(), source: errno.into() }
        })?;
        Ok(Self { folder, path: path.to_owned() })
    }

    pub(super) fn failed(&self, name: &str, source: std::io::Error) -> BuildError {
        BuildError::Io { action: "read", path: Path::new(&self.path).join(name), source }
    }

    fn file(&self, name: &str) -> Result<File, BuildError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        sys::fs::open_in_root(self.folder.as_fd(), name, flags, Mode::empty())
            .map(File::from)
            .map_err(|error| self.failed(name, error))
    }

    fn document<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, BuildError> {
        let mut bytes = Vec::new();
        self.file(name)?
            .take(MAX_DOCUMENT)
            .read_to_end(&mut bytes)
            .map_err(|error| self.failed(name, error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.failed(name, error.into()))
    }

    /// A document by its digest.
    pub(super) fn blob<T: serde::de::DeserializeOwned>(
        &self,
        digest: &Digest,
    ) -> Result<T, BuildError> {
        self.document(&blob_path(digest))
    }

    /// A blob as it is: nobody has compared it with its digest.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<File, BuildError> {
        self.file(&blob_path(digest))
    }

    /// The entry of the index that is meant.
    pub(super) fn find(
        &self,
        tag: Option<&str>,
        digest: Option<&Digest>,
    ) -> Result<Descriptor, BuildError> {
        let index: Index = self.document("index.json")?;
        let names = |entry: &Descriptor, tag: &str| {
            NAMES.iter().filter_map(|name| entry.annotations.get(*name)).any(|name| {
                name == tag || name.rsplit_once(':').is_some_and(|(_, last)| last == tag)
            })
        };
        let only = index.manifests.len() == 1;
        let found = index.manifests.into_iter().find(|entry| match (digest, tag) {
            (Some(digest), _) => entry.digest == *digest,
            (None, Some(tag)) => names(entry, tag),
            (None, None) => only || names(entry, "latest"),
        });
        let mut found = found.ok_or_else(|| {
            let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
            BuildError::NoImage { name: format!("{}{tag}{digest}", self.path) }
        })?;
        found.annotations.clear();
        Ok(found)
    }

    /// All that an entry leads to and the layout has.
    fn blobs(&self, from: &Descriptor) -> Result<Vec<Digest>, BuildError> {
        let mut seen = HashSet::new();
        let mut blobs = Vec::new();
        let mut pending = vec![from.clone()];
        while let Some(next) = pending.pop() {
            if !seen.insert(next.digest.clone()) || seen.len() > MAX_MANIFESTS {
                continue;
            }
            let name = blob_path(&next.digest);
            if media_type::is_index(&next.media_type) {
                pending.extend(self.document::<Index>(&name)?.manifests);
            } else if media_type::is_manifest(&next.media_type) {
                match self.document::<Manifest>(&name) {
                    Ok(manifest) => {
                        blobs.push(manifest.config.digest);
                        blobs.extend(manifest.layers.into_iter().map(|layer| layer.digest));
                    }
                    // Another platform's, which is not here.
                    Err(BuildError::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound =>
                    {
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            blobs.push(next.digest);
        }
        let mut once = HashSet::new();
        blobs.retain(|blob| once.insert(blob.clone()));
        Ok(blobs)
    }

    /// Writes the layout as an archive of one image.
    fn write(
        &self,
        out: impl std::io::Write,
        wanted: &Descriptor,
        blobs: &[Digest],
    ) -> Result<(), BuildError> {
        let mut tar = Writer::new(out);
        let mut append = |name: &str, size: u64, data: &mut dyn Read| {
            let kind = Kind::File;
            let entry = Entry { path: name.into(), kind, mode: 0o644, size, ..Entry::default() };
            tar.append(&entry, data).map_err(|error| self.failed(name, error))
        };
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.into()),
            artifact_type: None,
            manifests: vec![wanted.clone()],
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        };
        let index = serde_json::to_vec(&index).unwrap_or_default();
        append("index.json", index.len() as u64, &mut &*index)?;
        for blob in blobs {
            let name = blob_path(blob);
            let mut file = match self.file(&name) {
                Ok(file) => file,
                Err(BuildError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let size = file.metadata().map_err(|error| self.failed(&name, error))?.len();
            append(&name, size, &mut file)?;
        }
        tar.finish().map(drop).map_err(|error| self.failed("", error))
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
