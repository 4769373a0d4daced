//! Named volumes: directories that outlive containers.
//!
//! ```text
//! <root>/volumes/<name>/_data/        the files; absent if the volume's files are elsewhere
//! <root>/volumes/<name>/volume.json   name, labels, options, when it was made, whether by name
//! <root>/volumes/<name>/.populating   there while the image's files move in; a crash is redone
//! <root>/volumes/.new-<random>/       being made, under its maker's flock(2); without: garbage
//! ```
//!
//! [`Volumes::create`] gives a finished directory its name by one rename. Who uses a volume is
//! not known here: nothing is refused on that account. Options are those of Docker's `local`
//! driver that mean something to us ([`Source`]); all others are refused, none is ignored.

mod error;
mod name;
mod populate;
mod source;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::Timestamp;
use rustix::fs::{CWD, Dir, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::fresh::FreshDirectory;
use sys::trash::Trash;

pub use error::VolumeError;
pub use name::VolumeName;
pub use source::{BindSource, Source, TmpfsSource};

/// What is known of one volume; the content of `volume.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// Whether the name was made up: such a volume goes with its container (`rm -v`, `--rm`).
    pub anonymous: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Free key-value pairs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The driver's options as given: `type`, `o`, `device`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// What a new volume should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// `None` makes up a name of 64 hexadecimal digits.
    pub name: Option<VolumeName>,
    /// Whether `name` was made up by the caller; always so without one.
    pub anonymous: bool,
    /// Free key-value pairs.
    pub labels: BTreeMap<String, String>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
}

/// The volumes of a data root. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Volumes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `<root>/volumes`.
    path: PathBuf,
    root: OwnedFd,
    volumes: OwnedFd,
}

const RECORD: &str = "volume.json";
const DATA: &str = "_data";
/// More than any record has.
const RECORD_LIMIT: u64 = 4 << 20;

