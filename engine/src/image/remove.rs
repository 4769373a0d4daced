//! `rmi` and `image prune`, by Docker's rules, and the collection of what nothing names.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use content::{ExclusiveLock, Leased, StoreLock};
use dockerapi::ImageDeleteResponse;
use images::{Change, ImageRecord, ImagesError};
use metadata::Phase;
use oci::{Digest, Reference};

use super::list::created_or_stored;
use super::{Pruned, RemoveImage};
use crate::container::Record;
use crate::{Engine, EngineError, Filters};

/// How long a prune waits for those who add something.
const PATIENCE: Duration = Duration::from_secs(2);

/// A container that stands in the way of a removal.
struct User {
    id: String,
    running: bool,
}

impl Engine {
    /// Removes a name of an image, and the image with its last name; by id, the image.
    ///
    /// A name is only taken away while others are left. An image that a container uses is kept
    /// unless `force` is given, and always if that container runs.
    pub fn remove_image(
        &self,
        request: &RemoveImage,
    ) -> Result<Vec<ImageDeleteResponse>, EngineError> {
        let store = self.store_lock()?;
        if !request.platforms.is_empty() {
            let done = self.remove_variants(request)?;
            drop(store);
            self.collect_garbage()?;
            return Ok(done);
        }
        let record = self.image_record(&request.image)?;
        let names = self.images()?.names_of(&record.id)?;
        let user = self.user_of(&record.id)?;
        let variants = self.images()?.variants(&request.image)?;
        let mut done = Vec::new();
        let by_name = named(&request.image, &names);
        match &by_name {
            Some(name) => {
                // What a registry called the image goes with the last tag of its repository.
                let goes = going_with(name, &names);
                let is_last = goes.len() + 1 == names.len();
                if is_last
                    && !request.force
                    && let Some(user) = &user
                {
                    return Err(conflict(format!(
                        "unable to remove repository reference \"{}\" (must force) - container {} is using its referenced image {}",
                        request.image,
                        short(&user.id),
                        record.id.short(),
                    )));
                }
                for name in std::iter::once(name).chain(goes) {
                    self.images()?.untag(name)?;
                    done.push(untagged(name));
                }
                for variant in variants.iter().filter(|variant| variant.id != record.id) {
                    self.forget_unnamed(variant, &mut done)?;
                }
                // A container keeps the image, nameless.
                if !is_last || user.is_some() {
                    return Ok(done);
                }
            }
            None => {
                let repositories: HashSet<String> =
                    names.iter().map(Reference::repository).collect();
                if repositories.len() > 1 && !request.force {
                    return Err(conflict(format!(
                        "unable to delete {} (must be forced) - image is referenced in multiple repositories",
                        record.id.short(),
                    )));
                }
            }
        }
        match &user {
            Some(user) if user.running => {
                return Err(conflict(format!(
                    "unable to delete {} (cannot be forced) - image is being used by running container {}",
                    record.id.short(),
                    short(&user.id),
                )));
            }
            Some(user) if !request.force => {
                return Err(conflict(format!(
                    "unable to delete {} (must be forced) - image is being used by stopped container {}",
                    record.id.short(),
                    short(&user.id),
                )));
            }
            _ => {}
        }
        let mut change = self.images()?.change()?;
        delete_image(&mut change, &record, &mut done)?;
        change.finish()?;
        drop(store);
        self.collect_garbage()?;
        Ok(done)
    }

    /// Removes what has no name any more and no container uses.
    fn forget_unnamed(
        &self,
        record: &ImageRecord,
        done: &mut Vec<ImageDeleteResponse>,
    ) -> Result<(), EngineError> {
        let is_named = !self.images()?.names_of(&record.id)?.is_empty();
        if is_named || self.user_of(&record.id)?.is_some() {
            return Ok(());
        }
        let mut change = self.images()?.change()?;
        delete_image(&mut change, record, done)?;
        Ok(change.finish()?)
    }

