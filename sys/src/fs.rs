//! Files: opening below a root, replacing whole, locking ranges, extended attributes.
//!
//! Paths that come from an image are only ever opened through [`open_in_root`] or
//! [`open_beneath`]; no other function of this project takes one.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;

pub use crate::tree::{Removed, remove_tree};

/// Opens `path` as a process whose root is `root` would: links are followed, absolute ones and
/// `..` never lead out.
///
/// Magic links (`/proc/self/fd/N` and the like) are refused with `ELOOP`. `O_CLOEXEC` is added.
///
/// openat2(2), `RESOLVE_IN_ROOT`.
pub fn open_in_root(
    root: BorrowedFd<'_>,
    path: impl Arg,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    open_resolved(root, path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path`, relative, below `dir` without following a single link.
///
/// A link anywhere is `ELOOP`, a way out is `EXDEV`. Mounts below `dir` are entered.
///
/// openat2(2), `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`.
pub fn open_beneath(
    dir: BorrowedFd<'_>,
    path: impl Arg,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    open_resolved(dir, path, flags, mode, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

/// openat2(2) with `resolve`, tried again when a rename elsewhere got in its way.
pub fn open_resolved(
    dir: BorrowedFd<'_>,
    path: impl Arg,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    path.into_with_c_str(|path| {
        // EAGAIN means that the kernel could not prove that `..` stayed inside because something
        // was renamed meanwhile. Whoever renames for ever must not hold us for ever.
        for _ in 0..128 {
            match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    })
    .map_err(io::Error::from)
}

/// Puts `bytes` into `dir/name` so that anyone sees either the old content or the new.
///
/// A temporary file of mode 0600 in `dir` is renamed over `name`; one that a crash leaves behind
/// is called `.<name>.<16 hexadecimal digits>.tmp`. With `durable` the file is synced before and
/// the directory after the rename.
pub fn replace_file(
    dir: BorrowedFd<'_>,
    name: &str,
    bytes: &[u8],
    durable: bool,
) -> io::Result<()> {
    let temporary = format!(".{name}.{}.tmp", crate::names::random_hex::<8>());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, &temporary, flags, Mode::from_raw_mode(0o600))?;
    let outcome = write_all(&file, bytes)
        .and_then(|()| if durable { rustix::fs::fsync(&file) } else { Ok(()) })
        .and_then(|()| rustix::fs::renameat(dir, &temporary, dir, name));
    if let Err(errno) = outcome {
        // The first failure is the one that counts; the temporary name is garbage either way.
        let _ = rustix::fs::unlinkat(dir, &temporary, rustix::fs::AtFlags::empty());
        return Err(errno.into());
    }
    if durable {
        rustix::fs::fsync(dir)?;
    }
    Ok(())
}

/// Tells the file system that the directories made in `dir` have nothing to do with each other.
///
/// ext4 then spreads them over the disk. Otherwise all of them share one group of inodes, which
/// it searches from the start, over everything that was deleted there in the last minutes: where
/// containers come and go, that is a tenth of a millisecond for each file that is made. A hint:
/// file systems that do not know it are left as they are.
///
/// chattr(1), attribute `T`.
pub fn hint_unrelated(dir: BorrowedFd<'_>) {
    if let Ok(flags) = rustix::fs::ioctl_getflags(dir) {
        let _ = rustix::fs::ioctl_setflags(dir, flags | rustix::fs::IFlags::TOPDIR);
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// How a range is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// With others that share.
    Shared,
    /// Alone; the file must be open for writing.
    Exclusive,
}

/// Locks one byte of a file (it need not exist) for as long as the open file description lives.
///
/// `false` if somebody else holds it and `wait` is not set. The lock belongs to the open file
/// description: it survives fork(2), follows the descriptor through `SCM_RIGHTS`, and ends with
/// the last copy.
///
/// fcntl(2), "Open file description locks".
pub fn lock_range(file: BorrowedFd<'_>, byte: u64, lock: Lock, wait: bool) -> io::Result<bool> {
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    loop {
        match ofd(file, command, byte, kind(lock)) {
            Ok(_) => return Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
                _ => return Err(error),
            },
        }
    }
}

/// Gives back what [`lock_range`] took.
pub fn unlock_range(file: BorrowedFd<'_>, byte: u64) -> io::Result<()> {
    ofd(file, libc::F_OFD_SETLK, byte, libc::F_UNLCK as libc::c_short).map(drop)
}

/// Whether another open file description holds a lock, of whichever kind, on the byte.
pub fn is_range_locked(file: BorrowedFd<'_>, byte: u64) -> io::Result<bool> {
    // Asking for an exclusive lock meets every lock there is.
    let found = ofd(file, libc::F_OFD_GETLK, byte, libc::F_WRLCK as libc::c_short)?;
    Ok(found != libc::F_UNLCK as libc::c_short)
}

/// Whether another open file description holds the byte alone; those that share it do not count.
pub fn is_range_locked_exclusively(file: BorrowedFd<'_>, byte: u64) -> io::Result<bool> {
    let found = ofd(file, libc::F_OFD_GETLK, byte, libc::F_RDLCK as libc::c_short)?;
    Ok(found != libc::F_UNLCK as libc::c_short)
}

fn kind(lock: Lock) -> libc::c_short {
    match lock {
        Lock::Shared => libc::F_RDLCK as libc::c_short,
        Lock::Exclusive => libc::F_WRLCK as libc::c_short,
    }
}

/// One fcntl(2) on an open file description lock; answers the lock's kind after the call.
fn ofd(
    file: BorrowedFd<'_>,
    command: libc::c_int,
    byte: u64,
    kind: libc::c_short,
) -> io::Result<libc::c_short> {
    let start =
        libc::off_t::try_from(byte).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    // SAFETY: `flock` is a plain C structure for which all zeros is a value (and `l_pid` must be
    // zero for OFD locks).
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = start;
    range.l_len = 1;
    // SAFETY: `file` is open because it is borrowed, and the commands given above take a pointer
    // to a `flock`, which outlives the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut range) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(range.l_type),
    }
}

/// The value of an extended attribute; `None` if the file has none of that name.
///
/// `file` may be an `O_PATH` descriptor; a symbolic link is then asked itself.
pub fn get_xattr(file: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    loop {
        let answer = match rustix::fs::fgetxattr(file, name, &mut value[..]) {
            // An O_PATH descriptor: by its name, which leads to the file itself.
            Err(Errno::BADF) => rustix::fs::getxattr(fd_path(file), name, &mut value[..]),
            other => other,
        };
        match answer {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) if value.len() < 65_536 => value.resize(65_536, 0),
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sets an extended attribute, whether or not it exists. `file` may be an `O_PATH` descriptor.
pub fn set_xattr(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> io::Result<()> {
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::fsetxattr(file, name, value, flags) {
        Err(Errno::BADF) => Ok(rustix::fs::setxattr(fd_path(file), name, value, flags)?),
        other => Ok(other?),
    }
}

/// A path of a few bytes that leads to an open file, for calls that want a path.
pub fn fd_path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    fn dir(path: &std::path::Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    #[test]
    fn links_stay_inside_the_root() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("root/etc")).unwrap();
        fs::write(temp.path().join("root/etc/inside"), "inside").unwrap();
        fs::write(temp.path().join("outside"), "outside").unwrap();
        symlink("/etc/inside", temp.path().join("root/absolute")).unwrap();
        symlink("../../../etc/inside", temp.path().join("root/climbing")).unwrap();
        symlink("/proc/self/root", temp.path().join("root/magic")).unwrap();
        let root = dir(&temp.path().join("root"));
        for name in ["absolute", "climbing", "../etc/inside", "/etc/inside"] {
            let fd = open_in_root(root.as_fd(), name, OFlags::RDONLY, Mode::empty()).unwrap();
            assert_eq!(io::read_to_string(fs::File::from(fd)).unwrap(), "inside", "{name}");
        }
        for name in ["../outside", "magic/etc"] {
            let error = open_in_root(root.as_fd(), name, OFlags::PATH, Mode::empty()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}");
        }
        for name in ["absolute", "climbing", "../outside"] {
            open_beneath(root.as_fd(), name, OFlags::PATH, Mode::empty()).unwrap_err();
        }
    }

    #[test]
    fn magic_links_are_refused() {
        let proc = dir("/proc".as_ref());
        let error = open_in_root(proc.as_fd(), "self/root", OFlags::PATH, Mode::empty());
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_replaced_file_leaves_nothing_beside_it() {
        let temp = tempfile::tempdir().unwrap();
        for (content, durable) in [("one", false), ("two", true)] {
            replace_file(dir(temp.path()).as_fd(), "state", content.as_bytes(), durable).unwrap();
            assert_eq!(fs::read_to_string(temp.path().join("state")).unwrap(), content);
        }
        fs::create_dir(temp.path().join("dir")).unwrap();
        replace_file(dir(temp.path()).as_fd(), "dir", b"", false).unwrap_err();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
    }

    #[test]
    fn locks_belong_to_the_open_file() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        let open = || fs::File::options().read(true).write(true).open(temp.path()).unwrap();
        let (one, two) = (open(), open());
        assert!(lock_range(one.as_fd(), 7, Lock::Exclusive, false).unwrap());
        assert!(is_range_locked(two.as_fd(), 7).unwrap());
        assert!(!is_range_locked(two.as_fd(), 8).unwrap());
        assert!(!lock_range(two.as_fd(), 7, Lock::Shared, false).unwrap());
        let copy = one.try_clone().unwrap();
        drop(one);
        assert!(is_range_locked(two.as_fd(), 7).unwrap(), "the copy still holds it");
        drop(copy);
        assert!(lock_range(two.as_fd(), 7, Lock::Shared, true).unwrap());
        unlock_range(two.as_fd(), 7).unwrap();
        assert!(!is_range_locked(open().as_fd(), 7).unwrap());
    }

    #[test]
    fn attributes_are_read_through_path_descriptors_too() {
        let temp = tempfile::NamedTempFile::new_in(".").unwrap();
        let path = rustix::fs::open(temp.path(), OFlags::PATH, Mode::empty()).unwrap();
        assert_eq!(get_xattr(path.as_fd(), c"user.kista").unwrap(), None);
        let long = vec![b'x'; 1000];
        set_xattr(path.as_fd(), c"user.kista", &long).unwrap();
        assert_eq!(get_xattr(path.as_fd(), c"user.kista").unwrap().unwrap(), long);
        assert_eq!(get_xattr(temp.as_fd(), c"user.kista").unwrap().unwrap(), long);
    }
}
