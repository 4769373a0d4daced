//! Files into a root file system that is nobody else's meanwhile.
//!
//! The destination is a new layer seen through an overlay, so that links of the layers below are
//! followed inside the root and folders of theirs keep what they are. The source may change under
//! us: what is copied is compared with what was looked at.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown,
    futimens, mkdirat, mknodat, readlinkat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::BuildError;
use crate::digests::is_same;
use crate::permissions::Permissions;
use crate::select::{Item, parent_of};
use crate::tree::{Entry, Tree, open_folder, reopen};

/// How many links to nothing are followed on one way.
const MOST_LINKS: u32 = 40;

/// Puts files into a root.
pub(crate) struct Copier<'a> {
    pub(crate) root: BorrowedFd<'a>,
    /// Who owns what is copied; `None` keeps the owners.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) permissions: Option<&'a Permissions>,
    /// Where files with several names were put first.
    links: HashMap<(u64, u64), String>,
    devices: bool,
}

impl<'a> Copier<'a> {
    pub(crate) fn new(
        root: BorrowedFd<'a>,
        owner: Option<(u32, u32)>,
        permissions: Option<&'a Permissions>,
    ) -> Self {
        Self { root, owner, permissions, links: HashMap::new(), devices: true }
    }

    /// Leaves device nodes out: in a directory of the host they would be the host's devices, with
    /// the mode that a stranger chose.
    pub(crate) fn without_devices(self) -> Self {
        Self { devices: false, ..self }
    }

    /// Copies one item to a destination, absolute; a last slash says that it is a folder.
    ///
    /// Of a folder its content is copied, unless its path is kept (`--parents`).
    pub(crate) fn place(
        &mut self,
        tree: &Tree<'_>,
        item: &Item,
        destination: &str,
        keep_path: bool,
    ) -> Result<(), BuildError> {
        let shown = || destination.to_owned();
        if keep_path {
            let folder = destination.trim_end_matches('/');
            self.make_folders(folder)?;
            for (path, entry) in &item.parents {
                let path = format!("{folder}/{}", String::from_utf8_lossy(path));
                let (made, created) = self.make_folders(&path)?;
                if created {
                    self.set_folder(made.as_fd(), &entry.stat)
                        .map_err(BuildError::io("set", path))?;
                }
            }
            let path = format!("{folder}/{}", String::from_utf8_lossy(&item.name));
            return match item.is_directory() {
                true => self.place_folder(item, &path),
                false => self.place_file(tree, item, &path),
            };
        }
        if item.is_directory() {
            return self.place_folder(item, destination);
        }
        let is_folder = destination.ends_with('/') || self.is_folder(destination)?;
        let path = match is_folder {
            true => {
                let name = String::from_utf8_lossy(&item.name);
                format!("{}/{name}", shown().trim_end_matches('/'))
            }
            false => self.followed(destination)?,
        };
        self.place_file(tree, item, &path)
    }

