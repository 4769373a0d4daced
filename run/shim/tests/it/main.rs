//! A real shim around a real busybox.

#![allow(clippy::unwrap_used, reason = "a panic here is a failure of the test")]

mod attach;
mod early;
mod end;
mod init;
mod life;
mod log;
mod support;
mod terminal;
