//! What a step gets mounted besides its root: contexts, results of other steps, caches, memory,
//! secrets.
//!
//! Everything is opened here, below a root and by the kernel, and handed on as a path of this
//! process's open file (`/proc/<pid>/fd/<n>`): the runtime clones what is open, and nobody can put
//! another thing in its place meanwhile. A secret is a file on a file system in memory that is
//! attached nowhere else.
//!
//! Whatever is not a directory of the host's (a step's result, a secret) is a mount that is
//! attached nowhere, and passing one on takes Linux 6.15.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dockerfile::Sharing;
use oci::{Digest, Mount};
use rustix::fs::{CWD, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown};

use crate::BuildError;
use crate::cache::{BuildCache, Pruned};
use crate::plan::{MountFrom, Origin, PlannedMount, RunAction};
use crate::request::{Request, Stores};
use crate::tree::{Found, Tree};

/// The mounts of a step; what is behind them lives as long as this.
#[derive(Debug, Default)]
pub(crate) struct StepMounts {
    pub(crate) mounts: Vec<Mount>,
    /// Variables that hold secrets.
    pub(crate) variables: Vec<String>,
    held: Vec<OwnedFd>,
}

/// What mounts are made from.
pub(crate) struct Sources<'a> {
    pub(crate) request: &'a Request,
    pub(crate) stores: &'a Stores,
    pub(crate) cache: &'a BuildCache,
    /// The layers of another step.
    pub(crate) layers_of: &'a dyn Fn(Option<usize>) -> Vec<Digest>,
    pub(crate) stop: &'a AtomicBool,
}

