//! What is asserted inside a guest: Kista on another kernel, with control groups of version 2
//! alone, which the machines that build it do not have.
//!
//! `cargo xtask guest` boots the guests and runs this there, beside the suites of other crates.
//! Elsewhere each test skips itself by what it needs.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod basics;
mod ids;
mod limits;
mod machine;
mod scopes;

/// A container that does nothing for as long as a test takes: `run`'s other arguments and image
/// come first.
fn idle<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["run", "-d"], arguments, &["sleep", "1000"]].concat()
}
