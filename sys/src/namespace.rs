//! Entering and making namespaces from within a process.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;

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
