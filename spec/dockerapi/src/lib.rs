//! Bodies of the Docker Engine API, version 1.56: data only.
//!
//! [`ContainerConfig`], [`HostConfig`] and [`NetworkingConfig`] are at once what a user wishes for
//! a container, what its record holds on disk, and what `inspect` prints, so that the command
//! line, the API and the record cannot differ. Names and nesting are Docker's; a field that a
//! client leaves out, or sends as `null`, has its default.

mod container;
mod image;
mod inspect;
mod network;

pub use container::*;
pub use image::*;
pub use inspect::*;
pub use network::*;

use serde::{Deserialize, Deserializer};

/// Go writes and accepts `null` for every empty list, map and string.
pub(crate) fn null_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
