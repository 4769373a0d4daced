//! Something of the host's that must stay as it is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use testkit::oci::Bundle;

/// A directory beside a bundle's root file system, with files whose names runtimes use.
pub(super) struct Canary {
    path: PathBuf,
    before: Vec<String>,
}

impl Canary {
    /// Puts one into the bundle's directory.
    pub(super) fn new(bundle: &Bundle) -> Self {
        let path = bundle.directory("canary");
        for name in ["ptmx", "null", "console", "file", "0"] {
            fs::write(path.join(name), "alive").unwrap();
        }
        fs::create_dir(path.join("folder")).unwrap();
        fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o4755)).unwrap();
        let before = look(&path);
        Self { path, before }
    }

    /// Its path on the host.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A relative link to it that works from any depth of a root file system.
    pub(super) fn relative(&self) -> String {
        format!("{}{}", "../".repeat(16), self.path.display())
    }

    /// Panics if anything of it has changed.
    #[track_caller]
    pub(super) fn assert_untouched(&self, attempt: &str) {
        assert_eq!(look(&self.path), self.before, "{attempt}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path.to_str().unwrap()), "{attempt}: {mounts}");
    }
}

/// Everything below: name, kind, mode, owner, inode, and content.
fn look(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.push(format!(
            "{} {:o} {}:{} {} {} {:?}",
            path.display(),
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.ino(),
            meta.rdev(),
            String::from_utf8_lossy(&content)
        ));
        if meta.is_dir() {
            found.extend(look(&path));
        }
    }
    found.sort();
    found
}
