//! Writes the result of a build to where it shall go.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use archive::{For, ImageToSave, Layout};
use builder::attest::{self, Invocation, Said};
use builder::{BuildError, Built, Export, ImageOptions, Plan, Request, Solved, Stores, portable};
use content::Durability;
use images::{ImageRecord, Named};
use oci::{Descriptor, Digest, Index, Platform, Reference, media_type};
use transfer::{PushListRequest, PushRequest};

use super::attest::Purpose;
use super::foreign;
use super::output::{
    AnnotationOf, ArchiveOutput, ArchiveTo, AttestationStorage, BuildOutput, FilesOutput, FilesTo,
    ImageOutput, OutputFile, Wrapping,
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
    /// A registry did not take what is said about an image, for which nobody had asked.
    NotAttested(String),
}

/// One platform's result.
pub(super) struct Ready {
    pub(super) plan: Plan,
    pub(super) solved: Solved,
    /// What is in it, once that was looked at.
    pub(super) content: OnceCell<Vec<Said>>,
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
    pub(super) request: &'a Request,
    pub(super) invocation: &'a Invocation,
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
            BuildOutput::Files(files) => self.files(files).map(|()| None),
        }
    }

    fn files(&self, files: &FilesOutput) -> Result<(), BuildError> {
        match (&files.to, self.ready) {
            (FilesTo::Directory(path), ready) => {
                for one in ready {
                    let path = match ready.len() {
                        1 => path.to_owned(),
                        _ => path.join(one.plan.platform().to_string().replace('/', "_")),
                    };
                    let folder = open_output(&path)?;
                    self.tree(files, one, Export::Directory(folder.as_fd()))?;
                }
                (self.told)(&Exported::Directory(path.clone()));
            }
            (FilesTo::Tar(to), [one]) => {
                write_file(to, |out| self.tree(files, one, Export::Tar(out)))?;
                (self.told)(&Exported::Tar);
            }
            (FilesTo::Tar(_), _) => {
                return Err(BuildError::Unsupported {
                    what: "a tar of several platforms".into(),
                    instead: "a directory has one folder for each",
                });
            }
        }
        Ok(())
    }

    fn tree(&self, files: &FilesOutput, ready: &Ready, to: Export<'_>) -> Result<(), BuildError> {
        let Ready { plan, solved, .. } = ready;
        let said = self.said(ready, None, Purpose::Files, "image")?;
        let prefix = &files.attestation_prefix;
        let beside = attest::files_beside(plan, solved, self.stores, &said, prefix)?;
        builder::export_tree(plan, solved, self.stores, to, &beside)
    }

    fn image(&self, image: &ImageOutput) -> Result<BuiltDescriptor, BuildError> {
        let names = parse_names(&image.names)?;
        if image.push && names.is_empty() {
            return Err(BuildError::Invalid("tag is needed when pushing to registry".into()));
        }
        let purpose = if image.push { Purpose::Push } else { Purpose::Keep };
        let is_list = self.is_list(image.attestations, &image.wrapping, purpose);
        image.wrapping.check(is_list)?;
        let mut records = Vec::new();
        for ready in self.ready {
            let options = self.options(&image.wrapping, &ready.plan, &ready.solved)?;
            let (plan, solved) = (&ready.plan, &ready.solved);
            let record = match image.store {
                true => {
                    let own = if is_list { &[][..] } else { &names };
                    let built = builder::write_image(plan, solved, self.stores, &options, own)?;
                    let record = self.stores.images.get(&built.id)?;
                    (self.told)(&Exported::Stored(built, own.to_vec()));
                    // What was said before is not what this build says.
                    ImageRecord { referrers: Vec::new(), ..record }
                }
                false => builder::assemble_image(plan, solved, self.stores, &options)?,
            };
            let durability = if image.store { Durability::Power } else { Durability::Process };
            records.push(self.attested(
                ready,
                record,
                &names,
                purpose,
                &image.wrapping,
                durability,
            )?);
        }
        if is_list {
            return self.list(image, names, records);
        }
        let record = records.swap_remove(0);
        if image.store && !record.referrers.is_empty() {
            self.stores.images.record(&record)?;
        }
        for name in names.iter().filter(|_| image.push) {
            let request = PushRequest {
                name: name.clone(),
                record: record.clone(),
                by_digest: image.by_digest,
            };
            let (client, stores) = (self.registries.client(), self.archive_stores());
            let pushed = transfer::push(client, &stores, &request, &transfer::Silent)
                .map_err(|error| not_pushed(name, error))?;
            (self.told)(&Exported::Pushed(name.clone(), pushed.digest));
            self.push_referrers(name, &record)?;
        }
        Ok(BuiltDescriptor { id: Some(record.id), descriptor: record.manifest, names })
    }

    /// An index of images and perhaps of what is said about them.
    fn list(
        &self,
        image: &ImageOutput,
        names: Vec<Reference>,
        records: Vec<ImageRecord>,
    ) -> Result<BuiltDescriptor, BuildError> {
        let (list, bytes) = index(&records, &image.wrapping, image.attestations)?;
        if image.store {
            self.store_list(&records, &list, &bytes, image.attestations, &names)?;
        }
        for name in names.iter().filter(|_| image.push) {
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
            if image.attestations == AttestationStorage::Referrers {
                records.iter().try_for_each(|record| self.push_referrers(name, record))?;
            }
        }
        let id = match records.as_slice() {
            [one] => Some(one.id.clone()),
            _ => None,
        };
        Ok(BuiltDescriptor { id, descriptor: list, names })
    }

    /// Gives names to an index of images that the store has.
    fn store_list(
        &self,
        records: &[ImageRecord],
        list: &Descriptor,
        bytes: &[u8],
        storage: AttestationStorage,
        names: &[Reference],
    ) -> Result<(), BuildError> {
        let staged = self.stores.content.stage(bytes)?;
        self.stores.content.publish([staged], Durability::Power)?;
        let host = Platform::host();
        let own = records.iter().position(|record| record.platform.satisfies(&host)).unwrap_or(0);
        let others = records.iter().enumerate().filter(|(at, _)| *at != own);
        let named = Named {
            id: records[own].id.clone(),
            others: others.map(|(_, record)| record.id.clone()).collect(),
            index: Some(list.clone()),
        };
        let mut change = self.stores.images.change()?;
        if storage == AttestationStorage::Referrers {
            records.iter().try_for_each(|record| change.record(record))?;
        }
        for name in names {
            change.name(name, &named)?;
        }
        change.finish()?;
        let whole = Built { id: list.digest.clone(), manifest: list.clone(), previous: Vec::new() };
        (self.told)(&Exported::Stored(whole, names.to_vec()));
        Ok(())
    }

    fn archive(&self, archive: &ArchiveOutput) -> Result<BuiltDescriptor, BuildError> {
        let names = parse_names(&archive.names)?;
        let is_list = self.is_list(archive.attestations, &archive.wrapping, Purpose::Keep);
        archive.wrapping.check(is_list)?;
        let mut records = Vec::new();
        for ready in self.ready {
            let Ready { plan, solved, .. } = ready;
            let options = self.options(&archive.wrapping, plan, solved)?;
            let record = builder::assemble_image(plan, solved, self.stores, &options)?;
            let (purpose, wrapping) = (Purpose::Keep, &archive.wrapping);
            let durability = Durability::Process;
            records.push(self.attested(ready, record, &names, purpose, wrapping, durability)?);
        }
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
            [one] if !is_list => {
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
                let (mut list, bytes) = index(records, &archive.wrapping, archive.attestations)?;
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

    pub(super) fn archive_stores(&self) -> archive::Stores {
        archive::Stores {
            content: self.stores.content.clone(),
            images: self.stores.images.clone(),
            snapshots: self.stores.snapshots.clone(),
        }
    }
}

pub(super) fn not_pushed(name: &Reference, error: transfer::TransferError) -> BuildError {
    foreign(&format!("failed to push {name}"), EngineError::Transfer(error))
}

/// The index of images, and what points at it.
fn index(
    records: &[ImageRecord],
    wrapping: &Wrapping,
    storage: AttestationStorage,
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
    let mut manifests: Vec<Descriptor> = records.iter().map(entry).collect();
    if storage == AttestationStorage::Index {
        manifests.extend(records.iter().flat_map(|record| {
            record.referrers.iter().map(move |said| ::archive::index_entry(record, said))
        }));
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(kind.into()),
        artifact_type: None,
        manifests,
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
