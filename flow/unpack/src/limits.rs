//! How much a stranger's archive may ask for.

/// Bounds of one archive. The defaults let every honest layer pass and stop a bomb early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries of the archive, and parent directories made for them.
    pub entries: u64,
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    /// The length that one file may claim, holes included.
    pub file_bytes: u64,
    /// Data regions of one sparse file.
    pub sparse_regions: usize,
    /// How many bytes one compressed byte may become, on the average of the whole stream.
    ///
    /// Text reaches 20; deflate cannot exceed 1,032, which only a bomb or a file of zeros does.
    pub ratio: u64,
    /// How many bytes come out before `ratio` is looked at.
    pub ratio_grace_bytes: u64,
    /// Memory for one decompressor's window.
    pub window_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 256 << 30,
            file_bytes: 1 << 40,
            sparse_regions: 1 << 18,
            ratio: 200,
            ratio_grace_bytes: 1 << 30,
            window_bytes: 128 << 20,
        }
    }
}
