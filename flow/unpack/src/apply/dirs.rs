//! The directories that entries are made in: found inside the root, kept open, given back their
//! times.
//!
//! A parent directory is looked up by one openat2(2) from the root with `RESOLVE_IN_ROOT`: links
//! that earlier entries made are followed as a process chrooted there would follow them, and
//! never further. The last few stay open, since archives go directory by directory.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::fault::Fault;
use super::name::split;
use crate::tar::Time;

/// How many directories stay open.
const OPEN: usize = 64;

/// How many links a path may lead through; the kernel's own bound.
const MAX_LINKS: usize = 40;

/// An open directory below the root.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) fd: OwnedFd,
    pub(super) inode: u64,
}

/// The directories of one root.
#[derive(Debug)]
pub(super) struct Dirs {
    root: Rc<Dir>,
    /// Most recent last.
    recent: Vec<(Vec<u8>, Rc<Dir>)>,
    /// Forgotten ones, in which the current entry may still be made.
    retired: Vec<Rc<Dir>>,
    /// The times that directories shall have at the end, by inode: making entries changes them.
    times: HashMap<u64, Time>,
    /// How many more directories may be made that the archive does not list.
    spare: u64,
    limit: u64,
    /// Directories made so far without being listed.
    made: Vec<MadeDir>,
}

/// A directory that was made because something in it was listed.
#[derive(Debug)]
pub(super) struct MadeDir {
    pub(super) parent: u64,
    pub(super) name: Vec<u8>,
}

pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Dirs {
    /// The directories below `root`, of which up to `limit` unlisted ones may be made.
    pub(super) fn new(root: BorrowedFd<'_>, limit: u64) -> Result<Self, Errno> {
        let root =
            Rc::new(Dir::from_fd(rustix::fs::openat(root, c".", DIRECTORY, Mode::empty())?)?);
        Ok(Self {
            root,
            recent: Vec::new(),
            retired: Vec::new(),
            times: HashMap::new(),
            spare: limit,
            limit,
            made: Vec::new(),
        })
    }

    /// The root itself.
    pub(super) fn root(&self) -> Rc<Dir> {
        Rc::clone(&self.root)
    }

    /// The directory at `path`, which may lead through links; made with what is missing above it.
    ///
    /// What is made belongs to the caller of the program, has mode 0755 and `time`.
    pub(super) fn get(&mut self, path: &[u8], time: Time) -> Result<Rc<Dir>, Fault> {
        self.settle_retired();
        if let Some(dir) = self.known(path) {
            return Ok(dir);
        }
        let dir = match open(&self.root, path) {
            // "No directory" may be a whiteout of this layer, for which a directory is made.
            Err(Errno::NOENT | Errno::NOTDIR) => self.make(path, time, 0)?,
            other => other.map_err(parent_fault)?,
        };
        Ok(self.keep(path, dir))
    }

    /// The directory at `path` if it is there.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Rc<Dir>, Errno> {
        match self.known(path) {
            Some(dir) => Ok(dir),
            None => open(&self.root, path).map(|dir| self.keep(path, dir)),
        }
    }

    /// Remembers an open directory under its path.
    pub(super) fn keep(&mut self, path: &[u8], dir: Dir) -> Rc<Dir> {
        let mut key = if self.recent.len() == OPEN {
            let (key, oldest) = self.recent.remove(0);
            self.settle(&oldest);
            key
        } else {
            Vec::new()
        };
        key.clear();
        key.extend_from_slice(path);
        let dir = Rc::new(dir);
        self.recent.push((key, Rc::clone(&dir)));
        dir
    }

    /// Says which time a directory shall have at the end.
    pub(super) fn set_time(&mut self, dir: &Dir, time: Time) {
        self.times.insert(dir.inode, time);
    }

    /// Forgets where paths lead: a link or a directory was replaced, and they may lead elsewhere.
    pub(super) fn forget(&mut self) {
        self.retired.extend(self.recent.drain(..).map(|(_, dir)| dir));
    }

    /// Gives all directories their times. Nothing may be made afterwards.
    pub(super) fn finish(&mut self) {
        self.forget();
        self.settle_retired();
        self.settle(&self.root);
    }

    fn settle_retired(&mut self) {
        for dir in std::mem::take(&mut self.retired) {
            self.settle(&dir);
        }
    }

    /// The directories that were made and not listed, since the last call.
    pub(super) fn take_made(&mut self) -> Vec<MadeDir> {
        std::mem::take(&mut self.made)
    }

    fn known(&mut self, path: &[u8]) -> Option<Rc<Dir>> {
        if path.is_empty() {
            return Some(self.root());
        }
        let at = self.recent.iter().rposition(|(known, _)| known == path)?;
        let last = self.recent.len() - 1;
        if at != last {
            self.recent[at..].rotate_left(1);
        }
        Some(Rc::clone(&self.recent[last].1))
    }

    /// Nothing more is made in a directory before it is opened again: it gets its time.
    ///
    /// That it keeps a wrong one where the file system refuses this is no reason to fail.
    pub(super) fn settle(&self, dir: &Dir) {
        if let Some(&time) = self.times.get(&dir.inode) {
            let _ = rustix::fs::futimens(&dir.fd, &timestamps(time));
        }
    }

    /// Makes the directories that are missing on the way to `path`, and that one.
    ///
    /// `path` may have `..` in it here, from the text of a link; the kernel resolves those.
    fn make(&mut self, path: &[u8], time: Time, links: usize) -> Result<Dir, Fault> {
        let mut end = path.len();
        let mut dir = loop {
            match open(&self.root, &path[..end]) {
                Err(Errno::NOENT | Errno::NOTDIR) if end > 0 => end = split(&path[..end]).0.len(),
                other => break other.map_err(parent_fault)?,
            }
        };
        while end < path.len() {
            let above = &path[..end];
            let start = if end == 0 { 0 } else { end + 1 };
            let rest = &path[start..];
            let name = &rest[..rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len())];
            end = start + name.len();
            let next = match name {
                // Now that what stands before it is there, it leads somewhere.
                b"" | b"." | b".." => open(&self.root, &path[..end]).map_err(parent_fault)?,
                name => self.make_one(&dir, above, name, time, links)?,
            };
            self.settle(&dir);
            dir = next;
        }
        Ok(dir)
    }

    fn make_one(
        &mut self,
        parent: &Dir,
        above: &[u8],
        name: &[u8],
        time: Time,
        links: usize,
    ) -> Result<Dir, Fault> {
        if self.spare == 0 {
            return Err(Fault::Limit { limit: self.limit, what: "parent directories" });
        }
        match rustix::fs::mkdirat(&parent.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.finish_made(parent, name, time),
            Err(Errno::EXIST) => self.make_behind(parent, above, name, time, links),
            Err(errno) => Err(Fault::System("make a parent directory", errno)),
        }
    }

    fn finish_made(&mut self, parent: &Dir, name: &[u8], time: Time) -> Result<Dir, Fault> {
        self.spare -= 1;
        let dir = open_beside(parent, name).map_err(parent_fault)?;
        // The umask or a parent's set-group-id bit may have changed it.
        rustix::fs::fchmod(&dir.fd, Mode::from_raw_mode(0o755)).map_err(parent_fault)?;
        self.set_time(&dir, time);
        self.made.push(MadeDir { parent: parent.inode, name: name.to_vec() });
        Ok(dir)
    }

    /// Something stands where a directory should: a link to nothing, or a whiteout.
    fn make_behind(
        &mut self,
        parent: &Dir,
        above: &[u8],
        name: &[u8],
        time: Time,
        links: usize,
    ) -> Result<Dir, Fault> {
        let stat = rustix::fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(parent_fault)?;
        if is_whiteout(&stat) {
            // The lower directory is gone and a new one stands here: that is an opaque one.
            rustix::fs::unlinkat(&parent.fd, name, AtFlags::empty()).map_err(parent_fault)?;
            rustix::fs::mkdirat(&parent.fd, name, Mode::from_raw_mode(0o755))
                .map_err(parent_fault)?;
            let dir = self.finish_made(parent, name, time)?;
            set_opaque(&dir)?;
            return Ok(dir);
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(parent_fault(Errno::NOTDIR));
        }
        if links == MAX_LINKS {
            return Err(parent_fault(Errno::LOOP));
        }
        let target = rustix::fs::readlinkat(&parent.fd, name, Vec::new()).map_err(parent_fault)?;
        let target = target.as_bytes();
        let target = match target.strip_prefix(b"/") {
            Some(absolute) => absolute.to_vec(),
            None if above.is_empty() => target.to_vec(),
            None => [above, target].join(&b'/'),
        };
        self.make(&target, time, links + 1)
    }
}

