//! System call filters: from the OCI description to a BPF program that the kernel takes.
//!
//! ```text
//! oci::runtime::Seccomp --- compile() ----> Program --- load() --> the calling process
//!        ^          `--- Cache (by digest) ---^
//! profile::standard(caps) ... Profile::program(caps): compiled from tables, without text
//! ```
//!
//! What never happens here: no process is started, no descriptor is passed on, and nothing but
//! [`Program::load`] changes the calling process.

mod arch;
mod bpf;
mod cache;
mod compile;
mod docker;
mod error;
mod interpreter;
mod policy;
pub mod profile;
mod program;
mod rules;
mod syscalls;
#[cfg(test)]
mod tests;
mod tree;
mod wire;

pub use arch::Arch;
pub use cache::Cache;
pub use compile::{ACTIONS, FLAGS, OPERATORS, compile};
pub use docker::DockerProfile;
pub use error::SeccompError;
pub use profile::{Capabilities, Profile};
pub use program::Program;
