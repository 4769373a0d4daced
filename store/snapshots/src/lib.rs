//! Layers as directories: unpacked once, by DiffID, stacked by overlayfs.
//!
//! ```text
//! <root>/layers/<diff-id hex>/fs/          the layer's files, in overlay form; never written again
//! <root>/layers/<diff-id hex>/layer.json   its DiffID, figures, and whether it was synced
//! <root>/layers/.new-<random>/             being unpacked, under its writer's flock(2); without: garbage
//! <root>/layers/.empty/fs/, under/         lower directories where an overlay has too few
//! ```
//!
//! Overlay form means that a whiteout is a character device 0:0 and an opaque directory has the
//! extended attribute `trusted.overlay.opaque=y` (`user.overlay.opaque` in a user namespace). No layer's directory depends on another's, so
//! that all layers of all images are unpacked in any order, at once, and are shared.
//!
//! [`Snapshots::begin`] makes a private directory, [`NewLayer::commit`] gives it its name by one
//! rename. Whoever comes second with the same layer has his copy thrown away and has succeeded.
//!
//! A layer has thousands of files, and syncing each would cost more than unpacking them. It is
//! therefore committed unsynced and notes which boot it was made in: as long as the kernel lives
//! the page cache is the truth. [`Snapshots::sync`] makes layers durable, all by one call; one that
//! was not synced before the machine went down counts as absent afterwards and is unpacked again
//! from its blob, which is durable.
//!
//! Nothing is mounted here: [`Snapshots::mounts`] says what to mount, `run::runtime` does it.

mod collect;
mod layer;
mod mounts;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use content::Durability;
use oci::Digest;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use sys::trash::{Discarded, Trash};

pub use collect::{Collected, Swept};
pub use layer::{LayerUsage, NewLayer};
pub use mounts::{MAX_LAYERS, Writable};

/// Why a layer could not be stored, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is no such layer, or it did not survive a loss of power.
    #[error("no layer {diff_id}")]
    NotFound {
        /// What was asked for.
        diff_id: Digest,
    },
    /// overlayfs stacks no more.
    #[error("{layers} layers are more than the {MAX_LAYERS} that overlayfs can stack")]
    TooManyLayers {
        /// How many different ones there were.
        layers: usize,
    },
    /// A path with bytes that are no UTF-8 cannot stand in a mount option.
    #[error("path {path:?} is not UTF-8")]
    PathEncoding {
        /// The path.
        path: PathBuf,
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

/// The layers of a data root. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshots {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `<root>/layers`, absolute if the root was.
    path: PathBuf,
    root: OwnedFd,
    layers: OwnedFd,
}

