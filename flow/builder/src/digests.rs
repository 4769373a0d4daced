//! Digests of files, and what is remembered of them from one build to the next.
//!
//! ```text
//! <root>/build/digests/<name>     "kista digests 1\n", then records of 88 bytes, little endian:
//!                                 device inode size, seconds and nanoseconds of the last change
//!                                 of content and of inode, SHA-256
//! ```
//!
//! A file whose device, inode, size and both times are the same is the same file. One that was
//! changed in the moment before it was read is not remembered: the clock of inodes is coarse, and
//! it could change again without a trace.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use content::Hasher;
use oci::{Algorithm, Digest};
use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::BuildError;
use crate::cache::BuildCache;
use crate::survey::workers;
use crate::tree::{Entry, Found, reopen};

const MAGIC: &[u8] = b"kista digests 1\n";
const RECORD: usize = 88;
/// Longer than the clock of inodes stands still.
const RACY_NANOS: i128 = 30_000_000;
/// More records than this are begun anew.
const MOST: usize = 2_000_000;

/// Size and times: what tells that a file is still the same.
type Facts = [i64; 5];

/// So many files that must be read are worth a thread.
const FILES_FOR_A_THREAD: usize = 16;
/// The kernel takes no longer paths at once.
const LONGEST_PATH: usize = 4000;

/// What is known of one context's files.
pub(crate) struct Digests {
    path: Option<PathBuf>,
    known: HashMap<(u64, u64), (Facts, [u8; 32])>,
    changed: bool,
}

impl Digests {
    /// Remembers nothing: for trees whose inodes mean nothing later.
    pub(crate) fn forgetful() -> Self {
        Self { path: None, known: HashMap::new(), changed: false }
    }

    /// What earlier builds have found out about the context of that name.
    pub(crate) fn open(cache: &BuildCache, name: &str) -> Result<Self, BuildError> {
        let path = cache.folder("digests")?.join(content::sha256(name.as_bytes()).hex());
        let bytes = std::fs::read(&path).unwrap_or_default();
        let records = bytes.strip_prefix(MAGIC).unwrap_or_default().chunks_exact(RECORD);
        let mut known = HashMap::with_capacity(records.len());
        for record in records {
            let number = |place: usize| {
                let bytes: [u8; 8] = record[place * 8..][..8].try_into().expect("eight bytes");
                i64::from_le_bytes(bytes)
            };
            let facts = [number(2), number(3), number(4), number(5), number(6)];
            let digest = record[56..].try_into().expect("the rest of a record");
            known.insert((number(0).cast_unsigned(), number(1).cast_unsigned()), (facts, digest));
        }
        Ok(Self { path: Some(path), known, changed: false })
    }

    /// The digest of a file's content and extended attributes. `stat` is what it was when it was
    /// found, `shown` its name in messages.
    pub(crate) fn of(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &[u8],
        stat: &Stat,
        shown: &str,
    ) -> Result<[u8; 32], BuildError> {
        if let Some(digest) = self.known(stat) {
            return Ok(digest);
        }
        let (digest, seen) = hash(folder, path, stat, shown)?;
        self.remember(&seen, digest);
        Ok(digest)
    }

