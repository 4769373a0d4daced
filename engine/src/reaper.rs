//! Deletion of what is out of sight, by a process of its own, so that nobody waits for it.
//!
//! It is started and not forked: a caller may have threads, and a copy of such a process has
//! their locks, and our descriptors with the locks of containers, for as long as it lives.

use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags};
use sys::process::{Program, Spawn};

/// `argv[0]` under which the program is a reaper.
pub const REAPER: &str = "kista-reaper";

/// Starts a process that empties the trash of the root and outlives this one.
///
/// Whatever goes wrong leaves the trash to the next one who comes by, which is why nothing is
/// reported.
pub(crate) fn spawn(root: &Path) {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let (Ok(null), Ok(root), Ok(name)) = (
        rustix::fs::openat(CWD, c"/dev/null", flags, Mode::empty()),
        CString::new(root.as_os_str().as_bytes()),
        CString::new(REAPER),
    ) else {
        return;
    };
    let null = null.as_fd();
    let _ = sys::process::spawn(&Spawn {
        program: Program::Path(c"/proc/self/exe"),
        args: &[&name, &root],
        env: &[],
        fds: &[(null, 0), (null, 1), (null, 2)],
        new_session: true,
        death_signal: None,
    });
}

/// The whole of a process that was called as [`REAPER`], with the data directory as argument.
pub fn reap(root: &OsStr) -> ExitCode {
    match sys::trash::Trash::open(Path::new(root)).and_then(|trash| trash.empty()) {
        Ok(_) => ExitCode::SUCCESS,
        // What could not be deleted now is there for the next one.
        Err(_) => ExitCode::FAILURE,
    }
}
