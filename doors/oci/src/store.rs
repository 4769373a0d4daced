//! What a command leaves to the next one: a directory for each container.
//!
//! ```text
//! <root>/<id>/                  0711; its flock is held by whoever changes the container
//!             config.json       the bundle's, as it was when the container was made
//!             state.json        a Record: replaced by rename, first without and then with `init`
//!             start.sock        a created container waits here; see the crate's documentation
//!             notify/           for sd_notify(3): only if NOTIFY_SOCKET was set
//! ```
//!
//! A container exists from the mkdir(2) of its directory on, which also decides between two that
//! want the same id. Whoever makes it holds the lock until it is complete. A maker that is killed
//! takes the half-made process along (the process ends when it finds its maker gone), so that a
//! directory with no lock and no living `init` is a stopped container, however little is in it:
//! `delete` removes what the record names, `list` shows it, nothing else has to mend anything.
//! What is removed goes in the other order: cgroup, files, directory.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use oci::Timestamp;
use oci::runtime::{Hooks, Spec};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{OciError, Step};

/// All containers below one root directory.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

/// One container's directory, open.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The container's id.
    pub(crate) id: String,
    path: PathBuf,
    dir: OwnedFd,
}

/// The right to change a container, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock<'a> {
    /// A description of its own, since a lock belongs to that.
    _dir: OwnedFd,
    entry: &'a Entry,
}

/// `state.json`: what cannot be asked of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The version of this form.
    pub(crate) format: u32,
    /// The version of the specification that config.json follows.
    pub(crate) oci_version: String,
    /// The bundle's directory, absolute.
    pub(crate) bundle: String,
    /// The root file system's directory, absolute.
    pub(crate) rootfs: String,
    /// When the container was made.
    pub(crate) created: Timestamp,
    /// The cgroup below the mount points; none if none could be had or was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
    /// The systemd unit that the cgroup belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// Its group of caches and memory bandwidth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<resctrl::Place>,
    /// Whether the container has the caller's pid namespace or another's: then the end of its
    /// first process is not the end of all.
    #[serde(default)]
    pub(crate) shares_pids: bool,
    /// Those of config.json.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
    /// The hooks that are still to be called: `poststart` and `poststop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hooks: Option<Hooks>,
    /// The first process. Absent until it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) init: Option<Init>,
}

/// A process that cannot be mistaken for a later one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Init {
    /// Its number in the pid namespace of whoever made it.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since the machine did.
    pub(crate) start_time: u64,
}

/// The present form of [`Record`].
pub(crate) const FORMAT: u32 = 1;
/// No record and no config.json is longer: what is, is not ours.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const START: &str = "start.sock";
/// What a container's user may see is only what is bound from it: `notify`.
const DIR_MODE: u32 = 0o711;

impl Store {
    /// Uses `root`, which is made (0700) when the first container is.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a container's directory, which is then held by the caller.
    pub(crate) fn claim(&self, id: &str) -> Result<Entry, OciError> {
        check_id(id)?;
        let path = self.root.join(id);
        let make = || fs::DirBuilder::new().mode(DIR_MODE).create(&path);
        let made = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&self.root)
                    .to(|| format!("make {}", self.root.display()))?;
                make()
            }
            other => other,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OciError::Exists);
            }
            other => other.to(|| format!("make {}", path.display()))?,
        }
        self.open(id)
    }

    /// Opens a container's directory.
    pub(crate) fn open(&self, id: &str) -> Result<Entry, OciError> {
        check_id(id)?;
        let path = self.root.join(id);
        match rustix::fs::openat(CWD, &path, DIR_FLAGS, Mode::empty()) {
            Ok(dir) => Ok(Entry { id: id.to_owned(), path, dir }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(OciError::NoContainer),
            Err(errno) => Err(OciError::io(format!("open {}", path.display()), errno)),
        }
    }

    /// The ids of all containers, sorted; the root directory may be missing (`NotFound`).
    pub(crate) fn ids(&self) -> io::Result<Vec<String>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                ids.extend(entry.file_name().into_string().ok().filter(|id| check_id(id).is_ok()));
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Letters, digits, `_`, `+`, `-` and `.`, as runc has it; not longer than a file's name.
fn check_id(id: &str) -> Result<(), OciError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    match id {
        "" => Err(OciError::Usage("container id cannot be empty".into())),
        "." | ".." => Err(OciError::Id),
        id if id.len() > 255 || !id.bytes().all(good) => Err(OciError::Id),
        _ => Ok(()),
    }
}

