//! Writes the result of a build to where it shall go.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use archive::{For, ImageToSave, Layout};
use builder::{BuildError, Built, Export, ImageOptions, Plan, Solved, Stores, portable};
use images::ImageRecord;
use oci::{Descriptor, Digest, Index, Reference, media_type};
use transfer::{PushListRequest, PushRequest};

use super::foreign;
use super::output::{
    AnnotationOf, ArchiveOutput, ArchiveTo, BuildOutput, ImageOutput, OutputFile, Wrapping,
};
use crate::{EngineError, Registries};

/// What was done with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exported {
    /// The store has it, under these names.
    Stored(Built, Vec<Reference>),
    /// A registry has it, by this digest.
    Pushed(Reference, Digest),
    /// It is in an archive or a layout.
    Archived,
    /// Its files are in a directory.
    Directory(PathBuf),
    /// Its files are in a tar.
    Tar,
    /// A cache is where it was to be.
    Cache,
    /// A cache could not be written, which was to be ignored.
    NoCache(String),
}

/// One platform's result.
pub(super) struct Ready {
    pub(super) plan: Plan,
    pub(super) solved: Solved,
}

/// What the whole of an output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltDescriptor {
    /// The image's id, if it is for one platform.
    pub id: Option<Digest>,
    /// Points at its manifest, or its index.
    pub descriptor: Descriptor,
    /// Its names.
    pub names: Vec<Reference>,
}

/// Writes outputs.
pub(super) struct Exporter<'a> {
    pub(super) registries: &'a Registries,
    pub(super) stores: &'a Stores,
    pub(super) ready: &'a [Ready],
    /// Whether images hold their cache.
    pub(super) inline: bool,
    pub(super) told: &'a dyn Fn(&Exported),
}

