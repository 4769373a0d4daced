//! What can go wrong with a volume.

use std::io;
use std::path::PathBuf;

use crate::VolumeName;

/// Why a volume could not be made, found, filled or removed.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Outside the grammar. The text is Docker's, which scripts match.
    #[error(
        "{name:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )]
    Name {
        /// The name as given.
        name: String,
    },
    /// Longer than a file name can be.
    #[error("volume name {name:?} has more than {max} bytes")]
    NameTooLong {
        /// The name as given.
        name: String,
        /// How long it may be.
        max: usize,
    },
    /// There is none. The text is Docker's, which scripts match.
    #[error("get {name}: no such volume")]
    NotFound {
        /// What was asked for.
        name: VolumeName,
    },
    /// One with this name but other options is there.
    #[error("volume {name} exists with other options")]
    Conflict {
        /// The name.
        name: VolumeName,
    },
    /// An option, or its value, that we do not honour.
    #[error("create {name}: invalid option: {option}: {reason}")]
    Option {
        /// The volume.
        name: VolumeName,
        /// The option as given.
        option: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Only a volume whose files are in the store can be filled from an image.
    #[error("volume {name} has its files elsewhere and is not filled from an image")]
    Elsewhere {
        /// The volume.
        name: VolumeName,
    },
    /// A record that does not say what it should.
    #[error("{path} is damaged", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system said no.
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
