//! Lists of manifests in the making: `manifest create`, `annotate`, `push`, `rm`.
//!
//! ```text
//! <client configuration>/manifests/<list>/<manifest>   {"Ref": "...", "Descriptor": {...}}
//! ```
//!
//! As Docker's client keeps them: a file for each entry, `-` for `:` and `_` for `/` in the names.
//! Nothing of a list is anywhere else before it is pushed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci::{Descriptor, Index, Platform, Reference, media_type};
use serde::{Deserialize, Serialize};
use transfer::Document;

use super::registry::{Registries, parse};
use crate::EngineError;

/// What an entry is said to run on, in place of what its configuration says.
#[derive(Debug, Clone, Default)]
pub struct AnnotateManifest {
    /// The list.
    pub list: String,
    /// The entry.
    pub manifest: String,
    /// `amd64`...
    pub architecture: Option<String>,
    /// `linux`.
    pub os: Option<String>,
    /// `v7`...
    pub variant: Option<String>,
    /// Of the operating system.
    pub os_version: Option<String>,
    /// Of the operating system.
    pub os_features: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "Ref")]
    name: Reference,
    descriptor: Descriptor,
}

impl Registries {
    /// Begins a list of manifests that are in a registry; `amend` adds to one that was begun.
    ///
    /// Returns its whole name.
    pub fn create_list(
        &self,
        list: &str,
        manifests: &[String],
        amend: bool,
    ) -> Result<String, EngineError> {
        let list = parse(list)?.with_default_tag();
        let folder = self.list_folder(&list)?;
        if folder.exists() && !amend {
            return Err(EngineError::Conflict {
                message: "refusing to amend an existing manifest list with no --amend flag".into(),
            });
        }
        // All are looked up before the first is written down.
        let mut entries = Vec::new();
        for manifest in manifests {
            entries.push(self.entry(manifest)?);
        }
        fs::create_dir_all(&folder).map_err(EngineError::io("create", &folder))?;
        for entry in entries {
            write(&folder, &entry)?;
        }
        Ok(list.to_string())
    }

    /// Says what an entry runs on.
    pub fn annotate_list(&self, request: &AnnotateManifest) -> Result<(), EngineError> {
        let list = parse(&request.list)?.with_default_tag();
        let folder = self.list_folder(&list)?;
        let name = parse(&request.manifest)?.with_default_tag();
        let mut entry = match read(&folder.join(file_name(&name)))? {
            Some(entry) => entry,
            None => {
                return Err(EngineError::NotInList {
                    list: list.to_string(),
                    manifest: name.to_string(),
                });
            }
        };
        let platform = entry.descriptor.platform.get_or_insert_with(Platform::default);
        let set = |field: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        set(&mut platform.architecture, &request.architecture);
        set(&mut platform.os, &request.os);
        if request.variant.is_some() {
            platform.variant.clone_from(&request.variant);
        }
        if request.os_version.is_some() {
            platform.os_version.clone_from(&request.os_version);
        }
        if !request.os_features.is_empty() {
            platform.os_features.clone_from(&request.os_features);
        }
        write(&folder, &entry)
    }