    /// Takes variants for some platforms from a name; the last takes the name along.
    fn remove_variants(
        &self,
        request: &RemoveImage,
    ) -> Result<Vec<ImageDeleteResponse>, EngineError> {
        let first = self.image_record(&request.image)?;
        let known = self.images()?.names_of(&first.id)?;
        let Some(name) = named(&request.image, &known) else {
            return Err(EngineError::Invalid {
                message: "variants are removed from a name: an id is one image".into(),
            });
        };
        let variants = self.images()?.variants(&request.image)?;
        let mut chosen: Vec<&ImageRecord> = Vec::new();
        for wanted in &request.platforms {
            let before = chosen.len();
            chosen.extend(variants.iter().filter(|record| record.platform.satisfies(wanted)));
            if chosen.len() == before {
                let own: Vec<String> = variants.iter().map(|r| r.platform.to_string()).collect();
                return Err(EngineError::Invalid {
                    message: format!(
                        "image {} has no variant for {wanted}: it has {}",
                        name.familiar(),
                        own.join(", "),
                    ),
                });
            }
        }
        let mut done = Vec::new();
        for record in chosen {
            let user = self.user_of(&record.id)?;
            let names = self.images()?.names_of(&record.id)?;
            let going = going_with(&name, &names);
            let is_last = going.len() + 1 == names.len();
            if let Some(user) =
                user.as_ref().filter(|user| is_last && (user.running || !request.force))
            {
                return Err(conflict(format!(
                    "unable to delete {} ({}) - image is being used by {} container {}",
                    record.id.short(),
                    if user.running { "cannot be forced" } else { "must be forced" },
                    if user.running { "running" } else { "stopped" },
                    short(&user.id),
                )));
            }
            let mut change = self.images()?.change()?;
            for name in std::iter::once(&name).chain(going) {
                if change.remove_variant(name, &record.id)? {
                    done.push(untagged(name));
                }
            }
            if is_last {
                delete_image(&mut change, record, &mut done)?;
            }
            change.finish()?;
        }
        Ok(done)
    }

    /// Removes dangling images (`all`: every image that no container uses) that match (`label`,
    /// `until`), and collects garbage.
    pub fn prune_images(&self, all: bool, filters: &Filters) -> Result<Pruned, EngineError> {
        filters.only(&["dangling", "label", "label!", "until"])?;
        let all = filters.flag("dangling")?.map_or(all, |dangling| !dangling);
        let until = filters.until()?;
        let mut pruned = Pruned::default();
        // Alone, if that can be had soon: one that a container is just being made of has no user
        // yet. Who builds is not waited for to the end. Without the lock images go as with `rmi`,
        // and what they consist of with the next collection.
        let alone = self.alone_soon()?;
        let users = self.image_users()?;
        // Nobody gives or takes a name meanwhile: an image that is just written has its names.
        let mut change = self.images()?.change()?;
        for (record, names) in self.images()?.list()? {
            let old = until.is_none_or(|until| created_or_stored(&record) < until);
            let free = !users.contains_key(&record.id.to_string());
            let labels_fit = (filters.values("label").is_empty()
                && filters.values("label!").is_empty())
                || self
                    .resolve_image(&record.id.to_string())
                    .is_ok_and(|image| filters.labels_match(&image.config.config.labels));
            if free && old && labels_fit && (all || names.is_empty()) {
                delete_image(&mut change, &record, &mut pruned.images)?;
            }
        }
        change.finish()?;
        match alone {
            Some(alone) => pruned.reclaimed_bytes = self.collect_alone(alone)?,
            None => pruned.is_deferred = true,
        }
        Ok(pruned)
    }

