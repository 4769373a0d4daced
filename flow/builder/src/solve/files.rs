//! `WORKDIR`, `COPY` and `ADD`: files into a new layer.

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use dockerfile::ignore::Patterns;
use oci::Digest;
use rustix::fs::{FileType, Mode, OFlags};

use super::layer::mounted;
use super::remotes::Held;
use super::{StepResult, Tools};
use crate::cache::BuildCache;
use crate::copy::Copier;
use crate::digests::Digests;
use crate::key::KeyHasher;
use crate::plan::{CopyAction, Origin, SourcePath};
use crate::select::{self, Item, parent_of};
use crate::tree::Tree;
use crate::{BuildError, StepId, owner};

/// What is known of the files of each context, opened when first asked for.
#[derive(Default)]
pub(crate) struct ContextDigests(Mutex<HashMap<String, Arc<Mutex<Digests>>>>);

impl ContextDigests {
    /// Those of a context; nothing is kept of one without a name.
    fn of(
        &self,
        cache: &BuildCache,
        name: Option<&str>,
    ) -> Result<Arc<Mutex<Digests>>, BuildError> {
        let Some(name) = name else { return Ok(Arc::new(Mutex::new(Digests::forgetful()))) };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digests) = all.get(name) {
            return Ok(digests.clone());
        }
        let digests = Arc::new(Mutex::new(Digests::open(cache, name)?));
        all.insert(name.to_owned(), digests.clone());
        Ok(digests)
    }

    pub(super) fn save(&self) {
        for digests in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            digests.lock().unwrap_or_else(PoisonError::into_inner).save();
        }
    }
}

/// Files of one tree that are copied.
struct Batch<'a> {
    tree: Tree<'a>,
    items: Vec<Item>,
    /// Whether archives are unpacked.
    unpack: bool,
}

