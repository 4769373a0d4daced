//! What is said about an image beside it: how it came to be (`provenance`), and what is in it
//! (`sbom`).
//!
//! ```text
//! Plan, Solved --> predicates --+--> statements about the manifest --> a manifest that is about it
//!                               +--> statements about each file     --> files beside the tree
//! ```
//!
//! The manifest that holds statements is the one of BuildKit, byte for byte of the same kind whether
//! an index lists it or a registry finds it as a referrer. With an epoch nothing in it tells the
//! time or this build from another, so that the same build has the same attestations.
//!
//! No secret is in it: of secrets their names are told, of URLs no passwords, and the values of
//! arguments and variables that are called like one are masked.

mod provenance;
mod sbom;

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use attestation::provenance::Version;
use attestation::{
    ARTIFACT_TYPE, EMPTY, EMPTY_TYPE, PREDICATE_ANNOTATION, STATEMENT_TYPE, Statement, Subject,
    digest_set, reference_url,
};
use content::{Durability, Hasher};
use images::{ImageRecord, Referrer};
use oci::{Algorithm, Descriptor, Manifest, Reference, Timestamp, media_type};
use rustix::fs::{FileType, Mode, OFlags};
use serde_json::Value;

use crate::BuildError;
use crate::blobs::Blobs;
use crate::image::ImageOptions;
use crate::plan::Plan;
use crate::request::{Request, Stores};
use crate::solve::Solved;
use crate::tree::{Everything, Found, walk};

pub(crate) use sbom::{OUT, SOURCE};

/// What shall be said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attest {
    /// How the image came to be.
    pub provenance: Option<ProvenanceOptions>,
    /// What is in it.
    pub sbom: Option<Sbom>,
}

/// What provenance tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProvenanceOptions {
    /// All: arguments, labels, secrets' names, the Dockerfile, each step. Else none of these.
    pub is_full: bool,
    /// Who built, as a URI.
    pub builder_id: String,
    /// Which version of the document.
    pub version: Version,
    /// The builder says that another build gives the same.
    pub is_reproducible: bool,
    /// It goes with images, and is no file beside a tree.
    pub only_images: bool,
    /// What the file beside a tree is called; `provenance.json` if empty.
    pub file: String,
    /// Nobody asked for it: it goes with images that are pushed, and a registry that does not take
    /// it fails nothing.
    pub is_default: bool,
}

/// What lists the content of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sbom {
    /// Kista itself.
    BuiltIn,
    /// A program in an image, by BuildKit's protocol.
    Generator {
        /// The image's name.
        image: String,
        /// What it is told besides, as `BUILDKIT_SCAN_NAME`.
        parameters: BTreeMap<String, String>,
    },
}

/// One build, told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Its name.
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// When its steps were done.
    pub finished: Timestamp,
}

/// Something that is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// What the predicate is.
    pub predicate_type: String,
    /// The predicate.
    pub predicate: Value,
    /// What the file beside a tree is called; none for what goes with images alone.
    pub file: Option<String>,
}

/// Lists what is in a result; nothing if that was not asked for. `name` is what it is called.
pub fn list_content(
    plan: &Plan,
    solved: &Solved,
    request: &Request,
    stores: &Stores,
    name: &str,
) -> Result<Vec<Said>, BuildError> {
    sbom::list(plan, solved, request, stores, name)
}

/// How a result came to be. `record` is the image that it became, if it became one.
pub fn provenance(
    plan: &Plan,
    solved: &Solved,
    request: &Request,
    options: &ProvenanceOptions,
    record: Option<&ImageRecord>,
    invocation: &Invocation,
) -> Said {
    let gathered = provenance::gather(plan, solved, request, options, record, invocation);
    let (predicate_type, predicate) = gathered.predicate(options.version);
    let file = match options.file.as_str() {
        _ if options.only_images => None,
        "" => Some("provenance.json".to_owned()),
        file => Some(file.to_owned()),
    };
    Said { predicate_type: predicate_type.to_owned(), predicate, file }
}

