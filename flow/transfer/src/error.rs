//! What can go wrong between a registry and the stores.

use std::io;
use std::path::PathBuf;

use content::ContentError;
use http1::HttpError;
use images::ImagesError;
use oci::Digest;
use snapshots::SnapshotError;
use unpack::UnpackError;

/// Why an image could not be moved. `repository` is `registry/repository` throughout.
///
/// Where scripts match Docker's texts ("manifest unknown", "pull access denied"), they are Docker's.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Nobody answers.
    #[error("cannot reach registry {registry} at {origin}")]
    Connect {
        /// As in the reference.
        registry: String,
        /// Who was asked.
        origin: String,
        /// The cause.
        source: io::Error,
    },
    /// Whoever answers does not show that he is the registry, or wants us to show who we are.
    #[error("registry {registry} at {origin} is not trusted: {why}")]
    Untrusted {
        /// As in the reference.
        registry: String,
        /// Who was asked.
        origin: String,
        /// What is wrong, and what to do.
        why: String,
        /// The cause.
        source: io::Error,
    },
    /// The connection broke or fell silent, more often than is tried again.
    #[error(
        "{what} of {repository} broke off {times} times: try again later, what is complete is kept"
    )]
    Broken {
        /// What was on its way.
        what: String,
        /// Whose.
        repository: String,
        /// How often it was tried.
        times: u32,
        /// The last cause.
        source: io::Error,
    },
    /// What came is no HTTP.
    #[error(
        "registry {registry} does not speak HTTP/1.1 (is it a registry, and is the port right?)"
    )]
    Protocol {
        /// As in the reference.
        registry: String,
        /// What is wrong.
        source: HttpError,
    },
    /// A redirect that is not followed.
    #[error("{what} of {repository} is redirected to {location}, which is refused: {why}")]
    Redirect {
        /// What was asked for.
        what: String,
        /// Whose.
        repository: String,
        /// Where to.
        location: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// HTML where a registry answers JSON or bytes.
    #[error(
        "{what} of {repository} was answered with an HTML page: is something between this machine \
         and the registry (a proxy, a login page), or the name not that of a registry?"
    )]
    Html {
        /// What was asked for.
        what: String,
        /// Whose.
        repository: String,
    },
    /// A registry that cannot be searched.
    #[error(
        "registry {registry} cannot be searched: it does not have Docker Hub's /v1/search, as most \
         registries do not; its own pages may have a search"
    )]
    NoSearch {
        /// Which.
        registry: String,
    },
    /// There is no such manifest.
    #[error("manifest for {reference} not found: manifest unknown: {message}")]
    NoManifest {
        /// As Docker shows it.
        reference: String,
        /// What the registry says.
        message: String,
    },
    /// A blob that a manifest names is not there.
    #[error(
        "{repository} has no blob {digest}, although its manifest names it: push the image again"
    )]
    NoBlob {
        /// Where.
        repository: String,
        /// Which.
        digest: Digest,
    },
    /// The registry lets nobody, or not this user, at it.
    #[error(
        "{action} access denied for {repository}, repository does not exist or may require \
         'kista login': {message}"
    )]
    Denied {
        /// `pull` or `push`.
        action: &'static str,
        /// As Docker shows it.
        repository: String,
        /// What the registry says.
        message: String,
    },
    /// Name and password are not accepted.
    #[error("{registry} refuses the credentials: {message} (see 'kista login {registry}')")]
    BadCredentials {
        /// Which.
        registry: String,
        /// What it says.
        message: String,
    },
    /// The registry wants to be authenticated to in a way that is unknown or unsafe.
    #[error("cannot authenticate to {registry}: {why}")]
    Authentication {
        /// Which.
        registry: String,
        /// What it wants.
        why: String,
    },
    /// An answer that fits no request.
    #[error("{what} of {repository} was answered with status {status}: {message}")]
    Status {
        /// What was asked for.
        what: String,
        /// Whose.
        repository: String,
        /// The status.
        status: u16,
        /// What the registry says.
        message: String,
    },
    /// A document that makes no sense, lies about itself or is too large.
    #[error("{what} of {repository} is refused: {why}")]
    Document {
        /// Which document.
        what: String,
        /// Whose.
        repository: String,
        /// What is wrong with it.
        why: String,
    },
    /// Bytes that are not those asked for.
    #[error(
        "{what} {digest} of {repository} is refused: {actual} arrived instead; the registry or \
         something on the way damages it"
    )]
    Mismatch {
        /// `manifest`, `configuration` or `layer`.
        what: &'static str,
        /// Whose.
        repository: String,
        /// What was asked for.
        digest: Digest,
        /// What came, as a digest or a number of bytes.
        actual: String,
    },
    /// No image for this platform.
    #[error(
        "no matching manifest for {wanted} in the manifest list entries of {repository}: it has {available}"
    )]
    Platform {
        /// What was asked for.
        wanted: String,
        /// What is there.
        available: String,
        /// Whose.
        repository: String,
    },
    /// A layer that cannot be unpacked.
    #[error("layer {digest} of {repository} cannot be unpacked")]
    Layer {
        /// Whose.
        repository: String,
        /// Which blob.
        digest: Digest,
        /// Why.
        source: Box<UnpackError>,
    },
    /// A credential helper that fails.
    #[error("credential helper docker-credential-{name} fails: {message}")]
    Helper {
        /// Which.
        name: String,
        /// What it said.
        message: String,
    },
    /// A configuration file that is not understood.
    #[error("{path} is not understood: {why}", path = path.display())]
    Settings {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The configuration forbids this registry.
    #[error("registry {registry} is blocked by {path}", path = path.display())]
    Blocked {
        /// Which.
        registry: String,
        /// Who says so.
        path: PathBuf,
    },
    /// Another layer failed first.
    #[error("the transfer was stopped")]
    Stopped,
    /// The blobs' store failed.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The layers' store failed.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// The names' store failed.
    #[error(transparent)]
    Images(#[from] ImagesError),
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

impl TransferError {
    /// Whether asking somebody else, or the same later, may help: for mirrors.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Untrusted { .. }
                | Self::Broken { .. }
                | Self::Protocol { .. }
                | Self::Redirect { .. }
                | Self::Html { .. }
                | Self::NoManifest { .. }
                | Self::NoBlob { .. }
                | Self::Denied { .. }
                | Self::Authentication { .. }
                | Self::Status { .. }
                | Self::Mismatch { .. }
                | Self::Document { .. }
        )
    }
}
