//! The file that tells a caller the number of a process.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::args::Parsed;
use crate::error::{OciError, Step};

/// Where the file will be, before the working directory changes.
pub(crate) fn path(parsed: &Parsed) -> Result<Option<PathBuf>, OciError> {
    match parsed.some("pid-file") {
        None => Ok(None),
        Some(path) => {
            std::path::absolute(path).map(Some).to(|| format!("find the pid file {path}"))
        }
    }
}

/// Writes it so that whoever sees it sees it whole.
pub(crate) fn write(path: &Path, pid: Pid) -> Result<(), OciError> {
    let action = || format!("write the pid file {}", path.display());
    let name = path.file_name().unwrap_or_default();
    // The name that runc takes. What a runtime that was killed left there is removed and not
    // written to: in a directory that others may write to it could be a link of theirs.
    let temporary = path.with_file_name(format!(".{}", name.to_string_lossy()));
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o666).open(&temporary);
    let mut file: File = match create() {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&temporary).to(action)?;
            create()
        }
        other => other,
    }
    .to(action)?;
    file.write_all(pid.as_raw_nonzero().to_string().as_bytes()).to(action)?;
    std::fs::rename(&temporary, path).to(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_way_is_replaced_and_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("pid"), dir.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        for place in [".pid", "pid"] {
            std::os::unix::fs::symlink(&victim, dir.path().join(place)).unwrap();
        }
        write(&path, Pid::from_raw(42).unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "42");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!path.is_symlink() && !dir.path().join(".pid").exists());
        write(&path, Pid::from_raw(43).unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "43");
    }
}
