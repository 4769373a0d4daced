//! A directory to unpack into, with a canary next to it that must not change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use unpack::{Applied, ApplyOptions, UnpackError, apply};

/// Whether this process is root. Where that was promised, its absence is a failure.
pub(crate) fn needs_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let promised = std::env::var("TEST_PROMISED").is_ok_and(|needs| needs.contains("root"));
    assert!(is_root || !promised, "root was promised");
    is_root
}

/// `root/` to unpack into, `canary/` beside it.
pub(crate) struct Sandbox {
    temp: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let canary = temp.path().join("canary");
        fs::create_dir_all(canary.join("dir/deep")).unwrap();
        fs::create_dir(temp.path().join("root")).unwrap();
        fs::write(canary.join("file"), "alive").unwrap();
        fs::write(canary.join("dir/deep/file"), "alive").unwrap();
        fs::write(canary.join("setuid"), "alive").unwrap();
        fs::set_permissions(canary.join("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("file", canary.join("link")).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, canary.join("fifo"), kind, mode, 0).unwrap();
        let before = manifest(&canary);
        Self { temp, before }
    }

    /// The directory that archives are unpacked into.
    pub(crate) fn root(&self) -> PathBuf {
        self.temp.path().join("root")
    }

    /// A path below it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The canary's absolute path, as a hostile link would have it.
    pub(crate) fn canary(&self) -> String {
        self.temp.path().join("canary").to_str().unwrap().to_owned()
    }

    pub(crate) fn apply(&self, archive: &[u8]) -> Result<Applied, UnpackError> {
        self.apply_with(archive, &ApplyOptions::default())
    }

    /// Unpacks, and checks the canary whatever comes of it.
    pub(crate) fn apply_with(
        &self,
        archive: &[u8],
        options: &ApplyOptions,
    ) -> Result<Applied, UnpackError> {
        let root = File::open(self.root()).unwrap();
        let result = apply(archive, root.as_fd(), options);
        assert_eq!(manifest(&self.temp.path().join("canary")), self.before, "the canary changed");
        let names: Vec<_> =
            fs::read_dir(self.temp.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "something else was made: {names:?}");
        result
    }

    /// The content of a file below the root.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// What is below the root: paths in order, directories with a slash.
    pub(crate) fn list(&self) -> Vec<String> {
        let mut list = Vec::new();
        walk(&self.root(), &mut |path, meta| {
            let name = path.strip_prefix(self.root()).unwrap().to_str().unwrap();
            list.push(format!("{name}{}", if meta.is_dir() { "/" } else { "" }));
        });
        list.retain(|name| name != "/");
        list.sort();
        list
    }
}

/// The attribute's value; `None` if there is none.
pub(crate) fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let count = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(count);
    Some(value)
}

/// Whether it is a whiteout in overlayfs's form.
pub(crate) fn is_whiteout(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

/// Whether a directory is opaque in overlayfs's form.
pub(crate) fn is_opaque(path: &Path) -> bool {
    xattr(path, "trusted.overlay.opaque").as_deref() == Some(b"y")
}

fn walk(path: &Path, see: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let meta = fs::symlink_metadata(path).unwrap();
    see(path, &meta);
    if meta.is_dir() {
        for child in fs::read_dir(path).unwrap() {
            walk(&child.unwrap().path(), see);
        }
    }
}

fn manifest(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut manifest = BTreeMap::new();
    walk(top, &mut |path, meta| {
        let content = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        let facts = format!(
            "{:o} {}:{} ino {} links {} {}.{:09} {content:?}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.ino(),
            meta.nlink(),
            meta.mtime(),
            meta.mtime_nsec(),
        );
        manifest.insert(path.to_owned(), facts);
    });
    manifest
}
