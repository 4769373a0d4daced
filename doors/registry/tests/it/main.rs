//! A registry over a socket: what it takes, gives and refuses.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where a failure is a failed test")]

mod access;
mod collect;
mod contents;
mod hostile;
mod operation;
mod proxy;
mod server;
mod tls;
mod uploads;
