//! What a container has written becomes a layer.
//!
//! Its directory stays its own: the files are copied, through the tar that they make and into a
//! new layer's directory, of which the layer's own tar is hashed. So the layer is what it would be
//! if it had been pulled.

use std::io;
use std::os::fd::BorrowedFd;

use oci::Digest;

use crate::request::Stores;
use crate::solve::{Stubs, seal_layer};
use crate::{BuildError, seal};

/// Makes a layer of the directory that a container writes to, over the layers `below`.
///
/// `None` if it has written nothing. Files and folders that are only there for something to be
/// mounted on, as for every container, are left out. If the container writes meanwhile, the layer
/// holds a mixture. The caller holds the store's shared lock.
pub fn commit_layer(
    stores: &Stores,
    upper: BorrowedFd<'_>,
    below: &[Digest],
) -> Result<Option<Digest>, BuildError> {
    let layer = stores.snapshots.begin()?;
    let (reader, writer) = io::pipe().map_err(BuildError::io("open", "a pipe"))?;
    std::thread::scope(|scope| {
        let sealing = scope.spawn(move || {
            seal::write_changing(upper, io::BufWriter::with_capacity(256 << 10, writer))
        });
        let options = unpack::ApplyOptions::default();
        let applied = unpack::apply(reader, layer.dir(), &options);
        let sealed =
            sealing.join().unwrap_or_else(|_| Err(BuildError::Fault { message: "a panic".into() }));
        match (applied, sealed) {
            (Ok(_), Ok(_)) => Ok(()),
            // The pipe breaks for who writes when who reads gives up; otherwise it ends too early
            // for who reads when who writes does.
            (Err(source), Ok(_)) => {
                Err(BuildError::Unpack { path: "the container's files".into(), source })
            }
            (Err(source), Err(error)) if error.is_broken_pipe() => {
                Err(BuildError::Unpack { path: "the container's files".into(), source })
            }
            (_, Err(error)) => Err(error),
        }
    })?;
    Stubs::note(stores, below, &[])?.remove(layer.dir())?;
    seal_layer(layer, None)
}
