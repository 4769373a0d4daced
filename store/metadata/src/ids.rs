//! Ranges of user and group ids for containers that have ids of their own: none is given twice.
//!
//! ```text
//! <dir>/<uid>-<gid>-<size>   a symbolic link whose text is the directory of the container whose
//!                            ids these are: user uid and group gid are its 0
//!      /.lock                flock: whoever claims or gives back
//! ```
//!
//! One directory for all data directories of a host, since ids are the host's. A claim is made
//! before its container is there; one whose container is still not there after
//! [`crate::UNBORN_GRACE`] was left by a killed process, and goes to whoever needs a range next.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, open, openat, readlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::failed;
use crate::{MetadataError, UNBORN_GRACE};

const LOCK: &str = ".lock";

/// As many user ids as group ids, each in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdRange {
    /// The first user id on the host.
    pub uid: u32,
    /// The first group id on the host.
    pub gid: u32,
    /// How many of each.
    pub size: u32,
}

impl IdRange {
    fn name(self) -> String {
        format!("{}-{}-{}", self.uid, self.gid, self.size)
    }

    fn parse(name: &str) -> Option<Self> {
        let mut numbers = name.split('-').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let range = Self { uid: next()?, gid: next()?, size: next()? };
        (range.name() == name).then_some(range)
    }
}

/// All claims of a host.
#[derive(Debug)]
pub struct IdClaims {
    path: PathBuf,
    dir: OwnedFd,
}

/// A claim whose container is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayClaim {
    /// What was claimed.
    pub range: IdRange,
    /// The directory of the container for which it was.
    pub owner: PathBuf,
}

impl IdClaims {
    /// Opens `dir`, and makes it if it is missing.
    pub fn open(dir: &Path) -> Result<Self, MetadataError> {
        std::fs::create_dir_all(dir).map_err(|source| MetadataError::Io {
            action: "create",
            path: dir.to_owned(),
            source,
        })?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = open(dir, flags, Mode::empty()).map_err(failed("open", dir))?;
        Ok(Self { path: dir.to_owned(), dir: opened })
    }

    /// Claims `size` ids out of `pool` for the container whose directory will be `owner`; `None`
    /// if no such row is free.
    pub fn claim(
        &self,
        pool: IdRange,
        size: u32,
        owner: &Path,
    ) -> Result<Option<IdRange>, MetadataError> {
        let _lock = self.lock()?;
        let count = pool.size.checked_div(size).unwrap_or(0);
        // Rows are told apart by their places in the pool, whatever was claimed out of another.
        let mut taken = BTreeSet::new();
        for (range, owner) in self.entries()? {
            if self.is_stray(range, &owner, UNBORN_GRACE)? {
                self.unlink(range)?;
                continue;
            }
            for (first, start) in [(range.uid, pool.uid), (range.gid, pool.gid)] {
                let (first, start) = (u64::from(first), u64::from(start));
                let end = (first + u64::from(range.size)).saturating_sub(start);
                let first = first.saturating_sub(start);
                let places = first / u64::from(size)..end.div_ceil(u64::from(size));
                taken.extend(places.take_while(|place| *place < u64::from(count)));
            }
        }
        let Some(place) = (0..count).find(|place| !taken.contains(&u64::from(*place))) else {
            return Ok(None);
        };
        let offset = place * size;
        let range = IdRange { uid: pool.uid + offset, gid: pool.gid + offset, size };
        rustix::fs::symlinkat(owner, &self.dir, range.name())
            .map_err(failed("create", self.path.join(range.name())))?;
        Ok(Some(range))
    }

    /// Gives a range back; it need not be there any more.
    pub fn release(&self, range: IdRange, owner: &Path) -> Result<(), MetadataError> {
        let _lock = self.lock()?;
        match self.owner(range)? {
            Some(found) if found == owner => self.unlink(range),
            _ => Ok(()),
        }
    }

    /// The claims whose containers are not there, `grace` after they were made.
    pub fn strays(&self, grace: Duration) -> Result<Vec<StrayClaim>, MetadataError> {
        let mut strays = Vec::new();
        for (range, owner) in self.entries()? {
            if self.is_stray(range, &owner, grace)? {
                strays.push(StrayClaim { range, owner });
            }
        }
        Ok(strays)
    }

