//! A directory that files are taken from: a context, or a step's result.
//!
//! Every path is resolved by the kernel with the directory as its root, so that no link of a
//! context or an image leads out of it. What is found is an open file, which no later rename can
//! turn into another.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use dockerfile::ignore::Patterns;
use dockerfile::path_match;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::BuildError;

/// How deep folders may lie in each other.
pub(crate) const DEEPEST: usize = 1000;

/// A directory with what is left out of it.
pub(crate) struct Tree<'a> {
    pub(crate) root: BorrowedFd<'a>,
    /// What does not take part, by its path from the root.
    pub(crate) ignore: Option<&'a Patterns>,
    /// Whether owners are kept; those of a context are nobody's business.
    pub(crate) owners: bool,
}

/// Something that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// By `O_PATH`.
    pub(crate) file: OwnedFd,
    pub(crate) stat: Stat,
    /// Where it really is, from the root, without links and without a slash at the front.
    pub(crate) real: Vec<u8>,
}

impl Found {
    pub(crate) fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }
}

impl Tree<'_> {
    /// What a path leads to, links followed; `None` if it is not there or is left out.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Found>, BuildError> {
        let relative = path.trim_start_matches('/');
        let relative = if relative.is_empty() { "." } else { relative };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = match sys::fs::open_in_root(self.root, relative, flags, Mode::empty()) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(BuildError::io("open", path)(error)),
        };
        let stat = rustix::fs::fstat(&file).map_err(BuildError::io("inspect", path))?;
        let real = real_path(self.root, file.as_fd()).map_err(BuildError::io("find", path))?;
        let found = Found { file, stat, real };
        match self.is_ignored(&found) {
            true => Ok(None),
            false => Ok(Some(found)),
        }
    }

    /// Whether the ignore file leaves it out, and nothing in it is taken back.
    fn is_ignored(&self, found: &Found) -> bool {
        let Some(ignore) = self.ignore.filter(|_| !found.real.is_empty()) else { return false };
        let path = String::from_utf8_lossy(&found.real);
        ignore.matches(&path) && !(found.is_directory() && ignore.may_take_back_below(&path))
    }

    /// The paths that match a pattern, in order. A link is followed where the pattern goes on.
    pub(crate) fn glob(&self, pattern: &str) -> Result<Vec<String>, BuildError> {
        let mut paths = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for path in paths {
                if !dockerfile::has_wildcard(part) {
                    let plain: String = part.replace('\\', "");
                    next.push(format!("{path}/{plain}"));
                    continue;
                }
                for name in self.names(&path)? {
                    let bad =
                        |_| BuildError::Invalid(format!("{pattern:?}: syntax error in pattern"));
                    if path_match(part, &name).map_err(bad)? {
                        next.push(format!("{path}/{name}"));
                    }
                }
            }
            paths = next;
        }
        Ok(paths)
    }

    /// The names in a folder, sorted; none if it is no folder. Names that are no UTF-8 match
    /// nothing.
    fn names(&self, path: &str) -> Result<Vec<String>, BuildError> {
        let Some(found) = self.find(path)?.filter(Found::is_directory) else {
            return Ok(Vec::new());
        };
        let names = reopen(found.file.as_fd())
            .map_err(Into::into)
            .and_then(|folder| list(folder.as_fd()))
            .map_err(BuildError::io::<io::Error>("list", path))?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }
}

/// A file or folder and what is known of it without opening it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// From what the walk began at; empty for that itself.
    pub(crate) path: Vec<u8>,
    pub(crate) stat: Stat,
    /// The text of a link.
    pub(crate) link: Vec<u8>,
    /// Of a file's content and attributes.
    pub(crate) digest: Option<[u8; 32]>,
    /// A folder that is left out, and entered for what is taken back in it.
    pub(crate) only_entered: bool,
}