impl Snapshots {
    /// Opens the layers of the data root `root`, which must exist; makes `layers` if it does not.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, SnapshotError> {
        let path = root.as_ref().join("layers");
        let root =
            open_root(root.as_ref()).map_err(|errno| failed("open", root.as_ref(), errno))?;
        let layers = match open_directory(&root, c"layers") {
            Err(Errno::NOENT) => {
                make_directory(&root, c"layers", 0o700)
                    .map_err(|errno| failed("create", &path, errno))?;
                open_directory(&root, c"layers").inspect(|layers| {
                    sys::fs::hint_unrelated(layers.as_fd());
                })
            }
            other => other,
        }
        .map_err(|errno| failed("open", &path, errno))?;
        Ok(Self { inner: Arc::new(Inner { path, root, layers }) })
    }

    /// Whether the layer is there, whole, and sure to be so.
    pub fn contains(&self, diff_id: &Digest) -> Result<bool, SnapshotError> {
        Ok(self.usable(diff_id)?.is_some())
    }

    /// Which of the layers have to be unpacked, each once, in the order given.
    pub fn missing(&self, diff_ids: &[Digest]) -> Result<Vec<Digest>, SnapshotError> {
        let mut missing: Vec<Digest> = Vec::new();
        for diff_id in diff_ids {
            if !missing.contains(diff_id) && !self.contains(diff_id)? {
                missing.push(diff_id.clone());
            }
        }
        Ok(missing)
    }

    /// Begins a layer in a directory that nobody else sees. Its DiffID is asked for at the end.
    pub fn begin(&self) -> Result<NewLayer, SnapshotError> {
        NewLayer::create(self)
    }

    /// What a layer holds; [`SnapshotError::NotFound`] if it is not there.
    pub fn usage(&self, diff_id: &Digest) -> Result<LayerUsage, SnapshotError> {
        match self.usable(diff_id)? {
            Some(record) => Ok(record.usage),
            None => Err(SnapshotError::NotFound { diff_id: diff_id.clone() }),
        }
    }

    /// Where a layer's files are, for messages and for those who read one layer alone.
    pub fn path_of(&self, diff_id: &Digest) -> PathBuf {
        self.inner.path.join(diff_id.hex()).join("fs")
    }

    /// Makes layers durable that were committed before the call.
    ///
    /// One syncfs(2) for all, which also syncs the blobs of the same file system; then each
    /// layer's record says so. Layers that are durable already cost a look at their record.
    pub fn sync(&self, diff_ids: &[Digest]) -> Result<(), SnapshotError> {
        let mut pending = Vec::new();
        for diff_id in diff_ids {
            match self.usable(diff_id)? {
                Some(record) if record.synced => {}
                Some(record) => pending.push(record),
                None => return Err(SnapshotError::NotFound { diff_id: diff_id.clone() }),
            }
        }
        if pending.is_empty() {
            return Ok(());
        }
        rustix::fs::syncfs(&self.inner.layers)
            .map_err(|errno| failed("sync", &self.inner.path, errno))?;
        for mut record in pending {
            record.synced = true;
            let name = record.diff_id.hex();
            let path = self.inner.path.join(name);
            let directory = open_directory(&self.inner.layers, name)
                .map_err(|errno| failed("open", &path, errno))?;
            layer::write_record(directory.as_fd(), &path, &record, Durability::Power)?;
        }
        Ok(())
    }

    /// Takes a layer away and deletes it; returns the space that this freed.
    ///
    /// [`SnapshotError::NotFound`] if it is not there. That nobody has it mounted is the caller's
    /// to know.
    pub fn remove(&self, diff_id: &Digest) -> Result<u64, SnapshotError> {
        let trash = self.trash()?;
        self.discard(&trash, diff_id)?
            .delete()
            .map(|removed| removed.bytes)
            .map_err(|source| failed("remove", &self.inner.path.join(diff_id.hex()), source))
    }

    /// Moves a layer into the trash.
    fn discard<'a>(
        &self,
        trash: &'a Trash,
        diff_id: &Digest,
    ) -> Result<Discarded<'a>, SnapshotError> {
        let name = CString::new(diff_id.hex()).expect("digits have no NUL");
        trash.put(self.inner.layers.as_fd(), &name).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SnapshotError::NotFound { diff_id: diff_id.clone() },
            _ => failed("remove", &self.inner.path.join(diff_id.hex()), error),
        })
    }

    /// The layer's record, if the layer can be relied on.
    fn usable(&self, diff_id: &Digest) -> Result<Option<layer::Record>, SnapshotError> {
        let path = self.inner.path.join(diff_id.hex());
        let directory = match open_directory(&self.inner.layers, diff_id.hex()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("open", &path, errno)),
        };
        let record = layer::read_record(&directory, &path)?;
        Ok(record.filter(|record| record.diff_id == *diff_id && record.is_reliable()))
    }

    fn trash(&self) -> Result<Trash, SnapshotError> {
        Trash::open_at(self.inner.root.as_fd())
            .map_err(|source| failed("open", &self.inner.path.with_file_name("trash"), source))
    }
}

fn failed(action: &'static str, path: &Path, source: impl Into<io::Error>) -> SnapshotError {
    SnapshotError::Io { action, path: path.to_owned(), source: source.into() }
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

fn make_directory(at: impl AsFd, name: impl rustix::path::Arg, mode: u32) -> Result<(), Errno> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