impl Sources<'_> {
    /// Opens all that a step mounts.
    pub(crate) fn open(&self, run: &RunAction) -> Result<StepMounts, BuildError> {
        let mut step = StepMounts::default();
        for mount in &run.mounts {
            self.add(mount, &mut step)?;
        }
        if let Some((target, content)) = &run.script {
            let file = self.memory_file(content.as_bytes(), 0o755, 0, 0, &mut step)?;
            step.bind(file, target, true, &[]);
        }
        Ok(step)
    }

    fn add(&self, mount: &PlannedMount, step: &mut StepMounts) -> Result<(), BuildError> {
        match &mount.from {
            MountFrom::Origin(origin) => {
                let (found, root) = self.find(origin, &mount.source)?;
                step.held.extend(root);
                if mount.read_only {
                    step.bind(found.file, &mount.target, true, &[]);
                    return Ok(());
                }
                self.scratch_over(found, mount, step)
            }
            MountFrom::Cache { id, sharing, initial, mode, uid, gid } => {
                let (folder, lock) = self.cache_mount(id, *sharing, |folder| {
                    let failed = || BuildError::io::<rustix::io::Errno>("set", "a cache mount");
                    let name = cache_name(id);
                    let mut filled = false;
                    for cache in &self.request.imported {
                        filled = filled || cache.fill(&name, folder.as_fd(), self.stores)?;
                    }
                    if let (Some(origin), false) = (initial, filled) {
                        self.fill(folder, origin, &mount.source)?;
                    }
                    fchown(folder, Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)))
                        .map_err(failed())?;
                    fchmod(folder, Mode::from_raw_mode(*mode)).map_err(failed())
                })?;
                step.held.extend(lock);
                let tree = Tree { root: folder.as_fd(), ignore: None, owners: true };
                let source = if initial.is_some() { "" } else { mount.source.as_str() };
                let found = tree.find(source)?;
                let missing = || BuildError::NoSource { path: mount.source.clone() };
                let found = found.ok_or_else(missing)?;
                step.held.push(folder);
                step.bind(found.file, &mount.target, mount.read_only, &[]);
                Ok(())
            }
            MountFrom::Tmpfs { size_bytes } => {
                let mut options: Vec<String> =
                    ["nosuid", "nodev", "mode=755"].map(str::to_owned).into();
                if *size_bytes > 0 {
                    options.push(format!("size={size_bytes}"));
                }
                if mount.read_only {
                    options.push("ro".to_owned());
                }
                step.mounts.push(Mount {
                    destination: mount.target.clone(),
                    kind: Some("tmpfs".into()),
                    source: Some("tmpfs".into()),
                    options,
                    ..Mount::default()
                });
                Ok(())
            }
            MountFrom::Secret { id, required, mode, uid, gid, variable, file } => {
                let Some(bytes) = self.secret(id)? else {
                    return match required {
                        true => Err(BuildError::Invalid(format!("secret {id}: not found"))),
                        false => Ok(()),
                    };
                };
                if let Some(name) = variable {
                    let value = String::from_utf8_lossy(&bytes);
                    step.variables.push(format!("{name}={value}"));
                }
                if *file {
                    let memory = self.memory_file(&bytes, *mode, *uid, *gid, step)?;
                    step.bind(memory, &mount.target, true, &["nosuid", "nodev", "noexec"]);
                }
                Ok(())
            }
            MountFrom::Agent { id, required } => {
                let agent = self.request.agents.iter().find(|agent| agent.id == *id);
                let Some(agent) = agent else {
                    return match required {
                        true => Err(BuildError::Invalid(format!("unset ssh forward key {id}"))),
                        false => Ok(()),
                    };
                };
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                let socket = rustix::fs::openat(CWD, &agent.socket, flags, Mode::empty())
                    .map_err(BuildError::io("open", &agent.socket))?;
                step.variables.push(format!("SSH_AUTH_SOCK={}", mount.target));
                step.bind(socket, &mount.target, false, &[]);
                Ok(())
            }
        }
    }

    /// A path of a context or of a step's result; the second is what keeps it there.
    fn find(&self, origin: &Origin, path: &str) -> Result<(Found, Option<OwnedFd>), BuildError> {
        let missing = || BuildError::NoSource { path: path.to_owned() };
        match origin {
            Origin::Context(name) => {
                let context = self.request.contexts.get(name).ok_or_else(|| {
                    BuildError::Invalid("there is no build context to mount from".into())
                })?;
                if !context.ignore.is_empty() {
                    let root = self.filtered(context)?;
                    let tree = Tree { root: root.as_fd(), ignore: None, owners: true };
                    let found = tree.find(path)?.ok_or_else(missing)?;
                    return Ok((found, Some(root)));
                }
                let tree = Tree { root: context.root.as_fd(), ignore: None, owners: true };
                Ok((tree.find(path)?.ok_or_else(missing)?, None))
            }
            Origin::Step(step) => {
                let layers = (self.layers_of)(*step);
                let mounts = self.stores.snapshots.mounts(&layers, None, true)?;
                let root = runtime::mount_detached(&mounts)?;
                let tree = Tree { root: root.as_fd(), ignore: None, owners: true };
                let found = tree.find(path)?.ok_or_else(missing)?;
                Ok((found, Some(root)))
            }
        }
    }

    /// A context without what its ignore file leaves out: links to its files in memory would need
    /// one file system, so that they are copied.
    fn filtered(&self, context: &crate::request::Context) -> Result<OwnedFd, BuildError> {
        let tree =
            Tree { root: context.root.as_fd(), ignore: Some(&context.ignore), owners: false };
        let fresh = self.scratch()?;
        let mut digests = match &context.name {
            Some(name) => crate::digests::Digests::open(self.cache, name)?,
            None => crate::digests::Digests::forgetful(),
        };
        let all = crate::plan::SourcePath { path: "/".into(), kept: None };
        let none = dockerfile::ignore::Patterns::default();
        let items = crate::select::select(&tree, &[all], &none, &mut digests)?;
        let mut copier = crate::copy::Copier::new(fresh.as_fd(), Some((0, 0)), None);
        for item in &items {
            copier.place(&tree, item, "/", false)?;
        }
        digests.save();
        Ok(fresh)
    }

    /// Copies what a cache begins with.
    fn fill(&self, folder: &OwnedFd, origin: &Origin, path: &str) -> Result<(), BuildError> {
        let (found, _held) = self.find(origin, path)?;
        if !found.is_directory() {
            return Err(BuildError::Invalid(format!(
                "{path:?} is no directory to begin a cache with"
            )));
        }
        let tree = Tree { root: found.file.as_fd(), ignore: None, owners: true };
        let all = crate::plan::SourcePath { path: "/".into(), kept: None };
        let none = dockerfile::ignore::Patterns::default();
        let mut digests = crate::digests::Digests::forgetful();
        let items = crate::select::select(&tree, &[all], &none, &mut digests)?;
        let mut copier = crate::copy::Copier::new(folder.as_fd(), None, None);
        items.iter().try_for_each(|item| copier.place(&tree, item, "/", false))
    }

    /// A part that the step may write to as if it were its own: what it writes is thrown away.
    fn scratch_over(
        &self,
        found: Found,
        mount: &PlannedMount,
        step: &mut StepMounts,
    ) -> Result<(), BuildError> {
        let fresh = self.scratch()?;
        let tree = Tree { root: found.file.as_fd(), ignore: None, owners: true };
        if !found.is_directory() {
            return Err(BuildError::Unsupported {
                what: "a writable bind mount of a file".into(),
                instead: "mount its directory, or mount it read-only",
            });
        }
        let all = crate::plan::SourcePath { path: "/".into(), kept: None };
        let none = dockerfile::ignore::Patterns::default();
        let mut digests = crate::digests::Digests::forgetful();
        let items = crate::select::select(&tree, &[all], &none, &mut digests)?;
        let mut copier = crate::copy::Copier::new(fresh.as_fd(), None, None);
        items.iter().try_for_each(|item| copier.place(&tree, item, "/", false))?;
        step.bind(fresh, &mount.target, false, &[]);
        Ok(())
    }

    /// An empty directory on a file system of its own, which is gone when nobody has it open.
    fn scratch(&self) -> Result<OwnedFd, BuildError> {
        let mount = Mount {
            destination: "/".into(),
            kind: Some("tmpfs".into()),
            source: Some("tmpfs".into()),
            options: vec!["mode=755".into()],
            ..Mount::default()
        };
        Ok(runtime::mount_detached(&[mount])?)
    }

    /// A file in memory that is gone when the step and this process are.
    fn memory_file(
        &self,
        bytes: &[u8],
        mode: u32,
        uid: u32,
        gid: u32,
        step: &mut StepMounts,
    ) -> Result<OwnedFd, BuildError> {
        let failed = || BuildError::io::<io::Error>("write", "a file in memory");
        let errno = |errno: rustix::io::Errno| failed()(errno.into());
        let folder = self.scratch()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, "file", flags, Mode::from_raw_mode(0o600))
            .map_err(errno)?;
        let mut file = File::from(file);
        file.write_all(bytes).map_err(failed())?;
        fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(errno)?;
        fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).map_err(errno)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = rustix::fs::openat(&folder, "file", flags, Mode::empty()).map_err(errno)?;
        step.held.push(folder);
        Ok(path)
    }

    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, BuildError> {
        let Some(secret) = self.request.secrets.iter().find(|secret| secret.id == id) else {
            return Ok(None);
        };
        secret.read()
    }

    /// The directory of a cache and what holds it; `begin` is called for a new one.
    ///
    /// The directory's name is a digest of the id, so that no id leads anywhere.
    fn cache_mount(
        &self,
        id: &str,
        sharing: Sharing,
        begin: impl Fn(&OwnedFd) -> Result<(), BuildError>,
    ) -> Result<(OwnedFd, Option<OwnedFd>), BuildError> {
        let folder = self.cache.folder("mounts")?;
        for slot in 0.. {
            let name = match slot {
                0 => cache_name(id),
                slot => format!("{}.{slot}", cache_name(id)),
            };
            let lock = open_lock(&folder, &name)?;
            let mode = match sharing {
                Sharing::Shared => FlockOperation::NonBlockingLockShared,
                Sharing::Private | Sharing::Locked => FlockOperation::NonBlockingLockExclusive,
            };
            while let Err(errno) = rustix::fs::flock(&lock, mode) {
                if errno != rustix::io::Errno::WOULDBLOCK && errno != rustix::io::Errno::INTR {
                    return Err(BuildError::io("lock", folder.join(name))(errno));
                }
                if sharing == Sharing::Private {
                    break;
                }
                if self.stop.load(Ordering::Relaxed) {
                    return Err(BuildError::Canceled);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            if sharing == Sharing::Private && rustix::fs::flock(&lock, mode).is_err() {
                continue;
            }
            return Ok((open_cache(&folder, &name, &begin)?, Some(lock)));
        }
        unreachable!("there is always another slot")
    }
}

impl StepMounts {
    /// Mounts an open file; the descriptor is kept open for it.
    fn bind(&mut self, file: OwnedFd, target: &str, read_only: bool, more: &[&str]) {
        let pid = rustix::process::getpid().as_raw_nonzero();
        let mut options = vec!["rbind".to_owned(), "rprivate".to_owned()];
        if read_only {
            // What is mounted below it too: a context may hold mounts of the host's.
            options.push("rro".to_owned());
        }
        options.extend(more.iter().map(|option| (*option).to_owned()));
        self.mounts.push(Mount {
            destination: target.to_owned(),
            kind: Some("bind".into()),
            source: Some(format!("/proc/{pid}/fd/{}", file.as_raw_fd())),
            options,
            ..Mount::default()
        });
        self.held.push(file);
    }
}

/// The name of a cache's directory: no id leads anywhere.
pub(crate) fn cache_name(id: &str) -> String {
    content::sha256(id.as_bytes()).hex().to_owned()
}

fn open_lock(folder: &Path, name: &str) -> Result<OwnedFd, BuildError> {
    let path = folder.join(format!("{name}.lock"));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &path, flags, Mode::from_raw_mode(0o600))
        .map_err(BuildError::io("open", path))
}

