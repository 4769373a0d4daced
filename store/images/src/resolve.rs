//! From what a user types to an image.

use oci::{Digest, Platform, Reference};

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

    /// As [`Images::resolve`], for a platform: of the variants under a name the one that serves it.
    ///
    /// `Ok(Err(record))` is what the name or the id stands for if none does.
    pub fn resolve_for(
        &self,
        text: &str,
        platform: &Platform,
    ) -> Result<Result<ImageRecord, ImageRecord>, ImagesError> {
        let found = self.variants(text)?;
        let fits = found.iter().find(|record| record.platform.satisfies(platform));
        match fits.cloned() {
            Some(record) => Ok(Ok(record)),
            None => Ok(Err(found.into_iter().next().expect("a name stands for one or more"))),
        }
    }

    /// What `text` means, as [`Images::resolve`] finds it, and if it is a name the variants that
    /// stand under it, which come after.
    pub fn variants(&self, text: &str) -> Result<Vec<ImageRecord>, ImagesError> {
        let first = self.resolve(text)?;
        let named = match text.parse::<Reference>() {
            Ok(name) if whole_id(text).is_none() => self.named(&name)?,
            _ => None,
        };
        let mut found = vec![first];
        // A prefix of an id that reads like a name is none.
        let named = named.filter(|named| named.id == found[0].id);
        for id in named.iter().flat_map(|named| &named.others) {
            // One that goes away while we read is not there.
            found.extend(self.record_of(id)?);
        }
        Ok(found)
    }

    /// The image with this name, or by digest one of this repository with this manifest or id.
    fn by_name(&self, name: &Reference) -> Result<Option<ImageRecord>, ImagesError> {
        if let Some(named) = self.named(name)? {
            return self.record_of(&named.id);
        }
        let Some(digest) = name.digest() else { return Ok(None) };
        for (other, named) in self.names()? {
            if (other.domain(), other.path()) != (name.domain(), name.path()) {
                continue;
            }
            for id in named.ids() {
                if let Some(record) = self.record_of(id)?
                    && (record.manifest.digest == *digest || record.id == *digest)
                {
                    return Ok(Some(record));
                }
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
