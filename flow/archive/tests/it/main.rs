//! Whole archives into a store of its own, and out of it with other people's tools.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where a failure is a failed test")]

mod crash;
mod docker;
mod fixture;
mod hostile;
mod import;
mod layout;
mod save;
mod skopeo;
