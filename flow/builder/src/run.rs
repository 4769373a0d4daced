//! What runs the command of a step: the seam to the runtime, which `engine` fills.

use oci::{Digest, Mount, Platform};

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

/// A command to run in a root file system.
#[derive(Debug)]
pub struct RunRequest<'a> {
    /// The command.
    pub arguments: &'a [String],
    /// Its environment, `NAME=value` each.
    pub environment: &'a [String],
    /// Its working directory, which is made if it is missing.
    pub directory: &'a str,
    /// `user[:group]`; root if empty.
    pub user: &'a str,
    /// The root file system: an overlay with the new layer on top.
    pub rootfs: &'a [Mount],
    /// The layers below, lowest first: where users are looked up.
    pub diff_ids: &'a [Digest],
    /// Mounted besides what every container gets; sources are absolute paths.
    pub mounts: &'a [Mount],
    /// What the command's network is.
    pub network: dockerfile::NetworkMode,
    /// What the command is for.
    pub platform: &'a Platform,
    /// How it is confined.
    pub security: dockerfile::SecurityMode,
    /// Devices of vendors that it wants.
    pub devices: &'a [dockerfile::RunDevice],
}

/// Why a command did not end with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunFailure {
    /// It ended with another code.
    Exit(u8),
    /// It did not start or was lost; what to tell the user.
    Other(String),
}

/// Runs commands of steps.
///
/// A command has the isolation of a container; it and all it started are dead when this returns,
/// and when the caller dies.
pub trait Runner: Sync {
    /// Runs a command to its end; `output` gets what it prints.
    ///
    /// The command is killed when `stop` turns true.
    fn run(
        &self,
        request: &RunRequest<'_>,
        stop: &std::sync::atomic::AtomicBool,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<(), RunFailure>;
}
