//! All containers: making, finding, listing, removing; and what killed processes left.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::Timestamp;
use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, mkdirat, open, openat, readlinkat, renameat_with,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use sys::fs::Lock;
use sys::names::{id_of_link, link_text};
use sys::trash::{Discarded, Trash};

use crate::container::{read_document, read_document_into};
use crate::error::failed;
use crate::{Container, MetadataError, OperationLock, Record, Status};

/// Before the id, while a container is being made.
const NEW: &str = ".new-";
/// How long a directory without a lock file is taken to be in the making.
pub const UNBORN_GRACE: Duration = Duration::from_secs(10);
/// The file in `names` that guards the taking over of a dead container's name.
const NAMES_LOCK: &str = ".lock";

/// The directories that hold all containers of one root.
#[derive(Debug)]
pub struct Containers {
    root: PathBuf,
    dir: OwnedFd,
    names: OwnedFd,
    trash: Trash,
}

/// A container that has its directory but is not seen yet.
///
/// Dropped without [`NewContainer::publish`], it goes away again.
#[derive(Debug)]
pub struct NewContainer<'a> {
    all: &'a Containers,
    container: Option<Container>,
    operation: Option<OperationLock>,
    name: Option<String>,
}

/// What a killed process left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Debris {
    /// A directory of a container that never came to be.
    Unborn {
        /// The directory's name.
        directory: String,
    },
    /// A name whose container is not there, or goes by another.
    Name {
        /// The name.
        name: String,
        /// The id that it holds.
        id: String,
    },
}

