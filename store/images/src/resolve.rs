//! From what a user types to an image.

use oci::{Digest, Reference};

use crate::names::canonical;
use crate::{ImageRecord, Images, ImagesError};

impl Images {
    /// The image that `text` means: a name, a name by digest, or an id or the beginning of one.
    ///
    /// In Docker's order: a whole id; the exact name (`latest` if it has no tag); the repository
    /// with the manifest's digest; an id that begins with `text`, with or without `sha256:`. A name
    /// costs two small reads. [`ImagesError::NotFound`] and [`ImagesError::Ambiguous`] quote `text`.
    pub fn resolve(&self, text: &str) -> Result<ImageRecord, ImagesError> {
        let not_found = || ImagesError::NotFound { text: text.to_owned() };
        if let Some(id) = whole_id(text) {
            return self.record_of(&id)?.ok_or_else(not_found);
        }
        if let Ok(name) = text.parse::<Reference>()
            && let Some(record) = self.by_name(&name)?
        {
            return Ok(record);
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty()
            || !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(not_found());
        }
        let found: Vec<Digest> =
            self.ids()?.into_iter().filter(|id| id.hex().starts_with(prefix)).collect();
        match found.as_slice() {
            [] => Err(not_found()),
            [id] => self.record_of(id)?.ok_or_else(not_found),
            several => Err(ImagesError::Ambiguous { text: text.to_owned(), count: several.len() }),
        }
    }

    /// The image with this name, or by digest one of this repository with this manifest or id.
    fn by_name(&self, name: &Reference) -> Result<Option<ImageRecord>, ImagesError> {
        if let Some(id) = self.id_of(&canonical(name))? {
            return self.record_of(&id);
        }
        let Some(digest) = name.digest() else { return Ok(None) };
        for (other, id) in self.names()? {
            if (other.domain(), other.path()) == (name.domain(), name.path())
                && let Some(record) = self.record_of(&id)?
                && (record.manifest.digest == *digest || record.id == *digest)
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

/// `sha256:` and 64 digits, or the digits alone.
fn whole_id(text: &str) -> Option<Digest> {
    match text.len() {
        64 => format!("sha256:{text}").parse().ok(),
        _ => text.parse().ok(),
    }
}
