//! Directories in the making: private until they are renamed, recognisable as garbage if their
//! maker dies.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::tree::{Removed, remove_tree};

/// A directory `.new-<random>` under its maker's flock(2). Dropping it deletes it.
///
/// Without the lock such a directory is garbage, which [`sweep`] removes.
#[derive(Debug)]
pub struct FreshDirectory {
    parent: OwnedFd,
    directory: OwnedFd,
    name: CString,
    /// Whether the name is still ours to remove.
    named: bool,
}

/// How the names of unfinished directories begin.
pub const PREFIX: &str = ".new-";

impl FreshDirectory {
    /// Makes one in `parent`, mode 0700, and takes its lock.
    ///
    /// Until the lock is held a sweep may take the directory for garbage; its name is looked at
    /// again under the lock, and another directory made if it is gone.
    pub fn create(parent: BorrowedFd<'_>) -> io::Result<Self> {
        loop {
            let name = CString::new(format!("{PREFIX}{}", crate::names::random_hex::<16>()))
                .expect("neither prefix nor digits have a NUL");
            rustix::fs::mkdirat(parent, &name, Mode::from_raw_mode(0o700))?;
            let directory = match open(parent, &name) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            while let Err(errno) = rustix::fs::flock(&directory, FlockOperation::LockExclusive) {
                if errno != Errno::INTR {
                    return Err(errno.into());
                }
            }
            if is_still(parent, &name, &directory) {
                let parent = parent.try_clone_to_owned()?;
                return Ok(Self { parent, directory, name, named: true });
            }
        }
    }

    /// The directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Its present name in the parent.
    pub fn name(&self) -> &str {
        self.name.to_str().expect("prefix and digits are ASCII")
    }

    /// Gives it its name in the parent by one rename; an *empty* directory of that name is
    /// replaced.
    ///
    /// On failure it stays what it was, and the caller may try again. `EEXIST` or `ENOTEMPTY` says
    /// that the name is taken.
    pub fn rename_to(&mut self, target: &str) -> Result<(), Errno> {
        rustix::fs::renameat(&self.parent, &self.name, &self.parent, target)?;
        self.named = false;
        Ok(())
    }
}

impl Drop for FreshDirectory {
    fn drop(&mut self) {
        if self.named {
            // What cannot be removed now is garbage, and the next sweep's.
            let _ = remove_tree(self.parent.as_fd(), &self.name);
        }
    }
}

/// Removes the unfinished directories in `parent` whose makers have died.
pub fn sweep(parent: BorrowedFd<'_>) -> io::Result<Removed> {
    let mut removed = Removed::default();
    for entry in Dir::read_from(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let directory = match open(parent, name) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        // Finished in between, it has another name and is not ours.
        if is_still(parent, name, &directory) {
            let one = remove_tree(parent, name)?;
            removed.entries += one.entries;
            removed.bytes += one.bytes;
        }
    }
    Ok(removed)
}

fn open(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Whether `name` still leads to the directory that is open.
fn is_still(parent: BorrowedFd<'_>, name: &CStr, directory: &OwnedFd) -> bool {
    let named = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let open = rustix::fs::fstat(directory);
    matches!((named, open), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_directory_is_kept_by_its_rename_and_deleted_without() {
        let temp = tempfile::tempdir().unwrap();
        let parent = fs::File::open(temp.path()).unwrap();
        let mut kept = FreshDirectory::create(parent.as_fd()).unwrap();
        rustix::fs::mkdirat(kept.directory(), "sub", Mode::from_raw_mode(0o755)).unwrap();
        let dropped = FreshDirectory::create(parent.as_fd()).unwrap();
        fs::create_dir_all(temp.path().join(".new-dead/sub")).unwrap();
        fs::create_dir_all(temp.path().join("taken/sub")).unwrap();

        assert_eq!(sweep(parent.as_fd()).unwrap().entries, 2);
        assert_eq!(kept.rename_to("taken").unwrap_err(), Errno::NOTEMPTY);
        kept.rename_to("name").unwrap();
        drop(kept);
        drop(dropped);

        let names = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["name", "taken"]);
    }
}
