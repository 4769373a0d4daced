//! Why the kernel's network could not be made as wanted.

use std::io;
use std::path::PathBuf;

/// Why the kernel's network could not be made as wanted.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused a request.
    #[error("cannot {action}")]
    Kernel {
        /// What was tried, and on what; with the kernel's own words if it had some.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// A bridge has as many ports as a bridge can have.
    #[error(
        "bridge {bridge} has 1023 ports, which is all that the kernel gives a bridge: \
         make a further network for more containers"
    )]
    BridgeFull {
        /// Its name.
        bridge: String,
    },
    /// A kernel parameter could not be set.
    #[error("cannot set {path}", path = path.display())]
    Sysctl {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel said something that makes no sense.
    #[error("cannot understand the kernel's answer when asked to {action}")]
    Answer {
        /// What was asked.
        action: String,
    },
}

impl NetworkError {
    /// The kernel's error number, if it was the kernel.
    pub fn errno(&self) -> Option<rustix::io::Errno> {
        match self {
            Self::Kernel { source, .. } | Self::Sysctl { source, .. } => {
                rustix::io::Errno::from_io_error(source)
            }
            _ => None,
        }
    }

    pub(crate) fn kernel(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Kernel { action, source }
    }
}
