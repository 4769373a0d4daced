//! `kista build`, and what is around it.

mod args;
mod attests;
mod caches;
mod call;
mod check;
mod contexts;
mod debug;
mod failure;
mod outputs;
mod progress;
mod prune;
mod report;
mod resources;
mod verify;
mod wishes;

pub(crate) use args::BuildArgs;
pub(crate) use prune::PruneArgs;
pub(crate) use wishes::{agent, epoch_argument, secret};
