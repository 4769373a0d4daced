//! Networks: what was decided about each, which of its addresses are whose, and which names.
//!
//! ```text
//! <root>/networks/<name>/network.json     what was decided when it was made; never changes
//!                       /leases/<address> a symbolic link for the container's id, as in `names`
//!                       /names/<name>/<container id>
//!                                         a symbolic link whose text is the addresses of that
//!                                         container, with blanks between them
//! <root>/networks/.lock                   flock: whoever makes or removes a network, or takes or
//!                                         reclaims an address
//! <root>/networks/.new-<random>/          being made, under its maker's flock; without: garbage
//! ```
//!
//! An address is taken by making its link, which can be there once: it is never given twice. It is
//! given back by its owner alone, or, when that is dead, by whoever meets it
//! ([`Networks::reclaim`]): so nothing is lost with a process that is killed. Names are looked up
//! where they are ([`Networks::resolve`]), without a copy that could be old.
//!
//! Nothing is known here of the kernel, and not which containers live.

mod error;
mod lease;
mod names;
mod pool;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ip::Prefix;
use oci::Timestamp;
use rustix::fs::{CWD, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::fresh::FreshDirectory;
use sys::trash::Trash;

pub use error::NetworksError;
pub use lease::Lease;
pub use names::Named;
pub use pool::{Pool, WantedPool};

/// What is known of one network; the content of `network.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// `bridge`, `macvlan`...
    pub driver: String,
    /// Whether it has IPv4.
    pub ipv4: bool,
    /// Whether it has IPv6.
    pub ipv6: bool,
    /// Whether there is no way out of it.
    #[serde(default)]
    pub internal: bool,
    /// Docker's flag; without a meaning on one machine.
    #[serde(default)]
    pub attachable: bool,
    /// Where its addresses come from.
    pub pools: Vec<Pool>,
    /// The driver's options as given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Options of the address management as given.
    #[serde(default)]
    pub ipam_options: BTreeMap<String, String>,
    /// Free key-value pairs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Network {
    /// The pool of a family that an address is from.
    pub fn pool_of(&self, address: std::net::IpAddr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.contains(address))
    }

    /// The gateway of a family.
    pub fn gateway(&self, is_ipv4: bool) -> Option<Prefix> {
        let pool = self.pools.iter().find(|pool| pool.subnet.address.is_ipv4() == is_ipv4)?;
        Prefix::new(pool.gateway?, pool.subnet.length)
    }
}

/// What a new network should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewNetwork {
    /// As in [`Network`], with the id and the date to be made up.
    pub name: String,
    /// `bridge`, `macvlan`...
    pub driver: String,
    /// Whether it has IPv4.
    pub ipv4: bool,
    /// Whether it has IPv6.
    pub ipv6: bool,
    /// Whether there is no way out of it.
    pub internal: bool,
    /// Docker's flag.
    pub attachable: bool,
    /// Whether a gateway is a router of somebody else's, so that none is chosen here.
    pub has_router: bool,
    /// Where its addresses are to come from; a family that has none gets one.
    pub pools: Vec<WantedPool>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Options of the address management.
    pub ipam_options: BTreeMap<String, String>,
    /// Free key-value pairs.
    pub labels: BTreeMap<String, String>,
}

/// The networks of a data root.
#[derive(Debug)]
pub struct Networks {
    /// `<root>/networks`.
    path: PathBuf,
    root: OwnedFd,
    dir: OwnedFd,
}

