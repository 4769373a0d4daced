//! Sources of `ADD` that are elsewhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use attestation::provenance::Material;
use attestation::{DigestSet, digest_set};
use oci::Digest;

use super::Tools;
use crate::BuildError;
use crate::key::KeyHasher;
use crate::plan::{CopyAction, RemoteSource, SourcePath};
use crate::remote::{self, Fetched, GitOptions, file_name};

/// What was fetched, for as long as it is copied.
pub(super) struct Held {
    fetched: Fetched,
    /// The directory that is looked at, if it is not the one that was fetched into.
    folder: Option<OwnedFd>,
    /// What is taken of it.
    pub(super) path: SourcePath,
    /// What counts besides the content.
    pub(super) facts: String,
    /// What takes the content's place, where that is another each time.
    pub(super) identity: Option<String>,
}

impl Held {
    /// The directory that the path is in.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        match &self.folder {
            Some(folder) => folder.as_fd(),
            None => self.fetched.directory(),
        }
    }
}

impl Tools<'_> {
    /// Fetches a source.
    pub(super) fn fetch(&self, source: &RemoteSource) -> Result<Held, BuildError> {
        match source {
            RemoteSource::Http { url, checksum } => {
                let client = self.request.client.as_ref().ok_or_else(|| {
                    BuildError::Invalid("there is nothing to fetch files with".into())
                })?;
                let root = &self.stores.root;
                let response = remote::download(client, root, url, checksum.as_ref())?;
                self.adds(http_material(url, &response.digest));
                Ok(Held {
                    folder: None,
                    path: SourcePath { path: literal(&response.name), kept: None },
                    facts: format!("http {}", response.modified.unix_seconds()),
                    identity: None,
                    fetched: response.fetched,
                })
            }
            RemoteSource::Git { place, keep_directory, checksum } => {
                let options = GitOptions {
                    keep_directory: *keep_directory,
                    checksum,
                    agent: self.request.agent(),
                    secrets: &self.request.secrets,
                    stop: self.stop,
                };
                let cloned = remote::clone(&self.stores.root, place, &options)?;
                self.adds(git_material(&place.repository, &cloned.commit));
                let identity = keep_directory.then(|| {
                    format!("git {} {} {}", place.repository, cloned.commit, place.subdirectory)
                });
                Ok(Held {
                    fetched: cloned.fetched,
                    folder: Some(cloned.folder),
                    path: SourcePath { path: "/".into(), kept: None },
                    facts: "git".into(),
                    identity,
                })
            }
        }
    }

    /// The key of a copy whose sources are all elsewhere and all said to be something in
    /// particular: they need not be fetched to know whether they were copied before.
    pub(super) fn pinned_key(&self, under: &[Digest], copy: &CopyAction) -> Option<Digest> {
        if !copy.paths.is_empty() || copy.remotes.is_empty() {
            return None;
        }
        let mut key = KeyHasher::new("pinned sources");
        for source in &copy.remotes {
            match source {
                RemoteSource::Http { url, checksum } => {
                    key.part("http").part(file_name(url)).part(checksum.as_ref()?.to_string());
                }
                RemoteSource::Git { place, keep_directory, .. } => {
                    key.part("git")
                        .part(place.commit()?)
                        .part(&place.subdirectory)
                        .part(&place.repository)
                        .number(u64::from(*keep_directory));
                }
            }
        }
        Some(self.copy_key(under, copy, &key.finish().to_string()))
    }

    /// Notes the sources of such a copy, which were not fetched.
    pub(super) fn adds_pinned(&self, copy: &CopyAction) {
        for source in &copy.remotes {
            match source {
                RemoteSource::Http { url, checksum: Some(digest) } => {
                    self.adds(http_material(url, digest));
                }
                RemoteSource::Git { place, .. } => {
                    let commit = place.commit().unwrap_or_default();
                    self.adds(git_material(&place.repository, commit));
                }
                RemoteSource::Http { checksum: None, .. } => {}
            }
        }
    }
}

/// A file of a web server, without the password in its URL.
pub fn http_material(url: &str, digest: &Digest) -> Material {
    Material { uri: remote::redacted(url), digest: digest_set(digest) }
}

/// A commit of a repository.
pub fn git_material(repository: &str, commit: &str) -> Material {
    let algorithm = if commit.len() == 64 { "sha256" } else { "sha1" };
    let digest = DigestSet::from([(algorithm.to_owned(), commit.to_owned())]);
    Material { uri: remote::redacted(repository), digest }
}

/// A name that is no pattern.
fn literal(name: &str) -> String {
    let special = |letter: &char| matches!(letter, '*' | '?' | '[' | '\\');
    name.chars()
        .flat_map(|letter| Some('\\').filter(|_| special(&letter)).into_iter().chain([letter]))
        .collect()
}
