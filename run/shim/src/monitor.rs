//! The loop around one process.

use std::process::ExitCode;

use crate::Hooks;

/// The whole of a process that was called as [`crate::NAME`]: descriptor 3 is its control socket.
pub fn main(hooks: &mut dyn Hooks) -> ExitCode {
    hooks.finished();
    ExitCode::from(125)
}
