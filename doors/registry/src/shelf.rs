//! What each repository has: links to blobs and manifests, tags, referrers. See the crate's text.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use content::{Content, Durability, SharedLock, Staged, StoreLock};
use oci::{Descriptor, Digest};

use crate::RegistryError;
use crate::names::{Name, Tag, digest_file, digest_of_file};

/// The repositories of a registry.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) content: Content,
    repositories: PathBuf,
}

const FOLDERS: [&str; 4] = ["blobs", "manifests", "tags", "referrers"];

impl Shelf {
    pub(crate) fn open(root: &Path) -> Result<Self, RegistryError> {
        let content = Content::open(root)?;
        let repositories = root.join("repositories");
        fs::create_dir_all(&repositories).map_err(RegistryError::io("create", &repositories))?;
        Ok(Self { content, repositories })
    }

    /// Held while something is added, so that a collection does not take it.
    pub(crate) fn lock(&self) -> Result<SharedLock, content::ContentError> {
        StoreLock::shared(self.content.root())
    }

    /// All repositories, sorted.
    pub(crate) fn names(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.repositories)? {
            names.extend(entry?.file_name().to_str().and_then(Name::from_file));
        }
        names.sort();
        Ok(names)
    }

    /// Whether a repository was ever written to.
    pub(crate) fn exists(&self, name: &Name) -> bool {
        self.folder(name, "tags").is_dir()
    }

    pub(crate) fn has_blob(&self, name: &Name, digest: &Digest) -> bool {
        self.folder(name, "blobs").join(digest_file(digest)).symlink_metadata().is_ok()
    }

    /// Says that somebody relies on a blob, so that it is young again for the collector.
    pub(crate) fn touch_blob(&self, name: &Name, digest: &Digest, older_than: Duration) {
        let path = self.folder(name, "blobs").join(digest_file(digest));
        let age = path.metadata().and_then(|found| found.modified()).ok();
        let age = age.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if age.is_some_and(|age| age > older_than)
            && let Ok(file) = File::options().write(true).open(&path)
        {
            // If it fails the blob is as old as it was.
            let _ = file.set_modified(SystemTime::now());
        }
    }

    /// Makes a staged blob durable, and gives it to a repository.
    pub(crate) fn add_blob(&self, name: &Name, staged: Staged) -> Result<(), RegistryError> {
        let _lock = self.lock()?;
        let digest = staged.digest().clone();
        self.content.publish([staged], Durability::Power)?;
        self.link_blob(name, &digest)
    }

    /// Gives a repository a blob that is here. The caller holds the lock.
    pub(crate) fn link_blob(&self, name: &Name, digest: &Digest) -> Result<(), RegistryError> {
        let folder = self.make(name)?.join("blobs");
        let path = folder.join(digest_file(digest));
        match File::options().write(true).create(true).truncate(false).open(&path) {
            Ok(file) => file
                .set_modified(SystemTime::now())
                .and_then(|()| sync(&folder))
                .map_err(RegistryError::io("create", path)),
            Err(source) => Err(RegistryError::Io { action: "create", path, source }),
        }
    }

    /// Takes a blob from a repository; whether it had it.
    pub(crate) fn unlink_blob(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        remove(&self.folder(name, "blobs"), &digest_file(digest))
    }

    /// The blobs that a repository has, with when each was given to it or last relied on.
    pub(crate) fn blobs(&self, name: &Name) -> io::Result<Vec<(Digest, SystemTime)>> {
        let mut blobs = Vec::new();
        for entry in list(&self.folder(name, "blobs"))? {
            let modified = entry.metadata().and_then(|found| found.modified());
            let digest = entry.file_name().to_str().and_then(digest_of_file);
            if let (Some(digest), Ok(modified)) = (digest, modified) {
                blobs.push((digest, modified));
            }
        }
        Ok(blobs)
    }

    /// The media type of a manifest that a repository has.
    pub(crate) fn manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<String>> {
        read_link(&self.folder(name, "manifests").join(digest_file(digest)))
    }

    pub(crate) fn manifests(&self, name: &Name) -> io::Result<Vec<Digest>> {
        let entries = list(&self.folder(name, "manifests"))?;
        Ok(entries.iter().filter_map(|entry| digest_of_file(entry.file_name().to_str()?)).collect())
    }

    /// Gives a repository a manifest, and tags to it: all are durable when this returns.
    pub(crate) fn add_manifest(
        &self,
        name: &Name,
        digest: &Digest,
        media_type: &str,
        tags: &[Tag],
        referrer: Option<(&Digest, &Descriptor)>,
    ) -> Result<(), RegistryError> {
        let folder = self.make(name)?;
        let manifests = folder.join("manifests");
        let failed = |path: &Path| RegistryError::io("write", path.to_owned());
        replace_link(&manifests, &digest_file(digest), media_type).map_err(failed(&manifests))?;
        if let Some((subject, descriptor)) = referrer {
            let referrers = folder.join("referrers").join(digest_file(subject));
            let bytes = serde_json::to_vec(descriptor).map_err(io::Error::from);
            let written = bytes.and_then(|bytes| {
                fs::create_dir_all(&referrers)?;
                sync(&folder.join("referrers"))?;
                let directory = File::open(&referrers)?;
                sys::fs::replace_file(directory.as_fd(), &digest_file(digest), &bytes, true)
            });
            written.map_err(failed(&referrers))?;
        }
        sync(&manifests).map_err(failed(&manifests))?;
        if tags.is_empty() {
            return Ok(());
        }
        let folder = folder.join("tags");
        tags.iter()
            .try_for_each(|tag| replace_link(&folder, tag.as_str(), &digest.to_string()))
            .and_then(|()| sync(&folder))
            .map_err(failed(&folder))
    }

    /// Takes a manifest from a repository, with the tags that name it; whether it had it.
    pub(crate) fn remove_manifest(
        &self,
        name: &Name,
        digest: &Digest,
        subject: Option<&Digest>,
    ) -> io::Result<bool> {
        for tag in self.tags(name)? {
            if self.tag(name, &tag)?.as_ref() == Some(digest) {
                self.remove_tag(name, &tag)?;
            }
        }
        if let Some(subject) = subject {
            let referrers = self.folder(name, "referrers").join(digest_file(subject));
            remove(&referrers, &digest_file(digest))?;
        }
        remove(&self.folder(name, "manifests"), &digest_file(digest))
    }

    pub(crate) fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
        let text = read_link(&self.folder(name, "tags").join(tag.as_str()))?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    pub(crate) fn remove_tag(&self, name: &Name, tag: &Tag) -> io::Result<bool> {
        remove(&self.folder(name, "tags"), tag.as_str())
    }

    /// The tags of a repository, sorted.
    pub(crate) fn tags(&self, name: &Name) -> io::Result<Vec<Tag>> {
        let entries = list(&self.folder(name, "tags"))?;
        let mut tags: Vec<Tag> =
            entries.iter().filter_map(|entry| Tag::parse(entry.file_name().to_str()?)).collect();
        tags.sort();
        Ok(tags)
    }

    /// The descriptors of manifests that are about this one, sorted by digest.
    pub(crate) fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Descriptor>> {
        let folder = self.folder(name, "referrers").join(digest_file(subject));
        let mut found = Vec::new();
        for entry in list(&folder)? {
            if entry.file_name().as_bytes().starts_with(b".") {
                continue;
            }
            match fs::read(entry.path()) {
                Ok(bytes) => found.extend(serde_json::from_slice::<Descriptor>(&bytes).ok()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    fn folder(&self, name: &Name, kind: &str) -> PathBuf {
        self.repositories.join(name.file()).join(kind)
    }

    /// Makes the folders of a repository, if they are not there. `tags` comes last.
    fn make(&self, name: &Name) -> Result<PathBuf, RegistryError> {
        let folder = self.repositories.join(name.file());
        if folder.join("referrers").is_dir() && folder.join("tags").is_dir() {
            return Ok(folder);
        }
        let made = FOLDERS
            .iter()
            .try_for_each(|kind| fs::create_dir_all(folder.join(kind)))
            .and_then(|()| sync(&folder))
            .and_then(|()| sync(&self.repositories));
        made.map_err(RegistryError::io("create", &folder))?;
        Ok(folder)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The entries of a folder; none if it is not there.
fn list(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn read_link(path: &Path) -> io::Result<Option<String>> {
    match fs::read_link(path) {
        Ok(text) => Ok(text.into_os_string().into_string().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a link in the place of another by one rename. Its temporary name begins with a dot, which
/// no tag and no digest does.
fn replace_link(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = folder.join(format!(".{}.tmp", sys::names::random_hex::<8>()));
    symlink(text, &temporary)?;
    fs::rename(&temporary, folder.join(name)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

fn remove(folder: &Path, name: &str) -> io::Result<bool> {
    match fs::remove_file(folder.join(name)) {
        Ok(()) => sync(folder).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
