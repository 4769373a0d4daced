//! One fetcher of a blob at a time, on the whole machine.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci::Digest;
use rustix::fs::{CWD, Mode, OFlags};
use sys::fs::Lock;

use crate::TransferError;

/// Held by whoever fetches a blob; ends with him, however that ends.
#[derive(Debug)]
pub(crate) struct FetchLock(#[expect(dead_code, reason = "held for its drop")] OwnedFd);

const NAME: &str = "transfer.lock";

impl FetchLock {
    /// Takes the lock of a blob in the data root `root`; calls `waiting` if it has to wait.
    ///
    /// The byte of the file that the digest's first bits number: of 2^60, so that two blobs that
    /// share one are not met, and would only wait for each other.
    pub(crate) fn take(
        root: &Path,
        digest: &Digest,
        waiting: impl FnOnce(),
    ) -> Result<Self, TransferError> {
        let path = root.join(NAME);
        let failed = |source: std::io::Error| TransferError::Io {
            action: "lock",
            path: path.clone(),
            source,
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| failed(errno.into()))?;
        let byte = u64::from_str_radix(&digest.hex()[..15], 16).expect("a digest is hexadecimal");
        if !sys::fs::lock_range(file.as_fd(), byte, Lock::Exclusive, false).map_err(&failed)? {
            waiting();
            sys::fs::lock_range(file.as_fd(), byte, Lock::Exclusive, true).map_err(&failed)?;
        }
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_digest_has_one_holder() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (content::sha256(b"a"), content::sha256(b"b"));
        let held = FetchLock::take(root.path(), &a, || panic!("nobody else")).unwrap();
        FetchLock::take(root.path(), &b, || panic!("another digest")).unwrap();
        let waited = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                FetchLock::take(root.path(), &a, || {
                    waited.store(true, std::sync::atomic::Ordering::SeqCst);
                })
                .unwrap();
            });
            while !waited.load(std::sync::atomic::Ordering::SeqCst) {
                std::thread::yield_now();
            }
            drop(held);
            second.join().unwrap();
        });
    }
}