fn open_cache(
    folder: &Path,
    name: &str,
    begin: &dyn Fn(&OwnedFd) -> Result<(), BuildError>,
) -> Result<OwnedFd, BuildError> {
    let path = folder.join(name);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |path: &Path| {
        rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(BuildError::io("open", path))
    };
    if !path.exists() {
        // Filled under another name: a cache is there whole or not at all.
        let new = folder.join(format!(".new-{}", sys::names::random_hex::<8>()));
        DirBuilder::new().mode(0o700).create(&new).map_err(BuildError::io("create", &new))?;
        begin(&open(&new)?)?;
        // An empty one that another step has just begun is in use: it must not be replaced.
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(CWD, &new, CWD, &path, flags) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => {
                std::fs::remove_dir_all(&new).map_err(BuildError::io("remove", &new))?;
            }
            Err(errno) => return Err(BuildError::io("rename", &new)(errno)),
        }
    }
    open(&path)
}

/// Removes caches that nobody uses.
pub(crate) fn prune(folder: &Path, pruned: &mut Pruned) -> Result<(), BuildError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BuildError::io("list", folder)(error)),
    };
    let opened = File::open(folder).map_err(BuildError::io("open", folder))?;
    for entry in entries {
        let entry = entry.map_err(BuildError::io("list", folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".lock") {
            continue;
        }
        let lock = open_lock(folder, &name)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let path = folder.join(&name);
        let c_name = std::ffi::CString::new(name).expect("a file name has no zero");
        let removed = sys::fs::remove_tree(opened.as_fd(), &c_name)
            .map_err(BuildError::io("remove", path))?;
        pruned.entries += 1;
        pruned.bytes += removed.bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_two_begin_at_once_is_one() {
        let temp = tempfile::tempdir().unwrap();
        let inode = |file: &OwnedFd| rustix::fs::fstat(file).unwrap().st_ino;
        let other = std::cell::Cell::new(0);
        let mine = open_cache(temp.path(), "c", &|_| {
            // Somebody else is faster, and has it open.
            other.set(inode(&open_cache(temp.path(), "c", &|_| Ok(()))?));
            Ok(())
        });
        assert_eq!(inode(&mine.unwrap()), other.get());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
