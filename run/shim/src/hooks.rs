//! What the engine does at the turning points of a process's life, in the shim's own process.

use std::io;
use std::os::fd::OwnedFd;

use oci::Timestamp;

use crate::Plan;

/// The engine's part. All of it runs in the shim, on its one thread.
///
/// ```text
/// claim -> running -> exited -> finished
///   |  |      |
///   |  |      +-----> failed -> finished      the hook refused: the process is dead again
///   |  +------------> failed -> finished      the process could not be made
///   +                                         refused: nothing was made, nothing is undone
/// ```
///
/// What an implementation keeps stays in memory for as long as the process lives: keep little.
pub trait Hooks {
    /// Before anything is made: takes the life lock. After a failure nothing else is called.
    ///
    /// `plan.engine` is what the client passed; it is not kept afterwards.
    fn claim(&mut self, plan: &Plan) -> Result<(), Failure>;

    /// The process runs (its execve succeeded). The client learns of it after this returns.
    /// A failure kills the process and ends the launch. `warnings` say what could not be had as
    /// asked and was not worth failing for.
    fn running(&mut self, pid: u32, warnings: &[String]) -> Result<(), Failure>;

    /// The launch failed; nothing of it is left but what `claim` made.
    fn failed(&mut self, failure: &Failure);

    /// The process is dead and its output is in the log, but it is not reaped yet: its pid still
    /// belongs to it. Clients learn of the end after this returns.
    fn exited(&mut self, exit: &Exit);

    /// What the process's resolver knows, looked up anew for each turn of the loop in which it is
    /// asked. `None` leaves questions unanswered.
    fn zone(&mut self) -> Option<Box<dyn network::dns::Zone>> {
        None
    }

    /// Sockets at which a process that runs is to ask for names: it was connected to a network that
    /// has them. It is our child, and not reaped.
    fn resolver_sockets(&mut self, _pid: u32) -> io::Result<Vec<OwnedFd>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A client wants the process, and all that is with it, to stand still until it goes.
    fn freeze(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The last such client has gone: the process goes on.
    fn thaw(&mut self) {}

    /// Last, after the clients know and the cgroup is gone: slow deletions belong here. Afterwards
    /// the shim may still be delivering output to slow clients: release the life lock here.
    fn finished(&mut self);
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// What it exited with, or 128 + `signal`.
    pub code: u8,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Whether the kernel killed something in its cgroup for want of memory. Always false for
    /// an exec'd process.
    pub oom_killed: bool,
    /// When the shim learnt of it.
    pub at: Timestamp,
}

/// Why a process did not start.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// Docker's: 125 for the engine's fault, 126 not executable, 127 not found.
    pub exit_code: u8,
    /// With its causes.
    pub message: String,
}

impl Failure {
    /// The engine's own fault: 125. The causes are appended to the text.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self { exit_code: 125, message: chain(error) }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
