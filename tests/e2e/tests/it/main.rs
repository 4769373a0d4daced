//! Scenarios as a user of the command line lives them, by noun.
//!
//! What is expected is what Docker does, unless a comment says otherwise.
#![allow(clippy::unwrap_used, reason = "a panic here is a test's failure")]

mod attach;
mod build;
mod commit;
mod errors;
mod exec;
mod ids;
mod images;
mod inspect;
mod lan;
mod lifecycle;
mod limits;
mod logs;
mod network;
mod ps;
mod pull;
mod races;
pub(crate) mod registry;
mod registry_tls;
mod rootless;
mod run;
mod runtimes;
mod security;
mod streams;
mod system;
mod terminal;
mod user;
mod variants;
mod volumes;
mod working;

/// A container that does nothing until it is told to end, and then ends at once.
const IDLE: &[&str] = &["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"];

/// Arguments and then the command of [`IDLE`].
fn idle<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, IDLE].concat()
}
