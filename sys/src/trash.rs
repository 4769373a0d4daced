//! Directories on their way out: renamed away in one step, deleted at leisure.
//!
//! A tree is never deleted where it stands, since a half-deleted layer or volume would look like
//! a whole one. It is renamed into `<root>/trash/<random>` first; from then on it is garbage, and
//! whoever comes by may delete it, several at once.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

use crate::tree::{Removed, remove_tree};

/// `<root>/trash`, open.
#[derive(Debug)]
pub struct Trash {
    dir: OwnedFd,
}

/// The folder's name below the data root.
const NAME: &CStr = c"trash";

impl Trash {
    /// Opens the trash of a data root; makes it if it is not there.
    pub fn open(root: &Path) -> io::Result<Self> {
        // The root itself may be a link; nothing below it is.
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        Self::open_at(root.as_fd())
    }

    /// As [`Trash::open`], with the data root as a descriptor.
    pub fn open_at(root: BorrowedFd<'_>) -> io::Result<Self> {
        let open = || rustix::fs::openat(root, NAME, DIRECTORY, Mode::empty());
        let dir = match open() {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(root, NAME, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(Errno::EXIST) => open()?,
                    Err(errno) => return Err(errno.into()),
                }
            }
            other => other?,
        };
        Ok(Self { dir })
    }

    /// Moves `name` out of `dir` into the trash: one rename. Deletes nothing yet.
    ///
    /// `NotFound` if there is no such name. The two must be on one file system.
    pub fn put(&self, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Discarded<'_>> {
        let target =
            CString::new(crate::names::random_hex::<16>()).expect("hexadecimal digits have no NUL");
        rustix::fs::renameat(dir, name, &self.dir, &target)?;
        Ok(Discarded { trash: self, name: target })
    }

    /// Deletes everything that is in the trash.
    ///
    /// Goes on past failures and returns the first.
    pub fn empty(&self) -> io::Result<Removed> {
        let mut removed = Removed::default();
        let mut first = None;
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            match remove_tree(self.dir.as_fd(), entry.file_name()) {
                Ok(one) => {
                    removed.entries += one.entries;
                    removed.bytes += one.bytes;
                }
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok(removed),
            Some(error) => Err(error),
        }
    }
}

/// A tree in the trash. Dropping this leaves it there for the next [`Trash::empty`].
#[derive(Debug)]
#[must_use = "delete it, or drop it to leave that to the next sweep"]
pub struct Discarded<'a> {
    trash: &'a Trash,
    name: CString,
}

impl Discarded<'_> {
    /// Deletes the tree now.
    pub fn delete(self) -> io::Result<Removed> {
        remove_tree(self.trash.dir.as_fd(), &self.name)
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_put_away_is_gone_at_once_and_deleted_later() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            fs::create_dir_all(temp.path().join(name).join("sub")).unwrap();
        }
        let trash = Trash::open(temp.path()).unwrap();
        let root = fs::File::open(temp.path()).unwrap();

        assert_eq!(trash.put(root.as_fd(), c"one").unwrap().delete().unwrap().entries, 2);
        drop(trash.put(root.as_fd(), c"two").unwrap());
        assert!(!temp.path().join("two").exists());
        assert_eq!(fs::read_dir(temp.path().join("trash")).unwrap().count(), 1);

        assert_eq!(Trash::open(temp.path()).unwrap().empty().unwrap().entries, 2);
        let error = trash.put(root.as_fd(), c"two").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
