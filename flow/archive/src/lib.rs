//! Images in files: `load`, `import` and `save`.
//!
//! ```text
//! stream -> decompress -> tar members -> content (staged, hashed)      load: spool
//!                                         |  manifest.json   docker save since 1.10
//!                                         |  index.json      an OCI layout
//!                                         |  repositories    docker save before 1.10
//!                                         v
//!           config, layers, names -> unpack by DiffID -> publish blobs -> record -> names
//! ```
//!
//! An archive is read once, front to back, so that it may come from a pipe; what it is made of is
//! known only at its end. Its members become staged blobs, never files under their own names.
//! Nothing of an image has a name before all of it is in the store, verified and durable; a broken
//! archive leaves nothing, or blobs and layers that the next collection takes.
//!
//! [`import`] makes an image of a root file system's tar in one pass, [`from_layer`] of a generated
//! one. None of them fetches anything: a URL is somebody else's business.

mod blobs;
mod change;
mod docker;
mod error;
mod import;
mod layout;
mod legacy;
mod lists;
mod load;
mod members;
mod save;
mod store;
mod words;

pub use change::apply_changes;
pub use content::Durability;
pub use error::ArchiveError;
pub use import::{ImportOptions, Imported, from_layer, import};
pub use lists::{entries, index_entry, is_about, list_blobs};
pub use load::{LoadOptions, Loaded, LoadedImage, load};
pub use save::{For, ImageToSave, Layout, NamedToSave, save, save_directory, save_names};

/// The stores of one data root.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Blobs.
    pub content: content::Content,
    /// Records and names.
    pub images: images::Images,
    /// Unpacked layers.
    pub snapshots: snapshots::Snapshots,
}

/// The largest document that says what an image consists of.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// The largest image configuration.
const CONFIG_LIMIT: u64 = 8 << 20;
