//! Places in the container's tree: found, and made where they are missing, by descriptor.
//!
//! No function here uses a path twice: what is found is held open, and what is made is made below
//! a directory that is held open, so that whoever renames and links in the same tree meanwhile
//! can make these calls fail but not lead them out (CVE-2021-30465, CVE-2024-45310).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::RuntimeError;
use crate::error::Step;

/// What a place must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Directory,
    /// Anything else.
    File,
}

/// Opens the place at `path` as `O_PATH`; makes it, and what leads to it, if there is nothing.
///
/// Below /proc, /sys and /dev no link is followed: an image that has one there wants something
/// that its author should not get (CVE-2023-27561, CVE-2025-54867, CVE-2026-41579).
pub(crate) fn ensure(
    root: BorrowedFd<'_>,
    path: &str,
    want: Want,
) -> Result<OwnedFd, RuntimeError> {
    let strict = is_strict(path);
    let found = match find(root, path, strict) {
        Err(Errno::NOENT) => Walk::new(root, strict, None).run(path, want).map_err(io::Error::from),
        other => other.map_err(io::Error::from),
    };
    let fd = match found {
        Ok(fd) => fd,
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(RuntimeError::Refused(format!(
                "{path} must be mounted on ordinary directory, and in the root file system it is, \
                 or leads through, a symbolic link"
            )));
        }
        Err(error) => return Err(error).inside(|| format!("make a place for {path}")),
    };
    let kind = rustix::fs::fstat(&fd).inside(|| format!("look at {path}"))?.st_mode;
    let is_directory = FileType::from_raw_mode(kind) == FileType::Directory;
    match (want, is_directory) {
        (Want::Directory, true) | (Want::File, false) => Ok(fd),
        (Want::Directory, false) => {
            Err(RuntimeError::Refused(format!("{path} in the root file system is not a directory")))
        }
        (Want::File, true) => {
            Err(RuntimeError::Refused(format!("{path} in the root file system is a directory")))
        }
    }
}

