//! Small files of control group file systems: one open, one read or write, one close.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::CgroupError;

/// Reads a file whole.
pub(crate) fn read(dir: &Path, name: &str) -> Result<String, CgroupError> {
    let path = dir.join(name);
    std::fs::read_to_string(&path).map_err(|source| CgroupError::Io {
        action: "read",
        path,
        source,
    })
}

/// Reads a file whole; `None` if it is not there, or its subject is not supported.
pub(crate) fn read_optional(dir: &Path, name: &str) -> Result<Option<String>, CgroupError> {
    let path = dir.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(err) if is_absent(&err) => Ok(None),
        Err(source) => Err(CgroupError::Io { action: "read", path, source }),
    }
}

/// Whether an error says that there is no such file, or nothing behind it.
///
/// `ENODEV` comes from a file whose group was removed meanwhile, `EOPNOTSUPP` from one whose
/// subject was switched off at boot, such as pressure.
pub(crate) fn is_absent(err: &io::Error) -> bool {
    use rustix::io::Errno;
    match err.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) => [Errno::NOENT, Errno::NODEV, Errno::OPNOTSUPP].contains(&errno),
        None => false,
    }
}

/// Opens a file for writing; never creates or truncates one.
pub(crate) fn open_for_write(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Writes a value in one write(2), as the kernel demands.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    let file = open_for_write(path)?;
    rustix::io::write(&file, value.as_bytes())?;
    Ok(())
}

/// Writes a setting; the error names it as `setting`, in the words of the runtime-spec.
///
/// A file that is not there means that this kernel or this version lacks the setting.
pub(crate) fn set(
    dir: &Path,
    name: &str,
    setting: &str,
    value: impl fmt::Display,
) -> Result<(), CgroupError> {
    let path = dir.join(name);
    let value = value.to_string();
    match write(&path, &value) {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::NotFound && dir.exists() => {
            Err(CgroupError::Unsupported {
                setting: setting.to_owned(),
                reason: "the group has no file for it: the kernel lacks it, or the groups above do \
                         not pass its controller on",
            })
        }
        Err(source) => {
            Err(CgroupError::Refused { setting: setting.to_owned(), value, path, source })
        }
    }
}

/// The first number in a text; `max` is `None`.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}
