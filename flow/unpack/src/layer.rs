//! One layer from a stream into the snapshot store.
//!
//! Three threads: one reads, hashes what it read and decompresses; one hashes what came out; the
//! caller's makes the files. Where two cores are the whole machine, the scheduler gives the
//! hashing to whichever of the other two waits.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use content::Hasher;
use oci::{Algorithm, Digest};
use snapshots::{LayerUsage, Snapshots};

use crate::apply::{Applied, ApplyOptions, apply};
use crate::decompress::{Compression, decompress};
use crate::error::UnpackError;
use crate::pipe::{Producer, tapped};

/// What a layer was promised to be. What is `None` is not checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected<'a> {
    /// The digest of the stream as it comes, compressed or not.
    pub blob: Option<&'a Digest>,
    /// The digest of the archive inside, as in `rootfs.diff_ids`.
    pub diff_id: Option<&'a Digest>,
}

/// A layer that is now in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of the archive.
    pub diff_id: Digest,
    /// Bytes of the stream as it came.
    pub blob_bytes: u64,
    /// How it was compressed.
    pub compression: Compression,
    /// What was in it.
    pub applied: Applied,
    /// `false` if the same layer came from elsewhere meanwhile and this copy was thrown away.
    pub is_new: bool,
}

/// Unpacks a layer with the default [`ApplyOptions`]. See [`layer_with`].
pub fn layer(
    source: impl Read + Send,
    expected: Expected<'_>,
    snapshots: &Snapshots,
) -> Result<Unpacked, UnpackError> {
    layer_with(source, expected, snapshots, &ApplyOptions::default())
}

/// Unpacks a layer from `source`, compressed or not, into a directory of its own.
///
/// `source` is read once, to its end. The layer is there when this returns `Ok`, and under the
/// DiffID of the bytes that were seen; otherwise nothing is. It is not yet durable:
/// [`Snapshots::sync`].
pub fn layer_with(
    source: impl Read + Send,
    expected: Expected<'_>,
    snapshots: &Snapshots,
    options: &ApplyOptions,
) -> Result<Unpacked, UnpackError> {
    unpack(source, expected, snapshots, options, &AtomicBool::new(false))
}

/// As [`layer_with`], given up with [`UnpackError::Stopped`] soon after `stop` becomes true.
pub(crate) fn unpack(
    source: impl Read + Send,
    expected: Expected<'_>,
    snapshots: &Snapshots,
    options: &ApplyOptions,
    stop: &AtomicBool,
) -> Result<Unpacked, UnpackError> {
    // Dropped on the way out of a failure, and so thrown away.
    let new = snapshots.begin()?;
    let (producer, tap, consumer) = tapped();
    let algorithm = expected.diff_id.map_or(Algorithm::Sha256, Digest::algorithm);
    let (applied, archive, stream) = std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(source, expected.blob, options, stop, producer));
        let hashing = scope.spawn(move || {
            let mut hasher = Hasher::new(algorithm);
            tap.run(|bytes| hasher.update(bytes));
            hasher.finish()
        });
        let applied = apply(consumer, new.dir(), options);
        (applied, join(hashing), join(reading))
    });
    if stop.load(Ordering::Relaxed) {
        return Err(UnpackError::Stopped);
    }
    let applied = applied?;
    // Files were made without an error, so that the stream was seen to its end.
    check("layer", expected.diff_id, &archive)?;
    if let Some(blob) = &stream.digest {
        check("blob", expected.blob, blob)?;
    }
    let usage = LayerUsage { entries: applied.entries, bytes: applied.bytes };
    let is_new = new.commit(&archive, usage)?;
    Ok(Unpacked {
        diff_id: archive,
        blob_bytes: stream.bytes,
        compression: stream.compression,
        applied,
        is_new,
    })
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn check(
    what: &'static str,
    expected: Option<&Digest>,
    actual: &Digest,
) -> Result<(), UnpackError> {
    match expected {
        Some(expected) if expected != actual => {
            Err(UnpackError::Mismatch { what, expected: expected.clone(), actual: actual.clone() })
        }
        _ => Ok(()),
    }
}

/// What the stream was, once it has ended.
struct Stream {
    digest: Option<Digest>,
    bytes: u64,
    compression: Compression,
}

/// The first thread. An error goes to the consumer, who reports it.
fn read(
    source: impl Read,
    expected: Option<&Digest>,
    options: &ApplyOptions,
    stop: &AtomicBool,
    producer: Producer,
) -> Stream {
    let mut hashed = Hashed {
        inner: source,
        hasher: expected.map(|digest| Hasher::new(digest.algorithm())),
        bytes: 0,
        stop,
    };
    let mut compression = Compression::Plain;
    let sent = decompress(&mut hashed, &options.limits).and_then(|mut plain| {
        compression = plain.compression();
        match producer.send_all(&mut plain) {
            true => plain.finish(),
            false => Ok(()),
        }
    });
    if let Err(error) = sent {
        producer.fail(error);
    }
    let digest = hashed.hasher.map(Hasher::finish);
    Stream { digest, bytes: hashed.bytes, compression }
}

/// Hashes and counts what is read through it, as long as nobody says stop.
struct Hashed<'a, R> {
    inner: R,
    hasher: Option<Hasher>,
    bytes: u64,
    stop: &'a AtomicBool,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other(UnpackError::Stopped));
        }
        let count = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.bytes += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }
}
