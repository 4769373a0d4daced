//! Filling a new volume with what the image has at its place.
//!
//! ```text
//! copy      image's directory -> <volume>/.new-<random>/     cut here: garbage, and done again
//! mark      <volume>/.populating
//! move in   each entry by rename into _data                  cut here: the mark says: done again
//! unmark
//! ```
//!
//! `_data` itself stays the directory that others may have mounted already; each entry of it
//! appears whole. An entry that somebody else made in between is never replaced.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat,
    Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use sys::fresh::FreshDirectory;

use crate::{DATA, Source, VolumeError, VolumeName, Volumes, failed, open_directory};

const MARK: &str = ".populating";
/// How deep directories may lie: each level holds two descriptors.
const MAX_DEPTH: usize = 200;

impl Volumes {
    /// Copies what is in the directory `from` into the volume if that is empty; returns whether.
    ///
    /// With owners, modes, times, hard and symbolic links, devices, holes and extended attributes
    /// (but overlayfs's own); `_data` becomes like `from` itself. Mounts below `from` are copied as
    /// empty directories. Nothing is ever replaced, and a copy that was cut short by a crash is
    /// done again by the next caller. Needs the capabilities that owners and devices take.
    pub fn populate(&self, name: &VolumeName, from: BorrowedFd<'_>) -> Result<bool, VolumeError> {
        let path = self.path_of(name);
        let volume = self.get(name)?;
        if self.source(&volume)? != Source::Directory {
            return Err(VolumeError::Elsewhere { name: name.clone() });
        }
        let open = |errno| failed("open", &path, errno);
        let directory = open_directory(&self.inner.volumes, name.as_str()).map_err(open)?;
        lock(&directory).map_err(|errno| failed("lock", &path, errno))?;
        let data = open_directory(&directory, DATA).map_err(open)?;
        let marked = match rustix::fs::statat(&directory, MARK, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => true,
            Err(Errno::NOENT) => false,
            Err(errno) => return Err(open(errno)),
        };
        let empty = is_empty(data.as_fd()).map_err(|source| failed("read", &path, source))?;
        if !marked && (!empty || is_empty(from).map_err(|s| failed("read", &path, s))?) {
            return Ok(false);
        }
        let fill = || -> io::Result<()> {
            let fresh = FreshDirectory::create(directory.as_fd())?;
            Copy { top: fresh.directory(), links: HashMap::new() }.children(
                from,
                fresh.directory(),
                c"",
                0,
            )?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&directory, MARK, flags, Mode::from_raw_mode(0o600))?;
            move_in(fresh.directory(), data.as_fd())?;
            attributes(from, data.as_fd(), &rustix::fs::fstat(from)?)?;
            rustix::fs::unlinkat(&directory, MARK, AtFlags::empty())?;
            Ok(())
        };
        fill().map(|()| true).map_err(|source| failed("copy the image's files to", &path, source))
    }
}

fn move_in(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::renameat_with(from, name, to, name, RenameFlags::NOREPLACE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A copy under way.
struct Copy<'a> {
    top: BorrowedFd<'a>,
    /// Files with several names: where the first of them is, below `top`.
    links: HashMap<(u64, u64), CString>,
}

impl Copy<'_> {
    /// Copies what is in `from` into `to`, which is at `at` below the top.
    fn children(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        at: &CStr,
        depth: usize,
    ) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(Errno::LOOP.into());
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                self.entry(from, to, name, at, depth)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        at: &CStr,
        depth: usize,
    ) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let here = join(at, name);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                rustix::fs::linkat(self.top, first, to, name, AtFlags::empty())?;
                return Ok(());
            }
            self.links.insert((stat.st_dev, stat.st_ino), here.clone());
        }
        let private = Mode::from_raw_mode(0o600);
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
                let target = open_directory(to, name)?;
                match open_beneath(from, name, OFlags::RDONLY | OFlags::DIRECTORY) {
                    Ok(source) => {
                        self.children(source.as_fd(), target.as_fd(), &here, depth + 1)?;
                        attributes(source.as_fd(), target.as_fd(), &stat)
                    }
                    // Something is mounted there that is not the image's.
                    Err(Errno::XDEV) => own(target.as_fd(), &stat),
                    Err(errno) => Err(errno.into()),
                }
            }
            FileType::RegularFile => {
                let source = open_beneath(from, name, OFlags::RDONLY | OFlags::NONBLOCK)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let target = rustix::fs::openat(to, name, flags | OFlags::CLOEXEC, private)?;
                copy_bytes(
                    source.as_fd(),
                    target.as_fd(),
                    u64::try_from(stat.st_size).unwrap_or(0),
                )?;
                attributes(source.as_fd(), target.as_fd(), &stat)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target, to, name)?;
                own_named(to, name, &stat)
            }
            other => {
                rustix::fs::mknodat(to, name, other, private, stat.st_rdev)?;
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                own_named(to, name, &stat)?;
                rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
                Ok(())
            }
        }
    }
}

