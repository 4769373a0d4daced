//! Directories on their way out: renamed away in one step, deleted at leisure.
//!
//! A tree is never deleted where it stands, since a half-deleted layer or volume would look like
//! a whole one. It is renamed into `<root>/trash/<random>` first; from then on it is garbage, and
//! whoever comes by may delete it, several at once.
//!
//! A few emptied directories stay there to be used again ([`Trash::take_spare`]): where a directory
//! is to lie apart from its siblings ([`crate::fs::hint_unrelated`]), ext4 takes ten times as long
//! to make one as to rename one.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::tree::{Removed, clear_tree, remove_tree};

/// `<root>/trash`, open.
#[derive(Debug)]
pub struct Trash {
    dir: OwnedFd,
}

/// How many emptied directories are kept.
const SPARES: usize = 4;
/// Their names, before the number.
const SPARE: &str = "spare-";
/// Before the name of what may become one.
const REUSABLE: &str = "dir-";
/// The mode of what is kept.
const PRIVATE: Mode = Mode::RWXU;

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
        self.put_as("", dir, name)
    }

    /// As [`Trash::put`], for a directory that may become a spare one: nobody but its owner could
    /// ever enter it, and it has no attributes of its own.
    pub fn put_reusable(&self, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Discarded<'_>> {
        self.put_as(REUSABLE, dir, name)
    }

    fn put_as(&self, prefix: &str, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Discarded<'_>> {
        let target = CString::new(format!("{prefix}{}", crate::names::random_hex::<16>()))
            .expect("hexadecimal digits have no NUL");
        rustix::fs::renameat(dir, name, &self.dir, &target)?;
        Ok(Discarded { trash: self, name: target })
    }

    /// Makes an empty directory `name` in `dir` out of a spare one, of mode 0700; its change time is
    /// now, its other times are old. Whether there was one, and no such name.
    pub fn take_spare(&self, dir: BorrowedFd<'_>, name: &CStr) -> bool {
        spare_names()
            .any(|spare| renameat_with(&self.dir, spare, dir, name, RenameFlags::NOREPLACE).is_ok())
    }

    /// Deletes everything that is in the trash.
    ///
    /// Goes on past failures and returns the first.
    pub fn empty(&self) -> io::Result<Removed> {
        let mut removed = Removed::default();
        let mut first = None;
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || is_spare(name) {
                continue;
            }
            match self.delete(name) {
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

    fn delete(&self, name: &CStr) -> io::Result<Removed> {
        if !name.to_bytes().starts_with(REUSABLE.as_bytes()) {
            return remove_tree(self.dir.as_fd(), name);
        }
        let dir = match rustix::fs::openat(&self.dir, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Removed::default()),
            dir => dir?,
        };
        // Whoever empties it holds the lock: what is a spare one has no eraser any more. One who
        // comes late finds that the name is gone, or the lock taken.
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(Removed::default()),
            locked => locked?,
        }
        let own = rustix::fs::fstat(&dir)?;
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) if (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino) => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(Removed::default()),
            Err(errno) => return Err(errno.into()),
        }
        let mut removed = clear_tree(dir.try_clone()?)?;
        removed.entries += 1;
        let is_ours = own.st_uid == rustix::process::geteuid().as_raw();
        let keep = |spare: CString| {
            renameat_with(&self.dir, name, &self.dir, spare, RenameFlags::NOREPLACE).is_ok()
        };
        if is_ours && rustix::fs::fchmod(&dir, PRIVATE).is_ok() && spare_names().any(keep) {
            return Ok(removed);
        }
        rustix::fs::unlinkat(&self.dir, name, AtFlags::REMOVEDIR)?;
        Ok(removed)
    }
}

fn spare_names() -> impl Iterator<Item = CString> {
    (0..SPARES).map(|number| CString::new(format!("{SPARE}{number}")).expect("no NUL in it"))
}

/// Whether something in the trash is a directory that is kept to be used again.
pub fn is_spare(name: &CStr) -> bool {
    name.to_bytes().starts_with(SPARE.as_bytes())
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
        self.trash.delete(&self.name)
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

    #[test]
    fn a_few_emptied_directories_are_used_again() {
        let temp = tempfile::tempdir().unwrap();
        let trash = Trash::open(temp.path()).unwrap();
        let root = fs::File::open(temp.path()).unwrap();
        assert!(!trash.take_spare(root.as_fd(), c"new"));
        for number in 0..SPARES + 2 {
            let path = temp.path().join(number.to_string());
            fs::create_dir_all(path.join("sub")).unwrap();
            fs::write(path.join("sub/file"), "old").unwrap();
            let name = CString::new(number.to_string()).unwrap();
            let removed = trash.put_reusable(root.as_fd(), &name).unwrap().delete().unwrap();
            assert_eq!(removed.entries, 3);
        }
        trash.empty().unwrap();
        assert_eq!(fs::read_dir(temp.path().join("trash")).unwrap().count(), SPARES);
        for number in 0..SPARES {
            let name = CString::new(number.to_string()).unwrap();
            assert!(trash.take_spare(root.as_fd(), &name));
            let path = temp.path().join(number.to_string());
            assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
            assert_eq!(mode & 0o7777, 0o700);
        }
        assert!(!trash.take_spare(root.as_fd(), c"new"));
    }

    #[test]
    fn what_somebody_else_is_emptying_is_left_to_him() {
        let temp = tempfile::tempdir().unwrap();
        let trash = Trash::open(temp.path()).unwrap();
        let root = fs::File::open(temp.path()).unwrap();
        fs::create_dir_all(temp.path().join("one/sub")).unwrap();
        let discarded = trash.put_reusable(root.as_fd(), c"one").unwrap();
        let path = temp.path().join("trash").join(discarded.name.to_str().unwrap());
        let held = fs::File::open(&path).unwrap();
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(discarded.delete().unwrap().entries, 0);
        assert!(path.join("sub").exists());
        drop(held);
        assert_eq!(trash.empty().unwrap().entries, 2);
    }
}
