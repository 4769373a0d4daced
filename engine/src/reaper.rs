//! Deletion of what is out of sight, by a process of its own, so that nobody waits for it.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

/// Empties the trash of the root in a process that outlives this one.
///
/// Whatever goes wrong leaves the trash to the next one who comes by, which is why nothing is
/// reported. The process has a session of its own and keeps nobody's terminal or pipe open.
pub(crate) fn spawn(root: &Path) {
    let _ = sys::process::fork(|| {
        let _ = rustix::process::setsid();
        if leave_standard_streams().is_ok()
            && let Ok(trash) = sys::trash::Trash::open(root)
        {
            let _ = trash.empty();
        }
        0
    });
}

fn leave_standard_streams() -> rustix::io::Result<()> {
    let null =
        rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)
}
