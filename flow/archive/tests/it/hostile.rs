//! Archives that somebody made to do harm, or that broke on their way.

use archive::ArchiveError;
use content::{ContentError, sha256};
use proptest::prelude::*;
use serde_json::json;
use unpack::tar::Kind;

use crate::fixture::*;

/// A small good archive.
fn good() -> Vec<u8> {
    let layer = layer("a", "one");
    let config = config(&[&layer]);
    let manifest = json!([{"Config": "config.json", "RepoTags": ["app"], "Layers": ["l.tar"]}]);
    Tar::default()
        .file("l.tar", layer)
        .file("config.json", config)
        .file("manifest.json", manifest.to_string())
        .bytes()
}

/// Loads into a store that has an image already and looks that nothing happened to it.
fn refused(archive: &[u8]) -> ArchiveError {
    let (temp, stores) = stores();
    let canary = temp.path().join("canary");
    std::fs::write(&canary, "alive").unwrap();
    let error = load(&stores, archive).unwrap_err();
    assert!(stores.images.list().unwrap().is_empty());
    assert_eq!(std::fs::read(&canary).unwrap(), b"alive");
    check(&stores);
    assert!(stores.content.list().unwrap().is_empty());
    error
}

fn manifest(config: &str, layers: &[&str], names: &[&str]) -> String {
    json!([{"Config": config, "Layers": layers, "RepoTags": names}]).to_string()
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../canary", "/etc/x", "a/../../canary", "a/..", "..", "blobs/../x"] {
        let error = refused(&Tar::default().file(name, "x").bytes());
        assert!(matches!(error, ArchiveError::Member { .. }), "{name}: {error}");
    }
    for (name, link) in [("a", "/etc/passwd"), ("a", "../x"), ("a/b", "../../x")] {
        let error = refused(&Tar::default().other(name, Kind::Symlink, link).bytes());
        assert!(matches!(error, ArchiveError::Member { .. }), "{name} {link}: {error}");
    }
    let error = refused(&Tar::default().other("a", Kind::HardLink, "../x").bytes());
    assert!(matches!(error, ArchiveError::Member { .. }));
    let device = Kind::CharDevice { major: 1, minor: 5 };
    let error = refused(&Tar::default().other("a", device, "").bytes());
    assert!(matches!(error, ArchiveError::Member { .. }));
}

#[test]
fn what_the_manifest_names_must_be_a_member() {
    for path in ["../../etc/passwd", "/etc/passwd", "absent.json", "", "loop"] {
        let archive = Tar::default()
            .other("loop", Kind::Symlink, "loop")
            .file("manifest.json", manifest(path, &[], &[]))
            .bytes();
        let error = refused(&archive);
        assert!(matches!(error, ArchiveError::Missing { .. }), "{path}: {error}");
    }
}

#[test]
fn ids_are_those_of_their_contents() {
    let layer = layer("a", "one");
    let config = config(&[&layer]);
    let other = sha256(b"another image").hex().to_owned();
    for name in [format!("{other}.json"), format!("sha256:{other}"), other.to_uppercase()] {
        let archive = Tar::default()
            .file("l.tar", &layer)
            .file(&name, &config)
            .file("manifest.json", manifest(&name, &["l.tar"], &["app"]))
            .bytes();
        let error = refused(&archive);
        assert!(matches!(error, ArchiveError::Document { .. }), "{name}: {error}");
    }
    let blob = format!("blobs/sha256/{other}");
    let error = refused(&Tar::default().file(&blob, "x").bytes());
    assert!(matches!(error, ArchiveError::Content(ContentError::Mismatch { .. })), "{error}");
    for id in ["../../x".to_owned(), "A".repeat(64), "a".repeat(63), "a".repeat(65)] {
        let text = json!({"app": {"1": id}}).to_string();
        let error = refused(&Tar::default().file("repositories", text).bytes());
        assert!(matches!(error, ArchiveError::Document { .. }), "{id}: {error}");
    }
}

#[test]
fn a_layer_must_have_its_diff_id() {
    if !needs_root() {
        return;
    }
    let archive = Tar::default()
        .file("l.tar", layer("a", "forged"))
        .file("config.json", config(&[&layer("a", "one")]))
        .file("manifest.json", manifest("config.json", &["l.tar"], &["app"]))
        .bytes();
    let error = refused(&archive);
    assert!(matches!(error, ArchiveError::Layer { .. }), "{error}");
}