impl Entry {
    /// The directory's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the right to change the container. [`OciError::NoContainer`] if it was removed
    /// meanwhile.
    pub(crate) fn lock(&self) -> Result<Lock<'_>, OciError> {
        let dir = self.try_lock(FlockOperation::LockExclusive)?.ok_or(OciError::NoContainer)?;
        match self.is_there(&dir)? {
            true => Ok(Lock { _dir: dir, entry: self }),
            false => Err(OciError::NoContainer),
        }
    }

    /// Whether somebody is changing the container at this instant.
    pub(crate) fn is_busy(&self) -> Result<bool, OciError> {
        Ok(self.try_lock(FlockOperation::NonBlockingLockShared)?.is_none())
    }

    fn try_lock(&self, operation: FlockOperation) -> Result<Option<OwnedFd>, OciError> {
        let dir = rustix::fs::openat(&self.dir, ".", DIR_FLAGS, Mode::empty());
        let action = || format!("lock {}", self.path.display());
        let dir = match dir {
            // Removed since it was opened.
            Err(Errno::NOENT) => return Err(OciError::NoContainer),
            other => other.to(action)?,
        };
        loop {
            match rustix::fs::flock(&dir, operation) {
                Ok(()) => return Ok(Some(dir)),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(OciError::io(action(), errno)),
            }
        }
    }

    /// Whether the name still leads to the directory that was opened.
    fn is_there(&self, dir: &OwnedFd) -> Result<bool, OciError> {
        let action = || format!("look at {}", self.path.display());
        let own = rustix::fs::fstat(dir).to(action)?;
        match rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(OciError::io(action(), errno)),
        }
    }

    /// What the record says; `None` if the container's maker did not come so far.
    pub(crate) fn record(&self) -> Result<Option<Record>, OciError> {
        let Some(bytes) = self.read(STATE)? else { return Ok(None) };
        let name = || self.path.join(STATE).display().to_string();
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| OciError::State(format!("cannot understand {}: {error}", name())))?;
        match record.format {
            FORMAT => Ok(Some(record)),
            newer => Err(OciError::State(format!("{} has the unknown format {newer}", name()))),
        }
    }

    /// The configuration that the container was made with.
    pub(crate) fn spec(&self) -> Result<Spec, OciError> {
        let bytes = self.read(CONFIG)?.ok_or(OciError::NoContainer)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let name = self.path.join(CONFIG);
            OciError::State(format!("cannot understand {}: {error}", name.display()))
        })
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, OciError> {
        let action = || format!("read {}", self.path.join(name).display());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.to(action)?,
        };
        let mut bytes = Vec::with_capacity(2048);
        fs::File::from(file).take(MAX_BYTES).read_to_end(&mut bytes).to(action)?;
        Ok(Some(bytes))
    }

    /// The owner of the directory.
    pub(crate) fn owner(&self) -> Result<u32, OciError> {
        Ok(rustix::fs::fstat(&self.dir).to(|| format!("look at {}", self.path.display()))?.st_uid)
    }

    /// A path of few bytes that leads to the place where a created container waits, as the
    /// kernel takes no long ones for sockets.
    pub(crate) fn start_socket(&self) -> String {
        self.short(START)
    }

    /// A path of few bytes that leads to a file in the directory.
    pub(crate) fn short(&self, name: &str) -> String {
        format!("{}/{name}", sys::fs::fd_path(self.dir.as_fd()))
    }
}

impl Lock<'_> {
    /// Keeps the configuration, once.
    pub(crate) fn write_config(&self, bytes: &[u8]) -> Result<(), OciError> {
        self.replace(CONFIG, bytes)
    }

    /// Replaces the record.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), OciError> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| OciError::State(format!("cannot write the state: {error}")))?;
        self.replace(STATE, &bytes)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), OciError> {
        let action = || format!("write {}", self.entry.path.join(name).display());
        // Not synced: the directory means nothing after the machine's end.
        sys::fs::replace_file(self.entry.dir.as_fd(), name, bytes, false).to(action)
    }

    /// Forgets the place where the container waited. (That nobody listens there says the same.)
    pub(crate) fn remove_start_socket(&self) {
        let _ = rustix::fs::unlinkat(&self.entry.dir, START, AtFlags::empty());
    }

    /// Removes the directory with all in it: from then on there is no such container.
    pub(crate) fn remove(self) -> Result<(), OciError> {
        let entry = self.entry;
        let action = || format!("remove {}", entry.path.display());
        // What `create` and `run` make, in the cheapest way.
        for name in [START, CONFIG, STATE] {
            let _ = rustix::fs::unlinkat(&entry.dir, name, AtFlags::empty());
        }
        match rustix::fs::rmdir(&entry.path) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(OciError::io(action(), errno)),
        }
        match fs::remove_dir_all(&entry.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.to(action),
        }
    }
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path().join("deep/root"));
        (temp, store)
    }

    #[test]
    fn an_id_is_claimed_once() {
        let (_temp, store) = store();
        let entry = store.claim("one").unwrap();
        assert!(matches!(store.claim("one"), Err(OciError::Exists)));
        assert_eq!(store.ids().unwrap(), ["one"]);
        assert_eq!(entry.record().unwrap(), None);
        entry.lock().unwrap().remove().unwrap();
        assert!(matches!(store.open("one"), Err(OciError::NoContainer)));
        store.claim("one").unwrap();
    }

    #[test]
    fn an_id_cannot_be_a_path() {
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\0", &"x".repeat(256)] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
        for id in ["a", "A-b_c.d+e", "...", &"x".repeat(255)] {
            assert!(check_id(id).is_ok(), "{id:?}");
        }
    }

    #[test]
    fn a_lock_on_what_is_gone_or_another_is_no_lock() {
        let (_temp, store) = store();
        let (old, entry) = (store.claim("one").unwrap(), store.open("one").unwrap());
        let lock = entry.lock().unwrap();
        assert!(old.is_busy().unwrap());
        lock.remove().unwrap();
        let _new = store.claim("one").unwrap();
        assert!(matches!(old.lock(), Err(OciError::NoContainer)));
    }

    #[test]
    fn a_record_comes_back_as_it_was_and_leaves_nothing_beside_it() {
        let (_temp, store) = store();
        let entry = store.claim("one").unwrap();
        let mut record = Record { format: FORMAT, bundle: "/b".into(), ..Record::default() };
        let lock = entry.lock().unwrap();
        for init in [None, Some(Init { pid: 7, start_time: 12 })] {
            record.init = init;
            lock.write_record(&record).unwrap();
            assert_eq!(entry.record().unwrap().unwrap(), record);
        }
        assert_eq!(fs::read_dir(entry.path()).unwrap().count(), 1);
        record.format = 99;
        lock.write_record(&record).unwrap();
        let error = entry.record().unwrap_err().to_string();
        assert!(error.contains("format 99"), "{error}");
    }
}
