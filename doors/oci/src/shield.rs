//! Entering our own executable so that no container can overwrite it (CVE-2019-5736).
//!
//! A process that is about to be a container's still is this program, and is then reachable as
//! `/proc/PID/exe`. So the commands that make processes run the program a second time, from a
//! file that cannot be written to: a read-only mount of its own, or, for a user who may not make
//! one and may write to the file, a sealed copy in memory.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use crate::log::Log;

/// Goes on as the same command from where nobody can write; returns if it is there already, or
/// if the executable is not the caller's to write to.
pub(crate) fn enter(log: &Log) {
    match sys::exe::is_shielded() {
        Ok(true) => return,
        Ok(false) => {}
        Err(error) => log.debug(|| format!("cannot look at the own executable: {error}")),
    }
    match shielded() {
        Ok(None) => {}
        Ok(Some(exe)) => {
            let error = execute(&exe);
            log.warn(&format!("cannot execute the protected copy of this program: {error}"));
        }
        Err(error) => log.warn(&format!("cannot protect this program's file: {error}")),
    }
}

fn shielded() -> io::Result<Option<OwnedFd>> {
    match sys::exe::self_exe_readonly() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            match sys::exe::is_writable()? {
                true => sys::exe::sealed_copy().map(Some),
                // Then its container cannot either: all that its user has is this one's.
                false => Ok(None),
            }
        }
        other => other.map(Some),
    }
}

/// The same arguments, environment and descriptors.
fn execute(exe: &OwnedFd) -> io::Error {
    let strings = |words: &mut dyn Iterator<Item = OsString>| {
        words.filter_map(|word| CString::new(word.into_vec()).ok()).collect::<Vec<_>>()
    };
    let args = strings(&mut std::env::args_os());
    let env = strings(&mut std::env::vars_os().map(|(name, value)| {
        let mut entry = name;
        entry.push("=");
        entry.push(value);
        entry
    }));
    let args: Vec<_> = args.iter().map(CString::as_c_str).collect();
    let env: Vec<_> = env.iter().map(CString::as_c_str).collect();
    sys::process::exec_fd(exe.as_fd(), &args, &env)
}
