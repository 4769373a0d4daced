//! Why a verb failed, and what that means to a caller.

use std::io;
use std::path::PathBuf;

/// Why a verb failed. Texts that scripts match are Docker's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No container has this name or id.
    #[error("No such container: {name}")]
    NoContainer {
        /// As given.
        name: String,
    },
    /// Several containers have ids that begin like this.
    #[error("multiple IDs found with provided prefix: {prefix}")]
    AmbiguousContainer {
        /// As given.
        prefix: String,
    },
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// No image has this name or id.
    #[error("No such image: {name}")]
    NoImage {
        /// As given.
        name: String,
    },
    /// No image has this name, and none can be fetched.
    #[error(
        "Unable to find image '{name}' locally: images are not fetched from registries yet; \
         bring one in with `kista load -i ARCHIVE` (from `docker save` or `skopeo copy`) or \
         `kista import ROOTFS.tar {name}`"
    )]
    NoLocalImage {
        /// As given.
        name: String,
    },
    /// No volume has this name.
    #[error("get {name}: no such volume")]
    NoVolume {
        /// As given.
        name: String,
    },
    /// The request itself is wrong.
    #[error("{message}")]
    Invalid {
        /// What is wrong, and with what.
        message: String,
    },
    /// The request does not fit the present state.
    #[error("{message}")]
    Conflict {
        /// What stands against it.
        message: String,
    },
    /// Kista cannot do this.
    #[error("{message}")]
    Unsupported {
        /// What, and what to do instead.
        message: String,
    },
    /// The process could not be started.
    #[error("{message}")]
    NotStarted {
        /// What the runtime said.
        message: String,
        /// 125, 126 or 127.
        exit_code: u8,
    },
    /// Content.
    #[error(transparent)]
    Content(#[from] content::ContentError),
    /// Image names and records.
    #[error(transparent)]
    Images(#[from] images::ImagesError),
    /// Layers.
    #[error(transparent)]
    Snapshots(#[from] snapshots::SnapshotError),
    /// Volumes.
    #[error(transparent)]
    Volumes(#[from] volumes::VolumeError),
    /// Container records.
    #[error(transparent)]
    Metadata(metadata::MetadataError),
    /// Archives.
    #[error(transparent)]
    Archive(#[from] archive::ArchiveError),
    /// The shim.
    #[error(transparent)]
    Shim(#[from] shim::ShimError),
    /// The wishes cannot be fulfilled.
    #[error(transparent)]
    Bundle(#[from] bundle::BundleError),
    /// System call filters.
    #[error(transparent)]
    Seccomp(#[from] seccomp::SeccompError),
    /// A root file system could not be looked into.
    #[error(transparent)]
    Runtime(#[from] runtime::RuntimeError),
    /// Control groups.
    #[error(transparent)]
    Cgroups(#[from] cgroups::CgroupError),
    /// The system refused.
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

/// What a failure means to a caller: doors map it to an exit code or a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The named thing is not there.
    NotFound,
    /// The request itself is wrong.
    Invalid,
    /// The request does not fit the present state.
    Conflict,
    /// What came in is damaged or hostile.
    CorruptInput,
    /// Kista cannot do this: the text says so.
    Unsupported,
    /// The command inside the container was not found (127).
    CommandNotFound,
    /// The command inside the container could not be run (126).
    CommandNotExecutable,
    /// Everything else: the system refused.
    Internal,
}

impl EngineError {
    /// What the failure means to a caller.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoContainer { .. }
            | Self::NoImage { .. }
            | Self::NoLocalImage { .. }
            | Self::NoVolume { .. } => Kind::NotFound,
            Self::AmbiguousContainer { .. }
            | Self::Invalid { .. }
            | Self::Bundle(_)
            | Self::Seccomp(_) => Kind::Invalid,
            Self::NameTaken { .. } | Self::Conflict { .. } => Kind::Conflict,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::NotStarted { exit_code: 127, .. } => Kind::CommandNotFound,
            Self::NotStarted { exit_code: 126, .. } => Kind::CommandNotExecutable,
            Self::Archive(_) => Kind::CorruptInput,
            _ => Kind::Internal,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<metadata::MetadataError> for EngineError {
    fn from(error: metadata::MetadataError) -> Self {
        use metadata::MetadataError;
        match error {
            MetadataError::NotFound { text } => Self::NoContainer { name: text },
            MetadataError::Ambiguous { text } => Self::AmbiguousContainer { prefix: text },
            MetadataError::NameTaken { name, id } => Self::NameTaken { name, id },
            MetadataError::BadName { name } => Self::Invalid {
                message: format!(
                    "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
                ),
            },
            other => Self::Metadata(other),
        }
    }
}
