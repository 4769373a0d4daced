//! What a build takes from elsewhere: files of web servers, git repositories, archives.
//!
//! Each comes into a directory of its own, below the data root and only its owner's to read, which
//! is gone with the value that holds it, or, after a kill, with the next build.
//!
//! ```text
//! <root>/build/fetched/.new-<random>     being fetched or used, under its fetcher's flock
//! ```

mod archive;
mod git;
mod http;
mod place;

use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sys::fresh::FreshDirectory;

use crate::BuildError;

pub use archive::{is_archive, unpack_archive};
pub use git::{Cloned, GitOptions, clone};
pub(crate) use http::file_name;
pub use http::{Response, download};
pub use place::{GitPlace, Place, redacted};

/// A directory that something was fetched into.
#[derive(Debug)]
pub struct Fetched {
    directory: FreshDirectory,
    path: PathBuf,
}

impl Fetched {
    /// An empty one. What fetchers that were killed have left is removed.
    pub fn new(root: &Path) -> Result<Self, BuildError> {
        let folder = root.join("build").join("fetched");
        let failed = || BuildError::io::<std::io::Error>("create", &folder);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed())?;
        let opened = std::fs::File::open(&folder).map_err(failed())?;
        sys::fresh::sweep(opened.as_fd()).map_err(failed())?;
        let directory = FreshDirectory::create(opened.as_fd()).map_err(failed())?;
        let path = folder.join(directory.name());
        Ok(Self { directory, path })
    }

    /// The directory.
    pub fn directory(&self) -> std::os::fd::BorrowedFd<'_> {
        self.directory.directory()
    }

    /// Its path, for programs that need one.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