impl Tools<'_> {
    /// `WORKDIR`.
    pub(super) fn folder(
        &self,
        id: StepId,
        below: Vec<Digest>,
        path: &str,
        user: &str,
    ) -> Result<StepResult, BuildError> {
        let mut key = KeyHasher::new("folder");
        key.layers(&below).part(path).part(user).list(&self.epoch_part());
        let key = key.finish();
        if let Some(known) = self.known(id, &key, &below)? {
            return Ok(known);
        }
        let filling = self.begin()?;
        let root = mounted(&self.overlay(&filling, &below)?)?;
        let owner = match user {
            "" => None,
            user => Some(owner::resolve(root.as_fd(), user)?),
        };
        Copier::new(root.as_fd(), owner, None).make_folders(path)?;
        drop(root);
        self.finish(id, &[key], below, filling)
    }

    /// `COPY` and `ADD`.
    pub(super) fn copy(
        &self,
        id: StepId,
        below: Vec<Digest>,
        copy: &CopyAction,
    ) -> Result<StepResult, BuildError> {
        let excludes = Patterns::new(&copy.excludes)
            .map_err(|error| BuildError::Invalid(error.to_string()))?;
        // With --link the layer is the same whatever lies below.
        let under = if copy.link { &[][..] } else { &below[..] };
        match &copy.from {
            Origin::Context(name) => {
                let pinned = self.pinned_key(under, copy);
                if let Some(pinned) = &pinned
                    && let Some(known) = self.known(id, pinned, &below)?
                {
                    self.adds_pinned(copy);
                    return Ok(known);
                }
                let held: Vec<Held> = copy
                    .remotes
                    .iter()
                    .map(|source| self.fetch(source))
                    .collect::<Result<_, _>>()?;
                let mut batches = Vec::new();
                let mut taken = Vec::new();
                if !copy.paths.is_empty() {
                    let context = self.request.contexts.get(name).ok_or_else(|| {
                        BuildError::Invalid("there is no build context to copy from".into())
                    })?;
                    let ignore = Some(&context.ignore);
                    let tree = Tree { root: context.root.as_fd(), ignore, owners: false };
                    let digests = self.digests.of(self.cache, context.name.as_deref())?;
                    let mut digests = digests.lock().unwrap_or_else(PoisonError::into_inner);
                    let items = select::select(&tree, &copy.paths, &excludes, &mut digests)?;
                    taken.push(select::digest(&items, false).to_string());
                    batches.push(Batch { tree, items, unpack: copy.unpack.unwrap_or(true) });
                }
                for held in &held {
                    let tree = Tree { root: held.root(), ignore: None, owners: false };
                    let paths = std::slice::from_ref(&held.path);
                    let mut digests = Digests::forgetful();
                    let items = select::select(&tree, paths, &excludes, &mut digests)?;
                    taken.push(held.facts.clone());
                    taken.push(match &held.identity {
                        Some(identity) => identity.clone(),
                        None => select::digest(&items, false).to_string(),
                    });
                    batches.push(Batch { tree, items, unpack: copy.unpack.unwrap_or(false) });
                }
                let taken = match (taken.as_slice(), copy.remotes.is_empty()) {
                    // As it always was.
                    ([only], true) => only.clone(),
                    (all, _) => {
                        let mut key = KeyHasher::new("several sources");
                        key.list(all);
                        key.finish().to_string()
                    }
                };
                let mut keys = vec![self.copy_key(under, copy, &taken)];
                if let Some(known) = self.known(id, &keys[0], &below)? {
                    if let Some(pinned) = &pinned {
                        self.also_known_as(id, pinned, &known)?;
                    }
                    return Ok(known);
                }
                keys.extend(pinned);
                self.place(id, &keys, below, copy, &batches)
            }
            Origin::Step(step) => {
                let layers = self.layers_of(*step);
                // The same layers have the same files: their content need not be looked at.
                let mut quick = KeyHasher::new("copy of layers");
                quick.layers(&layers);
                for path in &copy.paths {
                    quick.part(&path.path).part(path.kept.as_deref().unwrap_or_default());
                }
                let quick = self.copy_key(under, copy, &quick.finish().to_string());
                if let Some(known) = self.known(id, &quick, &below)? {
                    return Ok(known);
                }
                let root = mounted(&self.stores.snapshots.mounts(&layers, None, true)?)?;
                let tree = Tree { root: root.as_fd(), ignore: None, owners: true };
                let mut digests = Digests::forgetful();
                let items = select::select(&tree, &copy.paths, &excludes, &mut digests)?;
                let key = self.copy_key(under, copy, &select::digest(&items, true).to_string());
                if let Some(known) = self.known(id, &key, &below)? {
                    self.also_known_as(id, &quick, &known)?;
                    return Ok(known);
                }
                let batch = Batch { tree, items, unpack: false };
                self.place(id, &[key, quick], below, copy, &[batch])
            }
        }
    }

    /// The key of a copy: what is taken, and what is done with it.
    pub(super) fn copy_key(&self, under: &[Digest], copy: &CopyAction, taken: &str) -> Digest {
        let unpacks = match (copy.unpack, copy.remotes.is_empty()) {
            (Some(unpacks), _) => u64::from(unpacks),
            (None, true) => 1,
            (None, false) => 2,
        };
        let mut key = KeyHasher::new("copy");
        key.layers(under)
            .part(taken)
            .part(&copy.destination)
            .part(&copy.chown)
            .part(format!("{:?}", copy.chmod))
            .list(&copy.excludes)
            .number(unpacks)
            .number(u64::from(copy.link))
            .number(u64::from(copy.paths.iter().any(|path| path.kept.is_some())))
            .list(&self.epoch_part());
        for file in &copy.files {
            key.part(&file.name).part(&file.content);
        }
        key.finish()
    }

    pub(super) fn epoch_part(&self) -> Vec<String> {
        self.plan.epoch.iter().map(|epoch| epoch.unix_seconds().to_string()).collect()
    }

    fn place(
        &self,
        id: StepId,
        keys: &[Digest],
        below: Vec<Digest>,
        copy: &CopyAction,
        batches: &[Batch<'_>],
    ) -> Result<StepResult, BuildError> {
        let filling = self.begin()?;
        let root = mounted(&self.overlay(&filling, if copy.link { &[] } else { &below })?)?;
        let owner = match copy.chown.as_str() {
            "" if batches.iter().any(|batch| batch.tree.owners) => None,
            "" => Some((0, 0)),
            // Names are those of the image, also when its layers are not looked at otherwise.
            text if copy.link => {
                let whole = mounted(&self.stores.snapshots.mounts(&below, None, true)?)?;
                Some(owner::resolve(whole.as_fd(), text)?)
            }
            text => Some(owner::resolve(root.as_fd(), text)?),
        };
        let mut copier = Copier::new(root.as_fd(), owner, copy.chmod.as_ref());
        let keep = copy.paths.iter().any(|path| path.kept.is_some());
        let several = batches.iter().map(|batch| batch.items.len()).sum::<usize>() > 1;
        let folder = format!("{}/", copy.destination.trim_end_matches('/'));
        for Batch { tree, items, unpack } in batches {
            for item in items {
                if *unpack && self.unpack(tree, item, &copier, &copy.destination, copy)? {
                    continue;
                }
                // What a pattern found goes into a folder.
                let destination = if several { &folder } else { &copy.destination };
                copier.place(tree, item, destination, keep)?;
            }
        }
        for file in &copy.files {
            copier.write(&file.name, &file.content, &copy.destination)?;
        }
        drop(root);
        self.finish(id, keys, below, filling)
    }

    /// Unpacks an archive at the destination; `false` if it is none.
    fn unpack(
        &self,
        tree: &Tree<'_>,
        item: &Item,
        copier: &Copier<'_>,
        destination: &str,
        copy: &CopyAction,
    ) -> Result<bool, BuildError> {
        if item.entries[0].kind() != FileType::RegularFile {
            return Ok(false);
        }
        let shown = String::from_utf8_lossy(&item.name).into_owned();
        let (folder, name) = parent_of(tree, &item.found)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &name, flags, Mode::empty())
            .map_err(BuildError::io("open", &shown))?;
        let mut file = std::fs::File::from(file);
        if !is_archive(&mut file).map_err(BuildError::io("read", &shown))? {
            return Ok(false);
        }
        if !copy.chown.is_empty() || copy.chmod.is_some() {
            return Err(BuildError::Unsupported {
                what: "--chown or --chmod with an archive that is unpacked".into(),
                instead: "unpack it in a stage and copy from there, or use --unpack=false",
            });
        }
        let failed = |source| BuildError::Unpack { path: shown.clone(), source };
        let (target, _) = copier.make_folders(destination.trim_end_matches('/'))?;
        let target = crate::tree::reopen(target.as_fd()).map_err(BuildError::io("open", &shown))?;
        let options = unpack::ApplyOptions {
            whiteouts: unpack::Whiteouts::Delete,
            devices: unpack::Devices::Refuse,
            ..unpack::ApplyOptions::default()
        };
        let plain =
            unpack::decompress(file, &options.limits).map_err(BuildError::io("read", &shown))?;
        unpack::apply(plain, target.as_fd(), &options).map_err(failed)?;
        Ok(true)
    }
}

