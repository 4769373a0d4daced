//! Mount points that had to be made in the new layer, and are no part of it.
//!
//! The runtime makes a file or folder where something is mounted, in the overlay and so in the new
//! layer. Which of them were there before is noted first; afterwards what is new and still empty
//! is removed, by one name in an open folder at a time and never through a link
//! (CVE-2024-23652), and so are folders of the layers below that were only copied up for them.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::{Digest, Mount};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::BuildError;
use crate::request::Stores;
use crate::tree::{Found, Tree, list};

/// What every container gets files mounted over.
const ALWAYS: [&str; 7] =
    ["/proc", "/sys", "/dev", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/dev/shm"];

/// What to look at after the step.
pub(crate) struct Stubs {
    /// Each a path without links, from the root, that was not there; the deepest first.
    new: Vec<String>,
    /// Folders above them that were there, and what they were; the deepest first.
    above: Vec<(String, Stat)>,
}

impl Stubs {
    /// Looks at what is there before the step.
    pub(crate) fn note(
        stores: &Stores,
        below: &[Digest],
        mounts: &[Mount],
    ) -> Result<Self, BuildError> {
        let root = super::layer::mounted(&stores.snapshots.mounts(below, None, true)?)?;
        let tree = Tree { root: root.as_fd(), ignore: None, owners: true };
        let mut stubs = Self { new: Vec::new(), above: Vec::new() };
        let targets = ALWAYS.into_iter().chain(mounts.iter().map(|mount| &*mount.destination));
        for target in targets {
            stubs.look(&tree, target)?;
        }
        stubs.new.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        stubs.new.dedup();
        stubs.above.sort_by_key(|(path, _)| std::cmp::Reverse(path.matches('/').count()));
        stubs.above.dedup_by(|(left, _), (right, _)| left == right);
        Ok(stubs)
    }

    fn look(&mut self, tree: &Tree<'_>, target: &str) -> Result<(), BuildError> {
        let mut path = String::new();
        // The deepest folder that is there, by its path without links.
        let mut real = String::new();
        let mut there = true;
        for name in target.split('/').filter(|name| !name.is_empty()) {
            path = format!("{path}/{name}");
            let found = match there {
                true => tree.find(&path)?,
                false => None,
            };
            match found {
                Some(Found { real: found, stat, .. }) => {
                    real = format!("/{}", String::from_utf8_lossy(&found));
                    self.above.push((real.clone(), stat));
                }
                None => {
                    there = false;
                    real = format!("{}/{name}", real.trim_end_matches('/'));
                    self.new.push(real.clone());
                }
            }
        }
        Ok(())
    }

    /// Removes from the layer what the step did not make itself.
    pub(crate) fn remove(self, layer: BorrowedFd<'_>) -> Result<(), BuildError> {
        let mut changed = false;
        for path in &self.new {
            changed |= remove_empty(layer, path).map_err(BuildError::io("remove", path))?;
        }
        if !changed {
            return Ok(());
        }
        for (path, before) in &self.above {
            let Ok((folder, name)) = parent(layer, path) else { continue };
            let Ok(now) = rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let same = (now.st_mode, now.st_uid, now.st_gid)
                == (before.st_mode, before.st_uid, before.st_gid);
            // Removed only if it is empty: whatever the step changed in it is still there.
            if same
                && FileType::from_raw_mode(now.st_mode) == FileType::Directory
                && !is_opaque(&folder, &name)
            {
                let _ = rustix::fs::unlinkat(&folder, &name, AtFlags::REMOVEDIR);
            }
        }
        Ok(())
    }
}

/// Removes an empty file or folder; whether it did.
fn remove_empty(layer: BorrowedFd<'_>, path: &str) -> Result<bool, Errno> {
    let (folder, name) = match parent(layer, path) {
        Ok(found) => found,
        Err(error) if crate::tree::is_absent(&error) => return Ok(false),
        Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    };
    let stat = match rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    let flags = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
        _ => return Ok(false),
    };
    match rustix::fs::unlinkat(&folder, &name, flags) {
        Ok(()) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The folder in the layer that holds a path, reached without following a link.
fn parent(layer: BorrowedFd<'_>, path: &str) -> std::io::Result<(OwnedFd, CString)> {
    let (folder, name) =
        path.trim_start_matches('/').rsplit_once('/').unwrap_or(("", path.trim_start_matches('/')));
    let folder = if folder.is_empty() { "." } else { folder };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let opened = sys::fs::open_beneath(layer, folder, flags, Mode::empty())?;
    let name = CString::new(name)?;
    Ok((opened, name))
}

/// Whether a folder hides what lies below it: then it is a change even when it is empty.
fn is_opaque(folder: &OwnedFd, name: &CString) -> bool {
    let Ok(opened) = crate::tree::open_folder(folder.as_fd(), name) else { return true };
    let mark = sys::fs::get_xattr(opened.as_fd(), sys::overlay::opaque());
    !matches!(mark, Ok(None)) || list(opened.as_fd()).is_ok_and(|names| !names.is_empty())
}