impl Exporter<'_> {
    /// Writes one; what it is if that is an image.
    pub(super) fn export(
        &self,
        output: &BuildOutput,
    ) -> Result<Option<BuiltDescriptor>, BuildError> {
        match output {
            BuildOutput::Image(image) => self.image(image).map(Some),
            BuildOutput::Archive(archive) => self.archive(archive).map(Some),
            BuildOutput::Directory(path) => {
                self.each_folder(path)?;
                (self.told)(&Exported::Directory(path.clone()));
                Ok(None)
            }
            BuildOutput::Tar(to) => {
                let [Ready { plan, solved }] = self.ready else {
                    return Err(BuildError::Unsupported {
                        what: "a tar of several platforms".into(),
                        instead: "a directory has one folder for each",
                    });
                };
                write_file(to, |out| {
                    builder::export_tree(plan, solved, self.stores, Export::Tar(out))
                })?;
                (self.told)(&Exported::Tar);
                Ok(None)
            }
        }
    }

    fn each_folder(&self, path: &Path) -> Result<(), BuildError> {
        for Ready { plan, solved } in self.ready {
            let path = match self.ready.len() {
                1 => path.to_owned(),
                _ => path.join(plan.platform().to_string().replace('/', "_")),
            };
            let folder = open_output(&path)?;
            let to = Export::Directory(folder.as_fd());
            builder::export_tree(plan, solved, self.stores, to)?;
        }
        Ok(())
    }

    fn image(&self, image: &ImageOutput) -> Result<BuiltDescriptor, BuildError> {
        let names = parse_names(&image.names)?;
        if image.push && names.is_empty() {
            return Err(BuildError::Invalid("tag is needed when pushing to registry".into()));
        }
        image.wrapping.check(self.ready.len() > 1)?;
        let [Ready { plan, solved }] = self.ready else {
            return self.list(image, names);
        };
        let options = self.options(&image.wrapping, plan, solved)?;
        let record = match image.store {
            true => {
                let built = builder::write_image(plan, solved, self.stores, &options, &names)?;
                let record = self.stores.images.get(&built.id)?;
                (self.told)(&Exported::Stored(built, names.clone()));
                record
            }
            false => builder::assemble_image(plan, solved, self.stores, &options)?,
        };
        if image.push {
            for name in &names {
                let record = record.clone();
                let request =
                    PushRequest { name: name.clone(), record, by_digest: image.by_digest };
                let stores = self.archive_stores();
                let client = self.registries.client();
                let pushed = transfer::push(client, &stores, &request, &transfer::Silent)
                    .map_err(|error| not_pushed(name, error))?;
                (self.told)(&Exported::Pushed(name.clone(), pushed.digest));
            }
        }
        Ok(BuiltDescriptor { id: Some(record.id), descriptor: record.manifest, names })
    }

    /// An image for several platforms: the store has no such thing.
    fn list(
        &self,
        image: &ImageOutput,
        names: Vec<Reference>,
    ) -> Result<BuiltDescriptor, BuildError> {
        if image.store {
            return Err(BuildError::Unsupported {
                what: "an image for several platforms in the store".into(),
                instead: "--push, or -o type=oci,dest=FILE",
            });
        }
        let records = self.records(&image.wrapping)?;
        let (list, bytes) = index(&records, &image.wrapping)?;
        for name in &names {
            let request = PushListRequest {
                name: name.clone(),
                records: records.clone(),
                list: list.clone(),
                bytes: bytes.clone(),
                by_digest: image.by_digest,
            };
            let (client, stores) = (self.registries.client(), self.archive_stores());
            let pushed = transfer::push_list(client, &stores, &request, &transfer::Silent)
                .map_err(|error| not_pushed(name, error))?;
            (self.told)(&Exported::Pushed(name.clone(), pushed.digest));
        }
        Ok(BuiltDescriptor { id: None, descriptor: list, names })
    }

    fn archive(&self, archive: &ArchiveOutput) -> Result<BuiltDescriptor, BuildError> {
        let names = parse_names(&archive.names)?;
        archive.wrapping.check(self.ready.len() > 1)?;
        let records = self.records(&archive.wrapping)?;
        let images: Vec<ImageToSave> = records
            .iter()
            .map(|record| ImageToSave {
                record: record.clone(),
                annotations: archive
                    .wrapping
                    .annotations(AnnotationOf::ManifestDescriptor, Some(&record.platform)),
                names: names.clone(),
            })
            .collect();
        let whole = |id, descriptor| BuiltDescriptor { id, descriptor, names: names.clone() };
        let (layout, whole) = match records.as_slice() {
            [one] => {
                let who = if archive.docker { For::All } else { For::Oci };
                let whole = whole(Some(one.id.clone()), one.manifest.clone());
                (Layout::new(&images, who), whole)
            }
            _ if archive.docker => {
                return Err(BuildError::Invalid(
                    "docker exporter does not currently support exporting manifest lists".into(),
                ));
            }
            records => {
                let (mut list, bytes) = index(records, &archive.wrapping)?;
                let whole = whole(None, list.clone());
                list.annotations =
                    archive.wrapping.annotations(AnnotationOf::IndexDescriptor, None);
                (Layout::of_list(&images, list, bytes, &names), whole)
            }
        };
        let stores = self.archive_stores();
        let failed = |error| foreign("cannot write the archive", EngineError::Archive(error));
        match &archive.to {
            ArchiveTo::File(file) => {
                write_file(file, |out| ::archive::save(out, &stores, &layout).map_err(failed))?;
            }
            ArchiveTo::Layout(path) => {
                open_output(path)?;
                ::archive::save_directory(path, &stores, &layout).map_err(failed)?;
            }
        }
        (self.told)(&Exported::Archived);
        Ok(whole)
    }

    fn records(&self, wrapping: &Wrapping) -> Result<Vec<ImageRecord>, BuildError> {
        let assemble = |Ready { plan, solved }: &Ready| {
            let options = self.options(wrapping, plan, solved)?;
            builder::assemble_image(plan, solved, self.stores, &options)
        };
        self.ready.iter().map(assemble).collect()
    }

    fn options(
        &self,
        wrapping: &Wrapping,
        plan: &Plan,
        solved: &Solved,
    ) -> Result<ImageOptions, BuildError> {
        let mut options = wrapping.options(plan.platform());
        if self.inline {
            let cache = portable::inline(plan, solved)?;
            options.annotations.insert(portable::ANNOTATION.to_owned(), cache);
        }
        Ok(options)
    }

    fn archive_stores(&self) -> archive::Stores {
        archive::Stores {
            content: self.stores.content.clone(),
            images: self.stores.images.clone(),
            snapshots: self.stores.snapshots.clone(),
        }
    }
}

