//! The one descriptor that holds a created process back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::RuntimeError;
use crate::message::{self, FromChild};

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

    /// Lets the process execute its program; returns once it does, or with the reason why not.
    ///
    /// After an error the process ends by itself.
    pub fn start(self) -> Result<(), RuntimeError> {
        message::go(self.socket.as_fd())?;
        match message::from_child(self.socket.as_fd())? {
            // The child's end was closed by execve(2).
            None => Ok(()),
            Some(FromChild::Failed(error)) => Err(error),
            Some(FromChild::Ready { .. } | FromChild::HooksDue) => Err(message::out_of_turn()),
        }
    }
}

impl AsFd for StartHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
