//! `kista image ...`, and the short forms at the top.

mod import;
mod inspect;
mod list;
mod load;
mod prune;
mod remove;
mod tag;

pub(crate) use import::ImportArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use list::ListArgs;
pub(crate) use load::LoadArgs;
pub(crate) use prune::PruneArgs;
pub(crate) use remove::RemoveArgs;
pub(crate) use tag::TagArgs;
