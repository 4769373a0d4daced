//! `kista system ...`, `version`, `info`, and the tree of commands for tools.

mod check;
mod info;
mod tree;
mod usage;
mod version;

pub(crate) use check::CheckArgs;
pub(crate) use info::InfoArgs;
pub(crate) use tree::CliTreeArgs;
pub(crate) use usage::UsageArgs;
pub(crate) use version::{VersionArgs, version_line};
