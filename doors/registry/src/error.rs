//! Why a registry cannot be opened or go on.

use std::io;
use std::path::PathBuf;

/// Why a registry cannot be opened or go on. What a request is refused for is an answer, not one of
/// these.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A configuration that makes no sense or is unsafe.
    #[error("{why}")]
    Config {
        /// What is wrong, and what to do.
        why: String,
    },
    /// A file that is not what it should be.
    #[error("{path} is not understood: {why}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Content(#[from] content::ContentError),
    /// The upstream registry failed.
    #[error(transparent)]
    Transfer(#[from] transfer::TransferError),
    /// The system said no.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RegistryError {
    pub(crate) fn io<P: Into<PathBuf>>(
        action: &'static str,
        path: P,
    ) -> impl FnOnce(io::Error) -> Self + use<P> {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
