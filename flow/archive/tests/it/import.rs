//! `import` and generated layers.

use archive::{ArchiveError, Durability, ImportOptions, from_layer, import};
use content::sha256;
use oci::{History, ImageConfig, Platform, Reference, Timestamp};

use crate::fixture::*;

fn options(changes: &[&str]) -> ImportOptions {
    ImportOptions {
        changes: changes.iter().map(|&change| change.to_owned()).collect(),
        created: Some(Timestamp::from_unix(1_700_000_000, 0)),
        durability: Durability::Process,
        ..ImportOptions::default()
    }
}

#[test]
fn a_root_file_system_becomes_an_image_of_one_layer() {
    if !needs_root() {
        return;
    }
    let rootfs = layer("hostname", "box");
    let name: Reference = "debian:12".parse().unwrap();
    for (bytes, kind) in [
        (rootfs.clone(), "application/vnd.oci.image.layer.v1.tar"),
        (gzip(&rootfs), "application/vnd.oci.image.layer.v1.tar+gzip"),
        (zstd(&rootfs), "application/vnd.oci.image.layer.v1.tar+zstd"),
    ] {
        let (_temp, stores) = stores();
        let changes = options(&["CMD [\"/bin/sh\"]", "ENV A=1"]);
        let imported = import(bytes.as_slice(), Some(&name), &stores, &changes).unwrap();
        let record = stores.images.resolve("debian:12").unwrap();
        assert_eq!((&record.id, imported.previous), (&imported.id, None));
        assert_eq!(record.diff_ids, [sha256(&rootfs)]);
        assert_eq!(record.layers[0].digest, sha256(&bytes));
        assert_eq!(record.layers[0].media_type, kind);
        assert_eq!(record.layers[0].size_bytes, bytes.len() as u64);
        let config = stores.content.read(&record.id, 1 << 20).unwrap();
        let config: ImageConfig = serde_json::from_slice(&config).unwrap();
        assert_eq!(config.config.cmd, ["/bin/sh"]);
        assert_eq!(config.platform, Platform::host());
        assert_eq!(config.history[0].comment, "Imported from -");
        let file = stores.snapshots.path_of(&record.diff_ids[0]).join("etc/hostname");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "box");
        check(&stores);
    }
}

#[test]
fn the_same_tar_gives_the_same_image() {
    if !needs_root() {
        return;
    }
    let rootfs = layer("a", "1");
    let ids = [(); 2].map(|()| {
        let (_temp, stores) = stores();
        import(rootfs.as_slice(), None, &stores, &options(&["LABEL b=2 a=1"])).unwrap().id
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_name_moves_to_what_is_imported_later() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let name: Reference = "app".parse().unwrap();
    let old = import(layer("a", "1").as_slice(), Some(&name), &stores, &options(&[])).unwrap();
    let new = import(layer("a", "2").as_slice(), Some(&name), &stores, &options(&[])).unwrap();
    assert_eq!(new.previous, Some(old.id));
    assert_eq!(stores.images.resolve("app:latest").unwrap().id, new.id);
    assert_eq!(stores.images.list().unwrap().len(), 2);
    check(&stores);
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let rootfs = layer("a", "1");
    let half = &rootfs[..rootfs.len() / 2];
    for (bytes, changes) in [
        (half, vec![]),
        (&gzip(&rootfs)[..100], vec![]),
        (b"no tar", vec![]),
        (&rootfs[..], vec!["RUN ls"]),
    ] {
        let (_temp, stores) = stores();
        import(bytes, None, &stores, &options(&changes)).unwrap_err();
        assert!(stores.images.list().unwrap().is_empty());
        check(&stores);
        assert!(stores.content.list().unwrap().is_empty());
    }
}

#[test]
fn a_stream_that_fails_is_an_error() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("unplugged"))
        }
    }
    let (_temp, stores) = stores();
    let error = import(Broken, None, &stores, &options(&[])).unwrap_err();
    assert!(matches!(error, ArchiveError::Layer { .. }), "{error}");
    check(&stores);
}

#[test]
fn a_generated_layer_becomes_an_image() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let layer = layer("hello", "hello");
    let mut template = ImageConfig { platform: Platform::host(), ..ImageConfig::default() };
    template.config.entrypoint = vec!["/hello".into()];
    let history = History { created_by: "kista".into(), ..History::default() };
    let name: Reference = "hello".parse().unwrap();
    let make = || {
        let (template, history) = (template.clone(), history.clone());
        let durability = Durability::Process;
        from_layer(layer.as_slice(), template, history, Some(&name), &stores, durability).unwrap()
    };
    let first = make();
    assert_eq!(make(), first);
    assert_eq!(stores.images.resolve("hello").unwrap().diff_ids, [sha256(&layer)]);
    check(&stores);
}
