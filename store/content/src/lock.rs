//! The lock between those who add to a data root and those who collect garbage in it.
//!
//! ```text
//! adder      shared     before its first blob, layer or look-up of something that it will rely on,
//!                       until the record, name or container that keeps all of it alive is written
//! collector  exclusive  before it computes what is alive, until it has removed the rest
//! ```
//!
//! Whoever adds for long (over a network) does not hold it all the while but has a
//! [`Lease`](crate::Lease), which the collector heeds.
//!
//! So nobody's half-added image is collected, and nothing that somebody found is taken from under
//! him. Deletion of trees happens after the lock is given back: they are in the trash by then.
//!
//! It is a flock(2) on `<root>/store.lock`, which ends with its holder however that dies. Whoever
//! removes something in passing ([`StoreLock::try_exclusive`]) does not wait for a long build but
//! leaves the garbage for the next one who passes.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::ContentError;

/// Held by an adder; see the module's text. Dropping it gives it back.
#[derive(Debug)]
pub struct SharedLock(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

/// Held by a collector; see the module's text. Dropping it gives it back.
#[derive(Debug)]
pub struct ExclusiveLock(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

/// The lock of a data root.
#[derive(Debug, Clone, Copy)]
pub struct StoreLock;

impl StoreLock {
    /// Takes the lock of an adder; waits for a collector to end.
    pub fn shared(root: &Path) -> Result<SharedLock, ContentError> {
        let file = open(root)?;
        wait(root, &file, FlockOperation::LockShared)?;
        Ok(SharedLock(file))
    }

    /// Takes the lock of a collector; waits for every adder to end.
    pub fn exclusive(root: &Path) -> Result<ExclusiveLock, ContentError> {
        let file = open(root)?;
        wait(root, &file, FlockOperation::LockExclusive)?;
        Ok(ExclusiveLock(file))
    }

    /// Takes the lock of a collector if nobody adds at the moment; `None` if somebody does.
    pub fn try_exclusive(root: &Path) -> Result<Option<ExclusiveLock>, ContentError> {
        let file = open(root)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(ExclusiveLock(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed(root, "lock", errno)),
        }
    }
}

const NAME: &str = "store.lock";

fn open(root: &Path) -> Result<OwnedFd, ContentError> {
    // Without O_CREAT first: it makes the call fail on a read-only file system.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = root.join(NAME);
    match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            rustix::fs::openat(CWD, &path, flags | OFlags::CREATE, Mode::from_raw_mode(0o600))
        }
        other => other,
    }
    .map_err(|errno| failed(root, "open", errno))
}

fn wait(root: &Path, file: &OwnedFd, operation: FlockOperation) -> Result<(), ContentError> {
    loop {
        match flock(file, operation) {
            Err(Errno::INTR) => {}
            other => return other.map_err(|errno| failed(root, "lock", errno)),
        }
    }
}

fn failed(root: &Path, action: &'static str, errno: Errno) -> ContentError {
    ContentError::Io { action, path: root.join(NAME), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adders_share_and_a_collector_is_alone() {
        let temp = tempfile::tempdir().unwrap();
        let adders = [(); 2].map(|()| StoreLock::shared(temp.path()).unwrap());
        assert!(StoreLock::try_exclusive(temp.path()).unwrap().is_none());
        drop(adders);
        let collector = StoreLock::try_exclusive(temp.path()).unwrap();
        assert!(collector.is_some());
        assert!(StoreLock::try_exclusive(temp.path()).unwrap().is_none());
        drop(collector);
        drop(StoreLock::exclusive(temp.path()).unwrap());
        drop(StoreLock::shared(temp.path()).unwrap());
    }
}
