//! `kista image ...`, and the short forms at the top.

mod board;
mod import;
mod inspect;
mod list;
mod load;
mod prune;
mod pull;
mod push;
mod remove;
mod save;
mod tag;

pub(crate) use board::{Board, Stream, Way};
pub(crate) use import::ImportArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use list::ListArgs;
pub(crate) use load::LoadArgs;
pub(crate) use prune::PruneArgs;
pub(crate) use pull::{PullArgs, of, pull};
pub(crate) use push::PushArgs;
pub(crate) use remove::RemoveArgs;
pub(crate) use save::SaveArgs;
pub(crate) use tag::TagArgs;
