//! What can go wrong between a compressed layer and its files.

use std::io;

use content::ContentError;
use oci::Digest;
use snapshots::SnapshotError;

use crate::tar::TarError;

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is damaged, refused or too large, or its stream failed.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry that no honest layer has.
    #[error("archive entry {entry:?} is refused: {why}")]
    Refused {
        /// The entry's path as written, made printable.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An entry that could not be made.
    #[error("cannot {action} for archive entry {entry:?}")]
    Entry {
        /// The entry's path as written, made printable.
        entry: String,
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// More than a limit allows.
    #[error("the layer exceeds the limit of {limit} {what}")]
    Limit {
        /// The bound.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// The root that is unpacked into could not be used.
    #[error("cannot {action} the root directory of the layer")]
    Root {
        /// What was tried.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Something else arrived than was promised.
    #[error("{what} {expected} arrived as {actual}")]
    Mismatch {
        /// `blob` for the compressed bytes, `layer` for the archive.
        what: &'static str,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The layer could not be put into the store.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The blob could not be had from the store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Another layer of the image failed first.
    #[error("unpacking was stopped")]
    Stopped,
}