fn not_pushed(name: &Reference, error: transfer::TransferError) -> BuildError {
    foreign(&format!("failed to push {name}"), EngineError::Transfer(error))
}

/// The index of images for several platforms, and what points at it.
fn index(
    records: &[ImageRecord],
    wrapping: &Wrapping,
) -> Result<(Descriptor, Vec<u8>), BuildError> {
    let kind = match wrapping.docker_types {
        true => media_type::DOCKER_INDEX,
        false => media_type::OCI_INDEX,
    };
    let entry = |record: &ImageRecord| Descriptor {
        platform: Some(record.platform.clone()),
        annotations: wrapping.annotations(AnnotationOf::ManifestDescriptor, Some(&record.platform)),
        ..record.manifest.clone()
    };
    let index = Index {
        schema_version: 2,
        media_type: Some(kind.into()),
        artifact_type: None,
        manifests: records.iter().map(entry).collect(),
        subject: None,
        annotations: wrapping.annotations(AnnotationOf::Index, None),
    };
    let bytes = serde_json::to_vec(&index)
        .map_err(|error| io(Path::new("the index"), std::io::Error::from(error)))?;
    let descriptor = Descriptor::new(kind, content::sha256(&bytes), bytes.len() as u64);
    Ok((descriptor, bytes))
}

fn parse_names(names: &[String]) -> Result<Vec<Reference>, BuildError> {
    let parse = |name: &String| {
        let invalid = |why: &dyn std::fmt::Display| {
            BuildError::Invalid(format!("invalid tag {name:?}: {why}"))
        };
        let parsed: Reference = name.parse().map_err(|error| invalid(&error))?;
        match parsed.digest() {
            Some(_) => Err(invalid(&"a name with a digest cannot be given")),
            None => Ok(parsed.with_default_tag()),
        }
    };
    names.iter().map(parse).collect()
}

/// Writes to standard output, or to a file that takes its place when all of it is there.
fn write_file(
    to: &OutputFile,
    write: impl FnOnce(&mut dyn Write) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let path = match to {
        OutputFile::Standard => {
            let mut out = BufWriter::with_capacity(256 << 10, std::io::stdout().lock());
            write(&mut out)?;
            return out.flush().map_err(|error| io(Path::new("standard output"), error));
        }
        OutputFile::Path(path) => path,
    };
    // A pipe or a device is written to as it is.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .map(BufWriter::new)
            .map_err(|error| io(path, error))?;
        write(&mut out)?;
        return out.flush().map_err(|error| io(path, error));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let file = File::create_new(&temporary).map_err(|error| io(path, error))?;
    let mut out = BufWriter::with_capacity(256 << 10, file);
    let written = write(&mut out)
        .and_then(|()| out.flush().map_err(|error| io(path, error)))
        .and_then(|()| std::fs::rename(&temporary, path).map_err(|error| io(path, error)));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// The directory of an output, made if it is missing.
fn open_output(path: &Path) -> Result<File, BuildError> {
    std::fs::create_dir_all(path).map_err(|error| io(path, error))?;
    File::open(path).map_err(|error| io(path, error))
}

fn io(path: &Path, source: std::io::Error) -> BuildError {
    BuildError::Io { action: "write", path: path.to_owned(), source }
}