/// Whether a file is a tar, compressed or not; it is read from its start again afterwards.
fn is_archive(file: &mut std::fs::File) -> std::io::Result<bool> {
    let mut start = [0; 6];
    let length = read_up_to(file, &mut start)?;
    file.rewind()?;
    if start[..length].starts_with(b"BZh") {
        return Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "bzip2 archives are not supported: use gzip, xz or zstd, or --unpack=false",
        ));
    }
    let mut block = [0; unpack::tar::BLOCK];
    let read = match unpack::decompress(&mut *file, &unpack::Limits::default()) {
        Ok(mut plain) => read_up_to(&mut plain, &mut block).unwrap_or(0),
        Err(_) => 0,
    };
    file.rewind()?;
    Ok(read == block.len() && unpack::tar::is_header(&block))
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Copies all of a tree into a folder that is there.
pub(super) fn copy_all(tree: &Tree<'_>, folder: BorrowedFd<'_>) -> Result<(), BuildError> {
    let all = SourcePath { path: "/".into(), kept: None };
    let mut digests = Digests::forgetful();
    let items = select::select(tree, &[all], &Patterns::default(), &mut digests)?;
    let mut copier = Copier::new(folder, None, None).without_devices();
    items.iter().try_for_each(|item| copier.place(tree, item, "/", false))
}

impl Tools<'_> {
    /// The digest of all that a mount of a context shows.
    pub(super) fn context_digest(&self, name: &str, path: &str) -> Result<String, BuildError> {
        let context =
            self.request.contexts.get(name).ok_or_else(|| {
                BuildError::Invalid("there is no build context to mount from".into())
            })?;
        let tree = Tree { root: context.root.as_fd(), ignore: Some(&context.ignore), owners: true };
        let digests = self.digests.of(self.cache, context.name.as_deref())?;
        let mut digests = digests.lock().unwrap_or_else(PoisonError::into_inner);
        // A name with what would be a pattern in it is only a name here.
        let found =
            tree.find(path)?.ok_or_else(|| BuildError::NoSource { path: path.to_owned() })?;
        let real = String::from_utf8_lossy(&found.real).into_owned();
        let escaped: String = real
            .chars()
            .flat_map(|letter| {
                matches!(letter, '*' | '?' | '[' | '\\').then_some('\\').into_iter().chain([letter])
            })
            .collect();
        let source = SourcePath { path: escaped, kept: None };
        let items = select::select(&tree, &[source], &Patterns::default(), &mut digests)?;
        Ok(select::digest(&items, true).to_string())
    }
}
