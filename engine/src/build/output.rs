//! What can be said of where the result of a build goes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use builder::{BuildError, Compression, ImageOptions};
use oci::Platform;

/// Where the result of a build goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildOutput {
    /// Into the store, to registries, or both.
    Image(ImageOutput),
    /// Into an archive of images, or a directory like one.
    Archive(ArchiveOutput),
    /// The files of the image.
    Files(FilesOutput),
}

/// The files of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesOutput {
    /// Where to.
    pub to: FilesTo,
    /// How the names of attestations beside them begin.
    pub attestation_prefix: String,
}

/// The form of an image's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesTo {
    /// In a directory, which is made.
    Directory(PathBuf),
    /// In a tar.
    Tar(OutputFile),
}

/// How an image has its attestations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AttestationStorage {
    /// Beside it: as manifests that name it as their subject. The image is a plain one.
    #[default]
    Referrers,
    /// In an index with it, as Docker's and BuildKit's are.
    Index,
}

/// A file that is written, or standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputFile {
    /// Standard output.
    Standard,
    /// This one, which is replaced.
    Path(PathBuf),
}

/// An image for the store or for registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOutput {
    /// Its names.
    pub names: Vec<String>,
    /// Whether the store gets it.
    pub store: bool,
    /// Whether the registry of each name gets it.
    pub push: bool,
    /// Registries get it without tags.
    pub by_digest: bool,
    /// How it has its attestations.
    pub attestations: AttestationStorage,
    /// How it is written.
    pub wrapping: Wrapping,
}

/// An image for an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveOutput {
    /// Its names.
    pub names: Vec<String>,
    /// Whether it is one that `docker load` reads, of any age.
    pub docker: bool,
    /// Where to.
    pub to: ArchiveTo,
    /// How it has its attestations.
    pub attestations: AttestationStorage,
    /// How it is written.
    pub wrapping: Wrapping,
}

/// The form of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveTo {
    /// A tar.
    File(OutputFile),
    /// The same files in a directory: an OCI layout.
    Layout(PathBuf),
}

/// How an image is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrapping {
    /// Annotations.
    pub annotations: Vec<Annotation>,
    /// How layers are compressed; as they are if `None`.
    pub compression: Option<Compression>,
    /// The level of that.
    pub level: Option<i32>,
    /// Layers that are compressed in some other way are compressed anew.
    pub force: bool,
    /// Docker's media types.
    pub docker_types: bool,
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// What it is of.
    pub of: AnnotationOf,
    /// Of the image for this platform alone.
    pub platform: Option<Platform>,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What can be annotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationOf {
    /// A manifest.
    Manifest,
    /// The entry of a manifest in an index.
    ManifestDescriptor,
    /// The index of an image for several platforms.
    Index,
    /// The entry of that in a layout.
    IndexDescriptor,
}

impl Wrapping {
    pub(super) fn annotations(
        &self,
        of: AnnotationOf,
        platform: Option<&Platform>,
    ) -> BTreeMap<String, String> {
        let wanted = |one: &&Annotation| {
            one.of == of && (one.platform.is_none() || one.platform.as_ref() == platform)
        };
        let pair = |one: &Annotation| (one.key.clone(), one.value.clone());
        self.annotations.iter().filter(wanted).map(pair).collect()
    }

    pub(super) fn options(&self, platform: &Platform) -> ImageOptions {
        ImageOptions {
            annotations: self.annotations(AnnotationOf::Manifest, Some(platform)),
            compression: self.compression,
            level: self.level,
            force: self.force,
            docker_types: self.docker_types,
        }
    }

    /// Refuses annotations of what there is not.
    pub(super) fn check(&self, is_list: bool) -> Result<(), BuildError> {
        let of_list = |one: &&Annotation| {
            matches!(one.of, AnnotationOf::Index | AnnotationOf::IndexDescriptor)
        };
        match self.annotations.iter().find(of_list) {
            Some(one) if !is_list => Err(BuildError::Invalid(format!(
                "index annotations not supported for single platform export: {}",
                one.key
            ))),
            _ => Ok(()),
        }
    }
}
