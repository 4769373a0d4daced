//! Changes: one writer at a time, each step one rename, the index at the end.

use std::os::fd::{AsFd, OwnedFd};

use oci::{Digest, Reference};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::names::{NameFile, Named, canonical};
use crate::{ImageRecord, Images, ImagesError, failed, index, names, open_directory, record};

/// Several changes of records and names under one lock, with one rewrite of `index.json`.
///
/// Each step is durable when it returns, and stands even if a later one fails: whoever adds an
/// image writes its record first and its names last. Dropping this without [`Change::finish`]
/// leaves `index.json` as it was.
#[derive(Debug)]
#[must_use = "index.json is written by finish()"]
pub struct Change {
    images: Images,
    #[expect(dead_code, reason = "held for its drop")]
    lock: OwnedFd,
}

impl Change {
    pub(crate) fn begin(images: &Images) -> Result<Self, ImagesError> {
        let path = images.inner.file("lock");
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock =
            rustix::fs::openat(&images.inner.images, "lock", flags, Mode::from_raw_mode(0o600))
                .map_err(|errno| failed("open", &path, errno))?;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self { images: images.clone(), lock }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("lock", &path, errno)),
            }
        }
    }

    /// As [`Images::record`].
    ///
    /// What is said about the image's manifest stays, unless the record has something newer.
    pub fn record(&mut self, record: &ImageRecord) -> Result<(), ImagesError> {
        let file = record::file_name(&record.id);
        let before = match record.referrers.is_empty() {
            // One that is damaged is replaced.
            true => self.images.record_of(&record.id).ok().flatten(),
            false => None,
        };
        match before.filter(|before| before.manifest.digest == record.manifest.digest) {
            Some(before) => {
                let referrers = before.referrers;
                self.write("records", &file, &ImageRecord { referrers, ..record.clone() })
            }
            None => self.write("records", &file, record),
        }
    }

    /// As [`Images::tag`].
    pub fn tag(&mut self, name: &Reference, id: &Digest) -> Result<Option<Digest>, ImagesError> {
        let previous = self.name(name, &Named::one(id.clone()))?;
        Ok(previous.map(|previous| previous.id))
    }

    /// Gives a name to an image and its variants, and takes it from those that had it, which are
    /// returned. Otherwise as [`Images::tag`].
    pub fn name(&mut self, name: &Reference, named: &Named) -> Result<Option<Named>, ImagesError> {
        let name = canonical(name);
        if name.familiar_repository() == "sha256" {
            return Err(ImagesError::LikeId { name });
        }
        for id in named.ids() {
            if self.images.record_of(id)?.is_none() {
                return Err(ImagesError::NoRecord { name, id: id.clone() });
            }
        }
        let previous = self.images.named(&name)?;
        if previous.as_ref() != Some(named) {
            let file = names::file_name(&name);
            self.write("names", &file, &NameFile { name, named: named.clone() })?;
        }
        Ok(previous)
    }

    /// As [`Images::untag`].
    pub fn untag(&mut self, name: &Reference) -> Result<Digest, ImagesError> {
        let name = canonical(name);
        let Some(named) = self.images.named(&name)? else {
            return Err(ImagesError::NotFound { text: name.familiar() });
        };
        self.remove("names", &names::file_name(&name))?;
        Ok(named.id)
    }

    /// Takes one of the variants of a name away; the name too, if it was the last, which is what
    /// is returned.
    pub fn remove_variant(&mut self, name: &Reference, id: &Digest) -> Result<bool, ImagesError> {
        let name = canonical(name);
        let Some(named) = self.images.named(&name)? else {
            return Err(ImagesError::NotFound { text: name.familiar() });
        };
        match named.without(id) {
            Some(left) => self.name(&name, &left).map(|_| false),
            None => self.remove("names", &names::file_name(&name)).map(|()| true),
        }
    }

    /// As [`Images::remove_record`].
    ///
    /// The names go first: a record without a name is an untagged image, a name without a record
    /// would be a lie.
    pub fn remove_record(&mut self, id: &Digest) -> Result<Vec<Reference>, ImagesError> {
        if !self.images.ids()?.contains(id) {
            return Err(ImagesError::NotFound { text: id.to_string() });
        }
        let mut gone = Vec::new();
        for name in self.images.names_of(id)? {
            // Variants for other platforms keep their name.
            if self.remove_variant(&name, id)? {
                gone.push(name);
            }
        }
        self.remove("records", &record::file_name(id))?;
        Ok(gone)
    }

    /// Writes `index.json` and gives the lock back. Also takes away what killed writers left.
    pub fn finish(self) -> Result<(), ImagesError> {
        for folder in ["names", "records"] {
            self.sweep(folder)?;
        }
        index::write(&self.images)
    }

    fn write<T: serde::Serialize>(
        &self,
        folder: &str,
        file: &str,
        value: &T,
    ) -> Result<(), ImagesError> {
        let path = self.images.inner.file(file);
        let bytes = serde_json::to_vec(value).map_err(|source| failed("write", &path, source))?;
        let name = file.rsplit('/').next().unwrap_or(file);
        let directory = self.folder(folder)?;
        sys::fs::replace_file(directory.as_fd(), name, &bytes, true)
            .map_err(|source| failed("write", &path, source))
    }

    fn remove(&self, folder: &str, file: &str) -> Result<(), ImagesError> {
        let path = self.images.inner.file(file);
        match rustix::fs::unlinkat(&self.images.inner.images, file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("remove", &path, errno)),
        }
        rustix::fs::fsync(self.folder(folder)?).map_err(|errno| failed("sync", &path, errno))
    }

    /// Removes temporary files. Under the lock nobody else has one.
    fn sweep(&self, folder: &str) -> Result<(), ImagesError> {
        let directory = self.folder(folder)?;
        let path = self.images.inner.file(folder);
        for entry in Dir::read_from(&directory).map_err(|errno| failed("list", &path, errno))? {
            let entry = entry.map_err(|errno| failed("list", &path, errno))?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(b".") && name.ends_with(b".tmp") {
                // What cannot be removed now will be tried again by the next change.
                let _ = rustix::fs::unlinkat(&directory, entry.file_name(), AtFlags::empty());
            }
        }
        Ok(())
    }

    fn folder(&self, name: &str) -> Result<OwnedFd, ImagesError> {
        open_directory(&self.images.inner.images, name)
            .map_err(|errno| failed("open", &self.images.inner.file(name), errno))
    }
}
