//! Whiteouts, in overlayfs's form or carried out.
//!
//! A whiteout speaks of lower layers only, wherever it stands among its own layer's entries: it
//! never removes one of those. image-spec 1.1.1, layer.md, "Whiteouts".

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::Applier;
use super::dirs::{Dir, is_whiteout, open_beside, set_opaque};
use super::fault::Fault;

/// What of a merged tree is not this layer's, by what is.
#[derive(Debug, Default)]
pub(super) struct Lower {
    /// Names that this layer has made, by the inode of their directory.
    made: HashSet<(u64, Box<[u8]>)>,
    /// Directories below which nothing of lower layers is left. A second marker on one of them,
    /// or on one in it, costs nothing: 100,000 markers take as long as one for each directory.
    cleared: HashSet<u64>,
}

impl Lower {
    pub(super) fn made(&mut self, dir: u64, name: &[u8]) {
        self.made.insert((dir, name.into()));
    }

    fn is_made(&self, dir: u64, name: &[u8]) -> bool {
        self.made.contains(&(dir, name.into()))
    }

    /// Deletes everything in a directory that this layer has not made.
    fn clear(&mut self, top: Dir) -> Result<(), Fault> {
        let fault = |errno| Fault::System("delete what a whiteout hides", errno);
        let mut pending = vec![top];
        while let Some(dir) = pending.pop() {
            if !self.cleared.insert(dir.inode) {
                continue;
            }
            for child in rustix::fs::Dir::read_from(&dir.fd).map_err(fault)? {
                let child = child.map_err(fault)?;
                let name = child.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                if !self.is_made(dir.inode, name.to_bytes()) {
                    remove(&dir, name.to_bytes())?;
                } else if child.file_type() == FileType::Directory {
                    pending.push(open_beside(&dir, name.to_bytes()).map_err(fault)?);
                }
            }
        }
        Ok(())
    }
}

/// Deletes a name and all below it, as far as it is there; returns how many entries that were.
fn remove(dir: &Dir, name: &[u8]) -> Result<u64, Fault> {
    let fault = |errno| Fault::System("remove what stood there", errno);
    let name = CString::new(name).map_err(|_| fault(Errno::INVAL))?;
    match sys::tree::remove_tree(dir.as_fd(), &name) {
        Ok(removed) => Ok(removed.entries),
        Err(error) => Err(fault(Errno::from_io_error(&error).unwrap_or(Errno::IO))),
    }
}

impl Applier<'_> {
    /// `.wh.NAME`: lower layers have no NAME here.
    pub(super) fn whiteout(&mut self, dir: &Dir, hidden: &[u8]) -> Result<(), Fault> {
        let fault = |errno| Fault::System("make a whiteout", errno);
        if let Some(lower) = &mut self.lower {
            if !lower.is_made(dir.inode, hidden) {
                self.dirs.forget();
                return remove(dir, hidden).map(drop);
            }
            return match open_beside(dir, hidden) {
                Ok(own) => lower.clear(own),
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT | Errno::NXIO) => Ok(()),
                Err(errno) => Err(fault(errno)),
            };
        }
        let made =
            rustix::fs::mknodat(&dir.fd, hidden, FileType::CharacterDevice, Mode::empty(), 0);
        match made {
            // This layer has such an entry itself, which hides a lower one already; a directory
            // has to say that it is not to be merged with a lower one.
            Err(Errno::EXIST) => match open_beside(dir, hidden) {
                Ok(own) => set_opaque(&own),
                Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(errno) => Err(fault(errno)),
            },
            made => made.map_err(fault),
        }
    }

    /// `.wh..wh..opq`: lower layers have nothing in this directory.
    pub(super) fn opaque(&mut self, dir: &Dir) -> Result<(), Fault> {
        let Some(lower) = &mut self.lower else { return set_opaque(dir) };
        if lower.cleared.contains(&dir.inode) {
            return Ok(());
        }
        self.dirs.forget();
        lower.clear(
            open_beside(dir, b".")
                .map_err(|errno| Fault::System("delete what a whiteout hides", errno))?,
        )
    }

    /// Makes room for an entry where another one stands.
    pub(super) fn clear_way(&mut self, dir: &Dir, name: &[u8]) -> Result<(), Fault> {
        let fault = |errno| Fault::System("replace what stood there", errno);
        let stat = match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(fault)?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.dirs.forget();
                let entries = remove(dir, name)?;
                self.uncount(entries, 0);
            }
            kind => {
                // Open directories may have been found through a link.
                if kind == FileType::Symlink {
                    self.dirs.forget();
                }
                rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()).map_err(fault)?;
                if !is_whiteout(&stat) {
                    let is_last = kind == FileType::RegularFile && stat.st_nlink == 1;
                    self.uncount(1, if is_last { stat.st_size.unsigned_abs() } else { 0 });
                }
            }
        }
        Ok(())
    }

    /// Entries of this layer are no more. Those of lower layers were never counted.
    fn uncount(&mut self, entries: u64, bytes: u64) {
        if self.lower.is_none() {
            self.applied.entries = self.applied.entries.saturating_sub(entries);
            self.applied.bytes = self.applied.bytes.saturating_sub(bytes);
        }
    }
}