/// Whether `name` fits `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, as Docker's names do.
pub fn is_valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    (2..=255).contains(&name.len())
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Containers {
    /// Opens `containers`, `names` and `trash` below `root`, and makes them if they are missing.
    pub fn open(root: &Path) -> Result<Self, MetadataError> {
        let subdirectory = |name: &str| {
            let path = root.join(name);
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            match open(&path, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdir(&path, Mode::RWXU) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(failed("create", &path)(errno)),
                    }
                    let dir = open(&path, flags, Mode::empty()).map_err(failed("open", &path))?;
                    sys::fs::hint_unrelated(dir.as_fd());
                    Ok(dir)
                }
                other => other.map_err(failed("open", &path)),
            }
        };
        Ok(Self {
            dir: subdirectory("containers")?,
            names: subdirectory("names")?,
            trash: Trash::open(root).map_err(|source| MetadataError::Io {
                action: "open",
                path: root.join("trash"),
                source,
            })?,
            root: root.to_owned(),
        })
    }

    fn path(&self) -> PathBuf {
        self.root.join("containers")
    }

    fn name_path(&self, name: &str) -> PathBuf {
        self.root.join("names").join(name)
    }

    /// Makes the directory of a new container, with its documents; nobody sees it until it is
    /// published. `directories` are made inside it (mode 0755: they become a root file system).
    ///
    /// The operation lock is held from the start.
    pub fn create<M: serde::Serialize>(
        &self,
        record: &Record<M>,
        status: &Status,
        directories: &[&str],
    ) -> Result<NewContainer<'_>, MetadataError> {
        let hidden = format!("{NEW}{}", record.id);
        let path = self.path().join(&hidden);
        let c_hidden = CString::new(hidden.as_str()).expect("an id has no NUL");
        if !self.trash.take_spare(self.dir.as_fd(), &c_hidden) {
            mkdirat(&self.dir, &hidden, Mode::RWXU).map_err(failed("create", &path))?;
        }
        let mut new = NewContainer { all: self, container: None, operation: None, name: None };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let dir =
            openat(&self.dir, &hidden, flags, Mode::empty()).map_err(failed("open", &path))?;
        let container =
            new.container.insert(Container::from_parts(record.id.clone(), path.clone(), dir));
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        openat(container.dir(), "lock", flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed("create", path.join("lock")))?;
        new.operation = Some(container.lock_operation()?);
        container.write("record.json", record)?;
        container.write("status.json", status)?;
        for directory in directories {
            mkdirat(container.dir(), *directory, Mode::from_raw_mode(0o755))
                .map_err(failed("create", path.join(directory)))?;
        }
        Ok(new)
    }

    /// Finds a container by its whole id, its name, or a prefix of its id that no other has.
    pub fn find(&self, text: &str) -> Result<Container, MetadataError> {
        let not_found = || MetadataError::NotFound { text: text.to_owned() };
        let text = text.strip_prefix('/').unwrap_or(text);
        if is_id(text) {
            return Container::open(self.dir.as_fd(), &self.path(), text);
        }
        if is_valid_name(text)
            && let Some(id) = self.name_owner(text)?
        {
            match Container::open(self.dir.as_fd(), &self.path(), &id) {
                Err(MetadataError::NotFound { .. }) => {}
                found => return found,
            }
        }
        if text.is_empty() || text.len() > 64 || !is_hex(text) {
            return Err(not_found());
        }
        let mut matches = self.ids()?.into_iter().filter(|id| id.starts_with(text));
        let Some(id) = matches.next() else { return Err(not_found()) };
        if matches.next().is_some() {
            return Err(MetadataError::Ambiguous { text: text.to_owned() });
        }
        Container::open(self.dir.as_fd(), &self.path(), &id)
    }

    /// The ids of all containers, in no order.
    pub fn ids(&self) -> Result<Vec<String>, MetadataError> {
        Ok(self.entries(&self.dir, "containers")?.into_iter().filter(|name| is_id(name)).collect())
    }

    /// Opens one container by its whole id.
    pub fn get(&self, id: &str) -> Result<Container, MetadataError> {
        if !is_id(id) {
            return Err(MetadataError::NotFound { text: id.to_owned() });
        }
        Container::open(self.dir.as_fd(), &self.path(), id)
    }

    /// The statuses of all containers by id, in no order; a single open each.
    pub fn statuses(&self) -> Result<Vec<(String, Status)>, MetadataError> {
        let parts = sys::parallel::in_parts(&self.ids()?, |part| self.statuses_of(part));
        let mut all = Vec::new();
        for part in parts {
            all.append(&mut part?);
        }
        Ok(all)
    }

    /// Those of `ids` that are still there.
    fn statuses_of(&self, ids: &[String]) -> Result<Vec<(String, Status)>, MetadataError> {
        let mut found = Vec::with_capacity(ids.len());
        let mut bytes = Vec::new();
        for id in ids {
            let name = format!("{id}/status.json");
            let path = || self.path().join(&name);
            match read_document_into(self.dir.as_fd(), &name, &mut bytes) {
                Ok(()) => {}
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed("read", path())(errno)),
            }
            let status = serde_json::from_slice(&bytes)
                .map_err(|source| MetadataError::Damaged { path: path(), source })?;
            found.push((id.clone(), status));
        }
        Ok(found)
    }

    /// Gives `container` the name `new` instead of `old`; `_operation` says that nobody else is at
    /// it.
    ///
    /// Cut between its steps, it leaves a [`Debris::Name`], and can be done again.
    pub fn rename(
        &self,
        container: &Container,
        old: &str,
        new: &str,
        _operation: &OperationLock,
    ) -> Result<(), MetadataError> {
        self.claim_name(new, container.id())?;
        match container.update_status(|status| new.clone_into(&mut status.name)) {
            Ok(_) => {
                self.release_name(old, container.id());
                Ok(())
            }
            Err(error) => {
                self.release_name(new, container.id());
                Err(error)
            }
        }
    }

    /// Takes a container out of sight, for ever; `_operation` says that nobody else is at it.
    ///
    /// What it wrote is in `trash` afterwards: the caller deletes it, or leaves that to others.
    pub fn remove(
        &self,
        container: &Container,
        name: &str,
        _operation: &OperationLock,
    ) -> Result<Discarded<'_>, MetadataError> {
        let discarded = self.discard(container.id()).map_err(|source| MetadataError::Io {
            action: "remove",
            path: container.path().to_owned(),
            source,
        })?;
        self.release_name(name, container.id());
        Ok(discarded)
    }

    /// What killed processes left behind.
    ///
    /// `grace` is how long a directory without a lock file is taken to be in the making:
    /// [`UNBORN_GRACE`], or nothing for a caller who knows that nobody makes one.
    pub fn debris(&self, grace: Duration) -> Result<Vec<Debris>, MetadataError> {
        let mut found = Vec::new();
        for directory in self.entries(&self.dir, "containers")? {
            // In this order: one that is published meanwhile is not there under this name.
            if directory.starts_with(NEW)
                && !self.is_being_made(&directory, grace)
                && self.has_directory(&directory)
            {
                found.push(Debris::Unborn { directory });
            }
        }
        for name in self.entries(&self.names, "names")? {
            if name == NAMES_LOCK {
                continue;
            }
            if let Some(id) = self.name_owner(&name)?
                && (!self.owner_exists(&id) || self.is_former_name(&name, &id))
            {
                found.push(Debris::Name { name, id });
            }
        }
        Ok(found)
    }

    /// The record of a container that never came to be, if its maker had got so far.
    pub fn unborn_record<M: serde::de::DeserializeOwned>(
        &self,
        directory: &str,
    ) -> Option<Record<M>> {
        let bytes = read_document(self.dir.as_fd(), &format!("{directory}/record.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Removes one piece of debris, if it still is one; `grace` as for [`Containers::debris`].
    pub fn clear(&self, debris: &Debris, grace: Duration) -> Result<(), MetadataError> {
        match debris {
            Debris::Unborn { directory } if !self.is_being_made(directory, grace) => {
                let io = |source| MetadataError::Io {
                    action: "remove",
                    path: self.path().join(directory),
                    source,
                };
                match self.discard(directory) {
                    Ok(discarded) => discarded.delete().map(drop).map_err(io),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    Err(error) => Err(io(error)),
                }
            }
            Debris::Name { name, id } => {
                let _guard = self.lock_names()?;
                if !self.owner_exists(id) || self.is_former_name(name, id) {
                    self.release_owned(name, id);
                }
                Ok(())
            }
            Debris::Unborn { .. } => Ok(()),
        }
    }

    /// Whether a container has lost its record, which only a loss of power can do: without it
    /// there is nothing to start, and nothing that says what belongs to it.
    pub fn is_hollow(&self, id: &str) -> bool {
        let record = format!("{id}/record.json");
        let look = |name: &str| rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW);
        look(id).is_ok() && matches!(look(&record), Err(Errno::NOENT))
    }

    /// Removes a container that [`Containers::is_hollow`], with what it wrote.
    pub fn remove_hollow(&self, id: &str) -> Result<(), MetadataError> {
        if !self.is_hollow(id) {
            return Ok(());
        }
        self.discard(id).and_then(|discarded| discarded.delete().map(drop)).map_err(|source| {
            MetadataError::Io { action: "remove", path: self.path().join(id), source }
        })
    }

    /// Makes `name` stand for `id`; a name whose container is not there is taken over, and one that
    /// stands for `id` already is fine.
    pub fn claim_name(&self, name: &str, id: &str) -> Result<(), MetadataError> {
        if !is_valid_name(name) {
            return Err(MetadataError::BadName { name: name.to_owned() });
        }
        match symlinkat(link_text(id), &self.names, name) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("create", self.name_path(name))(errno)),
        }
        // Two processes may find the same name dead: one at a time looks again and takes over.
        let _guard = self.lock_names()?;
        if let Some(owner) = self.name_owner(name)? {
            if owner == id {
                return Ok(());
            }
            if self.owner_exists(&owner) {
                return Err(MetadataError::NameTaken { name: name.to_owned(), id: owner });
            }
            self.release_owned(name, &owner);
        }
        match symlinkat(link_text(id), &self.names, name) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let owner = self.name_owner(name)?.unwrap_or_default();
                Err(MetadataError::NameTaken { name: name.to_owned(), id: owner })
            }
            Err(errno) => Err(failed("create", self.name_path(name))(errno)),
        }
    }

    fn discard(&self, directory: &str) -> io::Result<Discarded<'_>> {
        let name = CString::new(directory).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.trash.put_reusable(self.dir.as_fd(), &name)
    }

    /// Lets go of `name` if it stands for `id`. A failure leaves a dead name, which heals itself.
    fn release_name(&self, name: &str, id: &str) {
        // Otherwise somebody could take it over between our look and our unlink.
        if let Ok(_guard) = self.lock_names() {
            self.release_owned(name, id);
        }
    }

    /// As `release_name`, by a caller that holds the lock on names.
    fn release_owned(&self, name: &str, id: &str) {
        if self.name_owner(name).is_ok_and(|owner| owner.as_deref() == Some(id)) {
            let _ = unlinkat(&self.names, name, AtFlags::empty());
        }
    }

    fn lock_names(&self) -> Result<OwnedFd, MetadataError> {
        let path = || self.name_path(NAMES_LOCK);
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(&self.names, NAMES_LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed("open", path())(errno))?;
        sys::fs::lock_range(file.as_fd(), 0, Lock::Exclusive, true)
            .map_err(|source| MetadataError::Io { action: "lock", path: path(), source })?;
        Ok(file)
    }

    /// The id that `name` leads to, whether or not that container is there.
    pub fn name_owner(&self, name: &str) -> Result<Option<String>, MetadataError> {
        match readlinkat(&self.names, name, Vec::new()) {
            Ok(text) => Ok(text.to_str().ok().map(id_of_link).filter(|id| is_id(id))),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(failed("read", self.name_path(name))(errno)),
        }
    }

    fn owner_exists(&self, id: &str) -> bool {
        // In this order: a container that is published between the two looks is seen by the second.
        self.is_being_made(&format!("{NEW}{id}"), UNBORN_GRACE) || self.has_directory(id)
    }

    fn has_directory(&self, name: &str) -> bool {
        rustix::fs::accessat(&self.dir, name, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    /// Whether container `id` is there, goes by another name, and nobody is just renaming it: what
    /// a killed rename leaves.
    fn is_former_name(&self, name: &str, id: &str) -> bool {
        let Ok(container) = self.get(id) else { return false };
        let Ok(Some(_operation)) = container.try_lock_operation() else { return false };
        container.status().is_ok_and(|status| status.name != name)
    }

    /// Whether the process that makes this container is still at it.
    fn is_being_made(&self, directory: &str, grace: Duration) -> bool {
        let Some(id) = directory.strip_prefix(NEW) else { return false };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(dir) = openat(&self.dir, directory, flags, Mode::empty()) else { return false };
        let container = Container::from_parts(id.to_owned(), self.path().join(directory), dir);
        match container.try_lock_operation() {
            Ok(lock) => lock.is_none(),
            // Its maker has made the directory and not the lock: a matter of microseconds.
            Err(_) => rustix::fs::fstat(container.dir()).is_ok_and(|stat| {
                // The time of the change, since the directory may have been another's before.
                Timestamp::now().since(Timestamp::from_unix(stat.st_ctime, 0)) < grace
            }),
        }
    }

    fn entries(&self, dir: &OwnedFd, name: &'static str) -> Result<Vec<String>, MetadataError> {
        let path = self.root.join(name);
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).map_err(failed("list", &path))? {
            let entry = entry.map_err(failed("list", &path))?;
            if let Ok(text) = entry.file_name().to_str()
                && !matches!(text, "." | "..")
            {
                names.push(text.to_owned());
            }
        }
        Ok(names)
    }
}