/// Opens what is at `path`, as `O_PATH`.
pub(crate) fn find(root: BorrowedFd<'_>, path: &str, strict: bool) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if strict {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let opened = sys::fs::open_resolved(root, path, OFlags::PATH, Mode::empty(), resolve);
    opened.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Makes a directory and those that lead to it. The last one, if it is new, gets the owner.
pub(crate) fn make_directory(
    root: BorrowedFd<'_>,
    path: &str,
    owner: Option<(Uid, Gid)>,
) -> io::Result<OwnedFd> {
    Ok(Walk::new(root, false, owner).run(path, Want::Directory)?)
}

pub(crate) fn is_strict(path: &str) -> bool {
    ["/proc", "/sys", "/dev"].into_iter().any(|top| {
        path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// A walk that does in steps what `RESOLVE_IN_ROOT` does at once, and makes what is missing.
struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// The directories walked through, below the root.
    stack: Vec<OwnedFd>,
    strict: bool,
    owner: Option<(Uid, Gid)>,
}

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

impl<'a> Walk<'a> {
    fn new(root: BorrowedFd<'a>, strict: bool, owner: Option<(Uid, Gid)>) -> Self {
        Self { root, stack: Vec::new(), strict, owner }
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.stack.last().map_or(self.root, AsFd::as_fd)
    }

    fn run(mut self, path: &str, want: Want) -> Result<OwnedFd, Errno> {
        // Components to come, the next one last.
        let mut ahead: Vec<Vec<u8>> = components(path.as_bytes());
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                self.stack.pop();
                continue;
            }
            let last = ahead.is_empty();
            let fd = match open_entry(self.here(), &name) {
                Err(Errno::NOENT) => {
                    let want = if last { want } else { Want::Directory };
                    self.make(&name, want, last)?
                }
                other => other?,
            };
            let stat = rustix::fs::fstat(&fd)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if self.strict || links > MOST_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = rustix::fs::readlinkat(&fd, c"", Vec::new())?;
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        self.stack.clear();
                    }
                    ahead.extend(components(target));
                }
                FileType::Directory => self.stack.push(fd),
                _ if last => return Ok(fd),
                _ => return Err(Errno::NOTDIR),
            }
        }
        match self.stack.pop() {
            Some(fd) => Ok(fd),
            None => Ok(self.root.try_clone_to_owned().map_err(|_| Errno::MFILE)?),
        }
    }

    fn make(&self, name: &[u8], want: Want, last: bool) -> Result<OwnedFd, Errno> {
        let here = self.here();
        let made = match want {
            Want::Directory => rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o755)),
            Want::File => {
                let mode = Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(here, name, FileType::RegularFile, mode, 0)
            }
        };
        match made {
            // Somebody else made it: whatever it is, it is looked at as if it had been there.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let fd = open_entry(here, name)?;
        if let (Some((uid, gid)), true, Ok(())) = (self.owner, last, made) {
            rustix::fs::chownat(&fd, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        Ok(fd)
    }
}

/// One entry of a directory, itself and not what it points at. Mounts on it are entered.
fn open_entry(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .rev()
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    fn root(path: &Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    #[test]
    fn missing_places_are_made_inside_whatever_links_say() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("root");
        fs::create_dir_all(tree.join("etc")).unwrap();
        let canary = temp.path().join("canary");
        fs::create_dir(&canary).unwrap();
        symlink(&canary, tree.join("absolute")).unwrap();
        symlink("../../../../canary", tree.join("climbing")).unwrap();
        symlink("../run/resolv.conf", tree.join("etc/resolv.conf")).unwrap();
        let fd = root(&tree);
        for (path, want) in [
            ("/absolute/a/b", Want::Directory),
            ("/climbing/c", Want::File),
            ("/etc/resolv.conf", Want::File),
            ("/x/y/z", Want::Directory),
            ("/x/y/z", Want::Directory),
        ] {
            ensure(fd.as_fd(), path, want).unwrap();
        }
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 0);
        assert!(tree.join("run/resolv.conf").is_file());
        assert!(tree.join("canary/c").is_file());
        assert!(tree.join(canary.strip_prefix("/").unwrap()).join("a/b").is_dir());
        assert!(tree.join("x/y/z").is_dir());
    }

    #[test]
    fn links_below_proc_sys_and_dev_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("root");
        fs::create_dir_all(tree.join("real")).unwrap();
        fs::create_dir_all(tree.join("sys")).unwrap();
        symlink("real", tree.join("dev")).unwrap();
        symlink("nowhere", tree.join("proc")).unwrap();
        symlink("../real", tree.join("sys/fs")).unwrap();
        fs::write(tree.join("file"), "").unwrap();
        let fd = root(&tree);
        for path in ["/dev", "/dev/pts", "/proc", "/sys/fs/cgroup"] {
            let error = ensure(fd.as_fd(), path, Want::Directory).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
            assert!(matches!(error, RuntimeError::Refused(_)), "{error:?}");
        }
        for (path, want) in [("/file", Want::Directory), ("/real", Want::File)] {
            ensure(fd.as_fd(), path, want).unwrap_err();
        }
        assert_eq!(fs::read_dir(tree.join("real")).unwrap().count(), 0);
    }

    #[test]
    fn a_loop_of_links_ends() {
        let temp = tempfile::tempdir().unwrap();
        symlink("b", temp.path().join("a")).unwrap();
        symlink("a", temp.path().join("b")).unwrap();
        ensure(root(temp.path()).as_fd(), "/a/x", Want::Directory).unwrap_err();
    }

    #[test]
    fn only_the_last_directory_gets_the_owner() {
        let temp = tempfile::tempdir().unwrap();
        let owner = Some((Uid::from_raw(7), Gid::from_raw(8)));
        make_directory(root(temp.path()).as_fd(), "/srv/app", owner).unwrap();
        let ids = |path: &str| {
            let stat = fs::metadata(temp.path().join(path)).unwrap();
            (stat.uid(), stat.gid())
        };
        assert_eq!((ids("srv"), ids("srv/app")), ((0, 0), (7, 8)));
    }
}
