//! Why a build failed.

use std::io;
use std::path::PathBuf;

use dockerfile::Lines;

use crate::FailedStep;

/// What went wrong, and where in the Dockerfile.
#[derive(Debug)]
pub struct Located {
    /// What went wrong.
    pub error: Box<BuildError>,
    /// The instruction; `None` if it is about no line.
    pub lines: Option<Lines>,
    /// The step's place, if it was one and the request asks to keep it.
    pub step: Option<Box<FailedStep>>,
}

impl Located {
    pub(crate) fn at(lines: Lines) -> impl FnOnce(BuildError) -> Self {
        move |error| Self { error: Box::new(error), lines: Some(lines), step: None }
    }
}

impl From<BuildError> for Located {
    fn from(error: BuildError) -> Self {
        Self { error: Box::new(error), lines: None, step: None }
    }
}

impl std::fmt::Display for Located {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(out)
    }
}

impl std::error::Error for Located {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// What can go wrong in a build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file is not a Dockerfile.
    #[error(transparent)]
    Parse(#[from] dockerfile::ParseError),
    /// The file says something that cannot be done; BuildKit's words where it has some.
    #[error("{0}")]
    Invalid(String),
    /// Something that Kista does not do yet.
    #[error("{what} is not supported yet: {instead}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What can be done.
        instead: &'static str,
    },
    /// What is in an image could not be listed.
    #[error("cannot list what is in the image")]
    List(#[from] sbom::SbomError),
    /// There is no such image.
    #[error("{name}: not found; bring it in with `kista load` or `kista import`")]
    NoImage {
        /// What was asked for.
        name: String,
    },
    /// A source of `COPY` or a mount is not there.
    #[error("failed to calculate checksum of ref: {path:?}: not found")]
    NoSource {
        /// The path in its root.
        path: String,
    },
    /// A file of a context changed while it was read.
    #[error("{path} changed while it was being copied; build again when it is at rest")]
    Changed {
        /// The path in its root.
        path: String,
    },
    /// A step's command ended with another code than 0.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Exit {
        /// The command line.
        command: String,
        /// What it exited with.
        code: u8,
    },
    /// A step's command could not be run.
    #[error("cannot run {command:?}: {message}")]
    Run {
        /// The command line.
        command: String,
        /// Why.
        message: String,
    },
    /// A fault of Kista's own; where it is compiled to abort on one, the process has ended.
    #[error("a fault in Kista ended the step: {message}")]
    Fault {
        /// What it says.
        message: String,
    },
    /// A file could not be fetched.
    #[error("cannot fetch {url}")]
    Download {
        /// From where.
        url: String,
        /// Why.
        source: Box<transfer::TransferError>,
    },
    /// A file is another than the one that is wanted.
    #[error("digest mismatch of {url}: {actual}, expected {expected}")]
    Checksum {
        /// From where.
        url: String,
        /// What was wanted.
        expected: oci::Digest,
        /// What came.
        actual: oci::Digest,
    },
    /// A repository could not be fetched.
    #[error("cannot fetch {repository}: {message}")]
    Git {
        /// Which.
        repository: String,
        /// What git says.
        message: String,
    },
    /// The directory of a layer is not what it was.
    #[error("layer {layer} is damaged: its files make {actual} now")]
    Damaged {
        /// What it was.
        layer: oci::Digest,
        /// What it is.
        actual: oci::Digest,
    },
    /// Another step failed.
    #[error("canceled")]
    Canceled,
    /// An image could not be found or opened by the engine.
    #[error("{name}")]
    Image {
        /// The image.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A mount could not be made.
    #[error(transparent)]
    Mount(#[from] runtime::RuntimeError),
    /// The layers' store.
    #[error(transparent)]
    Snapshots(#[from] snapshots::SnapshotError),
    /// The blobs' store.
    #[error(transparent)]
    Content(#[from] content::ContentError),
    /// The images' store.
    #[error(transparent)]
    Images(#[from] images::ImagesError),
    /// An archive of `ADD`.
    #[error("cannot unpack {path}")]
    Unpack {
        /// The archive.
        path: String,
        /// Why.
        source: unpack::UnpackError,
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

impl BuildError {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// Whether somebody who read what we wrote has gone.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
