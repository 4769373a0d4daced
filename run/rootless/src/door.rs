//! A lock file by which commands find a process that holds something for all of them.
//!
//! ```text
//! byte 0   by the holder, alone, as long as it lives
//! byte 1   shared, by each member
//! byte 2   by whoever makes a holder, while it does
//! ```
//!
//! The text of the file is the holder's pid, and perhaps a second number. A member first takes byte
//! 1 and then asks for the holder: that one ends only once it has byte 1 alone, so that it cannot
//! end between the question and what follows. It empties the file then; a pid in it without a lock
//! on byte 0 means that the holder was killed, and that members may live on.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};
use sys::fs::Lock;

use crate::RootlessError;

pub(crate) const HOLDER_LIFE: u64 = 0;
pub(crate) const MEMBERS: u64 = 1;
pub(crate) const MAKING: u64 = 2;

/// What the file says.
pub(crate) enum Found {
    /// A handle of the holder's.
    Holder(Pid, OwnedFd),
    /// It was killed, or is being made: whoever makes one asks again. The second number.
    Dead(u64),
    Nothing,
}

/// Asks for the holder.
pub(crate) fn find(path: &Path) -> Result<Found, RootlessError> {
    let file = open(path)?;
    let is_held = || {
        sys::fs::is_range_locked_exclusively(file.as_fd(), HOLDER_LIFE)
            .map_err(io_error("query the lock of", path))
    };
    if !is_held()? {
        return Ok(match pid_in(&file).map_err(io_error("read", path))? {
            Some((_, second)) => Found::Dead(second),
            None => Found::Nothing,
        });
    }
    let pid = pid_in(&file).map_err(io_error("read", path))?;
    let opened = pid.and_then(|(pid, _)| {
        Some((pid, rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?))
    });
    // If it lives now, it lived then, and the number was its own.
    match opened {
        Some((pid, pidfd)) if is_held()? => Ok(Found::Holder(pid, pidfd)),
        // One that is just being made, or has just been killed: ask again after its maker.
        _ => Ok(Found::Dead(pid.map_or(0, |(_, second)| second))),
    }
}

/// Each call has locks of its own: they belong to what is opened here.
pub(crate) fn open(path: &Path) -> Result<OwnedFd, RootlessError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o600)).map_err(|errno| {
        RootlessError::Io { action: "open", path: path.to_owned(), source: errno.into() }
    })
}

/// Waits for a lock.
pub(crate) fn lock(
    path: &Path,
    file: BorrowedFd<'_>,
    byte: u64,
    kind: Lock,
) -> Result<(), RootlessError> {
    sys::fs::lock_range(file, byte, kind, true).map(drop).map_err(io_error("lock", path))
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> RootlessError {
    let path: PathBuf = path.to_owned();
    move |source| RootlessError::Io { action, path: path.clone(), source }
}

fn pid_in(file: &OwnedFd) -> io::Result<Option<(Pid, u64)>> {
    let mut text = String::new();
    let mut file = File::from(file.try_clone()?);
    io::Seek::rewind(&mut file)?;
    file.by_ref().take(64).read_to_string(&mut text)?;
    let mut words = text.split_ascii_whitespace();
    let pid = words.next().and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 0);
    let second = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    Ok(pid.and_then(Pid::from_raw).map(|pid| (pid, second)))
}

/// Writes the holder down, with a second number.
pub(crate) fn write_pid(file: &OwnedFd, pid: Pid, second: u64) -> io::Result<()> {
    rustix::fs::ftruncate(file, 0)?;
    let text = format!("{} {second}\n", pid.as_raw_nonzero());
    rustix::io::pwrite(file, text.as_bytes(), 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_the_lock_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("lock");
        assert!(matches!(find(path).unwrap(), Found::Nothing));
        let file = open(path).unwrap();
        write_pid(&file, rustix::process::getpid(), 7).unwrap();
        assert!(matches!(find(path).unwrap(), Found::Dead(7)));
        lock(path, file.as_fd(), HOLDER_LIFE, Lock::Exclusive).unwrap();
        assert!(matches!(find(path).unwrap(), Found::Holder(..)));
        // Locked, and not written down yet: its maker is still at it.
        rustix::fs::ftruncate(&file, 0).unwrap();
        assert!(matches!(find(path).unwrap(), Found::Dead(0)));
    }
}