impl NewContainer<'_> {
    /// Its directory, for what else has to be in it.
    pub fn container(&self) -> &Container {
        self.container.as_ref().expect("is only taken by publish and drop")
    }

    /// Claims the name. [`MetadataError::NameTaken`] leaves everything as it was.
    pub fn claim_name(&mut self, name: &str) -> Result<(), MetadataError> {
        self.all.claim_name(name, self.container().id())?;
        self.name = Some(name.to_owned());
        Ok(())
    }

    /// Makes the container seen, under the name that was claimed.
    pub fn publish(mut self) -> Result<(Container, OperationLock), MetadataError> {
        let hidden = self.container();
        let id = hidden.id().to_owned();
        let name = format!("{NEW}{id}");
        renameat_with(&self.all.dir, &name, &self.all.dir, &id, RenameFlags::NOREPLACE)
            .map_err(failed("publish", hidden.path()))?;
        let (Some(hidden), Some(operation)) = (self.container.take(), self.operation.take()) else {
            unreachable!("create sets both");
        };
        self.name = None;
        let path = self.all.path().join(&id);
        Ok((hidden.moved_to(path), operation))
    }
}

#[cfg(test)]
impl NewContainer<'_> {
    /// Goes away as a killed process does: locks are dropped, nothing is cleaned up.
    pub(crate) fn forget(mut self) {
        self.container = None;
        self.name = None;
    }
}

impl Drop for NewContainer<'_> {
    fn drop(&mut self) {
        let Some(container) = self.container.take() else { return };
        if let Some(name) = self.name.take() {
            self.all.release_name(&name, container.id());
        }
        let hidden = format!("{NEW}{}", container.id());
        // A failure leaves an unborn container, which `debris` finds.
        let _ = self.all.discard(&hidden).and_then(Discarded::delete);
    }
}
