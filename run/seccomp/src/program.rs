//! A finished filter.

use std::io;
use std::os::fd::OwnedFd;

/// A BPF program for seccomp(2), with the flags it is loaded with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<[u8; 8]>,
    flags: u32,
    listener: bool,
}

impl Program {
    pub(crate) fn new(instructions: Vec<[u8; 8]>, flags: u32, listener: bool) -> Self {
        Self { instructions, flags, listener }
    }

    /// The instructions: `struct sock_filter` each, in the machine's byte order.
    pub fn instructions(&self) -> &[[u8; 8]] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*`, with `NEW_LISTENER` if [`Program::has_listener`].
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether some rule notifies a listener, so that loading gives a descriptor.
    pub fn has_listener(&self) -> bool {
        self.listener
    }

    /// Puts the filter on the calling thread, for good; on all threads with the flag `TSYNC`.
    ///
    /// Gives the listener's descriptor (close-on-exec) if there is one. Async-signal-safe: one
    /// system call. Needs no_new_privs, or CAP_SYS_ADMIN in the user namespace; must come after
    /// everything that the filter forbids.
    ///
    /// seccomp(2).
    pub fn load(&self) -> io::Result<Option<OwnedFd>> {
        sys::seccomp::install(&self.instructions, self.flags.into())
    }
}
