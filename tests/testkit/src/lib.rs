//! What end-to-end tests are made of.
//!
//! A test drives the built `kista` as a user does, in a data directory of its own, so that
//! tests run at the same time and none sees another's containers. When the [`Kista`] of a test
//! is dropped, everything of it is removed with `kista rm`, and then nothing may be left: no
//! process, mount, cgroup or file ([`audit`]). Images are made here and never fetched.
//!
//! Nothing in this crate uses the crates under test, so that a mistake in one of them cannot
//! hide itself.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a panic here is a test's failure, and fields speak for themselves"
)]

pub mod audit;
pub mod certificates;
pub mod host;
pub mod image;
mod kista;
pub mod needs;
pub mod oci;
mod peer;
mod process;
mod proxy;
mod registry;
pub mod tar;
mod terminal;
mod user;
mod wait;

pub use host::Host;
pub use image::Image;
pub use kista::{Invocation, Kista, program};
pub use needs::Need;
pub use process::Output;
pub use proxy::{Fault, Proxy};
pub use registry::{Registry, free_port};
pub use terminal::{Screen, Terminal};
pub use user::User;
pub use wait::{PATIENCE, wait_until};
