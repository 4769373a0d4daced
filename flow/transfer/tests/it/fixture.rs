//! Images for the registry, and stores for the client.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::Stores;
use http1::{ByteRange, Selected};
use oci::{Digest, Reference, media_type};
use transfer::{Client, Platforms, PullRequest, Pulled, Settings, Silent, TransferError};
use unpack::tar::{Entry, Kind, Writer};

use crate::registry::{FakeRegistry, Reply, Seen};

/// Stores in a directory of their own.
pub(crate) struct House {
    pub(crate) root: tempfile::TempDir,
    pub(crate) stores: Stores,
}

impl House {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let stores = open(root.path());
        Self { root, stores }
    }

    /// Files that are being written or that nobody finished.
    pub(crate) fn leftovers(&self) -> usize {
        let count = |path: &str, hidden: bool| {
            let entries = std::fs::read_dir(self.root.path().join(path)).unwrap();
            let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
            entries
                .map(|entry| name(entry.unwrap()))
                .filter(|name| !hidden || name.starts_with(".new-"))
                .count()
        };
        count("ingest", false) + count("layers", true)
    }
}

pub(crate) fn open(root: &std::path::Path) -> Stores {
    Stores {
        content: content::Content::open(root).unwrap(),
        images: images::Images::open(root).unwrap(),
        snapshots: snapshots::Snapshots::open(root).unwrap(),
    }
}

/// A client that is not patient.
pub(crate) fn client() -> Client {
    client_with(Settings::isolated())
}

pub(crate) fn client_with(mut settings: Settings) -> Client {
    settings.timeouts.idle = Duration::from_millis(400);
    settings.timeouts.backoff = Duration::from_millis(2);
    Client::new(settings)
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn pull(house: &House, client: &Client, name: &str) -> Result<Pulled, TransferError> {
    let request = PullRequest { reference: reference(name), platforms: Platforms::Host };
    transfer::pull(client, &house.stores, &request, &Silent)
}

/// A repository with an index, a manifest, a configuration and layers, all by digest.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    pub(crate) manifests: HashMap<String, (String, Vec<u8>)>,
    pub(crate) layers: Vec<Digest>,
    pub(crate) config: Option<Digest>,
    pub(crate) manifest: Option<Digest>,
}

pub(crate) fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let size = bytes.len() as u64;
    let entry =
        Entry { path: name.into(), kind: Kind::File, mode: 0o644, size, ..Entry::default() };
    writer.append(&entry, bytes).unwrap();
    writer.finish().unwrap()
}

/// Bytes that do not compress.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(count)
    .collect()
}

impl Content {
    /// Three layers: gzip, zstd and plain, `size` bytes of noise each; under the tag `1`, in an
    /// index under `multi`.
    pub(crate) fn new(size: usize) -> Self {
        let mut content = Self::default();
        let tars = [1, 2, 3].map(|seed| tar(&format!("f{seed}"), &noise(size, seed)));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tars[0]).unwrap();
        let blobs = [
            (media_type::DOCKER_LAYER_GZIP, gzip.finish().unwrap()),
            (media_type::OCI_LAYER_ZSTD, zstd::encode_all(&tars[1][..], 1).unwrap()),
            (media_type::OCI_LAYER, tars[2].clone()),
        ];
        let descriptor = |kind: &str, bytes: &[u8]| serde_json::json!({"mediaType": kind, "digest": content::sha256(bytes), "size": bytes.len()});
        let diff_ids: Vec<Digest> = tars.iter().map(|tar| content::sha256(tar)).collect();
        let config = serde_json::json!({
            "architecture": oci::Platform::host().architecture, "os": "linux",
            "config": {"Cmd": ["x"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
        .to_string()
        .into_bytes();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, &config),
            "layers": blobs.iter().map(|(kind, blob)| descriptor(kind, blob)).collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes();
        let mut own = descriptor(media_type::OCI_MANIFEST, &manifest);
        own["platform"] = serde_json::json!({
            "os": "linux", "architecture": oci::Platform::host().architecture});
        let mut other = descriptor(media_type::OCI_MANIFEST, b"{}");
        other["platform"] = serde_json::json!({"os": "linux", "architecture": "s390x"});
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [other, own]})
        .to_string()
        .into_bytes();
        content.config = Some(content::sha256(&config));
        content.blobs.insert(content::sha256(&config).to_string(), config);
        for (_, blob) in blobs {
            content.layers.push(content::sha256(&blob));
            content.blobs.insert(content::sha256(&blob).to_string(), blob);
        }
        content.manifest = Some(content::sha256(&manifest));
        content.tag("1", media_type::OCI_MANIFEST, manifest);
        content.tag("multi", media_type::OCI_INDEX, index);
        content
    }

    pub(crate) fn tag(&mut self, tag: &str, kind: &str, bytes: Vec<u8>) {
        let document = (kind.to_owned(), bytes);
        self.manifests.insert(content::sha256(&document.1).to_string(), document.clone());
        self.manifests.insert(tag.into(), document);
    }

    /// The answer of an honest registry.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let path = seen.head.path();
        let last = path.rsplit('/').next().unwrap();
        if path.contains("/manifests/") {
            return match self.manifests.get(last) {
                Some((kind, bytes)) => Reply::new(200, bytes.clone())
                    .with("Content-Type", kind.clone())
                    .with("Docker-Content-Digest", content::sha256(bytes).to_string()),
                None => Reply::new(
                    404,
                    r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                ),
            };
        }
        let Some(blob) = self.blobs.get(last) else { return Reply::new(404, "") };
        let range = seen.head.fields.get("range").and_then(ByteRange::parse);
        match range.map(|range| range.of(blob.len() as u64)) {
            Some(Selected::Part { start, length }) => {
                let start = start as usize;
                let part = &blob[start..start + length as usize];
                let last = start + part.len() - 1;
                Reply::new(206, part)
                    .with("Content-Range", format!("bytes {start}-{last}/{}", blob.len()))
            }
            _ => Reply::new(200, blob.clone()),
        }
    }

    pub(crate) fn registry(self) -> FakeRegistry {
        FakeRegistry::new(move |seen| self.answer(seen))
    }
}

/// Fails the first `times` requests whose line begins with `start`; what `spoil` makes of an
/// honest answer.
pub(crate) fn failing(
    content: Content,
    start: String,
    times: usize,
    spoil: impl Fn(Reply) -> Reply + Send + Sync + 'static,
) -> FakeRegistry {
    let left = Arc::new(Mutex::new(times));
    FakeRegistry::new(move |seen| {
        let honest = content.answer(seen);
        let mut left = left.lock().unwrap();
        match seen.line().starts_with(&start) && *left > 0 {
            true => {
                *left -= 1;
                spoil(honest)
            }
            false => honest,
        }
    })
}
