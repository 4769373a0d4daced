//! The one descriptor that holds a created process back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::RuntimeError;
use crate::message::{self, FromCaller, FromChild};

/// Holds a created process until it is told to execute its program.
///
/// One descriptor, which may be passed to another process. When its last copy is closed without
/// [`StartHandle::start`], the process ends.
#[derive(Debug)]
pub struct StartHandle {
    socket: OwnedFd,
}

impl StartHandle {
    /// From the descriptor that [`StartHandle::into_fd`] gave.
    pub fn from_fd(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// The descriptor, to be passed on.
    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }

    /// Leaves the process waiting for whoever connects to `listener` next and starts it from there:
    /// a handle made of the connected socket by [`StartHandle::from_fd`] does.
    ///
    /// `listener` is a listening unix SOCK_SEQPACKET. The process, and nobody else unless the
    /// caller keeps it, holds it from now on: connecting succeeds exactly until the program is
    /// executed, and is refused from then on.
    pub fn leave(self, listener: BorrowedFd<'_>) -> Result<(), RuntimeError> {
        message::to_child(self.socket.as_fd(), FromCaller::Wait, &[listener])
    }

    /// Lets the process execute its program; returns once it does, or with the reason why not.
    ///
    /// After an error the process ends by itself.
    pub fn start(self) -> Result<(), RuntimeError> {
        message::go(self.socket.as_fd())?;
        match message::from_child(self.socket.as_fd())? {
            // The child's end was closed by execve(2).
            None => Ok(()),
            Some(FromChild::Failed(error)) => Err(error),
            Some(_) => Err(message::out_of_turn()),
        }
    }
}

impl AsFd for StartHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
