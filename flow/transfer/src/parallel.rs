//! Several transfers at once, until one fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::TransferError;

/// Does `work` for each of `items`, at most `most` at once, in their order.
///
/// The first error is returned: it is the cause, and the others may be its consequence. `stop` is
/// set then, for those who are at work; nothing more is begun once it is.
pub(crate) fn at_once<T: Sync>(
    items: &[T],
    most: usize,
    stop: &AtomicBool,
    work: impl Fn(&T) -> Result<(), TransferError> + Sync,
) -> Result<(), TransferError> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<TransferError>> = Mutex::new(None);
    let run = || {
        while !stop.load(Ordering::Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = work(item) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..most.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
