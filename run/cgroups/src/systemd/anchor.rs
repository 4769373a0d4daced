//! A process that keeps a scope alive until the container's first one is in it.
//!
//! systemd makes no scope without a process, and takes an empty one away. The container's process
//! does not exist yet, since it is born inside.

use std::io;
use std::os::fd::AsFd;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sys::process::{Child, fork};

/// A child that does nothing, and ends when this value is dropped or its parent dies.
#[derive(Debug)]
pub(crate) struct Anchor(Child);

impl Anchor {
    /// Makes one. The caller must have one thread, as for [`fork`].
    pub(super) fn new() -> io::Result<Self> {
        let parent = rustix::process::getpid();
        fork(|| {
            if sys::process::set_pdeathsig(Some(Signal::KILL)).is_err()
                || rustix::process::getppid() != Some(parent)
            {
                return 1;
            }
            // What is open here would be held open: pipes, locks, terminals.
            if sys::process::close_all_but(&[]).is_err() {
                return 1;
            }
            loop {
                let hour = rustix::time::Timespec { tv_sec: 3600, tv_nsec: 0 };
                let _ = rustix::thread::nanosleep(&hour);
            }
        })
        .map(Self)
    }

    pub(crate) fn pid(&self) -> Pid {
        self.0.pid
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // It fails only for one that is gone already.
        let _ = rustix::process::pidfd_send_signal(&self.0.pidfd, Signal::KILL);
        let _ = rustix::process::waitid(WaitId::PidFd(self.0.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}