    /// The collector's lock, unless somebody adds for longer than a moment.
    fn alone_soon(&self) -> Result<Option<ExclusiveLock>, EngineError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match StoreLock::try_exclusive(self.root())? {
                None if Instant::now() < deadline => std::thread::sleep(PATIENCE / 100),
                found => return Ok(found),
            }
        }
    }

    /// Removes every blob that no image needs and every layer that no image and no container
    /// needs; returns the bytes freed.
    ///
    /// Not at all while somebody is adding something, since then the next collection does it.
    pub(crate) fn collect_garbage(&self) -> Result<u64, EngineError> {
        match StoreLock::try_exclusive(self.root())? {
            Some(lock) => self.collect_alone(lock),
            None => Ok(0),
        }
    }

    fn collect_alone(&self, lock: ExclusiveLock) -> Result<u64, EngineError> {
        let live = self.live(&lock)?;
        let blobs = self.content()?.collect(&live.blobs, &lock)?;
        let layers = self.snapshots()?.collect(&live.layers, &lock)?;
        drop(lock);
        self.reap_later();
        Ok(blobs.freed_bytes + layers.freed_bytes)
    }

    /// What images and containers need, and those who are adding some.
    pub(crate) fn live(&self, lock: &ExclusiveLock) -> Result<Leased, EngineError> {
        let mut live = Leased::all(self.root(), lock)?;
        for (_, named) in self.images()?.names()? {
            live.blobs.extend(archive::list_blobs(self.content()?, self.images()?, &named)?);
        }
        for (record, _) in self.images()?.list()? {
            live.blobs.extend(record.blobs().cloned());
            live.layers.extend(record.diff_ids.iter().cloned());
        }
        for id in self.containers().ids()? {
            let Ok(container) = self.containers().get(&id) else { continue };
            // A record that cannot be read is no reason to take its layers away.
            let record: Record = match container.record() {
                Err(metadata::MetadataError::NotFound { .. }) => continue,
                Err(_) if self.containers().is_hollow(&id) => continue,
                record => record?,
            };
            live.layers.extend(record.diff_ids);
            live.layers.extend(crate::working::layers(&container)?);
        }
        live.layers.extend(self.build_layers()?);
        Ok(live)
    }

    fn user_of(&self, image: &Digest) -> Result<Option<User>, EngineError> {
        let wanted = image.to_string();
        let mut found: Option<User> = None;
        for (id, status) in self.containers().statuses()? {
            if status.image_id != wanted {
                continue;
            }
            let status = match self.containers().get(&id) {
                Ok(container) => match self.settled(&container) {
                    // Removed while we looked.
                    Err(EngineError::NoContainer { .. }) => continue,
                    status => status?,
                },
                Err(_) => continue,
            };
            let running = matches!(status.phase, Phase::Running | Phase::Paused);
            if running || found.is_none() {
                found = Some(User { id, running });
            }
        }
        Ok(found)
    }
}

fn delete_image(
    change: &mut Change,
    record: &ImageRecord,
    done: &mut Vec<ImageDeleteResponse>,
) -> Result<(), EngineError> {
    let names = match change.remove_record(&record.id) {
        // Somebody else was faster.
        Err(ImagesError::NotFound { .. }) => {
            return Err(EngineError::NoImage { name: record.id.to_string() });
        }
        names => names?,
    };
    done.extend(names.iter().map(untagged));
    done.push(deleted(&record.id));
    Ok(())
}

/// The name among `names` that `text` stands for; `None` if it stands for an id.
fn named(text: &str, names: &[Reference]) -> Option<Reference> {
    let reference = text.parse::<Reference>().ok()?.with_default_tag();
    names.iter().find(|name| **name == reference).cloned()
}

/// The names by digest that an image loses with the name `name`: those of its repository, if no
/// other tag of the repository is left.
fn going_with<'a>(name: &Reference, names: &'a [Reference]) -> Vec<&'a Reference> {
    let siblings =
        || names.iter().filter(|other| *other != name && other.repository() == name.repository());
    match name.tag().is_some() && siblings().all(|other| other.tag().is_none()) {
        true => siblings().collect(),
        false => Vec::new(),
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn conflict(text: String) -> EngineError {
    EngineError::Conflict { message: format!("conflict: {text}") }
}

fn untagged(name: &Reference) -> ImageDeleteResponse {
    ImageDeleteResponse { untagged: Some(name.familiar()), deleted: None }
}

fn deleted(id: &Digest) -> ImageDeleteResponse {
    ImageDeleteResponse { untagged: None, deleted: Some(id.to_string()) }
}
