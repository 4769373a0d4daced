//! The workspace as cargo sees it.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::process;

/// Where the tree begins.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// `cargo metadata`, as much of it as tasks read.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// `None` for what is in the tree.
    pub(crate) source: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// `None` for an ordinary one, else "dev" or "build".
    pub(crate) kind: Option<String>,
    pub(crate) path: Option<PathBuf>,
}

impl Workspace {
    /// The packages of the tree alone, or with all that they need.
    pub(crate) fn load(with_dependencies: bool) -> Result<Self, Box<dyn Error>> {
        let mut arguments = vec!["metadata", "--format-version", "1", "--locked"];
        if with_dependencies {
            arguments.extend(["--filter-platform", "x86_64-unknown-linux-musl"]);
        } else {
            arguments.push("--no-deps");
        }
        Ok(serde_json::from_slice(&process::output(&mut process::cargo(&arguments))?)?)
    }

    /// The `kista` that `dist` built; `KISTA_BIN` names another.
    ///
    /// What is shipped is what is tested: it is static, so that containers can execute it.
    pub(crate) fn released(&self) -> PathBuf {
        match std::env::var_os("KISTA_BIN") {
            Some(path) => path.into(),
            None => self.target_directory.join("dist/kista"),
        }
    }
}

impl Package {
    /// The folder below the tree's root: `spec/oci`.
    pub(crate) fn folder(&self) -> String {
        let folder = self.manifest_path.parent().unwrap_or(Path::new(""));
        folder.strip_prefix(root()).unwrap_or(folder).to_string_lossy().into_owned()
    }
}
