//! Kista as an OCI runtime: its command line as engines drive it, and real engines over it.
//!
//! What is expected is what runc does, unless a comment says otherwise: docs/compat/oci-runtime.md.
//! (What the runtime-spec demands of containers themselves is `tests/conformance`.)
#![allow(clippy::unwrap_used, reason = "a panic here is a test's failure")]

mod commands;
mod crash;
mod details;
mod engines;
mod lifecycle;
mod rootless;
mod support;
