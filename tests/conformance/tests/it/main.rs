//! Whether an OCI runtime does what runtime-spec 1.3.0 says, and what engines expect of runc.
//!
//! `RUNTIME=/usr/sbin/runc cargo nextest run -p conformance` checks another runtime than ours.
//! Where runc or crun are known to differ, [`differences`] says so and why: a test that is
//! listed there must fail, so that the list stays true. Both are run by `cargo xtask ci peers`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic here is a test's failure, and a difference is told"
)]

/// Leaves the test where the machine lacks a need, or where the runtime under test is known to
/// differ.
macro_rules! needs {
    ($($need:ident),+) => {
        testkit::needs!(Busybox, $($need),+);
        if $crate::differences::differs() {
            return;
        }
    };
}

mod annotations;
mod bundles;
mod capabilities;
mod create;
mod delete;
mod descriptors;
mod devices;
mod differences;
mod escape;

mod events;
mod exec;
mod features;
mod filesystem;
mod hooks;
mod idmap;
mod kill;
mod limits;
mod list;
mod mount_options;
mod mounts;
mod namespaces;
mod notify;
mod paths;
mod pause;
mod process;
mod propagation;
mod rdt;
mod resources;
mod run;
mod scheduling;
mod seccomp;
mod start;
mod state;
mod sysctl;
mod terminal;
mod update;
mod user;
mod user_namespace;
