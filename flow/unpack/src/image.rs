//! All layers of an image, at the same time.

use std::cmp::Reverse;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use content::Content;
use oci::{Descriptor, Digest};
use snapshots::Snapshots;

use crate::apply::ApplyOptions;
use crate::error::UnpackError;
use crate::layer::{self, Expected, Unpacked};

/// Unpacks those of an image's layers that are not there, with the default [`ApplyOptions`].
pub fn image(
    content: &Content,
    snapshots: &Snapshots,
    layers: &[(Descriptor, Digest)],
) -> Result<Vec<Unpacked>, UnpackError> {
    image_with(content, snapshots, layers, &ApplyOptions::default())
}

/// Unpacks those of an image's layers that are not there.
///
/// `layers` are blobs of `content` with the DiffIDs they shall have. They depend on nothing, so
/// that as many are unpacked at once as there are cores, the largest first. Returned are those
/// that were unpacked, in no order. After a failure, which stops the others, the layers that
/// were complete by then remain: they are true, and garbage until an image needs them.
///
/// A blob's own digest was verified when it came into the store; here its DiffID is, which
/// covers every byte that becomes a file.
pub fn image_with(
    content: &Content,
    snapshots: &Snapshots,
    layers: &[(Descriptor, Digest)],
    options: &ApplyOptions,
) -> Result<Vec<Unpacked>, UnpackError> {
    let missing = missing(snapshots, layers)?;
    let work = Work {
        content,
        snapshots,
        options,
        missing: &missing,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        outcome: Mutex::new(Ok(Vec::new())),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = cores.min(missing.len());
    std::thread::scope(|scope| {
        // The caller's thread is one of the workers.
        for _ in 1..workers {
            scope.spawn(|| work.run());
        }
        work.run();
    });
    work.outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Which layers have to be unpacked, each once, the largest first: a large one that began last
/// would have a core to itself in the end.
fn missing<'a>(
    snapshots: &Snapshots,
    layers: &'a [(Descriptor, Digest)],
) -> Result<Vec<(&'a Descriptor, &'a Digest)>, UnpackError> {
    let mut missing: Vec<(&Descriptor, &Digest)> = Vec::new();
    for (blob, diff_id) in layers {
        let known = missing.iter().any(|(_, other)| *other == diff_id);
        if !known && !snapshots.contains(diff_id)? {
            missing.push((blob, diff_id));
        }
    }
    missing.sort_by_key(|(blob, _)| Reverse(blob.size_bytes));
    Ok(missing)
}

struct Work<'a> {
    content: &'a Content,
    snapshots: &'a Snapshots,
    options: &'a ApplyOptions,
    missing: &'a [(&'a Descriptor, &'a Digest)],
    next: AtomicUsize,
    stop: AtomicBool,
    /// What was unpacked, or the first error.
    outcome: Mutex<Result<Vec<Unpacked>, UnpackError>>,
}

impl Work<'_> {
    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed)
            && let Some((blob, diff_id)) =
                self.missing.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            let result = self.one(blob, diff_id);
            let mut outcome =
                self.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (result, &mut *outcome) {
                (Ok(unpacked), Ok(done)) => done.push(unpacked),
                (Err(error), Ok(_)) => {
                    *outcome = Err(error);
                    self.stop.store(true, Ordering::Relaxed);
                }
                // The first error is the cause; this one may be its consequence.
                (_, Err(_)) => {}
            }
        }
    }

    fn one(&self, blob: &Descriptor, diff_id: &Digest) -> Result<Unpacked, UnpackError> {
        let source = self.content.open_blob(&blob.digest)?;
        let expected = Expected { blob: None, diff_id: Some(diff_id) };
        layer::unpack(source, expected, self.snapshots, self.options, &self.stop)
    }
}
