//! What is told while a transfer goes on.

use oci::Digest;

/// What happens to one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerState {
    /// It is to be fetched, and has not begun.
    Pending,
    /// Somebody else fetches it at the moment.
    Waiting,
    /// It is there.
    Exists,
    /// It comes, and is unpacked as it comes.
    Downloading {
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It goes on after the connection was cut.
    Retrying,
    /// It was fetched before and is unpacked.
    Unpacking,
    /// It has come.
    Complete,
    /// It goes.
    Uploading {
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It has gone.
    Pushed,
    /// The registry took it from another repository.
    Mounted,
}

/// Who is told. Called from several threads.
pub trait Progress: Sync {
    /// The layers of the image, lowest first; each once.
    fn layers(&self, digests: &[Digest]);
    /// Something happened to one of them.
    fn layer(&self, digest: &Digest, state: LayerState);
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn layers(&self, _digests: &[Digest]) {}
    fn layer(&self, _digest: &Digest, _state: LayerState) {}
}
