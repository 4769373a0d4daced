//! Any OCI runtime, by its command line, and bundles for it.
//!
//! [`Runtime::under_test`] is the program that the environment variable `RUNTIME` names, or
//! Kista's. A [`Bundle`] is a busybox root file system and a configuration that each test
//! changes; a [`Container`] is deleted when it is dropped, and then nothing of it may be left.

mod bundle;
mod cgroup;
mod console;
mod container;
mod racer;
mod runtime;

pub use bundle::{Bundle, CAPABILITIES};
pub use cgroup::{Cgroup, directories as cgroup_directories, is_v2 as cgroup_v2};
pub use console::{Connection, Console};
pub use container::{Container, Status};
pub use racer::Racer;
pub use runtime::{Kind, Runtime};