/// Held by whoever changes which networks there are, or whose an address is.
#[derive(Debug)]
pub struct Guard(#[expect(dead_code, reason = "held for its lock alone")] OwnedFd);

const RECORD: &str = "network.json";
const LEASES: &str = "leases";
const NAMES: &str = "names";
const LOCK: &str = ".lock";
/// More than any record has.
const RECORD_LIMIT: u64 = 4 << 20;

/// Whether a network can have this name: it becomes a directory's.
pub fn is_valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 128
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

impl Networks {
    /// Opens the networks of the data root `root`, which must exist; makes `networks` if it is not
    /// there.
    pub fn open(root: &Path) -> Result<Self, NetworksError> {
        let path = root.join("networks");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::openat(CWD, root, flags, Mode::empty()).map_err(failed("open", root))?;
        let dir = open_or_make(&root, "networks").map_err(failed("open", &path))?;
        Ok(Self { path, root, dir })
    }

    /// Takes the lock on all networks, waiting for whoever has it: for moments.
    pub fn lock(&self) -> Result<Guard, NetworksError> {
        let path = self.path.join(LOCK);
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.dir, LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed("open", &path))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                locked => return locked.map(|()| Guard(file)).map_err(failed("lock", &path)),
            }
        }
    }

    /// Makes a network; durable.
    ///
    /// A family without a pool gets a free one: one that no other network has and that is not in
    /// `occupied`, the networks that the host can reach. [`NetworksError::NameTaken`],
    /// [`NetworksError::Overlap`] and [`NetworksError::NoPool`] change nothing.
    pub fn create(&self, new: NewNetwork, occupied: &[Prefix]) -> Result<Network, NetworksError> {
        if !is_valid_name(&new.name) {
            return Err(NetworksError::BadName { name: new.name });
        }
        let guard = self.lock()?;
        if self.find_by_name(&new.name)?.is_some() {
            return Err(NetworksError::NameTaken { name: new.name });
        }
        let others = self.list()?;
        let pools = pool::decide(&new, &others, occupied)?;
        let network = Network {
            id: sys::names::random_hex::<32>(),
            created: Timestamp::now(),
            pools,
            name: new.name,
            driver: new.driver,
            ipv4: new.ipv4,
            ipv6: new.ipv6,
            internal: new.internal,
            attachable: new.attachable,
            options: new.options,
            ipam_options: new.ipam_options,
            labels: new.labels,
        };
        self.write(&network)?;
        drop(guard);
        Ok(network)
    }

    fn write(&self, network: &Network) -> Result<(), NetworksError> {
        let mut fresh = FreshDirectory::create(self.dir.as_fd())
            .map_err(|source| failed_io("create a directory in", &self.path, source))?;
        let path = self.path.join(fresh.name());
        for directory in [LEASES, NAMES] {
            rustix::fs::mkdirat(fresh.directory(), directory, Mode::RWXU)
                .map_err(failed("create", &path.join(directory)))?;
        }
        serde_json::to_vec(network)
            .map_err(io::Error::from)
            .and_then(|bytes| sys::fs::replace_file(fresh.directory(), RECORD, &bytes, true))
            .map_err(|source| failed_io("write", &path.join(RECORD), source))?;
        fresh
            .rename_to(&network.name)
            .map_err(failed("rename a network to", &self.path.join(&network.name)))?;
        rustix::fs::fsync(&self.dir).map_err(failed("sync", &self.path))
    }

    /// Finds a network by its name, its id, or a prefix of its id that no other has.
    pub fn find(&self, text: &str) -> Result<Network, NetworksError> {
        if let Some(network) = self.find_by_name(text)? {
            return Ok(network);
        }
        let not_found = || NetworksError::NotFound { text: text.to_owned() };
        let is_hex =
            |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.is_empty() || text.len() > 64 || !is_hex(text) {
            return Err(not_found());
        }
        let mut matches = self.list()?.into_iter().filter(|network| network.id.starts_with(text));
        let found = matches.next().ok_or_else(not_found)?;
        match matches.next() {
            None => Ok(found),
            Some(_) => Err(NetworksError::Ambiguous { text: text.to_owned() }),
        }
    }

    /// The network of this name, if there is one.
    pub fn find_by_name(&self, name: &str) -> Result<Option<Network>, NetworksError> {
        if !is_valid_name(name) {
            return Ok(None);
        }
        let path = self.path.join(name).join(RECORD);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let relative = format!("{name}/{RECORD}");
        let file = match rustix::fs::openat(&self.dir, relative, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed("open", &path)(errno)),
        };
        let mut bytes = Vec::with_capacity(2048);
        file.take(RECORD_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|source| failed_io("read", &path, source))?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| NetworksError::Damaged { path, source })
    }

    /// All networks, by name.
    pub fn list(&self) -> Result<Vec<Network>, NetworksError> {
        let mut networks = Vec::new();
        for name in self.names_in(&self.dir, &self.path)? {
            // One that goes away while we read is not there.
            networks.extend(self.find_by_name(&name)?);
        }
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    /// Takes a network away; `_guard` says that nobody takes an address of it meanwhile. That
    /// nobody uses it is the caller's to know.
    pub fn remove(&self, name: &str, _guard: &Guard) -> Result<(), NetworksError> {
        let trash = Trash::open_at(self.root.as_fd())
            .map_err(|source| failed_io("open", &self.path.with_file_name("trash"), source))?;
        let text =
            CString::new(name).map_err(|_| NetworksError::NotFound { text: name.to_owned() })?;
        match trash.put(self.dir.as_fd(), &text) {
            Ok(discarded) => {
                rustix::fs::fsync(&self.dir).map_err(failed("sync", &self.path))?;
                discarded
                    .delete()
                    .map(drop)
                    .map_err(|source| failed_io("remove", &self.path.join(name), source))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(NetworksError::NotFound { text: name.to_owned() })
            }
            Err(source) => Err(failed_io("remove", &self.path.join(name), source)),
        }
    }

    /// Removes what dead makers left.
    pub fn sweep(&self) -> Result<(), NetworksError> {
        sys::fresh::sweep(self.dir.as_fd())
            .map(drop)
            .map_err(|source| failed_io("sweep", &self.path, source))
    }

    /// The entries of a directory that can be names.
    fn names_in(&self, dir: &OwnedFd, path: &Path) -> Result<Vec<String>, NetworksError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).map_err(failed("list", path))? {
            let entry = entry.map_err(failed("list", path))?;
            names.extend(
                entry
                    .file_name()
                    .to_str()
                    .ok()
                    .filter(|name| !name.starts_with('.'))
                    .map(str::to_owned),
            );
        }
        Ok(names)
    }

    fn open_part(&self, network: &str, part: &str) -> Result<OwnedFd, NetworksError> {
        let path = || self.path.join(network).join(part);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, format!("{network}/{part}"), flags, Mode::empty()) {
            Err(Errno::NOENT) => Err(NetworksError::NotFound { text: network.to_owned() }),
            opened => opened.map_err(|errno| failed("open", &path())(errno)),
        }
    }
}

fn open_or_make(at: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(at, name, flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) => match rustix::fs::mkdirat(at, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => open(),
            Err(errno) => Err(errno),
        },
        opened => opened,
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> NetworksError {
    let path = path.to_owned();
    move |errno| NetworksError::Io { action, path, source: errno.into() }
}

fn failed_io(action: &'static str, path: &Path, source: io::Error) -> NetworksError {
    NetworksError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
