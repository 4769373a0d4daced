//! `save`: images into an archive.

use std::collections::BTreeMap;
use std::io::Write;

use archive::{For, ImageToSave, Layout};
use images::ImageRecord;
use oci::Reference;

use super::SaveImages;
use crate::{Engine, EngineError};

impl Engine {
    /// Writes images into one archive, each with the names that it was asked for by.
    ///
    /// A repository without a tag stands for all its tags, as with Docker; an id gives no name.
    pub fn save_images(
        &self,
        writer: &mut dyn Write,
        request: &SaveImages,
    ) -> Result<(), EngineError> {
        let known = self.images()?.list()?;
        let mut wanted: Vec<ImageToSave> = Vec::new();
        let mut add = |record: &ImageRecord, name: Option<Reference>| {
            let same = |image: &ImageToSave| image.record.id == record.id;
            let at = wanted.iter().position(same).unwrap_or_else(|| {
                let record = record.clone();
                wanted.push(ImageToSave { record, annotations: BTreeMap::new(), names: vec![] });
                wanted.len() - 1
            });
            if let Some(name) = name.filter(|name| !wanted[at].names.contains(name)) {
                wanted[at].names.push(name);
            }
        };
        for text in &request.images {
            let reference = text.parse::<Reference>().ok();
            let repository = reference
                .as_ref()
                .filter(|name| name.tag().is_none() && name.digest().is_none())
                .map(Reference::repository);
            let mut found = false;
            for (record, names) in &known {
                for name in names {
                    if name.tag().is_some() && repository.as_ref() == Some(&name.repository()) {
                        add(record, Some(name.clone()));
                        found = true;
                    }
                }
            }
            if found {
                continue;
            }
            let record = self.image_record(text)?;
            let of = known.iter().find(|(other, _)| other.id == record.id);
            let name = reference.map(Reference::with_default_tag).filter(|name| {
                name.tag().is_some() && of.is_some_and(|(_, names)| names.contains(name))
            });
            add(&record, name);
        }
        for ImageToSave { record, .. } in &wanted {
            if !request.platforms.is_empty()
                && !request.platforms.iter().any(|wanted| record.platform.satisfies(wanted))
            {
                return Err(EngineError::Invalid {
                    message: format!(
                        "image {} is for {} alone, which was not asked for",
                        record.id.short(),
                        record.platform
                    ),
                });
            }
        }
        Ok(archive::save(writer, &self.stores()?, &Layout::new(&wanted, For::All))?)
    }
}
