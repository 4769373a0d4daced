//! `save`: images into an archive.

use std::io::Write;

use archive::NamedToSave;
use images::{ImageRecord, Named};
use oci::Reference;

use super::SaveImages;
use crate::{Engine, EngineError};

impl Engine {
    /// Writes images into one archive, each with the names that it was asked for by.
    ///
    /// A repository without a tag stands for all its tags, as with Docker; an id gives no name. A
    /// name that stands for an index is saved with all of it that is here, or with the variants
    /// for the platforms that were asked for, and then without the index.
    pub fn save_images(
        &self,
        writer: &mut dyn Write,
        request: &SaveImages,
    ) -> Result<(), EngineError> {
        let known = self.images()?.names()?;
        let mut wanted: Vec<NamedToSave> = Vec::new();
        for text in &request.images {
            let reference = text.parse::<Reference>().ok();
            let repository = reference
                .as_ref()
                .filter(|name| name.tag().is_none() && name.digest().is_none())
                .map(Reference::repository);
            let is_of = |name: &Reference| {
                name.tag().is_some() && repository.as_ref() == Some(&name.repository())
            };
            let mut tags: Vec<_> = known.iter().filter(|(name, _)| is_of(name)).collect();
            tags.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (name, named) in &tags {
                add(&mut wanted, self.only(named, request)?, Some(name));
            }
            if !tags.is_empty() {
                continue;
            }
            let record = self.image_record(text)?;
            let name = reference.map(Reference::with_default_tag);
            let own = known.iter().find(|(other, named)| {
                name.as_ref() == Some(other) && named.ids().any(|id| *id == record.id)
            });
            let alone = Named::one(record.id);
            let named = own.map_or(&alone, |(_, named)| named);
            let name = own.map(|(name, _)| name).filter(|name| name.tag().is_some());
            add(&mut wanted, self.only(named, request)?, name);
        }
        Ok(archive::save_names(writer, &self.stores()?, &wanted)?)
    }

    /// What of a name is for the platforms that were asked for.
    fn only(&self, named: &Named, request: &SaveImages) -> Result<Named, EngineError> {
        if request.platforms.is_empty() {
            return Ok(named.clone());
        }
        let records = named.ids().map(|id| self.images()?.get(id).map_err(EngineError::from));
        let records: Vec<ImageRecord> = records.collect::<Result<_, _>>()?;
        let fits = |record: &&ImageRecord| {
            request.platforms.iter().any(|wanted| record.platform.satisfies(wanted))
        };
        let mut ids = records.iter().filter(fits).map(|record| record.id.clone());
        match ids.next() {
            Some(id) => Ok(Named { id, others: ids.collect(), index: None }),
            None => {
                let own: Vec<String> = records.iter().map(|r| r.platform.to_string()).collect();
                Err(EngineError::Invalid {
                    message: format!(
                        "image {} is for {} alone, which was not asked for",
                        named.id.short(),
                        own.join(", "),
                    ),
                })
            }
        }
    }
}

/// Adds an image, or a name to one that is wanted already.
fn add(wanted: &mut Vec<NamedToSave>, named: Named, name: Option<&Reference>) {
    let at = wanted.iter().position(|image| image.named == named).unwrap_or_else(|| {
        wanted.push(NamedToSave { named, names: Vec::new() });
        wanted.len() - 1
    });
    if let Some(name) = name.filter(|name| !wanted[at].names.contains(name)) {
        wanted[at].names.push(name.clone());
    }
}
