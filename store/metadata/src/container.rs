//! One container's directory: its documents and its locks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, OFlags, openat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use sys::fs::Lock;

use crate::error::failed;
use crate::{MetadataError, Record, Status};

/// Held by the shim as long as it lives.
const LIFE: u64 = 0;
/// Held by whoever starts, removes or renames the container.
const OPERATION: u64 = 1;
/// Held for the moment of changing `status.json`.
const STATUS: u64 = 2;
/// Held, with [`OPERATION`], by whoever waits for a launch and for nothing else.
const LAUNCH: u64 = 3;

/// Of working containers alone.
const WORKING: &str = "working.json";

/// A document is at most so large: far more than one with a thousand mounts.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// One container's directory, open.
#[derive(Debug)]
pub struct Container {
    id: String,
    path: PathBuf,
    dir: OwnedFd,
}

/// The right to be the container's parent; the container lives as long as this is held, by
/// whichever process inherited the descriptor.
#[derive(Debug)]
pub struct LifeLock(OwnedFd);

impl LifeLock {
    /// The descriptor that carries the lock.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}

/// The right to start, remove or rename the container; dropped with the value.
#[derive(Debug)]
pub struct OperationLock(OwnedFd);

impl OperationLock {
    /// Says that the holder waits for the container to be launched, and will then let go at once:
    /// see [`Container::wait_for_launcher`].
    pub fn mark_as_launch(&self) -> Result<(), MetadataError> {
        sys::fs::lock_range(self.0.as_fd(), LAUNCH, Lock::Exclusive, true)
            .map(drop)
            .map_err(|source| MetadataError::Io { action: "lock", path: "lock".into(), source })
    }
}

impl Container {
    /// Opens the directory of container `id` below `containers`.
    ///
    /// Fails with [`MetadataError::NotFound`] if there is none.
    pub(crate) fn open(
        containers: BorrowedFd<'_>,
        path: &Path,
        id: &str,
    ) -> Result<Self, MetadataError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat(containers, id, flags, Mode::empty()) {
            Ok(dir) => Ok(Self { id: id.to_owned(), path: path.join(id), dir }),
            Err(Errno::NOENT) => Err(MetadataError::NotFound { text: id.to_owned() }),
            Err(errno) => Err(failed("open", path.join(id))(errno)),
        }
    }

    pub(crate) fn from_parts(id: String, path: PathBuf, dir: OwnedFd) -> Self {
        Self { id, path, dir }
    }

