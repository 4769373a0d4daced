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
use super::dirs::{Dir, Dirs, is_whiteout, open_beside, set_opaque};
use super::fault::Fault;

/// How deep a tree may be that a whiteout goes through: each level holds two open files.
const MAX_DEPTH: usize = 256;

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

    /// Deletes everything in a directory that this layer has not made.
    fn clear(&mut self, dir: &Dir, dirs: &Dirs, depth: usize) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(Errno::NAMETOOLONG));
        }
        if !self.cleared.insert(dir.inode) {
            return Ok(());
        }
        for child in rustix::fs::Dir::read_from(&dir.fd).map_err(fault)? {
            let child = child.map_err(fault)?;
            let name = child.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                self.clear_child(dir, name, dirs, depth)?;
            }
        }
        dirs.settle(dir);
        Ok(())
    }

    /// Deletes one name, or what is not this layer's below it. A lower layer's directory stays if
    /// something of this layer is in it.
    fn clear_child(
        &mut self,
        dir: &Dir,
        name: &[u8],
        dirs: &Dirs,
        depth: usize,
    ) -> Result<(), Fault> {
        let is_made = self.made.contains(&(dir.inode, name.into()));
        let below = match open_beside(dir, name) {
            Ok(below) => below,
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR | Errno::LOOP) if is_made => return Ok(()),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()).map_err(fault);
            }
            Err(errno) => return Err(fault(errno)),
        };
        self.clear(&below, dirs, depth + 1)?;
        if is_made {
            return Ok(());
        }
        match rustix::fs::unlinkat(&dir.fd, name, AtFlags::REMOVEDIR) {
            // The number may be another directory's next.
            Ok(()) => _ = self.cleared.remove(&below.inode),
            Err(Errno::NOTEMPTY) => {}
            Err(errno) => return Err(fault(errno)),
        }
        Ok(())
    }
}

fn fault(errno: Errno) -> Fault {
    Fault::System("delete what a whiteout hides", errno)
}

impl Applier<'_> {
    /// `.wh.NAME`: lower layers have no NAME here.
    pub(super) fn whiteout(&mut self, dir: &Dir, hidden: &[u8]) -> Result<(), Fault> {
        if let Some(lower) = &mut self.lower {
            self.dirs.forget();
            return lower.clear_child(dir, hidden, &self.dirs, 0);
        }
        let fault = |errno| Fault::System("make a whiteout", errno);
        let kind = FileType::CharacterDevice;
        match rustix::fs::mknodat(&dir.fd, hidden, kind, Mode::empty(), 0) {
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
        match &mut self.lower {
            None => set_opaque(dir),
            Some(lower) if lower.cleared.contains(&dir.inode) => Ok(()),
            Some(lower) => {
                self.dirs.forget();
                lower.clear(dir, &self.dirs, 0)
            }
        }
    }

    /// Makes room for an entry where another one stands.
    pub(super) fn clear_way(&mut self, dir: &Dir, name: &[u8]) -> Result<(), Fault> {
        let fault = |errno| Fault::System("replace what stood there", errno);
        let stat = match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(fault)?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        // Open directories may be in it or may have been found through it.
        if matches!(kind, FileType::Directory | FileType::Symlink) {
            self.dirs.forget();
        }
        if kind == FileType::Directory {
            let name = CString::new(name).expect("the reader refuses names with a NUL");
            let removed = sys::tree::remove_tree(dir.as_fd(), &name)
                .map_err(|error| fault(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
            self.uncount(removed.entries, 0);
            return Ok(());
        }
        rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()).map_err(fault)?;
        if !is_whiteout(&stat) {
            let is_last = kind == FileType::RegularFile && stat.st_nlink == 1;
            self.uncount(1, if is_last { stat.st_size.unsigned_abs() } else { 0 });
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
