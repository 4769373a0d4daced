//! What a container has written becomes a layer, and several layers become one.
//!
//! A container's directory stays its own: the files are copied, through the tar that they make and
//! into a new layer's directory, of which the layer's own tar is hashed. So the layer is what it
//! would be if it had been pulled.

use std::io::{self, BufWriter, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};

use oci::{Digest, Timestamp};
use snapshots::NewLayer;

use crate::request::Stores;
use crate::solve::{Stubs, seal_layer};
use crate::{BuildError, seal};

/// Makes a layer of the directory that a container writes to, over the layers `below`.
///
/// `None` if it has written nothing. Files and folders that are only there for something to be
/// mounted on, as for every container, are left out. If the container writes meanwhile, the layer
/// holds a mixture. Nothing in it is younger than `epoch`. The caller holds the store's shared
/// lock.
pub fn commit_layer(
    stores: &Stores,
    upper: BorrowedFd<'_>,
    below: &[Digest],
    epoch: Option<Timestamp>,
) -> Result<Option<Digest>, BuildError> {
    let layer = copied(stores, |out| seal::write_changing(upper, out))?;
    Stubs::note(stores, below, &[])?.remove(layer.dir())?;
    seal_layer(layer, epoch.map(Timestamp::unix_seconds))
}

/// Makes one layer of several, lowest first: what one sees of them together.
///
/// `None` if that is nothing. Nothing in it is younger than `epoch`. The caller holds the store's
/// shared lock.
pub fn squash_layers(
    stores: &Stores,
    layers: &[Digest],
    epoch: Option<Timestamp>,
) -> Result<Option<Digest>, BuildError> {
    let root = runtime::mount_detached(&stores.snapshots.mounts(layers, None, true)?)?;
    let layer = copied(stores, |out| seal::write(root.as_fd(), None, false, out))?;
    seal_layer(layer, epoch.map(Timestamp::unix_seconds))
}

/// A new layer with the files of the tar that `write` writes.
fn copied(
    stores: &Stores,
    write: impl FnOnce(BufWriter<PipeWriter>) -> Result<seal::Sealed, BuildError> + Send,
) -> Result<NewLayer, BuildError> {
    let layer = stores.snapshots.begin()?;
    let (reader, writer) = io::pipe().map_err(BuildError::io("open", "a pipe"))?;
    std::thread::scope(|scope| {
        let sealing = scope.spawn(move || write(BufWriter::with_capacity(256 << 10, writer)));
        let options = unpack::ApplyOptions::default();
        let applied = unpack::apply(reader, layer.dir(), &options);
        let sealed =
            sealing.join().unwrap_or_else(|_| Err(BuildError::Fault { message: "a panic".into() }));
        let unpacked = |source| BuildError::Unpack { path: "the container's files".into(), source };
        match (applied, sealed) {
            (Ok(_), Ok(_)) => Ok(()),
            // The pipe breaks for who writes when who reads gives up; otherwise it ends too early
            // for who reads when who writes does.
            (Err(source), Ok(_)) => Err(unpacked(source)),
            (Err(source), Err(error)) if error.is_broken_pipe() => Err(unpacked(source)),
            (_, Err(error)) => Err(error),
        }
    })?;
    Ok(layer)
}