#[test]
fn a_configuration_must_fit_its_layers() {
    let layer = layer("a", "one");
    for config in [config(&[]), config(&[&layer, &layer]), b"{}".to_vec(), b"[".to_vec()] {
        let archive = Tar::default()
            .file("l.tar", &layer)
            .file("config.json", config)
            .file("manifest.json", manifest("config.json", &["l.tar"], &["app"]))
            .bytes();
        refused(&archive);
    }
    let windows = String::from_utf8(config(&[&layer])).unwrap();
    let windows = windows.replace(r#""os":"linux""#, r#""os":"windows""#);
    let archive = Tar::default()
        .file("l.tar", &layer)
        .file("config.json", windows)
        .file("manifest.json", manifest("config.json", &["l.tar"], &["app"]))
        .bytes();
    assert!(refused(&archive).to_string().contains("not for linux"));
}

#[test]
fn names_that_are_none_are_refused() {
    let layer = layer("a", "one");
    let by_digest = format!("app@{}", sha256(b""));
    for name in ["../x", "UPPER", "", "a b", &"a".repeat(64), &by_digest] {
        let archive = Tar::default()
            .file("l.tar", &layer)
            .file("config.json", config(&[&layer]))
            .file("manifest.json", manifest("config.json", &["l.tar"], &[name]))
            .bytes();
        refused(&archive);
    }
}

#[test]
fn long_documents_are_refused() {
    let archive = Tar::default().file("manifest.json", vec![b' '; (4 << 20) + 1]).bytes();
    assert!(matches!(refused(&archive), ArchiveError::TooLarge { .. }));
    let archive = Tar::default()
        .file("config.json", vec![b' '; (8 << 20) + 1])
        .file("manifest.json", manifest("config.json", &[], &[]))
        .bytes();
    assert!(matches!(refused(&archive), ArchiveError::TooLarge { .. }));
}

#[test]
fn two_different_members_of_one_name_are_refused() {
    let archive = Tar::default().file("manifest.json", "[]").file("./manifest.json", "[ ]").bytes();
    assert!(matches!(refused(&archive), ArchiveError::Member { .. }));
}

#[test]
fn a_root_file_system_is_no_image() {
    let archive = Tar::default().other("bin", Kind::Symlink, "usr/bin").file("etc/x", "").bytes();
    let error = refused(&archive);
    assert!(matches!(error, ArchiveError::NoImage));
    assert!(error.to_string().contains("import"));
    refused(b"");
    refused(b"no tar at all");
    refused(&gzip(b"no tar at all"));
}

#[test]
fn a_circle_of_parents_ends() {
    let (a, b) = ("a".repeat(64), "b".repeat(64));
    let archive = Tar::default()
        .file("repositories", json!({"app": {"1": a}}).to_string())
        .file(&format!("{a}/json"), json!({"parent": b}).to_string())
        .file(&format!("{b}/json"), json!({"parent": a}).to_string())
        .file(&format!("{a}/layer.tar"), layer("a", ""))
        .file(&format!("{b}/layer.tar"), layer("b", ""))
        .bytes();
    assert!(refused(&archive).to_string().contains("circle"));
}

#[test]
fn an_archive_cut_short_leaves_nothing() {
    if !needs_root() {
        return;
    }
    let archive = gzip(&good());
    for length in (0..archive.len()).step_by(37) {
        refused(&archive[..length]);
    }
}

/// An error with all its causes, as a user sees it.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[test]
fn a_disk_that_fills_up_is_named_and_the_store_stays_as_it_was() {
    if !needs_root() {
        return;
    }
    let big = layer("big", vec![7; 700 << 10]);
    let archive = |layer: &[u8]| {
        Tar::default()
            .file("l.tar", layer)
            .file("c", config(&[layer]))
            .file("manifest.json", manifest("c", &["l.tar"], &["big"]))
            .bytes()
    };
    // Too small for the blob, and then for the files that come out of it.
    for size in ["512k", "1200k"] {
        let (_tmpfs, path) = detached_tmpfs(size);
        let stores = open(path.as_ref());
        load(&stores, &archive(&layer("small", "here before"))).unwrap();
        for error in [
            load(&stores, &archive(&big)).unwrap_err(),
            archive::import(big.as_slice(), None, &stores, &Default::default()).unwrap_err(),
        ] {
            let text = chain(&error);
            assert!(text.contains("No space left on device"), "{text}");
            assert!(text.contains(&path) || text.contains("etc/big"), "{text}");
        }
        assert_eq!(stores.images.list().unwrap().len(), 1);
        assert_eq!(stores.content.list().unwrap().len(), 3);
        check(&stores);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// A flipped byte is refused, or it was one that means nothing (a time, an owner's name); an
    /// image that is accepted is whole either way.
    #[test]
    fn a_changed_byte_never_makes_a_broken_image(at in 0_usize..6000, bit in 0_u8..8) {
        if !needs_root() {
            return Ok(());
        }
        let mut archive = good();
        let at = at % archive.len();
        archive[at] ^= 1 << bit;
        let (_temp, stores) = stores();
        if let Ok(loaded) = load(&stores, &archive) {
            prop_assert_eq!(loaded.images.len(), 1);
        }
        check(&stores);
    }
}