/// Copies a file's bytes and leaves its holes holes.
fn copy_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64) -> io::Result<()> {
    use rustix::fs::SeekFrom;
    rustix::fs::ftruncate(to, size)?;
    let mut offset = 0;
    while offset < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(()), // nothing but a hole until the end
            Err(Errno::INVAL) => offset,       // no holes known here
            Err(errno) => return Err(errno.into()),
        };
        let end = match rustix::fs::seek(from, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(Errno::INVAL | Errno::NXIO) => size,
            Err(errno) => return Err(errno.into()),
        };
        copy_range(from, to, start, end)?;
        offset = end;
    }
    Ok(())
}

fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    let mut in_kernel = true;
    let mut buffer = Vec::new();
    while read < end {
        let want = usize::try_from((end - read).min(1 << 30)).unwrap_or(1 << 30);
        if in_kernel {
            match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), want) {
                Ok(0) => return Ok(()), // the file was cut short meanwhile
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    in_kernel = false;
                    buffer.resize(1 << 17, 0);
                }
                Err(errno) => return Err(errno.into()),
            }
            continue;
        }
        let want = want.min(buffer.len());
        let count = match rustix::io::pread(from, &mut buffer[..want], read) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            match rustix::io::pwrite(to, rest, written) {
                Ok(count) => {
                    rest = &rest[count..];
                    written += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        read = written;
    }
    Ok(())
}

/// Makes `to` like `from`: owner, extended attributes, mode, times. Owner first, since a change of
/// it takes set-id bits and capabilities away.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    copy_xattrs(from, to)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    rustix::fs::futimens(to, &times(stat))?;
    Ok(())
}

fn own(to: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    rustix::fs::futimens(to, &times(stat))?;
    Ok(())
}

fn own_named(to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or(0),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Copies extended attributes, but not those by which overlayfs marks its own.
fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0_u8; 64 * 1024]; // XATTR_LIST_MAX
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let marks = [&b"trusted.overlay."[..], b"user.overlay."];
        if marks.iter().any(|mark| name.to_bytes().starts_with(mark)) {
            continue;
        }
        let Some(value) = sys::fs::get_xattr(from, name)? else { continue };
        match rustix::fs::fsetxattr(to, name, &value, XattrFlags::empty()) {
            // The target's file system has no such attributes: the files are still of use.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The space that everything below `directory` takes on disk, hard links counted once.
pub(crate) fn disk_usage(directory: BorrowedFd<'_>) -> io::Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let mut pending = vec![directory.try_clone_to_owned()?];
    let mut bytes = 0;
    while let Some(directory) = pending.pop() {
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) {
                bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                match open_beneath(directory.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY) {
                    Ok(directory) => pending.push(directory),
                    Err(Errno::NOENT | Errno::XDEV) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
    }
    Ok(bytes)
}

fn open_beneath(at: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(
        at,
        name,
        flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
}

fn is_empty(directory: BorrowedFd<'_>) -> io::Result<bool> {
    for entry in Dir::read_from(directory)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn join(at: &CStr, name: &CStr) -> CString {
    let mut path = at.to_bytes().to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
    CString::new(path).expect("both parts end at their NUL")
}

fn lock(directory: &OwnedFd) -> Result<(), Errno> {
    loop {
        match rustix::fs::flock(directory, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
