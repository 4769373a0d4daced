//! How a process enters a group: by itself, on descriptors opened beforehand.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The open doors of a group.
///
/// Made by [`crate::Cgroup::join_handle`] before clone(2); used in the child, which has one thread
/// and may not allocate. Dropping it closes the descriptors; all are close-on-exec.
///
/// ```text
/// parent: clone3(CLONE_INTO_CGROUP, cgroup = handle.clone_into())   if there is a version 2 group
/// child:  handle.join()                                             or join_all() without the flag
/// ```
#[derive(Debug)]
pub struct JoinHandle {
    /// `tasks` of each version 1 group.
    pub(crate) tasks: Vec<OwnedFd>,
    /// The directory of the version 2 group.
    pub(crate) unified: Option<OwnedFd>,
}

impl JoinHandle {
    /// The directory of the version 2 group, for `CLONE_INTO_CGROUP`. clone(2), Linux 5.7.
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling thread into the version 1 groups.
    ///
    /// For a child that was born in the version 2 group, if there is one. Async-signal-safe: one
    /// write(2) a group, of a constant. Must come before the process starts threads, which would
    /// stay behind, and after the device rules are in place.
    pub fn join(&self) -> io::Result<()> {
        for tasks in &self.tasks {
            rustix::io::write(tasks, b"0")?;
        }
        Ok(())
    }

    /// Moves the calling process into all groups, the version 2 group too.
    ///
    /// For a child that was born without `CLONE_INTO_CGROUP`. The write to `cgroup.procs` takes a
    /// lock over all processes of the machine, which can take milliseconds.
    pub fn join_all(&self) -> io::Result<()> {
        if let Some(unified) = &self.unified {
            let procs = rustix::fs::openat(
                unified,
                c"cgroup.procs",
                rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )?;
            rustix::io::write(&procs, b"0")?;
        }
        self.join()
    }

    /// Every descriptor held, for whoever closes all others.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.tasks.iter().chain(&self.unified).map(AsFd::as_fd)
    }
}
