//! Why a record could not be made, found or read.

use std::io;
use std::path::PathBuf;

/// Why a record could not be made, found or read.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Neither a name nor an id nor the prefix of one.
    #[error("no container {text:?}")]
    NotFound {
        /// What was looked for.
        text: String,
    },
    /// The prefix of several ids.
    #[error("{text:?} is the prefix of several container ids")]
    Ambiguous {
        /// What was looked for.
        text: String,
    },
    /// The name belongs to another container.
    #[error("the name {name:?} belongs to container {id}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// A name outside `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
    #[error("{name:?} is no name for a container")]
    BadName {
        /// The name.
        name: String,
    },
    /// A document that is damaged, or of a later version of Kista.
    #[error("cannot read {path}", path = path.display())]
    Damaged {
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Names what was tried, for `map_err`.
pub(crate) fn failed(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(rustix::io::Errno) -> MetadataError {
    let path = path.into();
    move |errno| MetadataError::Io { action, path, source: errno.into() }
}
