//! What can go wrong between a file and an image.

use content::ContentError;
use images::ImagesError;
use oci::ReferenceError;
use snapshots::SnapshotError;
use unpack::UnpackError;
use unpack::tar::TarError;

/// Why an image could not be loaded, imported or saved.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A tar, but not of an image.
    #[error(
        "the archive holds no image: it has neither manifest.json nor index.json nor repositories \
         (for the tar of a root file system there is import)"
    )]
    NoImage,
    /// A member that no honest archive has.
    #[error("archive member {name:?} is refused: {why}")]
    Member {
        /// Its name, made printable.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something that is named is not there.
    #[error("the archive lacks {what}, which {by} names")]
    Missing {
        /// What is not there.
        what: String,
        /// Who names it.
        by: String,
    },
    /// A document that is too long to be honest.
    #[error("{what} has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Which document.
        what: String,
        /// How long it is.
        size: u64,
        /// How long it may be.
        limit: u64,
    },
    /// A document that is no JSON, or lacks what it must have.
    #[error("{what} is not valid")]
    Syntax {
        /// Which document.
        what: String,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// A document that is well-formed and makes no sense.
    #[error("{what} is refused: {why}")]
    Document {
        /// Which document.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name in the archive that is none.
    #[error("the archive names an image {text:?}")]
    Name {
        /// The name.
        text: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// Images, but none for this platform.
    #[error("the archive has no image for {wanted}; it has some for {available}")]
    Platform {
        /// What was asked for.
        wanted: String,
        /// What is there.
        available: String,
    },
    /// A `--change` that cannot be made.
    #[error("invalid change {line:?}: {why}")]
    Change {
        /// The instruction as given.
        line: String,
        /// What is wrong with it.
        why: String,
    },
    /// An instruction that is known but may not stand in `--change`. The text is Docker's.
    #[error("{instruction} is not a valid change command")]
    ChangeCommand {
        /// The instruction, in lower case.
        instruction: String,
    },
    /// The stream failed.
    #[error("cannot read the archive")]
    Read {
        /// The cause.
        source: std::io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Write {
        /// The cause.
        source: std::io::Error,
    },
    /// The archive is damaged.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A layer could not be unpacked.
    #[error("cannot unpack layer {layer}")]
    Layer {
        /// Its DiffID, or its blob if that is not known.
        layer: String,
        /// The cause.
        source: Box<UnpackError>,
    },
    /// The blobs' store failed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The layers' store failed.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// The names' store failed.
    #[error(transparent)]
    Images(#[from] ImagesError),
}
