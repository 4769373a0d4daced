//! `tmpcopyup`: a tmpfs that begins with what it is about to hide.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

/// How deep directories may be nested.
const DEEPEST: usize = 64;

/// Copies what is in `from` to the root of a tmpfs that is attached nowhere yet.
///
/// `from` is an `O_PATH` directory. Modes, owners and times come along; links are copied as
/// links, and what is not a file, link or directory is passed over.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = sys::fs::open_beneath(from, c".", flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&from)?;
    entries(from.as_fd(), to, DEEPEST)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, c".", Some(uid), Some(gid), AtFlags::empty())?;
    rustix::fs::chmodat(to, c".", Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    Ok(())
}

fn entries(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth == 0 {
        return Err(Errno::NAMETOOLONG.into());
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let open = |flags| sys::fs::open_beneath(from, name, flags, Mode::empty());
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let source = open(OFlags::RDONLY | OFlags::DIRECTORY)?;
                rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let target = sys::fs::open_beneath(to, name, flags, Mode::empty())?;
                entries(source.as_fd(), target.as_fd(), depth - 1)?;
            }
            FileType::RegularFile => {
                let source = open(OFlags::RDONLY | OFlags::NONBLOCK)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let target = sys::fs::open_beneath(to, name, flags, Mode::from_raw_mode(0o600))?;
                contents(source, target)?;
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(link, to, name)?;
            }
            _ => continue,
        }
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            // The tmpfs is nobody else's yet: what is called `name` is what was just made.
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
            last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
        };
        rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn contents(from: OwnedFd, to: OwnedFd) -> io::Result<()> {
    io::copy(&mut std::fs::File::from(from), &mut std::fs::File::from(to)).map(drop)
}
