//! One entry: the inode, its data, and what belongs to it.
//!
//! Order: the owner first, since chown(2) takes set-id bits and capabilities away; then the mode;
//! then attributes; then the time, which all others would change.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;
use sys::bulk;

use super::dirs::{Dir, open_beside, set_opaque, timestamps};
use super::fault::Fault;
use super::name::RootfsPath;
use super::{Applier, Devices};
use crate::tar::{Entry, Kind, Reader, Region};

/// What a file system allocates at least.
const DISK_BLOCK: u64 = 4096;

impl Applier<'_> {
    /// A file. Whatever stood there is replaced, not written into.
    pub(super) fn file<R: Read>(
        &mut self,
        dir: &Dir,
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<bool, Fault> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Without set-id bits as long as the owner is not the right one.
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let open = || rustix::fs::openat(&dir.fd, name, flags, mode);
        let file = match open() {
            Err(Errno::EXIST) => {
                self.clear_way(dir, name)?;
                open()
            }
            other => other,
        }
        .map_err(|errno| Fault::System("create the file", errno))?;
        match &entry.sparse {
            None if entry.size >= bulk::LARGE_BYTES => write_bulk(reader, file.as_fd())?,
            None => write_all(reader, file.as_fd())?,
            Some(map) => {
                self.count_blocks(map)?;
                write_sparse(reader, file.as_fd(), map, entry.size)?;
            }
        }
        self.applied.bytes += entry.size;
        self.dress(file.as_fd(), entry)?;
        rustix::fs::futimens(&file, &timestamps(entry.mtime)).map_err(time_fault)?;
        Ok(true)
    }

    /// Scattered bytes take whole blocks: bound what a small archive can make of them.
    fn count_blocks(&mut self, map: &[Region]) -> Result<(), Fault> {
        let limit = self.options.limits.bytes;
        self.sparse_bytes = map.iter().fold(self.sparse_bytes, |sum, region| {
            sum.saturating_add(region.length.saturating_add(DISK_BLOCK))
        });
        match self.sparse_bytes > limit {
            true => Err(Fault::Limit { limit, what: "bytes" }),
            false => Ok(()),
        }
    }

    /// A directory, new or already there.
    pub(super) fn directory(
        &mut self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
    ) -> Result<bool, Fault> {
        let fault = |errno| Fault::System("make the directory", errno);
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let make = || rustix::fs::mkdirat(&parent.fd, name, mode);
        let (mut is_new, mut hides_lower) = (true, false);
        match make() {
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(fault)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    is_new = false;
                } else {
                    // In the merged tree the other entry has ended what lower layers have under
                    // this name; an overlay must be told, or it would merge that with this one.
                    self.clear_way(parent, name)?;
                    hides_lower = self.lower.is_none();
                    make().map_err(fault)?;
                }
            }
            other => other.map_err(fault)?,
        }
        let dir = open_beside(parent, name).map_err(fault)?;
        self.dirs.set_time(&dir, entry.mtime);
        if hides_lower {
            set_opaque(&dir)?;
        }
        self.dress_directory(&dir, entry)?;
        self.dirs.keep(path, dir);
        Ok(is_new)
    }

    /// Owner, mode and attributes of a directory; its time comes when nothing is made in it.
    pub(super) fn dress_directory(&mut self, dir: &Dir, entry: &Entry) -> Result<(), Fault> {
        self.dress(dir.as_fd(), entry)
    }

    /// Another name of a file that is there.
    pub(super) fn hard_link(
        &mut self,
        dir: &Dir,
        name: &[u8],
        entry: &Entry,
    ) -> Result<bool, Fault> {
        let fault = |errno| Fault::System("make a hard link", errno);
        let mut path = RootfsPath::default();
        path.set(&entry.link).map_err(|_| Fault::Refused("its target is outside the root"))?;
        if path.is_root() {
            return Err(Fault::Refused("its target is the root"));
        }
        let (above, target) = path.split();
        let there = self.dirs.find(above).map_err(fault)?;
        let stat =
            rustix::fs::statat(&there.fd, target, AtFlags::SYMLINK_NOFOLLOW).map_err(fault)?;
        if super::dirs::is_whiteout(&stat) {
            return Err(fault(Errno::NOENT));
        }
        // Without AT_SYMLINK_FOLLOW: a link to a link is the same link, wherever that leads.
        let link = || rustix::fs::linkat(&there.fd, target, &dir.fd, name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                if is_same(dir, name, &stat)? {
                    return Ok(false);
                }
                self.clear_way(dir, name)?;
                link().map_err(fault)?;
            }
            other => other.map_err(fault)?,
        }
        Ok(true)
    }

    /// A symbolic link. Its text is data; where it leads is decided when it is followed.
    pub(super) fn symlink(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<bool, Fault> {
        let make = || rustix::fs::symlinkat(entry.link.as_slice(), &dir.fd, name);
        match make() {
            Err(Errno::EXIST) => {
                self.clear_way(dir, name)?;
                make()
            }
            other => other,
        }
        .map_err(|errno| Fault::System("make a symbolic link", errno))?;
        // Attributes of links are dropped: users cannot have any, and those of the system are
        // for files.
        self.applied.skipped_xattrs += count(&entry.xattrs);
        self.finish_by_name(dir, name, entry)?;
        Ok(true)
    }

    /// A named pipe or a device.
    pub(super) fn node(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<bool, Fault> {
        let (kind, device) = match entry.kind {
            Kind::CharDevice { major: 0, minor: 0 } => {
                return Err(Fault::Refused("device 0:0 is overlayfs's whiteout"));
            }
            Kind::CharDevice { major, minor } => (FileType::CharacterDevice, Some((major, minor))),
            Kind::BlockDevice { major, minor } => (FileType::BlockDevice, Some((major, minor))),
            _ => (FileType::Fifo, None),
        };
        if device.is_some() {
            match self.options.devices {
                Devices::Make => {}
                Devices::Skip => {
                    self.applied.skipped += 1;
                    return Ok(false);
                }
                Devices::Refuse => return Err(Fault::Refused("devices are not allowed")),
            }
        }
        let number = device.map_or(0, |(major, minor)| rustix::fs::makedev(major, minor));
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let make = || rustix::fs::mknodat(&dir.fd, name, kind, mode, number);
        match make() {
            Err(Errno::EXIST) => {
                self.clear_way(dir, name)?;
                make()
            }
            other => other,
        }
        .map_err(|errno| Fault::System("make the node", errno))?;
        self.applied.skipped_xattrs += count(&entry.xattrs);
        self.finish_by_name(dir, name, entry)?;
        Ok(true)
    }

    /// Owner, mode and attributes of something open.
    fn dress(&mut self, file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Fault> {
        let stat = rustix::fs::fstat(file).map_err(|errno| Fault::System("look at it", errno))?;
        let (owner, group) = self.new_owner(&stat, entry);
        if owner.is_some() || group.is_some() {
            rustix::fs::fchown(file, owner, group).map_err(owner_fault)?;
        }
        if stat.st_mode & 0o7777 != entry.mode & 0o7777 {
            rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode & 0o7777))
                .map_err(mode_fault)?;
        }
        for (name, value) in &entry.xattrs {
            if !is_allowed(name) {
                self.applied.skipped_xattrs += 1;
                continue;
            }
            match rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::NOTSUP) => self.applied.skipped_xattrs += 1,
                Err(errno) => return Err(Fault::System("set an extended attribute", errno)),
            }
        }
        Ok(())
    }

    /// Owner, mode and time of what cannot be opened without harm: links, pipes, devices.
    ///
    /// The name has just been made in a tree that is ours alone, so that it leads to nothing else.
    fn finish_by_name(&self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<(), Fault> {
        let stat = rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Fault::System("look at it", errno))?;
        let (owner, group) = self.new_owner(&stat, entry);
        if owner.is_some() || group.is_some() {
            rustix::fs::chownat(&dir.fd, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(owner_fault)?;
        }
        // A link has no mode, and chmod(2) would follow it.
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if !is_link && stat.st_mode & 0o7777 != entry.mode & 0o7777 {
            let mode = Mode::from_raw_mode(entry.mode & 0o7777);
            rustix::fs::chmodat(&dir.fd, name, mode, AtFlags::empty()).map_err(mode_fault)?;
        }
        let times = timestamps(entry.mtime);
        rustix::fs::utimensat(&dir.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(time_fault)
    }

    /// The owner and group to be set, where they are not what they should be.
    fn new_owner(&self, stat: &Stat, entry: &Entry) -> (Option<Uid>, Option<Gid>) {
        if !self.options.owners {
            return (None, None);
        }
        (
            (stat.st_uid != entry.uid).then(|| Uid::from_raw(entry.uid)),
            (stat.st_gid != entry.gid).then(|| Gid::from_raw(entry.gid)),
        )
    }
}

fn owner_fault(errno: Errno) -> Fault {
    if errno == Errno::INVAL {
        return Fault::Refused(
            "its owner is none of the ids that this user has: give more, in /etc/subuid and \
             /etc/subgid",
        );
    }
    Fault::System("set the owner", errno)
}

fn mode_fault(errno: Errno) -> Fault {
    Fault::System("set the mode", errno)
}

fn time_fault(errno: Errno) -> Fault {
    Fault::System("set the time", errno)
}

fn count<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// Which attributes a layer may set.
///
/// `trusted.*` and `user.overlay.*` would let it speak as overlayfs (opaque directories,
/// redirects, data of other files); other `security.*` are the host's own labels.
fn is_allowed(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        name => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

fn is_same(dir: &Dir, name: &[u8], stat: &Stat) -> Result<bool, Fault> {
    let here = rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| Fault::System("look at it", errno))?;
    Ok((here.st_dev, here.st_ino) == (stat.st_dev, stat.st_ino))
}

/// Writes the rest of the current entry's data to a file.
fn write_all<R: Read>(reader: &mut Reader<R>, file: BorrowedFd<'_>) -> Result<(), Fault> {
    loop {
        let piece = reader.data()?;
        if piece.is_empty() {
            return Ok(());
        }
        let count = match rustix::io::write(file, piece) {
            Err(Errno::INTR) => 0,
            other => other.map_err(write_fault)?,
        };
        reader.consume(count);
    }
}

/// As `write_all`, past the page cache.
fn write_bulk<R: Read>(reader: &mut Reader<R>, file: BorrowedFd<'_>) -> Result<(), Fault> {
    let fault = |error: io::Error| write_fault(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    let mut writer = bulk::Writer::default();
    loop {
        let piece = reader.data()?;
        let count = piece.len();
        if count == 0 {
            return writer.finish(file).map_err(fault);
        }
        writer.write(file, piece).map_err(fault)?;
        reader.consume(count);
    }
}

/// Writes each region where it belongs; what is between them stays a hole.
fn write_sparse<R: Read>(
    reader: &mut Reader<R>,
    file: BorrowedFd<'_>,
    map: &[Region],
    size: u64,
) -> Result<(), Fault> {
    for region in map {
        let (mut at, end) = (region.offset, region.offset + region.length);
        while at < end {
            let piece = reader.data()?;
            // The map was compared with the length of the data.
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(piece.len());
            let count = match rustix::io::pwrite(file, &piece[..most], at) {
                Err(Errno::INTR) => 0,
                other => other.map_err(write_fault)?,
            };
            reader.consume(count);
            at += u64::try_from(count).unwrap_or(0);
        }
    }
    rustix::fs::ftruncate(file, size).map_err(write_fault)
}

fn write_fault(errno: Errno) -> Fault {
    Fault::System("write the file", errno)
}
