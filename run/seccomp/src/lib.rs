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
mod cache;
mod error;
pub mod profile;
mod program;

pub use arch::Arch;
pub use cache::Cache;
pub use error::SeccompError;
pub use program::Program;

use oci::runtime::Seccomp;

/// Compiles a filter for the machine's native architecture `native` and those that the filter
/// lists.
///
/// Pure. Errors name what in the filter cannot be understood.
pub fn compile(filter: &Seccomp, native: Arch) -> Result<Program, SeccompError> {
    let _ = native;
    Err(SeccompError::Action { text: filter.default_action.clone() })
}
