//! The walk over a tree: regular files, each opened at most once.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::SbomError;

/// How deep folders may lie in each other; what is deeper is passed over.
const DEEPEST: usize = 200;
/// Folders that no image has files of its own in.
const NOT_ENTERED: [&[u8]; 3] = [b"proc", b"sys", b"dev"];
/// The largest description of a package.
const LARGEST: u64 = 4 << 20;

/// A regular file of the tree.
pub(crate) struct Candidate<'a> {
    folder: BorrowedFd<'a>,
    name: &'a CStr,
    /// From the root, without a slash at the front.
    pub(crate) path: &'a [u8],
    pub(crate) size: u64,
    pub(crate) is_executable: bool,
}

impl Candidate<'_> {
    /// Opens it; `None` if it is another thing by now.
    pub(crate) fn open(&self) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.folder, self.name, flags, Mode::empty()).ok()?;
        let file = File::from(file);
        file.metadata().is_ok_and(|facts| facts.is_file()).then_some(file)
    }

    /// What it says, if that is text and not too long.
    pub(crate) fn text(&self) -> Option<String> {
        let file = (self.size <= LARGEST).then(|| self.open())??;
        text(file)
    }
}

/// What a file says, if that is not too long. What is no UTF-8 is replaced.
pub(crate) fn text(file: File) -> Option<String> {
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Shows each regular file below a root, names in byte order.
pub(crate) fn walk(
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&Candidate<'_>),
) -> Result<(), SbomError> {
    let opened = open_folder(root, c".").map_err(failed(b"/"))?;
    walk_folder(&opened, &mut Vec::new(), 0, visit)
}

fn walk_folder(
    folder: &OwnedFd,
    path: &mut Vec<u8>,
    depth: usize,
    visit: &mut dyn FnMut(&Candidate<'_>),
) -> Result<(), SbomError> {
    for name in names(folder.as_fd()).map_err(failed(path))? {
        if depth == 0 && NOT_ENTERED.contains(&name.to_bytes()) {
            continue;
        }
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let stat = match rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(errno) => return Err(failed(path)(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth < DEEPEST => {
                let next = open_folder(folder.as_fd(), &name).map_err(failed(path))?;
                walk_folder(&next, path, depth + 1, visit)?;
            }
            FileType::RegularFile => visit(&Candidate {
                folder: folder.as_fd(),
                name: &name,
                path,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                is_executable: stat.st_mode & 0o111 != 0,
            }),
            _ => {}
        }
        path.truncate(length);
    }
    Ok(())
}

fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
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

fn open_folder(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

fn failed(path: &[u8]) -> impl FnOnce(Errno) -> SbomError + use<> {
    let path = String::from_utf8_lossy(path).into_owned().into();
    move |errno| SbomError::Io { path, source: io::Error::from(errno) }
}