    pub(crate) fn moved_to(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory's path, as it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, which stays the same even if it is renamed.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Reads `record.json`.
    pub fn record<M: DeserializeOwned>(&self) -> Result<Record<M>, MetadataError> {
        self.read("record.json")
    }

    /// Reads `status.json`; never waits.
    pub fn status(&self) -> Result<Status, MetadataError> {
        self.read("status.json")
    }

    /// Reads `working.json`, what a working container has become; `None` if it is none.
    pub fn working<T: DeserializeOwned>(&self) -> Result<Option<T>, MetadataError> {
        self.read_if_there(WORKING)
    }

    /// Writes `working.json`: the caller is its maker, or has the operation lock.
    pub fn set_working<T: serde::Serialize>(&self, document: &T) -> Result<(), MetadataError> {
        self.write(WORKING, document)
    }

    /// Whether it is a working container: one that grows by instructions and never runs.
    pub fn is_working(&self) -> bool {
        rustix::fs::accessat(&self.dir, WORKING, Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Changes `status.json`, against every other process that does; returns what it is now.
    pub fn update_status(&self, change: impl FnOnce(&mut Status)) -> Result<Status, MetadataError> {
        let lock = self.lock_file(OFlags::RDWR)?;
        sys::fs::lock_range(lock.as_fd(), STATUS, Lock::Exclusive, true)
            .map_err(|source| self.io("lock", source))?;
        let mut status = self.status()?;
        change(&mut status);
        self.write("status.json", &status)?;
        Ok(status)
    }

    /// Whether its directory is still in its place. A removed one can be used for a while through
    /// what is open of it, until whoever empties the trash comes by.
    pub fn is_there(&self) -> bool {
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let here = rustix::fs::fstat(&self.dir).map(identity);
        let named = rustix::fs::lstat(&self.path).map(identity);
        matches!((here, named), (Ok(here), Ok(named)) if here == named)
    }

    /// Whether a shim holds the container; if not, it does not run, whatever `status.json` says.
    pub fn is_alive(&self) -> Result<bool, MetadataError> {
        let lock = self.lock_file(OFlags::RDONLY)?;
        // Those who wait for its end share the lock for a moment, and are no shim.
        sys::fs::is_range_locked_exclusively(lock.as_fd(), LIFE)
            .map_err(|source| self.io("query the lock of", source))
    }

    /// Takes the life lock; `None` if another process has it.
    ///
    /// Whoever removes a container holds it meanwhile, so that a shim which claims it must ask
    /// afterwards whether the container [is there](Container::is_there).
    pub fn try_claim_life(&self) -> Result<Option<LifeLock>, MetadataError> {
        let lock = self.lock_file(OFlags::RDWR)?;
        let taken = sys::fs::lock_range(lock.as_fd(), LIFE, Lock::Exclusive, false)
            .map_err(|source| self.io("lock", source))?;
        Ok(taken.then_some(LifeLock(lock)))
    }

    /// Blocks until no shim holds the container; one that has been removed is dead.
    pub fn wait_for_death(&self) -> Result<(), MetadataError> {
        let lock = match self.lock_file(OFlags::RDONLY) {
            Err(MetadataError::NotFound { .. }) => return Ok(()),
            lock => lock?,
        };
        sys::fs::lock_range(lock.as_fd(), LIFE, Lock::Shared, true)
            .map(drop)
            .map_err(|source| self.io("wait for", source))
    }

    /// Takes the operation lock, waiting for whoever has it.
    ///
    /// [`MetadataError::NotFound`] if that one removed the container.
    pub fn lock_operation(&self) -> Result<OperationLock, MetadataError> {
        let lock = self.lock_file(OFlags::RDWR)?;
        sys::fs::lock_range(lock.as_fd(), OPERATION, Lock::Exclusive, true)
            .map_err(|source| self.io("lock", source))?;
        self.unless_removed(OperationLock(lock))
    }

    /// Takes the operation lock if nobody has it; [`MetadataError::NotFound`] if the container has
    /// been removed.
    pub fn try_lock_operation(&self) -> Result<Option<OperationLock>, MetadataError> {
        let lock = self.lock_file(OFlags::RDWR)?;
        match sys::fs::lock_range(lock.as_fd(), OPERATION, Lock::Exclusive, false)
            .map_err(|source| self.io("lock", source))?
        {
            true => self.unless_removed(Some(OperationLock(lock))),
            false => Ok(None),
        }
    }

    /// Waits until nobody holds the operation lock just because a launch was to be waited for.
    ///
    /// Others may hold it, and wait for the container's end.
    pub fn wait_for_launcher(&self) -> Result<(), MetadataError> {
        let lock = self.lock_file(OFlags::RDONLY)?;
        sys::fs::lock_range(lock.as_fd(), LAUNCH, Lock::Shared, true)
            .map(drop)
            .map_err(|source| self.io("lock", source))
    }

    fn unless_removed<T>(&self, lock: T) -> Result<T, MetadataError> {
        match self.is_there() {
            true => Ok(lock),
            false => Err(self.not_found()),
        }
    }

    fn not_found(&self) -> MetadataError {
        MetadataError::NotFound { text: self.id.clone() }
    }

    /// Opens the lock file anew: locks belong to what `open` returned, so that two of them in one
    /// process are two owners. To ask and to share, reading is enough, so that it can be done on a
    /// file system that is read-only.
    fn lock_file(&self, access: OFlags) -> Result<OwnedFd, MetadataError> {
        openat(&self.dir, "lock", access | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|errno| self.missing("open", "lock", errno))
    }

    /// A file that is not there: with the whole container, or alone.
    fn missing(&self, action: &'static str, name: &str, errno: Errno) -> MetadataError {
        match errno == Errno::NOENT && !self.is_there() {
            true => self.not_found(),
            false => failed(action, self.path.join(name))(errno),
        }
    }

    pub(crate) fn write<T: serde::Serialize>(
        &self,
        name: &str,
        document: &T,
    ) -> Result<(), MetadataError> {
        let path = || self.path.join(name);
        let bytes = serde_json::to_vec(document)
            .map_err(|source| MetadataError::Damaged { path: path(), source })?;
        sys::fs::replace_file(self.dir.as_fd(), name, &bytes, false)
            .map_err(|source| MetadataError::Io { action: "write", path: path(), source })
    }

    pub(crate) fn read_if_there<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, MetadataError> {
        match read_document(self.dir.as_fd(), name) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| MetadataError::Damaged { path: self.path.join(name), source }),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("read", self.path.join(name))(errno)),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, MetadataError> {
        let path = || self.path.join(name);
        let bytes = read_document(self.dir.as_fd(), name)
            .map_err(|errno| self.missing("read", name, errno))?;
        serde_json::from_slice(&bytes)
            .map_err(|source| MetadataError::Damaged { path: path(), source })
    }

    fn io(&self, action: &'static str, source: std::io::Error) -> MetadataError {
        MetadataError::Io { action, path: self.path.join("lock"), source }
    }
}

/// Reads a small document whole: open, one read as a rule, close.
pub(crate) fn read_document(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_document_into(dir, name, &mut bytes)?;
    Ok(bytes)
}

/// As [`read_document`], into a buffer that is used again and again.
pub(crate) fn read_document_into(
    dir: BorrowedFd<'_>,
    name: &str,
    bytes: &mut Vec<u8>,
) -> rustix::io::Result<()> {
    let file =
        openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    bytes.clear();
    bytes.reserve(4096);
    loop {
        let room = bytes.capacity() - bytes.len();
        // A regular file gives all that it has: less than there is room for is the end.
        if rustix::io::read(&file, rustix::buffer::spare_capacity(bytes))? < room {
            return Ok(());
        }
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(rustix::io::Errno::FBIG);
        }
        bytes.reserve(bytes.len());
    }
}
