//! What can go wrong between a client, its shim and the logs.

use std::io;
use std::path::PathBuf;

/// Why a shim could not be started, reached or understood, or a log not be read.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The shim's process could not be made.
    #[error("cannot start the shim")]
    Spawn {
        /// Why.
        source: io::Error,
    },
    /// A launch that cannot be written down.
    #[error("cannot encode the launch of {id}")]
    Encode {
        /// The container.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A launch that cannot be understood.
    #[error("cannot understand the launch")]
    Decode {
        /// Why.
        source: serde_json::Error,
    },
    /// The other side broke the protocol.
    #[error("bad frame: {0}")]
    Frame(#[from] crate::frame::FrameError),
    /// The shim went away without a word; its process went with it.
    #[error("the shim of {id} has died")]
    Died {
        /// The container, where it is known.
        id: String,
    },
    /// The shim reported that the process could not be started.
    #[error("{message}")]
    Failed {
        /// Docker's: 125 for the engine's fault, 126 not executable, 127 not found.
        exit_code: u8,
        /// What went wrong, with its causes.
        message: String,
    },
    /// No shim listens for this container.
    #[error("cannot attach to {path}", path = path.display())]
    Attach {
        /// The socket.
        path: PathBuf,
        /// `ConnectionRefused` or `NotFound` if there is no shim.
        source: io::Error,
    },
    /// The socket to the shim failed.
    #[error("cannot {action} the shim")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A log driver that does not exist.
    #[error("unknown log driver {name:?}: there are json-file, local, journald and none")]
    UnknownDriver {
        /// The name.
        name: String,
    },
    /// A log option that the driver does not have.
    #[error("unknown log opt '{option}' for {driver} log driver")]
    UnknownLogOption {
        /// The driver.
        driver: &'static str,
        /// The option.
        option: String,
    },
    /// A log option with a value that cannot be.
    #[error("bad value {value:?} for log opt '{option}': {reason}")]
    BadLogOption {
        /// The option.
        option: String,
        /// The value.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// `journald` was asked for where there is none.
    #[error("log driver journald needs {path}, which cannot be reached", path = path.display())]
    NoJournal {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The driver keeps nothing that could be read.
    #[error("configured logging driver does not support reading")]
    NotReadable,
    /// A log file could not be read.
    #[error("cannot {action} {path}", path = path.display())]
    Log {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
