//! Entering and making namespaces from within a process.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};

/// Moves the caller into new namespaces (for `NEWPID` and `NEWTIME`: its children to come).
///
/// unshare(2). Only namespaces: sharing of descriptors and memory is left as it is.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    let namespaces = UnshareFlags::NEWCGROUP
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWTIME
        | UnshareFlags::NEWUSER
        | UnshareFlags::NEWUTS;
    // SAFETY: the only danger is CLONE_FILES, by which threads would see different descriptors
    // under one number, and the mask leaves it out.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags & namespaces) }?)
}

/// Moves the caller into namespaces of the process behind a pidfd, all or none.
///
/// setns(2), Linux 5.8.
pub fn join(pidfd: BorrowedFd<'_>, kinds: ThreadNameSpaceType) -> io::Result<()> {
    Ok(rustix::thread::move_into_thread_name_spaces(pidfd, kinds)?)
}

/// Whether this process is in the kernel's own user namespace, and in none that somebody made:
/// only there has root rights over the machine.
///
/// linux/nsfs.h, `USER_NS_INIT_INO`: the first namespaces have fixed numbers.
pub fn is_initial_user() -> bool {
    const INITIAL: u64 = 0xEFFF_FFFD;
    // Without the file there are no user namespaces.
    rustix::fs::stat("/proc/self/ns/user").map_or(true, |stat| stat.st_ino == INITIAL)
}

/// Whether root's rights of this process reach the network that it was started in: in the kernel's
/// own user namespace, and in a container whose network belongs to its user namespace.
///
/// Of its first thread; others may have gone elsewhere. ioctl_nsfs(2), `NS_GET_USERNS`.
pub fn has_network() -> bool {
    const NS_GET_USERNS: u64 = 0xb701;
    if is_initial_user() {
        return true;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(network) = rustix::fs::openat(CWD, "/proc/self/ns/net", flags, Mode::empty()) else {
        return false;
    };
    // SAFETY: the call takes no argument, and answers with a new descriptor or -1: `EPERM` for an
    // owner that is not ours to see.
    let fd = unsafe { libc::ioctl(network.as_raw_fd(), NS_GET_USERNS as _, 0_usize) };
    if fd < 0 {
        return false;
    }
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    let owner = unsafe { OwnedFd::from_raw_fd(fd) };
    match (rustix::fs::fstat(&owner), rustix::fs::stat("/proc/self/ns/user")) {
        (Ok(owner), Ok(own)) => (owner.st_dev, owner.st_ino) == (own.st_dev, own.st_ino),
        _ => false,
    }
}

/// A kind of namespace: its name below `/proc/PID/ns`, and the ioctl(2) of a pidfd that opens it.
///
/// linux/pidfd.h, `PIDFD_GET_*_NAMESPACE` (Linux 6.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(&'static str, u32);

#[allow(missing_docs, reason = "each is the namespace of that name")]
impl Kind {
    pub const CGROUP: Self = Self("cgroup", 1);
    pub const IPC: Self = Self("ipc", 2);
    pub const MOUNT: Self = Self("mnt", 3);
    pub const NETWORK: Self = Self("net", 4);
    pub const PID: Self = Self("pid", 5);
    pub const TIME: Self = Self("time", 7);
    pub const USER: Self = Self("user", 9);
    pub const UTS: Self = Self("uts", 10);

    /// By its name below `/proc/PID/ns`.
    pub fn by_name(name: &str) -> Option<Self> {
        let all = [
            Self::CGROUP,
            Self::IPC,
            Self::MOUNT,
            Self::NETWORK,
            Self::PID,
            Self::TIME,
            Self::USER,
            Self::UTS,
        ];
        all.into_iter().find(|kind| kind.0 == name)
    }
}

/// Opens a namespace of one certain process. Closed on exec.
///
/// `pid` must be the number under which the caller's procfs has the process of `pidfd`; it serves
/// where the kernel has no call for it. `ESRCH` if the process has ended: then its number may be
/// another's, and what was opened by that is closed again.
pub fn open(pidfd: BorrowedFd<'_>, pid: Pid, kind: Kind) -> io::Result<OwnedFd> {
    const PIDFS_IOCTL_MAGIC: u32 = 0xff << 8;
    // SAFETY: the call takes no argument; a descriptor that is no pidfd is ENOTTY.
    let fd = unsafe { libc::ioctl(pidfd.as_raw_fd(), (PIDFS_IOCTL_MAGIC | kind.1) as _, 0_usize) };
    if fd >= 0 {
        // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
        return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let error = io::Error::last_os_error();
    if !matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) {
        return Err(error);
    }
    by_number(pidfd, pid, kind)
}

/// By the process's number, which is its own for as long as it has not ended.
fn by_number(pidfd: BorrowedFd<'_>, pid: Pid, kind: Kind) -> io::Result<OwnedFd> {
    let path = format!("/proc/{}/ns/{}", pid.as_raw_nonzero(), kind.0);
    let opened = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now))? {
        0 => Ok(opened?),
        _ => Err(Errno::SRCH.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn both_ways_lead_to_the_same_namespace() {
        let own = rustix::process::getpid();
        let pidfd = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).unwrap();
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
            let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let kind = Kind::by_name(kind).unwrap();
            for fd in [open(pidfd.as_fd(), own, kind), by_number(pidfd.as_fd(), own, kind)] {
                let fd = fd.unwrap();
                assert_eq!(std::fs::read_link(crate::fs::fd_path(fd.as_fd())).unwrap(), link);
            }
        }
    }

    #[test]
    fn a_process_that_has_ended_has_no_namespaces() {
        let child = crate::process::fork(|| 0).unwrap();
        let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
        rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).unwrap();
        // Under the number of somebody who lives.
        let own = rustix::process::getpid();
        for result in [
            open(child.pidfd.as_fd(), own, Kind::NETWORK),
            by_number(child.pidfd.as_fd(), own, Kind::NETWORK),
        ] {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
    }
}
