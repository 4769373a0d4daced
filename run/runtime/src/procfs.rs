//! A procfs of our own.
//!
//! Whatever the runtime writes below /proc goes through an instance that it made itself, by its
//! descriptor, before that is attached anywhere: nothing can be mounted over a file in it, and no
//! link leads out (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_string, fsmount, fsopen,
};

/// Makes an instance for the caller's pid namespace, attached nowhere. With `only_pids` it has
/// nothing but processes.
///
/// proc(5), `subset=pid` (Linux 5.8).
pub(crate) fn new(only_pids: bool) -> io::Result<OwnedFd> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    if only_pids {
        fsconfig_set_string(&context, "subset", "pid")?;
    }
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// As [`new`], for the runtime's own use; in a user namespace that does not own the caller's pid
/// namespace, for which nobody may make one, the host's own, as long as that is what is seen.
///
/// Nothing below it is reached through another mount: see [`open_self`].
pub(crate) fn for_own_use(only_pids: bool) -> io::Result<OwnedFd> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    match new(only_pids) {
        Err(error)
            if error.raw_os_error() == Some(Errno::PERM.raw_os_error())
                && !sys::namespace::is_initial_user() =>
        {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let host = rustix::fs::openat(CWD, "/proc", flags, Mode::empty())?;
            match rustix::fs::fstatfs(&host)?.f_type as u64 == PROC_SUPER_MAGIC {
                true => Ok(host),
                false => Err(error),
            }
        }
        made => made,
    }
}

/// The option by which an instance shows another pid namespace than its maker's.
///
/// proc(5), `pidns` (Linux 6.17).
pub(crate) const PIDNS: &str = "pidns";

/// Whether the kernel knows [`PIDNS`], and takes this namespace.
pub(crate) fn can_show(namespace: BorrowedFd<'_>) -> bool {
    fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)
        .and_then(|context| fsconfig_set_fd(&context, PIDNS, namespace))
        .is_ok()
}

/// Opens a file below `self`, which is a link of procfs itself and the only one followed.
pub(crate) fn open_self(proc: BorrowedFd<'_>, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    sys::fs::open_resolved(proc, path, flags, Mode::empty(), resolve)
}

/// Writes a small value to a file below `self`.
pub(crate) fn write_self(proc: BorrowedFd<'_>, path: &str, value: &str) -> io::Result<()> {
    let file = open_self(proc, path, OFlags::WRONLY)?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}
