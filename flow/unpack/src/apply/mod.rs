//! An archive's entries as files below a root directory.
//!
//! The root is the caller's alone while this runs; inside the archive everybody is an enemy.
//! No path of an entry is ever given to the kernel but to openat2(2) with `RESOLVE_IN_ROOT`
//! (`dirs`); the rest happens by one name in an open directory, without following it (`make`).

mod dirs;
mod fault;
mod lower;
mod make;
mod name;

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use dirs::{Dir, Dirs};
use fault::Fault;
use lower::Lower;
use name::{Meaning, RootfsPath};

use crate::error::UnpackError;
use crate::limits::Limits;
use crate::tar::{Entry, Kind, Reader};

/// What becomes of a whiteout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whiteouts {
    /// Overlayfs's form, for a layer in a directory of its own: a character device 0:0, and the
    /// attribute `trusted.overlay.opaque` on a directory. Needs CAP_SYS_ADMIN for the latter.
    #[default]
    Overlay,
    /// What it hides is deleted, for a layer that is put over others in one tree.
    Delete,
}

/// What becomes of device nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Devices {
    /// They are made. Needs CAP_MKNOD.
    #[default]
    Make,
    /// They are left out and counted.
    Skip,
    /// The archive is refused.
    Refuse,
}

/// How an archive is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyOptions {
    /// How much it may hold.
    pub limits: Limits,
    /// What whiteouts become.
    pub whiteouts: Whiteouts,
    /// What device nodes become. Never made are those that overlayfs takes for whiteouts.
    pub devices: Devices,
    /// Whether entries get the archive's owners (needs CAP_CHOWN) or stay the process's own.
    pub owners: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            whiteouts: Whiteouts::default(),
            // In a user namespace nobody may make one, and none would be of use.
            devices: match sys::namespace::is_initial_user() {
                true => Devices::Make,
                false => Devices::Skip,
            },
            owners: true,
        }
    }
}

/// What an archive held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries made, without the root, and parent directories that were not listed.
    pub entries: u64,
    /// The sum of the files' sizes, holes included; hard links count once.
    pub bytes: u64,
    /// Whiteouts and opaque markers.
    pub whiteouts: u64,
    /// Devices left out by [`Devices::Skip`], and AUFS's bookkeeping.
    pub skipped: u64,
    /// Extended attributes left out: the file system has none of the kind, or a layer must not
    /// set them.
    pub skipped_xattrs: u64,
}

/// Unpacks an uncompressed archive into `root`, an existing directory.
///
/// Reads the stream to its end, past the archive's. After an error whatever was made so far is
/// still there, below the root and nowhere else: the caller throws it away. With the default
/// options this needs CAP_CHOWN, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_DAC_OVERRIDE, CAP_SETFCAP
/// and CAP_SYS_ADMIN over the root's file system.
///
/// image-spec 1.1.1, layer.md, "Applying Changesets".
pub fn apply(
    tar: impl Read,
    root: BorrowedFd<'_>,
    options: &ApplyOptions,
) -> Result<Applied, UnpackError> {
    let mut reader = Reader::with_limits(tar, &options.limits);
    let dirs = Dirs::new(root, options.limits.entries)
        .map_err(|errno| UnpackError::Root { action: "open", source: errno.into() })?;
    let mut applier = Applier {
        dirs,
        options,
        applied: Applied::default(),
        lower: (options.whiteouts == Whiteouts::Delete).then(Lower::default),
        sparse_bytes: 0,
        path: RootfsPath::default(),
    };
    let mut entry = Entry::default();
    while reader.next_entry(&mut entry)? {
        applier.entry(&mut reader, &entry).map_err(|fault| fault.of(&entry))?;
    }
    reader.drain()?;
    applier.dirs.finish();
    Ok(applier.applied)
}

/// One archive on its way into one root.
struct Applier<'o> {
    dirs: Dirs,
    options: &'o ApplyOptions,
    applied: Applied,
    /// What lower layers have put into the same tree; `None` if they have trees of their own.
    lower: Option<Lower>,
    /// What sparse files take on the disk at most.
    sparse_bytes: u64,
    path: RootfsPath,
}

impl Applier<'_> {
    fn entry<R: Read>(&mut self, reader: &mut Reader<R>, entry: &Entry) -> Result<(), Fault> {
        let mut path = std::mem::take(&mut self.path);
        let result = match path.set(&entry.path) {
            Err(name::Outside) => Err(Fault::Refused("its path leaves the root")),
            Ok(()) if path.is_root() => self.root(entry),
            Ok(()) => self.below(reader, entry, &path),
        };
        self.path = path;
        result
    }

    /// The root's own entry: it may change what the root is like, not what it is.
    fn root(&mut self, entry: &Entry) -> Result<(), Fault> {
        if entry.kind != Kind::Directory {
            return Err(Fault::Refused("only a directory can be the root"));
        }
        let root = self.dirs.root();
        self.dirs.set_time(&root, entry.mtime);
        self.dress_directory(&root, entry)
    }

    fn below<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        entry: &Entry,
        path: &RootfsPath,
    ) -> Result<(), Fault> {
        let (above, name) = path.split();
        match Meaning::of(above, name) {
            Meaning::Plain => {}
            Meaning::Aufs => {
                self.applied.skipped += 1;
                return Ok(());
            }
            Meaning::Bad => return Err(Fault::Refused("names with .wh. are for whiteouts")),
            Meaning::Whiteout(hidden) => {
                let dir = self.parent(above, entry)?;
                self.applied.whiteouts += 1;
                return self.whiteout(&dir, hidden);
            }
            Meaning::Opaque => {
                let dir = self.parent(above, entry)?;
                self.applied.whiteouts += 1;
                return self.opaque(&dir);
            }
        }
        let dir = self.parent(above, entry)?;
        let made = match entry.kind {
            Kind::Directory => self.directory(&dir, name, path.as_bytes(), entry)?,
            Kind::File => self.file(&dir, name, entry, reader)?,
            Kind::HardLink => self.hard_link(&dir, name, entry)?,
            Kind::Symlink => self.symlink(&dir, name, entry)?,
            Kind::Fifo | Kind::CharDevice { .. } | Kind::BlockDevice { .. } => {
                self.node(&dir, name, entry)?
            }
        };
        self.applied.entries += u64::from(made);
        if let Some(lower) = &mut self.lower {
            lower.made(dir.inode, name);
        }
        Ok(())
    }

    /// The directory that an entry belongs into, made if the archive does not list it.
    fn parent(&mut self, path: &[u8], entry: &Entry) -> Result<Rc<Dir>, Fault> {
        let dir = self.dirs.get(path, entry.mtime)?;
        for made in self.dirs.take_made() {
            self.applied.entries += 1;
            if let Some(lower) = &mut self.lower {
                lower.made(made.parent, &made.name);
            }
        }
        Ok(dir)
    }
}