impl Dir {
    pub(super) fn from_fd(fd: OwnedFd) -> Result<Self, Errno> {
        let inode = rustix::fs::fstat(&fd)?.st_ino;
        Ok(Self { fd, inode })
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a directory by its name in another, which must not be a link.
pub(super) fn open_beside(parent: &Dir, name: &[u8]) -> Result<Dir, Errno> {
    let fd = rustix::fs::openat(&parent.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    Dir::from_fd(fd)
}

fn open(root: &Dir, path: &[u8]) -> Result<Dir, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    match sys::fs::open_in_root(root.as_fd(), path, DIRECTORY, Mode::empty()) {
        Ok(fd) => Dir::from_fd(fd),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

/// Marks a directory as hiding everything that lower layers have in it.
pub(super) fn set_opaque(dir: &Dir) -> Result<(), Fault> {
    rustix::fs::fsetxattr(&dir.fd, sys::overlay::opaque(), b"y", XattrFlags::empty())
        .map_err(|errno| Fault::System("mark a directory as opaque", errno))
}

/// Whether it is what overlayfs takes for a whiteout: a character device 0:0.
pub(super) fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// A time for utimensat(2); the time of access stays.
pub(super) fn timestamps(time: Time) -> Timestamps {
    let omit = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let modified = rustix::fs::Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: omit, last_modification: modified }
}

fn parent_fault(errno: Errno) -> Fault {
    match errno {
        Errno::NOTDIR => Fault::Refused("a parent of it is no directory"),
        Errno::LOOP => Fault::Refused("a parent of it is a loop of links"),
        errno => Fault::System("open the parent directory", errno),
    }
}
