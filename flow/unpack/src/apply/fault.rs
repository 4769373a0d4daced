//! What went wrong with an entry, before the entry's name is known to it.

use rustix::io::Errno;

use crate::error::UnpackError;
use crate::tar::{Entry, TarError, printable};

/// Why one entry could not be made.
#[derive(Debug)]
pub(super) enum Fault {
    /// A system call failed while this was tried.
    System(&'static str, Errno),
    /// No honest layer has such an entry.
    Refused(&'static str),
    /// Too much of something.
    Limit { limit: u64, what: &'static str },
    /// The archive itself.
    Tar(TarError),
}

impl Fault {
    /// The error with the entry's name.
    pub(super) fn of(self, entry: &Entry) -> UnpackError {
        let name = || printable(&entry.path);
        match self {
            Self::System(action, errno) => {
                UnpackError::Entry { entry: name(), action, source: errno.into() }
            }
            Self::Refused(why) => UnpackError::Refused { entry: name(), why },
            Self::Limit { limit, what } => UnpackError::Limit { limit, what },
            Self::Tar(error) => UnpackError::Tar(error),
        }
    }
}

impl From<TarError> for Fault {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}
