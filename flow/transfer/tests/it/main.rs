//! The client against a registry that does as it is told, also badly.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where a failure is a failed test")]

mod auth;
mod faults;
mod fixture;
mod hostile;
mod pull;
mod push;
mod registry;
mod search;
mod variants;
