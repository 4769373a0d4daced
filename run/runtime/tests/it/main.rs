//! Containers of busybox, made for real and looked at from inside. Needs root.

mod bundle;
mod driver;
mod escape;
mod execs;
mod filesystem;
mod identity;
mod namespaces;
mod programs;
mod terminal;
