//! One layer: being written, committed, remembered.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use content::Durability;
use oci::Digest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::fresh::FreshDirectory;

use crate::{SnapshotError, Snapshots, failed, make_directory, open_directory};

/// What a layer holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerUsage {
    /// Files, directories and everything else, without the root.
    pub entries: u64,
    /// The sum of the files' sizes as a reader sees them; hard links count once.
    pub bytes: u64,
}

/// A layer that is being unpacked. Dropping it throws it away.
#[derive(Debug)]
pub struct NewLayer {
    snapshots: Snapshots,
    fresh: FreshDirectory,
    /// `fs` inside it.
    files: OwnedFd,
}

/// What `layer.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) diff_id: Digest,
    #[serde(flatten)]
    pub(crate) usage: LayerUsage,
    /// Whether every file reached the disk before this was written.
    pub(crate) synced: bool,
    /// `/proc/sys/kernel/random/boot_id` of the kernel under which it was made.
    pub(crate) boot_id: String,
}

const RECORD: &str = "layer.json";
/// More than any record has; what is longer is none.
const RECORD_LIMIT: u64 = 4096;

impl NewLayer {
    pub(crate) fn create(snapshots: &Snapshots) -> Result<Self, SnapshotError> {
        let path = &snapshots.inner.path;
        let fresh = FreshDirectory::create(snapshots.inner.layers.as_fd())
            .map_err(|source| failed("create a directory in", path, source))?;
        let files = make_directory(fresh.directory(), c"fs", 0o755)
            .and_then(|()| open_directory(fresh.directory(), c"fs"))
            .and_then(|files| {
                // The umask may have taken bits away that the containers' users need.
                rustix::fs::fchmod(&files, Mode::from_raw_mode(0o755))?;
                Ok(files)
            })
            .map_err(|errno| failed("create", &path.join(fresh.name()).join("fs"), errno))?;
        Ok(Self { snapshots: snapshots.clone(), fresh, files })
    }

    /// The empty directory that the layer's files go into: the layer's root, mode 0755.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.files.as_fd()
    }

    /// Where that is, for messages.
    pub fn path(&self) -> PathBuf {
        self.snapshots.inner.path.join(self.fresh.name()).join("fs")
    }

    /// Names the layer. `diff_id` is that of the tar which was unpacked, as the caller verified.
    ///
    /// Returns whether the layer is this one; `false` says that another unpacker was first with the
    /// same DiffID and that this copy was thrown away, which is as good. Not durable before
    /// [`Snapshots::sync`].
    pub fn commit(mut self, diff_id: &Digest, usage: LayerUsage) -> Result<bool, SnapshotError> {
        let path = self.snapshots.inner.path.join(self.fresh.name());
        let record = Record {
            diff_id: diff_id.clone(),
            usage,
            synced: false,
            boot_id: boot_id().to_owned(),
        };
        write_record(self.fresh.directory(), &path, &record, Durability::Process)?;
        let target = self.snapshots.inner.path.join(diff_id.hex());
        // A directory of that name which cannot be relied on (it was not synced before the power
        // went) has to make room; twice, should another unpacker be quicker, is enough.
        for _ in 0..3 {
            match self.fresh.rename_to(diff_id.hex()) {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST | Errno::NOTEMPTY) => {
                    if self.snapshots.contains(diff_id)? {
                        return Ok(false);
                    }
                    match self.snapshots.remove(diff_id) {
                        Ok(_) | Err(SnapshotError::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(errno) => return Err(failed("rename a layer to", &target, errno)),
            }
        }
        Err(failed("rename a layer to", &target, Errno::EXIST))
    }
}

impl Record {
    /// Whether the files are what they were when this was written.
    pub(crate) fn is_reliable(&self) -> bool {
        self.synced || self.boot_id == boot_id()
    }
}

/// Reads a layer's record; `None` if there is none or it is damaged, as after a loss of power.
pub(crate) fn read_record(
    directory: &OwnedFd,
    path: &Path,
) -> Result<Option<Record>, SnapshotError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, RECORD, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed("open", &path.join(RECORD), errno)),
    };
    let mut bytes = Vec::new();
    file.take(RECORD_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|source| failed("read", &path.join(RECORD), source))?;
    Ok(serde_json::from_slice(&bytes).ok())
}

pub(crate) fn write_record(
    directory: BorrowedFd<'_>,
    path: &Path,
    record: &Record,
    durability: Durability,
) -> Result<(), SnapshotError> {
    let bytes = serde_json::to_vec(record).map_err(io::Error::from);
    bytes
        .and_then(|bytes| {
            let durable = durability == Durability::Power;
            sys::fs::replace_file(directory, RECORD, &bytes, durable)
        })
        .map_err(|source| failed("write", &path.join(RECORD), source))
}

/// Which boot this is; a random text where the kernel does not say, so that nothing matches it.
fn boot_id() -> &'static str {
    use std::sync::OnceLock;
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .ok()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(sys::names::random_hex::<16>)
    })
}