    /// The index that a list would be pushed as; `None` if there is no such list here.
    pub fn inspect_list(&self, list: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let list = parse(list)?.with_default_tag();
        match self.entries(&list) {
            Ok(entries) => index(&entries).map(|(_, bytes)| Some(bytes)),
            Err(EngineError::NoList { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a list to its repository; returns its digest. `purge` forgets it here.
    ///
    /// What is in another repository of the registry is mounted from there; what is in another
    /// registry is refused.
    pub fn push_list(&self, list: &str, purge: bool) -> Result<oci::Digest, EngineError> {
        let list = parse(list)?.with_default_tag();
        let entries = self.entries(&list)?;
        let target = self.client().repository(&list)?;
        for entry in &entries {
            if entry.name.domain() != list.domain() {
                return Err(EngineError::Invalid {
                    message: format!(
                        "cannot use source images from a different registry than the target image: \
                         {} != {}",
                        entry.name.domain(),
                        list.domain()
                    ),
                });
            }
            if entry.name.path() == list.path() {
                continue;
            }
            let source = self.client().repository(&entry.name)?;
            let name = entry.name.with_digest(entry.descriptor.digest.clone());
            source.copy_to(&target, &source.manifest(&name)?)?;
        }
        let (kind, bytes) = index(&entries)?;
        let digest = content::sha256(&bytes);
        let tag = list.tag().unwrap_or("latest");
        target.put_manifest(tag, kind, &bytes, &digest)?;
        if purge {
            let folder = self.list_folder(&list)?;
            fs::remove_dir_all(&folder).map_err(EngineError::io("remove", &folder))?;
        }
        Ok(digest)
    }

    /// Forgets a list.
    pub fn remove_list(&self, list: &str) -> Result<(), EngineError> {
        let list = parse(list)?.with_default_tag();
        let folder = self.list_folder(&list)?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(EngineError::NoList { list: list.to_string() })
            }
            removed => removed.map_err(EngineError::io("remove", &folder)),
        }
    }

    /// A manifest in a registry as an entry: what it runs on, its configuration says.
    fn entry(&self, manifest: &str) -> Result<Entry, EngineError> {
        let name = parse(manifest)?.with_default_tag();
        let repository = self.client().repository(&name)?;
        let fetched = repository.manifest(&name)?;
        let Document::Manifest(document) = &fetched.document else {
            return Err(EngineError::Invalid { message: format!("{name} is a manifest list") });
        };
        let platform = repository.platform_of(document)?;
        let descriptor = Descriptor { platform: Some(platform), ..fetched.descriptor };
        Ok(Entry { name, descriptor })
    }

    fn entries(&self, list: &Reference) -> Result<Vec<Entry>, EngineError> {
        let folder = self.list_folder(list)?;
        let files = match fs::read_dir(&folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EngineError::NoList { list: list.to_string() });
            }
            Err(source) => {
                return Err(EngineError::Io { action: "list", path: folder, source });
            }
        };
        let mut entries = Vec::new();
        for file in files {
            let file = file.map_err(EngineError::io("list", &folder))?;
            entries.extend(read(&file.path())?);
        }
        entries.sort_by(|a: &Entry, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn list_folder(&self, list: &Reference) -> Result<PathBuf, EngineError> {
        match self.folder() {
            Some(folder) => Ok(folder.join("manifests").join(file_name(list))),
            None => Err(EngineError::Invalid {
                message: "there is no home directory to keep lists in: set HOME or DOCKER_CONFIG"
                    .into(),
            }),
        }
    }
}

/// Docker's, if all entries are; else the OCI's.
fn index(entries: &[Entry]) -> Result<(&'static str, Vec<u8>), EngineError> {
    let is_dockers = |entry: &Entry| entry.descriptor.media_type == media_type::DOCKER_MANIFEST;
    let kind = match !entries.is_empty() && entries.iter().all(is_dockers) {
        true => media_type::DOCKER_INDEX,
        false => media_type::OCI_INDEX,
    };
    let index = Index {
        schema_version: 2,
        media_type: Some(kind.into()),
        artifact_type: None,
        manifests: entries.iter().map(|entry| entry.descriptor.clone()).collect(),
        subject: None,
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec_pretty(&index).map_err(|error| EngineError::Invalid {
        message: format!("the list cannot be written: {error}"),
    })?;
    Ok((kind, bytes))
}

fn file_name(name: &Reference) -> String {
    name.to_string().replace(':', "-").replace('/', "_")
}

fn read(path: &Path) -> Result<Option<Entry>, EngineError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(EngineError::Io { action: "read", path: path.to_owned(), source });
        }
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| EngineError::Invalid {
        message: format!("{} is damaged: {error}", path.display()),
    })
}

fn write(folder: &Path, entry: &Entry) -> Result<(), EngineError> {
    let path = folder.join(file_name(&entry.name));
    let bytes = serde_json::to_vec(entry).map_err(io::Error::from);
    bytes.and_then(|bytes| fs::write(&path, bytes)).map_err(EngineError::io("write", &path))
}
