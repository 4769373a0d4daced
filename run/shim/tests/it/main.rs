//! A real shim around a real busybox.

mod attach;
mod end;
mod life;
mod log;
mod support;
mod terminal;