/// The subject of what is said about an image: its manifest, by each of its names.
pub fn image_subjects(record: &ImageRecord, names: &[Reference]) -> Vec<Subject> {
    let digest = digest_set(&record.manifest.digest);
    let subject = |name: String| Subject { name, digest: digest.clone() };
    match names {
        [] => vec![subject("_".into())],
        names => names
            .iter()
            .map(|name| subject(reference_url("docker", name, Some(&record.platform))))
            .collect(),
    }
}

/// Writes what is said about an image's manifest, as a manifest of its own. Durable if `durability`
/// says so.
pub fn attach(
    record: &ImageRecord,
    subjects: &[Subject],
    said: &[Said],
    stores: &Stores,
    durability: Durability,
) -> Result<Referrer, BuildError> {
    let options = ImageOptions::default();
    let mut blobs = Blobs::new(stores, &options)?;
    let config = blobs.document(EMPTY_TYPE, EMPTY)?;
    let mut layers = Vec::new();
    for one in said {
        let statement =
            Statement::new(&one.predicate_type, subjects.to_vec(), one.predicate.clone());
        let mut layer = blobs.document(STATEMENT_TYPE, &json(&statement)?)?;
        let kind = (PREDICATE_ANNOTATION.to_owned(), one.predicate_type.clone());
        layer.annotations = BTreeMap::from([kind]);
        layers.push(layer);
    }
    let about = &record.manifest;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.into()),
        artifact_type: Some(ARTIFACT_TYPE.into()),
        config: config.clone(),
        layers: layers.clone(),
        subject: Some(Descriptor::new(
            about.media_type.clone(),
            about.digest.clone(),
            about.size_bytes,
        )),
        annotations: BTreeMap::new(),
    };
    let mut manifest = blobs.document(media_type::OCI_MANIFEST, &json(&manifest)?)?;
    manifest.artifact_type = Some(ARTIFACT_TYPE.into());
    stores.content.publish(blobs.staged, durability)?;
    layers.insert(0, config);
    Ok(Referrer { manifest, blobs: layers })
}

/// What is said about a tree, as files beside it: statements about each of its regular files.
pub fn files_beside(
    plan: &Plan,
    solved: &Solved,
    stores: &Stores,
    said: &[Said],
    prefix: &str,
) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
    let said: Vec<(&String, &Said)> =
        said.iter().filter_map(|one| Some((one.file.as_ref()?, one))).collect();
    if said.is_empty() {
        return Ok(Vec::new());
    }
    let mounts = stores.snapshots.mounts(solved.layers(plan.target), None, true)?;
    let root = runtime::mount_detached(&mounts)?;
    let subjects = file_subjects(root.as_fd())?;
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (file, one) in said {
        let name = format!("{prefix}{file}");
        if name.contains('/') || files.iter().any(|(known, _)| *known == name) {
            return Err(BuildError::Invalid(format!("two attestations cannot be the file {name}")));
        }
        let statement =
            Statement::new(&one.predicate_type, subjects.clone(), one.predicate.clone());
        let text = serde_json::to_vec_pretty(&statement).map_err(failed)?;
        files.push((name, text));
    }
    Ok(files)
}

fn file_subjects(root: BorrowedFd<'_>) -> Result<Vec<Subject>, BuildError> {
    let top = Found {
        file: root.try_clone_to_owned().map_err(BuildError::io::<std::io::Error>("open", "/"))?,
        stat: rustix::fs::fstat(root)
            .map_err(BuildError::io::<rustix::io::Errno>("inspect", "/"))?,
        real: Vec::new(),
    };
    let mut subjects = Vec::new();
    walk(&top, &Everything, &mut |folder, name, entry| {
        if entry.kind() != FileType::RegularFile {
            return Ok(());
        }
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, name, flags, Mode::empty())
            .map_err(BuildError::io("open", &path))?;
        let mut file = std::fs::File::from(file);
        let (mut hasher, mut buffer) = (Hasher::new(Algorithm::Sha256), vec![0; 128 << 10]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BuildError::io("read", &path)(error)),
            }
        }
        subjects.push(Subject { name: path, digest: digest_set(&hasher.finish()) });
        Ok(())
    })?;
    Ok(subjects)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, BuildError> {
    serde_json::to_vec(value).map_err(failed)
}

fn failed(error: serde_json::Error) -> BuildError {
    BuildError::io("write", "an attestation")(std::io::Error::from(error))
}
