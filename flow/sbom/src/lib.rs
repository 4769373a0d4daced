//! A root file system to a list of the packages in it: SPDX 2.3.
//!
//! ```text
//! root --known files--> dpkg, apk                                packages of the system
//!      --one walk-----> METADATA, package.json, programs         packages of languages
//!                                          `-> build information of Go, cargo-auditable of Rust
//! ```
//!
//! What is found is what package managers and compilers have written down; nothing is guessed from
//! names of files. The same tree gives the same list.
//!
//! The tree is a stranger's: every path is resolved by the kernel below its root, no link is
//! followed on the walk, and all that is read is bounded. What cannot be read as what it should be
//! is passed over: a list is not worth a failed build.

mod document;
mod elf;
mod languages;
mod programs;
mod system;
mod walk;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use attestation::spdx::Document;
use oci::Timestamp;

/// Why a list could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// The file system said no.
    #[error("cannot read {path}", path = path.display())]
    Io {
        /// Which file or folder of the tree.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is known of a tree beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What made the list: `kista-0.1.0`.
    pub tool: &'a str,
    /// When.
    pub created: Timestamp,
}

/// A package that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Package {
    /// The kind of its package URL: `deb`, `pypi`...
    kind: &'static str,
    name: String,
    version: String,
    /// Its package URL.
    url: String,
    /// What its own files say that its license is; may be empty.
    license: String,
    /// Who distributes it; may be empty.
    supplier: String,
    /// Where it was found.
    found_in: String,
}

/// Lists what is in the tree below `root`, which is only read.
pub fn scan(root: BorrowedFd<'_>, described: &Described<'_>) -> Result<Document, SbomError> {
    let system = system::System::read(root);
    let mut packages = system.packages(root);
    walk::walk(root, &mut |file| {
        packages.extend(languages::packages(file));
        packages.extend(programs::packages(file));
    })?;
    packages.sort_by(|a, b| (&a.url, &a.found_in).cmp(&(&b.url, &b.found_in)));
    packages.dedup_by(|a, b| (&a.url, &a.found_in) == (&b.url, &b.found_in));
    Ok(document::document(described, &packages))
}

#[cfg(test)]
mod tests;
