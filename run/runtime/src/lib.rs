//! From a bundle to a process: namespaces, mounts, limits, identity, execve.
//!
//! ```text
//! Container (spec, rootfs, cgroup, filter) --- create() ---> Created --- start() ---> running
//! Exec (process, of a running container) ----- exec() -----> Created --- start() ---> running
//! ```
//!
//! Stands between `flow::bundle`, which writes the spec, and `shim`, which waits for the process.
//! Everything a container mounts is mounted in its own mount namespace, from mounts that were
//! never attached anywhere else, so the host's table does not change. Paths in the root file
//! system are resolved by the kernel ([`sys::fs::open_in_root`]) and used as descriptors; whatever
//! masks or is written to comes from the host or from a file system that was made here.
//!
//! What never happens here: no thread, no state on disk, no decision about policy, no cgroup is
//! made or limited (`cgroups`), no filter is compiled (`seccomp`).
//!
//! The caller must have one thread, be small (it is copied), and run from an executable that was
//! entered through [`sys::exe::self_exe_readonly`], since the new process still is that program
//! until it executes its own (CVE-2019-5736).

mod container;
mod error;
#[allow(dead_code, reason = "spoken by create and exec, next")]
mod message;
mod start;

pub use container::{
    Container, Created, Exec, Options, Parent, Rootfs, Stdio, Target, TerminalSize,
};
pub use error::{ExecError, ExecErrorKind, RuntimeError};
pub use start::StartHandle;

/// Makes a container: everything but the execution of its program.
///
/// Needs root, or a user namespace in the spec. On failure nothing is left; with
/// [`Parent::Sibling`] the caller's parent then still has a child to reap.
///
/// runtime-spec 1.3.0, runtime.md, "Create".
pub fn create(container: &Container<'_>) -> Result<Created, RuntimeError> {
    let _ = container;
    Err(message::out_of_turn())
}

/// Adds a process to a running container: everything but the execution of its program.
pub fn exec(request: &Exec<'_>) -> Result<Created, RuntimeError> {
    let _ = request;
    Err(message::out_of_turn())
}