    /// Gives each regular file among these, which were found below a folder, its digest. Those
    /// that are not known are read by several threads.
    pub(crate) fn of_all(
        &mut self,
        folder: &Found,
        entries: &mut [Entry],
    ) -> Result<(), BuildError> {
        let mut unknown: Vec<&mut Entry> = Vec::new();
        for entry in entries.iter_mut().filter(|entry| entry.kind() == FileType::RegularFile) {
            match self.known(&entry.stat) {
                Some(digest) => entry.digest = Some(digest),
                None => unknown.push(entry),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let root = reopen(folder.file.as_fd())
            .map_err(BuildError::io("open", String::from_utf8_lossy(&folder.real).into_owned()))?;
        let read = |entry: &Entry| {
            let shown = String::from_utf8_lossy(&entry.path);
            hash(root.as_fd(), &entry.path, &entry.stat, &shown)
        };
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = || {
            let mut done = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(entry) = unknown.get(place) else { break };
                let found = read(entry);
                failed.fetch_or(found.is_err(), Ordering::Relaxed);
                done.push((place, found));
            }
            done
        };
        let workers = workers().min(unknown.len().div_ceil(FILES_FOR_A_THREAD));
        let mut done: Vec<_> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            for other in others {
                match other.join() {
                    Ok(done) => all.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        // The first one that failed is the one that is told of.
        done.sort_by_key(|(place, _)| *place);
        for (place, found) in done {
            let (digest, seen) = found?;
            unknown[place].digest = Some(digest);
            self.remember(&seen, digest);
        }
        Ok(())
    }

    fn known(&self, stat: &Stat) -> Option<[u8; 32]> {
        let (known, digest) = self.known.get(&inode(stat))?;
        (*known == facts(stat)).then_some(*digest)
    }

    fn remember(&mut self, seen: &Stat, digest: [u8; 32]) {
        if self.path.is_some() && is_settled(seen) && self.known.len() < MOST {
            self.known.insert(inode(seen), (facts(seen), digest));
            self.changed = true;
        }
    }

    /// Writes down what is new. A failure costs time later and nothing else.
    pub(crate) fn save(&self) {
        let (Some(path), true) = (&self.path, self.changed) else { return };
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.known.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        for ((device, inode), (facts, digest)) in &self.known {
            bytes.extend_from_slice(&device.to_le_bytes());
            bytes.extend_from_slice(&inode.to_le_bytes());
            facts.iter().for_each(|fact| bytes.extend_from_slice(&fact.to_le_bytes()));
            bytes.extend_from_slice(digest);
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        if let (Ok(folder), Some(name)) = (File::open(folder), name.to_str()) {
            let _ = sys::fs::replace_file(folder.as_fd(), name, &bytes, false);
        }
    }
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[expect(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
fn facts(stat: &Stat) -> Facts {
    [
        stat.st_size as i64,
        stat.st_mtime as i64,
        stat.st_mtime_nsec as i64,
        stat.st_ctime as i64,
        stat.st_ctime_nsec as i64,
    ]
}

/// Whether the same facts mean the same content.
pub(crate) fn is_same(left: &Stat, right: &Stat) -> bool {
    inode(left) == inode(right) && facts(left) == facts(right)
}

fn is_settled(stat: &Stat) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let [_, mtime, mtime_nanos, ctime, ctime_nanos] = facts(stat).map(i128::from);
    let last = (mtime * 1_000_000_000 + mtime_nanos).max(ctime * 1_000_000_000 + ctime_nanos);
    i128::try_from(now).unwrap_or(0) - last > RACY_NANOS
}

/// Reads a file by its path from a folder, no part of which may be a link; answers its digest and
/// what it was while it was read.
fn hash(
    folder: BorrowedFd<'_>,
    path: &[u8],
    stat: &Stat,
    shown: &str,
) -> Result<([u8; 32], Stat), BuildError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open_below(folder, path, flags).map_err(BuildError::io("open", shown))?;
    let before = rustix::fs::fstat(&file).map_err(BuildError::io("inspect", shown))?;
    let attributes = attributes(file.as_fd()).map_err(BuildError::io("read", shown))?;
    let mut file = File::from(file);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; buffer_size(&before)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BuildError::io("read", shown)(error)),
        }
    }
    let after = rustix::fs::fstat(&file).map_err(BuildError::io("inspect", shown))?;
    if !is_same(&before, &after) || !is_same(stat, &after) {
        return Err(BuildError::Changed { path: shown.to_owned() });
    }
    let mut digest = bytes(&hasher.finish());
    if !attributes.is_empty() {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&digest);
        for (name, value) in &attributes {
            for part in [name.as_bytes(), value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        digest = bytes(&hasher.finish());
    }
    Ok((digest, after))
}

/// Opens a path of any length.
fn open_below(folder: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> std::io::Result<OwnedFd> {
    let mut held: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() >= LONGEST_PATH {
        let Some(cut) = rest[..LONGEST_PATH].iter().rposition(|byte| *byte == b'/') else { break };
        let from = held.as_ref().map_or(folder, AsFd::as_fd);
        let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        held = Some(sys::fs::open_beneath(from, &rest[..cut], way, Mode::empty())?);
        rest = &rest[cut + 1..];
    }
    let from = held.as_ref().map_or(folder, AsFd::as_fd);
    sys::fs::open_beneath(from, rest, flags, Mode::empty())
}

fn buffer_size(stat: &Stat) -> usize {
    usize::try_from(stat.st_size).unwrap_or(0).clamp(1, 128 << 10)
}

/// The extended attributes that a layer keeps, sorted: capabilities, and the user's.
pub(crate) fn attributes(file: BorrowedFd<'_>) -> std::io::Result<Vec<(CString, Vec<u8>)>> {
    let mut names = vec![0; 1024];
    let length = match rustix::fs::flistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(rustix::io::Errno::RANGE) => {
            names.resize(64 << 10, 0);
            rustix::fs::flistxattr(file, &mut names[..])?
        }
        Err(errno) => return Err(errno.into()),
    };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let name = CString::new(name).expect("it was split at zeros");
        if let Some(value) = sys::fs::get_xattr(file, &name)? {
            found.push((name, value));
        }
    }
    found.sort();
    Ok(found)
}

/// Those by which an overlay speaks to itself are no part of a file: in a user namespace they are
/// `user.overlay.*`, and who writes a context could hide or redirect what is in lower layers.
fn is_kept(name: &[u8]) -> bool {
    let is_overlays = name.starts_with(b"user.overlay.");
    name == b"security.capability" || name.starts_with(b"user.") && !is_overlays
}

/// The 32 bytes of a SHA-256.
pub(crate) fn bytes(digest: &Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digest.hex().as_bytes().chunks_exact(2)) {
        let text = std::str::from_utf8(pair).unwrap_or("00");
        *byte = u8::from_str_radix(text, 16).unwrap_or(0);
    }
    bytes
}
