//! Stores, layers and archives for the tests, all made here.

use std::io::{Cursor, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use archive::{ArchiveError, Durability, LoadOptions, Loaded, Stores};
use content::{Content, sha256};
use images::Images;
use oci::{Digest, Platform};
use serde_json::{Value, json};
use snapshots::Snapshots;
use unpack::tar::{Entry, Kind, Writer};

/// Whether the test may run; unpacking sets owners, which takes root.
pub(crate) fn needs_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    let promised = std::env::var("TEST_PROMISED").is_ok_and(|needs| needs.contains("root"));
    assert!(root || !promised, "root was promised and is missing");
    root
}

pub(crate) fn open(root: &Path) -> Stores {
    Stores {
        content: Content::open(root).unwrap(),
        images: Images::open(root).unwrap(),
        snapshots: Snapshots::open(root).unwrap(),
    }
}

pub(crate) fn stores() -> (tempfile::TempDir, Stores) {
    let temp = tempfile::tempdir().unwrap();
    let stores = open(temp.path());
    (temp, stores)
}

/// Loads without waiting for the disk: no test here cuts the power.
pub(crate) fn load(stores: &Stores, archive: &[u8]) -> Result<Loaded, ArchiveError> {
    let options = LoadOptions { durability: Durability::Process, ..LoadOptions::default() };
    archive::load(archive, stores, &options)
}

/// A tar of these members.
#[derive(Default)]
pub(crate) struct Tar(Vec<(Entry, Vec<u8>)>);

impl Tar {
    pub(crate) fn file(mut self, path: &str, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref().to_vec();
        let size = data.len() as u64;
        self.0.push((Entry { path: path.into(), mode: 0o644, size, ..Entry::default() }, data));
        self
    }

    pub(crate) fn other(mut self, path: &str, kind: Kind, link: &str) -> Self {
        let entry =
            Entry { path: path.into(), kind, link: link.into(), mode: 0o755, ..Entry::default() };
        self.0.push((entry, Vec::new()));
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (entry, data) in self.0 {
            writer.append(&entry, Cursor::new(data)).unwrap();
        }
        writer.finish().unwrap()
    }
}

/// A layer of one file.
pub(crate) fn layer(name: &str, data: impl AsRef<[u8]>) -> Vec<u8> {
    Tar::default().other("etc/", Kind::Directory, "").file(&format!("etc/{name}"), data).bytes()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A configuration over these plain layer tars, with fields that we do not know.
pub(crate) fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| sha256(layer)).collect();
    let host = Platform::host();
    json!({
        "architecture": host.architecture, "os": "linux", "docker_version": "20.10.24",
        "created": "2024-01-02T03:04:05Z",
        "config": {"Cmd": ["sh"], "Env": ["A=1"], "Image": "x"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "me"}],
    })
    .to_string()
    .into_bytes()
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
}

/// A tmpfs of `size` that is mounted nowhere, and the path that leads there.
pub(crate) fn detached_tmpfs(size: &str) -> (OwnedFd, String) {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create};
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    rustix::mount::fsconfig_set_string(context.as_fd(), "size", size).unwrap();
    fsconfig_create(context.as_fd()).unwrap();
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let tmpfs = rustix::mount::fsmount(context.as_fd(), flags, MountAttrFlags::empty()).unwrap();
    let path = format!("/proc/self/fd/{}", tmpfs.as_raw_fd());
    (tmpfs, path)
}

/// Everything that may be named is named, everything named is there, nothing else is left after
/// a collection.
pub(crate) fn check(stores: &Stores) {
    use std::collections::HashSet;
    let root = stores.content.root();
    stores.content.sweep().unwrap();
    stores.snapshots.sweep().unwrap();
    let records: Vec<_> = stores.images.list().unwrap().into_iter().map(|(r, _)| r).collect();
    for record in &records {
        for blob in record.blobs() {
            stores.content.verify(blob).unwrap();
        }
        assert_eq!(stores.snapshots.missing(&record.diff_ids).unwrap(), []);
    }
    let blobs: HashSet<Digest> = records.iter().flat_map(|r| r.blobs().cloned()).collect();
    let layers: HashSet<Digest> = records.iter().flat_map(|r| r.diff_ids.clone()).collect();
    let lock = content::StoreLock::exclusive(root).unwrap();
    stores.content.collect(&blobs, &lock).unwrap();
    stores.snapshots.collect(&layers, &lock).unwrap();
    drop(lock);
    stores.snapshots.sweep().unwrap();
    assert_eq!(stores.content.list().unwrap().len(), blobs.len());
    assert_eq!(stores.snapshots.list().unwrap().len(), layers.len());
    for folder in ["ingest", "trash"] {
        let left = std::fs::read_dir(root.join(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder} holds garbage");
    }
    let left = std::fs::read_dir(root.join("layers")).unwrap().count();
    assert_eq!(left, layers.len(), "layers hold garbage");
}