impl Volumes {
    /// Opens the volumes of the data root `root`, which must exist; makes `volumes` if it does not.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, VolumeError> {
        let path = root.as_ref().join("volumes");
        let root =
            open_root(root.as_ref()).map_err(|errno| failed("open", root.as_ref(), errno))?;
        let volumes = match open_directory(&root, "volumes") {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&root, "volumes", Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(Errno::EXIST) => open_directory(&root, "volumes")
                        .inspect(|volumes| sys::fs::hint_unrelated(volumes.as_fd())),
                    Err(errno) => Err(errno),
                }
            }
            other => other,
        }
        .map_err(|errno| failed("open", &path, errno))?;
        Ok(Self { inner: Arc::new(Inner { path, root, volumes }) })
    }

    /// Makes a volume, or returns the one that has this name already; durable.
    ///
    /// An existing one is what it is: other labels are passed over, as Docker does, but other
    /// options are [`VolumeError::Conflict`], since the caller would get other files than he asked
    /// for. Options that mean nothing are [`VolumeError::Option`].
    pub fn create(&self, new: NewVolume) -> Result<Volume, VolumeError> {
        let volume = Volume {
            anonymous: new.anonymous || new.name.is_none(),
            name: new.name.unwrap_or_else(VolumeName::anonymous),
            created: Timestamp::now(),
            labels: new.labels,
            options: new.options,
        };
        let source = Source::parse(&volume.name, &volume.options)?;
        if let Some(existing) = self.find(&volume.name)? {
            return existing_or_conflict(existing, &volume);
        }
        let mut fresh = FreshDirectory::create(self.inner.volumes.as_fd())
            .map_err(|source| failed("create a directory in", &self.inner.path, source))?;
        let path = self.inner.path.join(fresh.name());
        if matches!(source, Source::Directory) {
            // Docker's mode; populate() gives it that of the image's directory.
            rustix::fs::mkdirat(fresh.directory(), DATA, Mode::from_raw_mode(0o755))
                .and_then(|()| {
                    let data = open_directory(fresh.directory(), DATA)?;
                    rustix::fs::fchmod(data, Mode::from_raw_mode(0o755))
                })
                .map_err(|errno| failed("create", &path.join(DATA), errno))?;
        }
        serde_json::to_vec(&volume)
            .map_err(io::Error::from)
            .and_then(|bytes| sys::fs::replace_file(fresh.directory(), RECORD, &bytes, true))
            .map_err(|source| failed("write", &path.join(RECORD), source))?;
        let target = self.path_of(&volume.name);
        match fresh.rename_to(volume.name.as_str()) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                return match self.find(&volume.name)? {
                    Some(existing) => existing_or_conflict(existing, &volume),
                    None => Err(failed("rename a volume to", &target, Errno::EXIST)),
                };
            }
            Err(errno) => return Err(failed("rename a volume to", &target, errno)),
        }
        rustix::fs::fsync(&self.inner.volumes)
            .map_err(|errno| failed("sync", &self.inner.path, errno))?;
        Ok(volume)
    }

    /// The volume with this name; [`VolumeError::NotFound`] if there is none.
    pub fn get(&self, name: &VolumeName) -> Result<Volume, VolumeError> {
        self.find(name)?.ok_or_else(|| VolumeError::NotFound { name: name.clone() })
    }

    /// The volume with this name, if there is one.
    pub fn find(&self, name: &VolumeName) -> Result<Option<Volume>, VolumeError> {
        let path = self.path_of(name).join(RECORD);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let relative = format!("{name}/{RECORD}");
        let file = match rustix::fs::openat(&self.inner.volumes, relative, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("open", &path, errno)),
        };
        let mut bytes = Vec::new();
        file.take(RECORD_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|source| failed("read", &path, source))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| VolumeError::Damaged { path, source })
    }

    /// All volumes, by name.
    pub fn list(&self) -> Result<Vec<Volume>, VolumeError> {
        let mut volumes = Vec::new();
        for name in self.names()? {
            // One that goes away while we read is not there.
            volumes.extend(self.find(&name)?);
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Takes a volume away and deletes its files; returns the space that this freed on disk.
    ///
    /// Files that are elsewhere (a bind source) stay. That nobody uses it is the caller's to know.
    pub fn remove(&self, name: &VolumeName) -> Result<u64, VolumeError> {
        let trash = Trash::open_at(self.inner.root.as_fd())
            .map_err(|source| failed("open", &self.inner.path.with_file_name("trash"), source))?;
        let text = CString::new(name.as_str()).expect("the grammar has no NUL");
        match trash.put(self.inner.volumes.as_fd(), &text) {
            Ok(discarded) => {
                rustix::fs::fsync(&self.inner.volumes)
                    .map_err(|errno| failed("sync", &self.inner.path, errno))?;
                discarded
                    .delete()
                    .map(|removed| removed.bytes)
                    .map_err(|source| failed("remove", &self.path_of(name), source))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(VolumeError::NotFound { name: name.clone() })
            }
            Err(source) => Err(failed("remove", &self.path_of(name), source)),
        }
    }

    /// Where the files of a [`Source::Directory`] are; nothing is looked up. Docker's `Mountpoint`.
    pub fn path(&self, name: &VolumeName) -> PathBuf {
        self.path_of(name).join(DATA)
    }

    /// Where the volume's files come from.
    pub fn source(&self, volume: &Volume) -> Result<Source, VolumeError> {
        Source::parse(&volume.name, &volume.options)
    }

    /// The space that a volume's files take on disk; zero if they are elsewhere.
    pub fn usage(&self, name: &VolumeName) -> Result<u64, VolumeError> {
        let relative = format!("{name}/{DATA}");
        match open_directory(&self.inner.volumes, relative) {
            Ok(data) => populate::disk_usage(data.as_fd())
                .map_err(|source| failed("read", &self.path(name), source)),
            Err(Errno::NOENT) => self.get(name).map(|_| 0),
            Err(errno) => Err(failed("open", &self.path(name), errno)),
        }
    }

    /// Removes what dead makers left; returns the space that this freed on disk.
    pub fn sweep(&self) -> Result<u64, VolumeError> {
        let mut freed = sys::fresh::sweep(self.inner.volumes.as_fd())
            .map_err(|source| failed("sweep", &self.inner.path, source))?
            .bytes;
        for name in self.names()? {
            let path = self.path_of(&name);
            match open_directory(&self.inner.volumes, name.as_str()) {
                Ok(volume) => {
                    freed += sys::fresh::sweep(volume.as_fd())
                        .map_err(|source| failed("sweep", &path, source))?
                        .bytes;
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed("open", &path, errno)),
            }
        }
        Ok(freed)
    }

    fn names(&self) -> Result<Vec<VolumeName>, VolumeError> {
        let list = |errno| failed("list", &self.inner.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.inner.volumes).map_err(list)? {
            let entry = entry.map_err(list)?;
            // What is no name is the folder itself, a volume in the making, or not ours.
            names.extend(entry.file_name().to_str().ok().and_then(|name| name.parse().ok()));
        }
        Ok(names)
    }

    fn path_of(&self, name: &VolumeName) -> PathBuf {
        self.inner.path.join(name.as_str())
    }
}

fn existing_or_conflict(existing: Volume, wanted: &Volume) -> Result<Volume, VolumeError> {
    if wanted.options.is_empty() || wanted.options == existing.options {
        return Ok(existing);
    }
    Err(VolumeError::Conflict { name: existing.name })
}

fn failed(action: &'static str, path: &Path, source: impl Into<io::Error>) -> VolumeError {
    VolumeError::Io { action, path: path.to_owned(), source: source.into() }
}

fn open_directory(at: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// The data root itself may be a link; nothing below it is.
fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests;
