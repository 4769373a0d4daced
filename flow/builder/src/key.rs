//! Cache keys: a digest over named parts, of which none can be taken for another.

use content::Hasher;
use oci::{Algorithm, Digest};

/// Gathers the parts of a key.
pub(crate) struct KeyHasher(Hasher);

impl KeyHasher {
    /// Begins a key of one kind. A change of what is hashed changes the kind's name.
    pub(crate) fn new(kind: &str) -> Self {
        let mut key = Self(Hasher::new(Algorithm::Sha256));
        key.part("kista build key 1");
        key.part(kind);
        key
    }

    /// Adds a part: its length, and its bytes.
    pub(crate) fn part(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Adds a list of parts, and how many there are.
    pub(crate) fn list<T: AsRef<[u8]>>(&mut self, parts: &[T]) -> &mut Self {
        self.number(parts.len() as u64);
        for part in parts {
            self.part(part);
        }
        self
    }

    /// Adds layers.
    pub(crate) fn layers(&mut self, layers: &[Digest]) -> &mut Self {
        self.number(layers.len() as u64);
        for layer in layers {
            self.part(layer.to_string());
        }
        self
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.finish()
    }
}