    /// Writes a file of the Dockerfile itself.
    pub(crate) fn write(
        &mut self,
        name: &str,
        content: &str,
        destination: &str,
    ) -> Result<(), BuildError> {
        let is_folder = destination.ends_with('/') || self.is_folder(destination)?;
        let path = match is_folder {
            true => format!("{}/{name}", destination.trim_end_matches('/')),
            false => self.followed(destination)?,
        };
        let (folder, name) = self.parent(&path)?;
        let failed = || BuildError::io::<io::Error>("write", &path);
        self.make_room(folder.as_fd(), &name, &path)?;
        let file = create(folder.as_fd(), &name).map_err(|errno| failed()(errno.into()))?;
        let mut file = std::fs::File::from(file);
        io::Write::write_all(&mut file, content.as_bytes()).map_err(failed())?;
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|errno| failed()(errno.into()))?;
        let mode = self.permissions.map_or(0o644, |change| change.apply(0o644, false));
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(|errno| failed()(errno.into()))?;
        // Its content stands in the Dockerfile: it is as old as time, and the same every time.
        let old = Timespec { tv_sec: 0, tv_nsec: 0 };
        futimens(&file, &Timestamps { last_access: old, last_modification: old })
            .map_err(|errno| failed()(errno.into()))
    }

    /// Makes a folder and those above it, and says whether it is new.
    ///
    /// A link in the way is followed as the image would follow it, also to what is not there yet.
    pub(crate) fn make_folders(&self, path: &str) -> Result<(OwnedFd, bool), BuildError> {
        self.make_folders_by(path, 0)
    }

    fn make_folders_by(&self, path: &str, links: u32) -> Result<(OwnedFd, bool), BuildError> {
        let failed = || BuildError::io::<io::Error>("create", path);
        let errno = |errno: Errno| failed()(errno.into());
        let mut current = String::new();
        let mut folder = self.open_path("").map_err(failed())?;
        let mut created = false;
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        for (place, name) in names.iter().enumerate() {
            let above = current.clone();
            current = format!("{current}/{name}");
            created = false;
            folder = match self.open_path(&current) {
                Ok(next) => next,
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                    match mkdirat(&folder, *name, Mode::from_raw_mode(0o755)) {
                        Ok(()) => {}
                        Err(Errno::EXIST) if links < MOST_LINKS => {
                            // A link to nothing: what it leads to is made.
                            let link = readlinkat(&folder, *name, Vec::new()).map_err(errno)?;
                            let link = link.to_string_lossy().into_owned();
                            let rest = names[place + 1..].join("/");
                            let whole = match link.starts_with('/') {
                                true => format!("{link}/{rest}"),
                                false => format!("{above}/{link}/{rest}"),
                            };
                            let whole = dockerfile::ignore::clean(&format!("/{whole}"));
                            return self.make_folders_by(&whole, links + 1);
                        }
                        Err(other) => return Err(errno(other)),
                    }
                    created = true;
                    let made = self.open_path(&current).map_err(failed())?;
                    let readable = reopen(made.as_fd()).map_err(errno)?;
                    // The umask may have taken bits away.
                    fchmod(&readable, Mode::from_raw_mode(0o755)).map_err(errno)?;
                    if let Some((uid, gid)) = self.owner {
                        fchown(&readable, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                            .map_err(errno)?;
                    }
                    made
                }
                Err(error) => return Err(failed()(error)),
            };
        }
        Ok((folder, created))
    }

    /// A folder of the root, links followed.
    fn open_path(&self, path: &str) -> io::Result<OwnedFd> {
        let relative = path.trim_start_matches('/');
        let relative = if relative.is_empty() { "." } else { relative };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        sys::fs::open_in_root(self.root, relative, flags, Mode::empty())
    }

    /// Where a path leads whose last part may be a link, also one to nothing: what is copied to it
    /// goes there, as the image would write to it.
    fn followed(&self, path: &str) -> Result<String, BuildError> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let Ok(folder) = self.open_path(above) else { return Ok(path) };
            let Ok(link) = readlinkat(&folder, name, Vec::new()) else { return Ok(path) };
            let link = link.to_string_lossy();
            let next = match link.starts_with('/') {
                true => link.into_owned(),
                false => format!("{above}/{link}"),
            };
            path = dockerfile::ignore::clean(&format!("/{next}"));
        }
        Err(BuildError::Io { action: "follow", path: path.into(), source: Errno::LOOP.into() })
    }

    fn is_folder(&self, path: &str) -> Result<bool, BuildError> {
        let tree = Tree { root: self.root, ignore: None, owners: true };
        Ok(tree.find(path)?.is_some_and(|found| found.is_directory()))
    }

    /// The folder that will hold a path, made if it is missing, and the name in it.
    fn parent(&self, path: &str) -> Result<(OwnedFd, CString), BuildError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            return Err(BuildError::Invalid(format!("{path:?} is not the name of a file")));
        }
        let name = CString::new(name)
            .map_err(|_| BuildError::Invalid(format!("{path:?} has a zero byte")))?;
        Ok((self.make_folders(folder)?.0, name))
    }

    fn place_file(&mut self, tree: &Tree<'_>, item: &Item, path: &str) -> Result<(), BuildError> {
        let (folder, name) = self.parent(path)?;
        let (from, from_name) = parent_of(tree, &item.found)?;
        let entry = &item.entries[0];
        self.copy_entry(from.as_fd(), &from_name, entry, folder.as_fd(), &name, path)
    }

    fn place_folder(&mut self, item: &Item, path: &str) -> Result<(), BuildError> {
        let (target, created) = self.make_folders(path)?;
        let source = reopen(item.found.file.as_fd()).map_err(BuildError::io("open", path))?;
        let target = reopen(target.as_fd()).map_err(BuildError::io("open", path))?;
        // The folders that lead to where the walk is: source, destination, and what they become.
        let top = created.then(|| item.entries[0].stat);
        let mut open: Vec<(OwnedFd, OwnedFd, Option<Stat>)> = vec![(source, target, top)];
        for entry in item.entries.iter().skip(1) {
            while open.len() > entry.depth() {
                self.leave(&mut open, path)?;
            }
            let Some((source, target, _)) = open.last() else { break };
            let shown = format!("{path}/{}", String::from_utf8_lossy(&entry.path));
            let name = CString::new(entry.name()).expect("a name of the kernel has no zero");
            if entry.kind() != FileType::Directory {
                self.copy_entry(source.as_fd(), &name, entry, target.as_fd(), &name, &shown)?;
                continue;
            }
            let next_source = open_folder(source.as_fd(), &name)
                .map_err(|_| BuildError::Changed { path: shown.clone() })?;
            match mkdirat(target, &name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(BuildError::io("create", &shown)(errno)),
            }
            let next_target = open_folder(target.as_fd(), &name).map_err(|errno| match errno {
                Errno::NOTDIR | Errno::LOOP => {
                    BuildError::Invalid(format!("cannot copy to non-directory: {shown}"))
                }
                errno => BuildError::io("open", &shown)(errno),
            })?;
            open.push((next_source, next_target, Some(entry.stat)));
        }
        while !open.is_empty() {
            self.leave(&mut open, path)?;
        }
        Ok(())
    }

    /// Gives a folder what it shall be, now that all is in it.
    fn leave(
        &self,
        open: &mut Vec<(OwnedFd, OwnedFd, Option<Stat>)>,
        path: &str,
    ) -> Result<(), BuildError> {
        if let Some((_, target, Some(stat))) = open.pop() {
            self.set_folder(target.as_fd(), &stat).map_err(BuildError::io("set", path))?;
        }
        Ok(())
    }

    fn set_folder(&self, folder: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
        let (uid, gid) = self.owner.unwrap_or((stat.st_uid, stat.st_gid));
        let folder = reopen(folder)?;
        fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        let mode = stat.st_mode & 0o7777;
        let mode = self.permissions.map_or(mode, |change| change.apply(mode, true));
        fchmod(&folder, Mode::from_raw_mode(mode))?;
        futimens(&folder, &times(stat))
    }

    /// Copies what is not a folder.
    fn copy_entry(
        &mut self,
        from: BorrowedFd<'_>,
        from_name: &CString,
        entry: &Entry,
        to: BorrowedFd<'_>,
        name: &CString,
        path: &str,
    ) -> Result<(), BuildError> {
        let failed = || BuildError::io::<Errno>("write", path);
        let stat = &entry.stat;
        let kind = entry.kind();
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        if kind == FileType::Socket || (is_device && !self.devices) {
            return Ok(());
        }
        self.make_room(to, name, path)?;
        let (uid, gid) = self.owner.unwrap_or((stat.st_uid, stat.st_gid));
        let mode = stat.st_mode & 0o7777;
        let mode = self.permissions.map_or(mode, |change| change.apply(mode, false));
        let set = |target: BorrowedFd<'_>| {
            fchown(target, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            fchmod(target, Mode::from_raw_mode(mode))?;
            futimens(target, &times(stat))
        };
        match kind {
            FileType::RegularFile => {
                let inode = (stat.st_dev, stat.st_ino);
                if stat.st_nlink > 1
                    && let Some(first) = self.links.get(&inode)
                    && self.link(first, to, name).is_ok()
                {
                    return Ok(());
                }
                let source = open_file(from, from_name).map_err(BuildError::io("open", path))?;
                let target = create(to, name).map_err(failed())?;
                let attributes = crate::digests::attributes(source.as_fd())
                    .map_err(BuildError::io("read", path))?;
                copy_bytes(&source, &target).map_err(BuildError::io("copy", path))?;
                let after = rustix::fs::fstat(&source).map_err(failed())?;
                if !is_same(stat, &after) {
                    return Err(BuildError::Changed { path: path.to_owned() });
                }
                fchown(&target, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                    .map_err(failed())?;
                for (name, value) in attributes {
                    sys::fs::set_xattr(target.as_fd(), &name, &value)
                        .map_err(BuildError::io("write", path))?;
                }
                fchmod(&target, Mode::from_raw_mode(mode)).map_err(failed())?;
                futimens(&target, &times(stat)).map_err(failed())?;
                if stat.st_nlink > 1 {
                    self.links.insert(inode, path.to_owned());
                }
            }
            FileType::Symlink => {
                let link = CString::new(entry.link.as_slice())
                    .map_err(|_| BuildError::Invalid(format!("the link {path} has a zero byte")))?;
                symlinkat(&link, to, name).map_err(failed())?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                chownat(to, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
                    .map_err(failed())?;
                utimensat(to, name, &times(stat), flags).map_err(failed())?;
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                // Overlayfs would take it for a whiteout.
                if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                    return Err(BuildError::Invalid(format!("{path} is a device 0:0")));
                }
                mknodat(to, name, kind, Mode::from_raw_mode(0o600), stat.st_rdev)
                    .map_err(failed())?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                chownat(to, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
                    .map_err(failed())?;
                rustix::fs::chmodat(to, name, Mode::from_raw_mode(mode), AtFlags::empty())
                    .map_err(failed())?;
                utimensat(to, name, &times(stat), flags).map_err(failed())?;
            }
            _ => {
                let target = create(to, name).map_err(failed())?;
                set(target.as_fd()).map_err(failed())?;
            }
        }
        Ok(())
    }

    /// Another name for a file that was copied before.
    fn link(&self, first: &str, to: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
        let relative = first.trim_start_matches('/');
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let file = sys::fs::open_in_root(self.root, relative, flags, Mode::empty())?;
        Ok(rustix::fs::linkat(&file, "", to, name, AtFlags::EMPTY_PATH)?)
    }

    /// Removes what has a name that a file shall get; a folder stays, and is an error.
    fn make_room(
        &self,
        folder: BorrowedFd<'_>,
        name: &CString,
        path: &str,
    ) -> Result<(), BuildError> {
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                Err(BuildError::Invalid(format!("cannot copy to directory: {path}")))
            }
            Err(errno) => Err(BuildError::io("replace", path)(errno)),
        }
    }
}

fn create(folder: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))
}

fn open_file(folder: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

#[expect(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
fn times(stat: &Stat) -> Timestamps {
    let modified = Timespec { tv_sec: stat.st_mtime as i64, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: modified, last_modification: modified }
}

/// All bytes of a file, by the kernel where it can.
fn copy_bytes(source: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    const PIECE: usize = 1 << 30;
    loop {
        match rustix::fs::copy_file_range(source, None, target, None, PIECE) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                break;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    // What is left, if the kernel could not; files of some file systems have no length for it.
    let mut reader = std::fs::File::from(source.try_clone()?);
    let mut writer = std::fs::File::from(target.try_clone()?);
    io::copy(&mut reader, &mut writer).map(drop)
}
