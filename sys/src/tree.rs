//! Deleting directory trees by descriptor: no link is followed and no mount is entered.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What a deletion removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files, directories and everything else.
    pub entries: u64,
    /// Space on disk that the removed inodes held; files with other names elsewhere are not
    /// counted.
    pub bytes: u64,
}

/// Deletes what `name` is in `dir`: a tree, a file, or nothing at all (which is no error).
///
/// Each directory is opened from its parent's descriptor with
/// `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV`, so that a link or a mount that
/// somebody puts in the way is deleted or refused, never walked into. A mount point is `EXDEV`.
/// Depth is bounded only by open files: beyond [`MAX_DEPTH`] levels a directory is first moved up
/// into the tree's root. Others may delete the same tree at the same time. After a failure the
/// rest is still deleted; the first error is returned.
///
/// `name` is one component, without a slash.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Removed> {
    let mut walk = Walk { removed: Removed::default(), first: None, top: None, moved: 0 };
    walk.remove(dir, name, 0);
    match walk.first {
        None => Ok(walk.removed),
        Some(errno) => Err(errno.into()),
    }
}

/// Deletes all that is in `dir`, as [`remove_tree`] does, and leaves the directory itself.
pub fn clear_tree(dir: OwnedFd) -> io::Result<Removed> {
    let mut walk = Walk { removed: Removed::default(), first: None, top: None, moved: 0 };
    walk.top = dir.try_clone().ok();
    walk.empty_root(dir.as_fd());
    match walk.first {
        None => Ok(walk.removed),
        Some(errno) => Err(errno.into()),
    }
}

/// How many directories are open at once at most.
const MAX_DEPTH: usize = 128;

struct Walk {
    removed: Removed,
    first: Option<Errno>,
    /// The tree's root, where directories that lie too deep are moved to.
    top: Option<OwnedFd>,
    moved: u64,
}

impl Walk {
    fn note(&mut self, errno: Errno) {
        if errno != Errno::NOENT {
            self.first.get_or_insert(errno);
        }
    }

    fn remove(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) {
        match self.unlink(parent, name) {
            // EISDIR is Linux's answer for directories, EPERM that of POSIX.
            Err(Errno::ISDIR | Errno::PERM) => self.remove_directory(parent, name, depth),
            Err(errno) => self.note(errno),
            Ok(()) => {}
        }
    }

    fn unlink(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(Errno::ISDIR);
        }
        rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
        self.count(u64::from(stat.st_nlink == 1) * u64::try_from(stat.st_blocks).unwrap_or(0));
        Ok(())
    }

    fn count(&mut self, blocks: u64) {
        self.removed.entries += 1;
        self.removed.bytes += blocks * 512;
    }

    fn remove_directory(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: usize) {
        if depth >= MAX_DEPTH {
            self.move_up(parent, name);
            return;
        }
        let dir = match open_directory(parent, name) {
            Ok(dir) => dir,
            Err(errno) => return self.note(errno),
        };
        if depth == 0 {
            self.top = dir.try_clone().ok();
            self.empty_root(dir.as_fd());
        } else {
            self.empty(dir.as_fd(), depth);
        }
        let blocks = rustix::fs::fstat(&dir).map_or(0, |stat| stat.st_blocks);
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.count(u64::try_from(blocks).unwrap_or(0)),
            // What could not be removed inside has been noted already.
            Err(Errno::NOTEMPTY) if self.first.is_some() || self.moved > 0 => {}
            Err(errno) => self.note(errno),
        }
    }

    /// A directory that was moved up appears in the root while that is read or after: goes on until
    /// a pass moves nothing.
    fn empty_root(&mut self, dir: BorrowedFd<'_>) {
        loop {
            let moved_before = self.moved;
            self.empty(dir, 0);
            if self.moved == moved_before {
                break;
            }
        }
    }

    fn empty(&mut self, dir: BorrowedFd<'_>, depth: usize) {
        let entries = match Dir::read_from(dir) {
            Ok(entries) => entries,
            Err(errno) => return self.note(errno),
        };
        for entry in entries {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => self.remove(dir, entry.file_name(), depth + 1),
                Err(errno) => return self.note(errno),
            }
        }
    }

    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &CStr) {
        let Some(top) = &self.top else { return self.note(Errno::MFILE) };
        let target = CString::new(format!(".deep-{}", crate::names::random_hex::<8>()))
            .expect("hexadecimal digits have no NUL");
        match rustix::fs::renameat(parent, name, top, &target) {
            Ok(()) => self.moved += 1,
            Err(errno) => self.note(errno),
        }
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    loop {
        match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
            // The kernel asks for another try when a rename elsewhere got in its way.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn remove(dir: &std::path::Path, name: &str) -> io::Result<Removed> {
        remove_tree(fs::File::open(dir).unwrap().as_fd(), &CString::new(name).unwrap())
    }

    #[test]
    fn a_tree_goes_and_what_its_links_point_at_stays() {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("canary"), "alive").unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), [0_u8; 5000]).unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        symlink("../../outside/canary", tree.join("a/file-link")).unwrap();

        let removed = remove(temp.path(), "tree").unwrap();

        assert_eq!(removed.entries, 6);
        assert!(removed.bytes >= 5000);
        assert!(!tree.exists());
        assert_eq!(fs::read(outside.join("canary")).unwrap(), b"alive");
    }

    #[test]
    fn links_and_absent_names_are_no_trees() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("target")).unwrap();
        symlink("target", temp.path().join("link")).unwrap();
        assert_eq!(remove(temp.path(), "link").unwrap().entries, 1);
        assert_eq!(remove(temp.path(), "link").unwrap().entries, 0);
        assert!(temp.path().join("target").exists());
    }

    #[test]
    fn a_tree_deeper_than_the_open_files_allow_goes_too() {
        let temp = tempfile::tempdir().unwrap();
        let mut dir = OwnedFd::from(fs::File::open(temp.path()).unwrap());
        for _ in 0..1000 {
            rustix::fs::mkdirat(&dir, c"d", Mode::from_raw_mode(0o700)).unwrap();
            dir = open_directory(dir.as_fd(), c"d").unwrap();
        }
        assert_eq!(remove(temp.path(), "d").unwrap().entries, 1000);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
