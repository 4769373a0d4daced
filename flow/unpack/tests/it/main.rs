//! Whole archives: honest ones, hostile ones, damaged ones, and those of GNU tar.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers outside of #[test] functions are tests too"
)]

mod differential;
mod forge;
mod honest;
mod hostile;
mod layers;
mod properties;
mod sandbox;
mod whiteouts;