impl Entry {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// How deep it lies: 0 for what the walk began at.
    pub(crate) fn depth(&self) -> usize {
        match self.path.is_empty() {
            true => 0,
            false => 1 + self.path.iter().filter(|byte| **byte == b'/').count(),
        }
    }

    /// Its own name.
    pub(crate) fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

/// Decides about each path of a walk: whether it is taken, and whether a folder is entered.
pub(crate) trait Filter: Sized {
    /// `path` is from where the walk began. The filter is for what lies in the folder.
    fn below(&self, path: &[u8], is_directory: bool) -> (bool, Option<Self>);
}

/// Takes everything.
pub(crate) struct Everything;

impl Filter for Everything {
    fn below(&self, _path: &[u8], _is_directory: bool) -> (bool, Option<Self>) {
        (true, Some(Self))
    }
}

/// Lists a folder and all below it, each folder before what is in it, names in byte order.
///
/// `visit` gets the folder that holds the entry and its name there.
pub(crate) fn walk<F: Filter>(
    folder: &Found,
    filter: &F,
    visit: &mut dyn FnMut(BorrowedFd<'_>, &CString, Entry) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let shown = || String::from_utf8_lossy(&folder.real).into_owned();
    let opened = reopen(folder.file.as_fd()).map_err(BuildError::io("open", shown()))?;
    walk_folder(opened, &mut Vec::new(), 0, filter, visit)
}

fn walk_folder<F: Filter>(
    folder: OwnedFd,
    path: &mut Vec<u8>,
    depth: usize,
    filter: &F,
    visit: &mut dyn FnMut(BorrowedFd<'_>, &CString, Entry) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    if depth == DEEPEST {
        return Err(BuildError::Invalid(format!(
            "{}: too many folders in each other",
            shown(path)
        )));
    }
    for name in list(folder.as_fd()).map_err(BuildError::io("list", shown(path)))? {
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let stat = match rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => {
                path.truncate(length);
                continue;
            }
            Err(errno) => return Err(BuildError::io("inspect", shown(path))(errno)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let (taken, below) = filter.below(path, kind == FileType::Directory);
        let entered = below.is_some() && kind == FileType::Directory;
        if taken || entered {
            let link = match kind {
                FileType::Symlink => rustix::fs::readlinkat(&folder, &name, Vec::new())
                    .map_err(BuildError::io("read", shown(path)))?
                    .into_bytes(),
                _ => Vec::new(),
            };
            let entry =
                Entry { path: path.clone(), stat, link, digest: None, only_entered: !taken };
            visit(folder.as_fd(), &name, entry)?;
        }
        if let Some(below) = below.filter(|_| kind == FileType::Directory) {
            match open_folder(folder.as_fd(), &name) {
                Ok(next) => walk_folder(next, path, depth + 1, &below, visit)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    return Err(BuildError::Changed { path: shown(path) });
                }
                Err(errno) => return Err(BuildError::io("open", shown(path))(errno)),
            }
        }
        path.truncate(length);
    }
    Ok(())
}

/// The names in a folder but for `.` and `..`, in byte order.
pub(crate) fn list(folder: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Opens a folder by its name in another, without following a link.
pub(crate) fn open_folder(folder: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

/// A folder that is open by `O_PATH`, for listing.
pub(crate) fn reopen(folder: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, ".", flags, Mode::empty())
}

/// Where an open file lies below an open root. Only for matching patterns: the file may have been
/// moved since, and it is the open one that is used.
fn real_path(root: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let path = |file: BorrowedFd<'_>| {
        Ok::<_, io::Error>(std::fs::read_link(sys::fs::fd_path(file))?.into_os_string().into_vec())
    };
    let (root, file) = (path(root)?, path(file)?);
    let rest = file.strip_prefix(root.as_slice()).unwrap_or(&file);
    Ok(rest.strip_prefix(b"/").unwrap_or(rest).to_vec())
}

pub(crate) fn is_absent(error: &io::Error) -> bool {
    let codes = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}
