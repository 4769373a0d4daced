//! What to mount so that layers become one root file system.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci::{Digest, Mount};

use crate::{SnapshotError, Snapshots, failed, make_directory};

/// Where a container's changes go.
#[derive(Debug, Clone, Copy)]
pub struct Writable<'a> {
    /// The container's directory, absolute, with the folders `upper` and `work`.
    pub container_dir: &'a Path,
    /// Never sync: for containers whose files nobody wants after a crash (`--rm`).
    pub volatile: bool,
}

/// How many lower directories overlayfs takes (`OVL_MAX_STACK`).
pub const MAX_LAYERS: usize = 500;

impl Snapshots {
    /// The mount of `diff_ids`, lowest layer first, as a root file system.
    ///
    /// One overlay mount on `/`. Its options are `lowerdir+=<absolute path>` once a layer, the *top
    /// layer first* as overlayfs wants it; with `writable` also `upperdir=` and `workdir=`; `ro` if
    /// `read_only` or if there is nothing to write to; `userxattr` in a user namespace. A DiffID that occurs several times is
    /// mounted at its topmost place only, which is the same tree: overlayfs refuses a directory
    /// that it has already, and the lower one is hidden by its double, whiteouts included. Without
    /// layers the lower directory is an empty one of ours; so is a second one where there is nothing
    /// to write to and only one layer.
    ///
    /// Kernels before 6.8 know no `lowerdir+`: whoever mounts joins the paths with colons there.
    /// Nothing is looked up: a layer that is not there is seen when it is mounted.
    pub fn mounts(
        &self,
        diff_ids: &[Digest],
        writable: Option<Writable<'_>>,
        read_only: bool,
    ) -> Result<Vec<Mount>, SnapshotError> {
        let mut stack: Vec<&Digest> = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids.iter().rev() {
            if !stack.contains(&diff_id) {
                stack.push(diff_id);
            }
        }
        if stack.len() > MAX_LAYERS {
            return Err(SnapshotError::TooManyLayers { layers: stack.len() });
        }
        let mut options = Vec::with_capacity(stack.len() + 4);
        for diff_id in &stack {
            options.push(option("lowerdir+", self.path_of(diff_id))?);
        }
        // Without an upper directory overlayfs wants two lower ones at least.
        let least = if writable.is_some() { 1 } else { 2 };
        for name in [c".empty/fs", c".empty/under"].into_iter().take(least) {
            if options.len() < least {
                options.push(option("lowerdir+", self.empty_layer(name)?)?);
            }
        }
        if let Some(writable) = writable {
            options.push(option("upperdir", writable.container_dir.join("upper"))?);
            options.push(option("workdir", writable.container_dir.join("work"))?);
            if writable.volatile {
                options.push("volatile".into());
            }
        }
        if !sys::namespace::is_initial_user() {
            options.push(sys::overlay::USER_XATTR.into());
        }
        if read_only || writable.is_none() {
            options.push("ro".into());
        }
        Ok(vec![Mount {
            destination: "/".into(),
            kind: Some("overlay".into()),
            source: Some("overlay".into()),
            options,
            ..Mount::default()
        }])
    }

    fn empty_layer(&self, name: &CStr) -> Result<PathBuf, SnapshotError> {
        let path = self.inner.path.join(OsStr::from_bytes(name.to_bytes()));
        make_directory(&self.inner.layers, c".empty", 0o700)
            .and_then(|()| make_directory(&self.inner.layers, name, 0o755))
            .map_err(|errno| failed("create", &path, errno))?;
        Ok(path)
    }
}

fn option(key: &str, path: PathBuf) -> Result<String, SnapshotError> {
    match path.to_str() {
        Some(text) => Ok(format!("{key}={text}")),
        None => Err(SnapshotError::PathEncoding { path }),
    }
}
