//! Layers and images: digests, several at once, and nothing left of what fails.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use content::{Content, sha256};
use oci::{Descriptor, Digest};
use snapshots::Snapshots;
use unpack::{Bomb, Compression, Expected, UnpackError, image, layer};

use crate::forge::Forge;
use crate::sandbox::needs_root;

struct Store {
    temp: tempfile::TempDir,
    content: Content,
    snapshots: Snapshots,
}

impl Store {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let content = Content::open(temp.path()).unwrap();
        let snapshots = Snapshots::open(temp.path()).unwrap();
        Self { temp, content, snapshots }
    }

    fn left_over(&self) -> Vec<String> {
        let names = |path: &Path| -> Vec<String> {
            let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
            entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
        };
        let mut all = names(&self.temp.path().join("layers"));
        all.extend(names(&self.temp.path().join("trash")));
        all
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.left_over(), [""; 0]);
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn archive(seed: usize) -> Vec<u8> {
    let mut forge = Forge::new().dir("etc");
    for index in 0..50 {
        forge = forge.file(&format!("etc/{seed}-{index}"), &"text ".repeat(seed * 100 + index));
    }
    forge.finish()
}

#[test]
fn a_layer_is_there_under_the_digest_of_what_came() {
    let tar = archive(1);
    let diff_id = sha256(&tar);
    let compressed = [tar.clone(), gzip(&tar), zstd::encode_all(&tar[..], 3).unwrap()];
    let kinds = [Compression::Plain, Compression::Gzip, Compression::Zstd];
    for (blob, kind) in compressed.iter().zip(kinds) {
        let store = Store::new();
        let digest = sha256(blob);
        let expected = Expected { blob: Some(&digest), diff_id: Some(&diff_id) };
        let unpacked = layer(&blob[..], expected, &store.snapshots).unwrap();
        assert_eq!((unpacked.diff_id, unpacked.compression), (diff_id.clone(), kind));
        assert_eq!(unpacked.blob_bytes, blob.len() as u64);
        assert!(unpacked.is_new && store.snapshots.contains(&diff_id).unwrap());
        assert_eq!(store.snapshots.usage(&diff_id).unwrap().entries, 51);
        let again = layer(&blob[..], Expected::default(), &store.snapshots).unwrap();
        assert!(!again.is_new);
        assert_eq!(store.left_over().len(), 1, "{:?}", store.left_over());
    }
}

#[test]
fn what_is_not_what_was_promised_leaves_nothing() {
    let store = Store::new();
    let tar = archive(2);
    let (good, wrong) = (gzip(&tar), sha256(b"something else"));
    let (blob, diff_id) = (sha256(&good), sha256(&tar));
    let try_one = |bytes: &[u8], expected: Expected<'_>| {
        let error = layer(bytes, expected, &store.snapshots).unwrap_err();
        store.assert_nothing_left();
        error
    };
    for (expected, what) in [
        (Expected { blob: Some(&wrong), diff_id: Some(&diff_id) }, "blob"),
        (Expected { blob: Some(&blob), diff_id: Some(&wrong) }, "layer"),
    ] {
        let error = try_one(&good, expected);
        assert!(
            matches!(&error, UnpackError::Mismatch { what: which, .. } if *which == what),
            "{error}"
        );
    }
    // Every part of the stream counts, also what the archive and the compression end before.
    let expected = Expected { blob: Some(&blob), diff_id: Some(&diff_id) };
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x20;
        try_one(&flipped, expected);
    }
    for cut in [0, 1, 10, good.len() / 2, good.len() - 1] {
        try_one(&good[..cut], expected);
    }
    try_one(&[&good[..], b"trailing"].concat(), expected);
    try_one(&[&good[..], &gzip(b"more")].concat(), expected);
    try_one(&[&tar[..], b"trailing"].concat(), Expected { blob: None, diff_id: Some(&diff_id) });
    // And then the right one succeeds.
    layer(&good[..], expected, &store.snapshots).unwrap();
}

#[test]
fn what_follows_the_archive_is_part_of_its_digest() {
    let store = Store::new();
    let tar = [archive(3), vec![0; 20 * 512 + 7]].concat();
    let diff_id = sha256(&tar);
    let expected = Expected { blob: None, diff_id: Some(&diff_id) };
    layer(&gzip(&tar)[..], expected, &store.snapshots).unwrap();
}

#[test]
fn a_stream_that_breaks_is_reported_with_its_cause() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the network went away"))
        }
    }
    let store = Store::new();
    let tar = archive(4);
    let error =
        layer(tar[..5000].chain(Broken), Expected::default(), &store.snapshots).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the network went away");
    store.assert_nothing_left();
}

#[test]
fn a_bomb_stops_at_its_limit_and_leaves_nothing() {
    let store = Store::new();
    let header = crate::forge::Header::new(b'0', b"zeros", 64 << 20).block();
    let plain = (&header[..]).chain(io::repeat(0).take((64 << 20) + 1024));
    let bomb = zstd::encode_all(plain, 3).unwrap();
    let limits = unpack::Limits { ratio_grace_bytes: 4 << 20, ..unpack::Limits::default() };
    let options = unpack::ApplyOptions { limits, ..unpack::ApplyOptions::default() };
    let error = unpack::layer_with(&bomb[..], Expected::default(), &store.snapshots, &options);
    let error = error.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().downcast_ref::<io::Error>().unwrap();
    assert!(cause.get_ref().unwrap().is::<Bomb>(), "{cause}");
    store.assert_nothing_left();
}

#[test]
fn an_images_layers_are_unpacked_once_each() {
    if !needs_root() {
        return;
    }
    let store = Store::new();
    let put = |tar: &[u8], compressed: Vec<u8>| -> (Descriptor, Digest) {
        let digest = store.content.put(&compressed).unwrap();
        let size = compressed.len() as u64;
        (Descriptor::new("application/vnd.oci.image.layer.v1.tar+gzip", digest, size), sha256(tar))
    };
    let mut layers: Vec<_> = (1..8)
        .map(|seed| {
            let tar = archive(seed);
            put(&tar, gzip(&tar))
        })
        .collect();
    layers.push(layers[0].clone());
    let unpacked = image(&store.content, &store.snapshots, &layers).unwrap();
    assert_eq!(unpacked.len(), 7);
    let diff_ids: Vec<_> = layers.iter().map(|(_, diff_id)| diff_id.clone()).collect();
    assert!(store.snapshots.missing(&diff_ids).unwrap().is_empty());
    assert!(image(&store.content, &store.snapshots, &layers).unwrap().is_empty());
}

#[test]
fn one_bad_layer_fails_the_image_and_leaves_no_half_of_it() {
    let store = Store::new();
    let mut layers = Vec::new();
    for seed in 1..6 {
        let tar = archive(seed);
        let blob = if seed == 3 { gzip(&tar[..tar.len() / 2]) } else { gzip(&tar) };
        let digest = store.content.put(&blob).unwrap();
        let descriptor = Descriptor::new("x", digest, blob.len() as u64);
        layers.push((descriptor, sha256(&tar)));
    }
    let error = image(&store.content, &store.snapshots, &layers).unwrap_err();
    assert!(!matches!(error, UnpackError::Stopped), "the cause, not its consequence: {error}");
    assert!(!store.snapshots.contains(&layers[2].1).unwrap());
    let whole = layers.iter().filter(|(_, id)| store.snapshots.contains(id).unwrap()).count();
    assert_eq!(store.left_over().len(), whole, "{:?}", store.left_over());
}
