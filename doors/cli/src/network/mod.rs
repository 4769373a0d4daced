//! `kista network ...`.

mod connect;
mod create;
mod disconnect;
mod inspect;
mod list;
mod prune;
mod remove;

pub(crate) use connect::ConnectArgs;
pub(crate) use create::CreateArgs;
pub(crate) use disconnect::DisconnectArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use list::ListArgs;
pub(crate) use prune::PruneArgs;
pub(crate) use remove::RemoveArgs;
