//! `login`, `logout`: being known to registries; `search`, `manifest`: what they have; `registry
//! serve`: having one.

mod lists;
mod login;
mod logout;
mod manifest;
mod referrers;
mod search;
mod serve;

pub(crate) use lists::{AnnotateListArgs, CreateListArgs, PushListArgs, RemoveListArgs};
pub(crate) use login::LoginArgs;
pub(crate) use logout::LogoutArgs;
pub(crate) use manifest::ManifestInspectArgs;
pub(crate) use referrers::ReferrersArgs;
pub(crate) use search::SearchArgs;
pub(crate) use serve::ServeArgs;
