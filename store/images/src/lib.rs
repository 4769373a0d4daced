//! Names of images, and what is known of each image.
//!
//! ```text
//! <root>/images/records/<config hex>.json  one per image; its id is its config's digest
//! <root>/images/names/<escaped name>       one per name: {"name": "...", "id": "sha256:..."}, and
//!                                          "others", "index" if it has variants: [`Named`]
//! <root>/images/lock                       flock(2), held by whoever changes the above
//! <root>/index.json                        derived: every record's manifest, once per name
//! ```
//!
//! A name is a canonical [`Reference`] (`docker.io/library/debian:12`, or one by digest); its file
//! is called by the same text with what no file name may hold escaped (see [`Images::tag`]).
//! Readers take no lock: every change is one rename, so that they see the old or the new. Writers
//! are one at a time, and rewrite `index.json` at the end of each [`Change`]; a writer that was
//! killed leaves at worst an outdated one, which the next change (or [`Images::reindex`]) mends.
//!
//! What an image is made of lies in `content` and `snapshots`. Nothing is looked up there: that
//! everything is there before the record is written is the adder's duty, that nothing goes before
//! the record does the collector's.

mod change;
mod index;
mod names;
mod record;
mod resolve;

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Digest, Reference};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

pub use change::Change;
pub use names::Named;
pub use record::{ImageRecord, Referrer};

/// Why an image could not be found, named or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// Nothing has this name, digest or id.
    #[error("no image {text}")]
    NotFound {
        /// What was asked for.
        text: String,
    },
    /// Several images' ids begin like this.
    #[error("image id {text} is ambiguous: {count} images begin with it")]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// How many images it could be.
        count: usize,
    },
    /// A name that reads as an image id: what comes with an archive must not answer to one.
    #[error("refusing to create an ambiguous tag using digest algorithm as name: {name}")]
    LikeId {
        /// The name.
        name: Reference,
    },
    /// A name was to be given to an image that has no record.
    #[error("cannot name {name}: no image {id}")]
    NoRecord {
        /// The name.
        name: Reference,
        /// The image.
        id: Digest,
    },
    /// A file does not say what it should.
    #[error("{path} is damaged", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system said no.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The images of a data root. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The data root.
    path: PathBuf,
    root: OwnedFd,
    /// `<root>/images`.
    images: OwnedFd,
}

/// An image with all its names, as `image ls` shows it.
pub type Listed = (ImageRecord, Vec<Reference>);

impl Images {
    /// Opens the images of the data root `root`, which must exist; makes the folders if they are
    /// not there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, ImagesError> {
        let path = root.into();
        let root = open_directory(CWD, &path).map_err(|errno| failed("open", &path, errno))?;
        let folder = path.join("images");
        let images = match open_directory(&root, "images/names") {
            Ok(_) => open_directory(&root, "images"),
            Err(Errno::NOENT) => make_folders(&root),
            Err(errno) => Err(errno),
        }
        .map_err(|errno| failed("open", &folder, errno))?;
        Ok(Self { inner: Arc::new(Inner { path, root, images }) })
    }

    /// The record of the image with this id.
    pub fn get(&self, id: &Digest) -> Result<ImageRecord, ImagesError> {
        self.record_of(id)?.ok_or_else(|| ImagesError::NotFound { text: id.to_string() })
    }

    /// The names of the image with this id, also those of which it is one of the variants, sorted;
    /// none if it has none or is not there.
    pub fn names_of(&self, id: &Digest) -> Result<Vec<Reference>, ImagesError> {
        let mut names: Vec<Reference> = self
            .names()?
            .into_iter()
            .filter(|(_, named)| named.ids().any(|one| one == id))
            .map(|(name, _)| name)
            .collect();
        names.sort();
        Ok(names)
    }

    /// All images, the last stored first, each with its names sorted.
    pub fn list(&self) -> Result<Vec<Listed>, ImagesError> {
        let names = self.names()?;
        let mut images: Vec<Listed> =
            self.records()?.into_iter().map(|record| (record, Vec::new())).collect();
        images.sort_by(|(a, _), (b, _)| (b.stored_at, &b.id).cmp(&(a.stored_at, &a.id)));
        for (record, of) in &mut images {
            let fits = |(_, named): &&(Reference, Named)| named.ids().any(|id| *id == record.id);
            of.extend(names.iter().filter(fits).map(|(name, _)| name.clone()));
            of.sort();
        }
        Ok(images)
    }

    /// Begins a change: takes the writers' lock until the change is finished or dropped.
    pub fn change(&self) -> Result<Change, ImagesError> {
        Change::begin(self)
    }

    /// Writes an image's record, over an older one of the same id. Durable.
    pub fn record(&self, record: &ImageRecord) -> Result<(), ImagesError> {
        let mut change = self.change()?;
        change.record(record)?;
        change.finish()
    }

    /// Gives a name to the image `id` and takes it from the one that had it, whose id is returned.
    ///
    /// A reference without tag and digest gets `latest`; one with both keeps only the digest.
    /// [`ImagesError::NoRecord`] if there is no such image. Durable.
    ///
    /// The file's name is the canonical text in which every byte but ASCII letters, digits and
    /// `._-@:` stands as `%` and two digits; if that has more than 200 bytes it is `%h` and the
    /// SHA-256 of the text.
    pub fn tag(&self, name: &Reference, id: &Digest) -> Result<Option<Digest>, ImagesError> {
        let mut change = self.change()?;
        let previous = change.tag(name, id)?;
        change.finish()?;
        Ok(previous)
    }

    /// Takes a name away and returns the id of the image that had it.
    ///
    /// [`ImagesError::NotFound`] if nothing had it. The image stays. Durable.
    pub fn untag(&self, name: &Reference) -> Result<Digest, ImagesError> {
        let mut change = self.change()?;
        let id = change.untag(name)?;
        change.finish()?;
        Ok(id)
    }

    /// Forgets an image and its names; its blobs and layers become garbage. A name under which there
    /// are variants for other platforms goes on without it; those that are gone are returned.
    ///
    /// [`ImagesError::NotFound`] if there is no such record. Durable.
    pub fn remove_record(&self, id: &Digest) -> Result<Vec<Reference>, ImagesError> {
        let mut change = self.change()?;
        let names = change.remove_record(id)?;
        change.finish()?;
        Ok(names)
    }

    /// Writes `index.json` anew, in case a writer was killed before it could.
    pub fn reindex(&self) -> Result<(), ImagesError> {
        self.change()?.finish()
    }
}

/// More than any record has; an image may have 1,000 layers.
const RECORD_LIMIT: u64 = 4 << 20;

impl Inner {
    /// Reads a small file below `images`; `None` if it is not there.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ImagesError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.images, name, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("open", &self.file(name), errno)),
        };
        let mut bytes = Vec::with_capacity(4096);
        file.take(RECORD_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|source| failed("read", &self.file(name), source))?;
        Ok(Some(bytes))
    }

    /// The path of a file below `images`, for messages.
    fn file(&self, name: &str) -> PathBuf {
        self.path.join("images").join(name)
    }
}

fn failed(action: &'static str, path: &Path, source: impl Into<io::Error>) -> ImagesError {
    ImagesError::Io { action, path: path.to_owned(), source: source.into() }
}

fn open_directory(at: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Makes the folders; `names` comes last: its presence says that all are there.
fn make_folders(root: &OwnedFd) -> Result<OwnedFd, Errno> {
    for name in ["images", "images/records", "images/names"] {
        match rustix::fs::mkdirat(root, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    open_directory(root, "images")
}

#[cfg(test)]
mod tests;
