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
    // The name that runc takes, which is replaced if a runtime that was killed left it.
    let temporary = path.with_file_name(format!(".{}", name.to_string_lossy()));
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o666)
        .open(&temporary)
        .to(action)?;
    file.write_all(pid.as_raw_nonzero().to_string().as_bytes()).to(action)?;
    std::fs::rename(&temporary, path).to(action)
}
