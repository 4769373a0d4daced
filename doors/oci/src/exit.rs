//! How a command ends.

use std::io;
use std::process::ExitCode;

/// A command's end, when nothing went wrong with the command itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this code: 0, or that of the process that was waited for.
    Code(u8),
}

impl Exit {
    /// All went well.
    pub(crate) const SUCCESS: Self = Self::Code(0);
}

/// The exit code for text that was written, or could not be.
pub(crate) fn code(written: io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
