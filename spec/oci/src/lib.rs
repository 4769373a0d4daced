//! What the Open Container Initiative and the Docker reference grammar decided: data and parsing.
//!
//! No I/O and no policy happen here. A [`Reference`] is what a user types, a [`Descriptor`] points
//! at bytes, [`Manifest`], [`Index`] and [`ImageConfig`] are the documents of the image-spec,
//! [`runtime::Spec`] is the `config.json` of the runtime-spec, and [`Mount`] is the one value in
//! which `store` (which emits it) and `run` (which performs it) meet.
//!
//! Digests are over bytes: whoever needs a document's digest keeps the bytes that it came in and
//! never serialises one of these types again to compute it.

mod digest;
mod image;
mod mount;
mod platform;
mod reference;
pub mod runtime;
mod timestamp;

pub use digest::{Algorithm, Digest, DigestError};
pub use image::{
    ContainerDefaults, Descriptor, History, ImageConfig, Index, Manifest, RootFs, chain_id,
    media_type,
};
pub use mount::Mount;
pub use platform::Platform;
pub use reference::{Reference, ReferenceError};
pub use timestamp::{Timestamp, TimestampError};
