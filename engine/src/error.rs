//! Why a verb failed, and what that means to a caller.

use std::io;
use std::path::PathBuf;

use networks::NetworksError;

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
    /// No image has this name, and one may be fetched: that is the caller's to do, who shows how it
    /// goes on ([`Engine::pull_image`](crate::Engine::pull_image)).
    #[error("Unable to find image '{name}' locally")]
    NoLocalImage {
        /// As Docker shows it, with its tag.
        name: String,
    },
    /// No list of manifests of this name is in the making here.
    #[error("No such manifest: {list}")]
    NoList {
        /// Its whole name.
        list: String,
    },
    /// A list has no such entry.
    #[error("manifest for image {manifest} does not exist in {list}")]
    NotInList {
        /// The list's whole name.
        list: String,
        /// The entry's.
        manifest: String,
    },
    /// Nothing here has a tag in this repository.
    #[error("An image does not exist locally with the tag: {repository}")]
    NoTag {
        /// The repository, with its registry.
        repository: String,
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
    /// The namespace of an ordinary user.
    #[error(transparent)]
    Rootless(#[from] rootless::RootlessError),
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
    /// Networks: records and addresses.
    #[error(transparent)]
    Networks(#[from] networks::NetworksError),
    /// Networks: the kernel's side.
    #[error(transparent)]
    Network(#[from] network::NetworkError),
    /// Container records.
    #[error(transparent)]
    Metadata(metadata::MetadataError),
    /// Archives.
    #[error(transparent)]
    Archive(#[from] archive::ArchiveError),
    /// Registries.
    #[error(transparent)]
    Transfer(#[from] transfer::TransferError),
    /// Builds.
    #[error(transparent)]
    Build(#[from] builder::BuildError),
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
    /// A registry wants to know who asks, or does not let him.
    Denied,
    /// Another machine does not answer, or answers nonsense. Later it may.
    Unreachable,
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
            | Self::NoTag { .. }
            | Self::NoList { .. }
            | Self::NotInList { .. }
            | Self::NoVolume { .. }
            | Self::Networks(NetworksError::NotFound { .. }) => Kind::NotFound,
            Self::AmbiguousContainer { .. }
            | Self::Invalid { .. }
            | Self::Bundle(_)
            | Self::Seccomp(_) => Kind::Invalid,
            Self::Networks(
                NetworksError::Ambiguous { .. }
                | NetworksError::BadName { .. }
                | NetworksError::BadPool { .. }
                | NetworksError::Foreign { .. },
            ) => Kind::Invalid,
            Self::Networks(
                NetworksError::NameTaken { .. }
                | NetworksError::Overlap { .. }
                | NetworksError::NoPool { .. }
                | NetworksError::Exhausted { .. }
                | NetworksError::AddressTaken { .. },
            )
            | Self::Network(network::NetworkError::BridgeFull { .. })
            | Self::NameTaken { .. }
            | Self::Conflict { .. } => Kind::Conflict,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::NotStarted { exit_code: 127, .. } => Kind::CommandNotFound,
            Self::NotStarted { exit_code: 126, .. } => Kind::CommandNotExecutable,
            Self::Archive(_) => Kind::CorruptInput,
            Self::Transfer(error) => kind_of_transfer(error),
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

fn kind_of_transfer(error: &transfer::TransferError) -> Kind {
    use transfer::TransferError;
    match error {
        TransferError::NoManifest { .. }
        | TransferError::NoBlob { .. }
        | TransferError::Platform { .. } => Kind::NotFound,
        TransferError::Denied { .. }
        | TransferError::BadCredentials { .. }
        | TransferError::Authentication { .. }
        | TransferError::Blocked { .. }
        | TransferError::Untrusted { .. }
        | TransferError::Helper { .. } => Kind::Denied,
        TransferError::Connect { .. }
        | TransferError::Broken { .. }
        | TransferError::Protocol { .. }
        | TransferError::Redirect { .. }
        | TransferError::Html { .. }
        | TransferError::Status { .. } => Kind::Unreachable,
        TransferError::Document { .. }
        | TransferError::Mismatch { .. }
        | TransferError::Layer { .. } => Kind::CorruptInput,
        TransferError::NoSearch { .. } => Kind::Unsupported,
        TransferError::Settings { .. } => Kind::Invalid,
        _ => Kind::Internal,
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
