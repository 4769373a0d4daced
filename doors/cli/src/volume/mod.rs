//! `kista volume ...`.

mod create;
mod inspect;
mod list;
mod prune;
mod remove;

pub(crate) use create::CreateArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use list::ListArgs;
pub(crate) use prune::PruneArgs;
pub(crate) use remove::RemoveArgs;