    /// Gives back what a killed process left, if it still is that.
    pub fn clear(&self, stray: &StrayClaim, grace: Duration) -> Result<(), MetadataError> {
        let _lock = self.lock()?;
        match self.owner(stray.range)? {
            Some(owner) if owner == stray.owner && self.is_stray(stray.range, &owner, grace)? => {
                self.unlink(stray.range)
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> Result<OwnedFd, MetadataError> {
        let path = self.path.join(LOCK);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = openat(&self.dir, LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed("open", &path))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(failed("lock", &path))?;
        Ok(lock)
    }

    fn entries(&self) -> Result<Vec<(IdRange, PathBuf)>, MetadataError> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.dir).map_err(failed("read", &self.path))? {
            let entry = entry.map_err(failed("read", &self.path))?;
            let range = entry.file_name().to_str().ok().and_then(IdRange::parse);
            // Given back meanwhile, if it has no owner.
            if let Some(range) = range
                && let Some(owner) = self.owner(range)?
            {
                entries.push((range, owner));
            }
        }
        Ok(entries)
    }

    fn owner(&self, range: IdRange) -> Result<Option<PathBuf>, MetadataError> {
        match readlinkat(&self.dir, range.name(), Vec::new()) {
            Ok(text) => Ok(Some(PathBuf::from(text.to_string_lossy().into_owned()))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("read", self.path.join(range.name()))(errno)),
        }
    }

    fn is_stray(
        &self,
        range: IdRange,
        owner: &Path,
        grace: Duration,
    ) -> Result<bool, MetadataError> {
        if owner.exists() {
            return Ok(false);
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let made = match rustix::fs::statat(&self.dir, range.name(), flags) {
            Ok(stat) => Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0)),
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(failed("look at", self.path.join(range.name()))(errno)),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(now.saturating_sub(made) >= grace)
    }

    fn unlink(&self, range: IdRange) -> Result<(), MetadataError> {
        match rustix::fs::unlinkat(&self.dir, range.name(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove", self.path.join(range.name()))(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: IdRange = IdRange { uid: 1_000_000, gid: 2_000_000, size: 400 };

    #[test]
    fn no_range_is_given_twice_until_it_is_given_back() {
        let temp = tempfile::tempdir().unwrap();
        let claims = IdClaims::open(&temp.path().join("ids")).unwrap();
        let owner = temp.path().join("one");
        std::fs::create_dir(&owner).unwrap();
        let claim = || claims.claim(POOL, 100, &owner).unwrap();
        let first: Vec<_> = (0..4).map(|_| claim().unwrap()).collect();
        let wanted =
            |place: u32| IdRange { uid: 1_000_000 + place, gid: 2_000_000 + place, size: 100 };
        assert_eq!(first, [wanted(0), wanted(100), wanted(200), wanted(300)]);
        assert_eq!(claim(), None);
        claims.release(first[2], Path::new("/another")).unwrap();
        assert_eq!(claim(), None, "it was not that one's");
        claims.release(first[2], &owner).unwrap();
        claims.release(first[2], &owner).unwrap();
        assert_eq!(claim(), Some(first[2]));
    }

    #[test]
    fn ranges_of_another_pool_count_where_they_overlap() {
        let temp = tempfile::tempdir().unwrap();
        let claims = IdClaims::open(temp.path()).unwrap();
        let owner = temp.path();
        // 60 of the users of the second place, and of the groups of the third.
        let other = IdRange { uid: 1_000_140, gid: 2_000_260, size: 60 };
        assert_eq!(claims.claim(other, 60, owner).unwrap(), Some(other));
        let places: Vec<_> = std::iter::from_fn(|| claims.claim(POOL, 100, owner).unwrap())
            .map(|range| range.uid - POOL.uid)
            .collect();
        // The groups reach into the fourth.
        assert_eq!(places, [0]);
    }

    #[test]
    fn what_a_killed_process_claimed_is_told_and_given_to_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let claims = IdClaims::open(&temp.path().join("ids")).unwrap();
        let owner = temp.path().join("never");
        let range = claims.claim(POOL, 400, &owner).unwrap().unwrap();
        assert_eq!(claims.claim(POOL, 400, temp.path()).unwrap(), None, "it may come yet");
        assert_eq!(claims.strays(UNBORN_GRACE).unwrap(), []);
        let stray = StrayClaim { range, owner };
        assert_eq!(claims.strays(Duration::ZERO).unwrap(), std::slice::from_ref(&stray));
        claims.clear(&stray, Duration::ZERO).unwrap();
        assert_eq!(claims.claim(POOL, 400, temp.path()).unwrap(), Some(range));
        claims.clear(&stray, Duration::ZERO).unwrap();
        assert_eq!(claims.strays(Duration::ZERO).unwrap(), [], "it is somebody else's by now");
    }
}
