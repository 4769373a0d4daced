//! A root file system that is not mounted: its layers, looked at one under the other.
//!
//! A start needs two small files of the image (`passwd`, `group`) before anything is mounted. They
//! are found as overlayfs would find them. A path with links in it is left to overlayfs itself.

use std::cell::OnceCell;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use metadata::Container;
use oci::Digest;
use rustix::fs::{CWD, FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use snapshots::Snapshots;

use crate::EngineError;

/// The layers of a container, and what it wrote over them.
pub(crate) struct Tree<'a> {
    snapshots: &'a Snapshots,
    container: &'a Container,
    diff_ids: &'a [Digest],
    /// What the container wrote, then its layers from the top; opened once.
    layers: OnceCell<Vec<OwnedFd>>,
}

/// What one layer says of a path.
enum Answer {
    /// Nothing: ask the one below.
    Silent,
    /// It is not there, nor below.
    Gone,
    /// A regular file.
    File(OwnedFd),
    /// Something that only overlayfs can resolve: a link, or a directory where a file is wanted.
    Odd,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(
        snapshots: &'a Snapshots,
        container: &'a Container,
        diff_ids: &'a [Digest],
    ) -> Self {
        Self { snapshots, container, diff_ids, layers: OnceCell::new() }
    }

    /// Reads the first `limit` bytes of a regular file inside the root; `None` if there is none.
    pub(crate) fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, EngineError> {
        let failed = |errno: Errno| EngineError::io("read", path)(errno.into());
        for layer in crate::once(&self.layers, || self.open_layers())? {
            match ask(layer.as_fd(), path).map_err(failed)? {
                Answer::Silent => {}
                Answer::Gone => return Ok(None),
                Answer::File(file) => {
                    return read_bounded(file, limit)
                        .map(Some)
                        .map_err(EngineError::io("read", path));
                }
                Answer::Odd => return self.read_mounted(path, limit),
            }
        }
        Ok(None)
    }

    /// Mounts the whole read-only where nobody else sees it, and opens `path` in it as a container
    /// would.
    ///
    /// What the container wrote comes as one more layer, since a directory can be the upper one of
    /// a single mount only, and that is the container's. All is gone before it starts.
    pub(crate) fn open_mounted(
        &self,
        path: &str,
        flags: OFlags,
    ) -> Result<Option<OwnedFd>, EngineError> {
        let mut mounts = self.snapshots.mounts(self.diff_ids, None, true)?;
        for mount in &mut mounts {
            // A device node of the image means nothing on the host, and the opening of one can
            // do anything.
            mount.options.push("nodev".to_owned());
            mount
                .options
                .insert(0, format!("lowerdir+={}", self.container.path().join("upper").display()));
        }
        let root = runtime::mount_detached(&mounts)?;
        match sys::fs::open_in_root(
            root.as_fd(),
            path.trim_start_matches('/'),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(file) => Ok(Some(file)),
            Err(error) if matches!(error.raw_os_error(), Some(code) if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|errno| errno.raw_os_error() == code)) => {
                Ok(None)
            }
            Err(error) => Err(EngineError::io("open", path)(error)),
        }
    }

    fn read_mounted(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, EngineError> {
        let failed = |errno: Errno| EngineError::io("read", path)(errno.into());
        let Some(found) = self.open_mounted(path, OFlags::PATH)? else { return Ok(None) };
        match open_regular(found.as_fd()).map_err(failed)? {
            None => Ok(None),
            Some(file) => {
                read_bounded(file, limit).map(Some).map_err(EngineError::io("read", path))
            }
        }
    }

    fn open_layers(&self) -> Result<Vec<OwnedFd>, EngineError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let upper =
            openat(self.container.dir(), "upper", flags, Mode::empty()).map_err(|errno| {
                EngineError::io("open", self.container.path().join("upper"))(errno.into())
            })?;
        let mut layers = vec![upper];
        for diff_id in self.diff_ids.iter().rev() {
            let path = self.snapshots.path_of(diff_id);
            layers.push(
                openat(CWD, &path, flags, Mode::empty())
                    .map_err(|errno| EngineError::io("open layer", path)(errno.into()))?,
            );
        }
        Ok(layers)
    }
}

/// Opens what `found`, an `O_PATH` descriptor, stands for; `None` if it is no regular file.
///
/// It is looked at first, since the opening of a device is an act by itself, and which device that
/// is an image or a container says: a watchdog resets the host, a tape is wound back.
pub(crate) fn open_regular(found: BorrowedFd<'_>) -> rustix::io::Result<Option<OwnedFd>> {
    let stat = rustix::fs::fstat(found)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(CWD, sys::fs::fd_path(found), flags, Mode::empty()).map(Some)
}

/// Asks one layer for a path of plain components.
fn ask(layer: BorrowedFd<'_>, path: &str) -> rustix::io::Result<Answer> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here: Option<OwnedFd> = None;
    let mut components = path.split('/').peekable();
    let mut opaque = false;
    while let Some(component) = components.next() {
        let at = here.as_ref().map_or(layer, OwnedFd::as_fd);
        let next = match openat(at, component, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => return Ok(if opaque { Answer::Gone } else { Answer::Silent }),
            Err(errno) => return Err(errno),
        };
        let stat = rustix::fs::fstat(&next)?;
        let last = components.peek().is_none();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(Answer::Gone),
            FileType::RegularFile if last => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                return openat(at, component, flags, Mode::empty()).map(Answer::File);
            }
            FileType::Directory if !last => opaque |= is_opaque(next.as_fd()),
            _ => return Ok(Answer::Odd),
        }
        here = Some(next);
    }
    Ok(Answer::Odd)
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    // The other one is a mark of nobody's: a container may set it on its own files.
    let mark = sys::fs::get_xattr(directory, sys::overlay::opaque());
    mark.is_ok_and(|value| value.as_deref() == Some(b"y"))
}

fn read_bounded(file: OwnedFd, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::inotify;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_even_opened() {
        let temp = tempfile::tempdir().unwrap();
        let (fifo, file) = (temp.path().join("fifo"), temp.path().join("file"));
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        std::fs::write(&file, "root:x:0:0::/:").unwrap();
        let watch = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let watch = inotify::init(watch).unwrap();
        for path in [&fifo, &file] {
            inotify::add_watch(&watch, path, inotify::WatchFlags::OPEN).unwrap();
        }
        let mut buffer = [0; 512];
        for (path, is_opened) in [(&fifo, false), (&file, true)] {
            let found = openat(CWD, path, OFlags::PATH, Mode::empty()).unwrap();
            assert_eq!(open_regular(found.as_fd()).unwrap().is_some(), is_opened, "{path:?}");
            assert_eq!(rustix::io::read(&watch, &mut buffer).is_ok(), is_opened, "{path:?}");
        }
    }
}
