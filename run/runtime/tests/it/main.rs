//! Containers of busybox, made for real and looked at from inside. Needs root.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod bundle;
mod confined;
mod driver;
mod escape;
mod escape_kernel;
mod execs;
mod filesystem;
mod hooks;
mod identity;
mod namespaces;
mod programs;
mod rootless;
mod spy;
mod terminal;
