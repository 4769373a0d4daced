//! `commit` of a working container: its image gets blobs, a record and a name.

use builder::ImageOptions;
use oci::{Digest, Reference, Timestamp};

use super::WorkingImage;
use crate::container::squash;
use crate::{CommitContainer, Engine, EngineError};

impl Engine {
    /// Makes an image of what a working container is; answers its id. The container stays as it is.
    pub(crate) fn commit_working(
        &self,
        request: &CommitContainer,
        name: Option<Reference>,
    ) -> Result<Digest, EngineError> {
        let _store = self.store_lock()?;
        let stores = self.build_stores()?;
        let waiting = || {
            if let Some(told) = request.waiting {
                told(&request.container);
            }
        };
        let (_, operation, mut working) = self.hold_working(&request.container, &waiting)?;
        // What it is now is what is committed; its layers are kept by the store's lock.
        drop(operation);
        archive::apply_changes(&mut working.image.config, &request.changes)?;
        if !request.message.is_empty() {
            working.last_entry().comment.clone_from(&request.message);
        }
        date(&mut working, request.epoch);
        let WorkingImage { mut image, annotations, .. } = working;
        if !request.author.is_empty() {
            image.author = Some(request.author.clone());
        }
        if request.squash {
            squash(&mut image, &stores, request.epoch)?;
        }
        let options = ImageOptions { annotations, ..ImageOptions::default() };
        let names: Vec<Reference> = name.into_iter().collect();
        Ok(builder::write_config(&image, &stores, &options, &names)?.id)
    }
}

/// Says when the image was made: when its last own layer was, so that the same commands give the
/// same image; not later than the epoch. Without one it is made now.
fn date(working: &mut WorkingImage, epoch: Option<Timestamp>) {
    let base = working.base_history;
    if let Some(epoch) = epoch {
        for entry in working.image.history.iter_mut().skip(base) {
            entry.created = entry.created.map(|created| created.min(epoch)).or(Some(epoch));
        }
        working.image.created = Some(epoch);
        return;
    }
    let own = working.image.history.iter().skip(base).filter_map(|entry| entry.created).max();
    working.image.created = Some(own.unwrap_or_else(Timestamp::now));
}
