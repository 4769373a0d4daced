//! Layers to snapshots: `blob -> hash -> decompress -> hash -> tar -> files`, in one pass.
//!
//! Everything read here was written by a stranger. Names never become paths: each entry is made
//! relative to a descriptor of its parent directory, which the kernel found without leaving the
//! root (openat2, `RESOLVE_IN_ROOT`). Nothing is believed before its digest is checked, no
//! program is started, every count and size has a limit, and a layer that fails is not there.

pub mod tar;

mod apply;
mod compress;
mod decompress;
mod error;
mod image;
mod layer;
mod limits;
mod pipe;

pub use apply::{Applied, ApplyOptions, Devices, Whiteouts, apply};
pub use compress::Compressor;
pub use decompress::{Bomb, Compression, Decompressed, decompress};
pub use error::UnpackError;
pub use image::{image, image_with};
pub use layer::{Expected, Unpacked, layer, layer_with};
pub use limits::Limits;
