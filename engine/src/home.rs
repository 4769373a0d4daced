//! Where the data of whoever calls is, and the rights that it takes to work there.

use std::path::{Path, PathBuf};

use crate::{EngineError, supervise};

/// Root's data directory.
const ROOT: &str = "/var/lib/kista";

/// A data directory that this process may work in, for as long as this is held.
#[derive(Debug)]
pub struct Home {
    root: PathBuf,
    /// Of an ordinary user's namespace.
    _member: Option<rootless::Member>,
}

impl Home {
    /// Finds the data directory of the user who called this program: `named`, else `KISTA_ROOT`,
    /// else root's `/var/lib/kista` or, for another user, the one below its home directory.
    ///
    /// A user other than root is root in its own user namespace afterwards, with all of this
    /// process: that must have one thread yet, and do this once (`rootless::enter`).
    pub fn enter(named: Option<&Path>) -> Result<Self, EngineError> {
        let variable = std::env::var_os("KISTA_ROOT").filter(|root| !root.is_empty());
        let named = named.map(Path::to_owned).or_else(|| variable.map(PathBuf::from));
        if rustix::process::geteuid().is_root() {
            let root = named.unwrap_or_else(|| PathBuf::from(ROOT));
            return Ok(Self { root, _member: None });
        }
        let user = rootless::User::current();
        let root = rootless::data_directory(named.as_deref(), &user)?;
        let member = rootless::enter(&root, &user, &|| supervise::living_shim(&root))?;
        Ok(Self { root, _member: Some(member) })
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
