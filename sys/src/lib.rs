//! System calls that rustix does not wrap, and file-system helpers that every shelf needs.
//!
//! The only crate in which `unsafe` may stand. No policy is made here.

pub mod names;
pub mod trash;
pub mod tree;
