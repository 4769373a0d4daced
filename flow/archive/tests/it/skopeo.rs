//! Other people's tools: they read our store in place, and we read what they write.

use std::path::Path;
use std::process::Command;

use content::sha256;
use serde_json::json;

use crate::fixture::*;

/// Whether skopeo is there; a promised one must be.
fn needs_skopeo() -> bool {
    let there = Command::new("skopeo").arg("--version").output().is_ok();
    let promised = std::env::var("TEST_PROMISED").is_ok_and(|needs| needs.contains("skopeo"));
    assert!(there || !promised, "skopeo was promised and is missing");
    there && needs_root()
}

fn copy(from: &str, to: &str, temp: &Path) {
    let out = Command::new("skopeo")
        .args(["--insecure-policy", "--tmpdir"])
        .arg(temp)
        .args(["copy", from, to])
        .env("HOME", temp)
        .output()
        .unwrap();
    assert!(out.status.success(), "{from} {to}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn skopeo_reads_the_store_in_place_and_we_what_it_writes() {
    if !needs_skopeo() {
        return;
    }
    let (_temp, stores) = stores();
    let layers = [layer("a", "one"), layer("b", "two")];
    let config = config(&[&layers[0], &layers[1]]);
    let manifest = json!([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["0", "1"]}]);
    let archive = Tar::default()
        .file("0", &layers[0])
        .file("1", gzip(&layers[1]))
        .file("c.json", &config)
        .file("manifest.json", manifest.to_string())
        .bytes();
    load(&stores, &archive).unwrap();

    let temp = tempfile::tempdir().unwrap();
    let source = format!("oci:{}:docker.io/library/app:1", stores.content.root().display());
    for (kind, name) in [("docker-archive", "back.example/app:2"), ("oci-archive", "app:3")] {
        let file = temp.path().join(kind);
        copy(&source, &format!("{kind}:{}:{name}", file.display()), temp.path());
        let (_temp, other) = crate::fixture::stores();
        let loaded =
            archive::load(std::fs::File::open(&file).unwrap(), &other, &Default::default());
        assert_eq!(loaded.unwrap().lines(), [format!("Loaded image: {name}")]);
        let record = other.images.resolve(name).unwrap();
        assert_eq!(record.diff_ids, [sha256(&layers[0]), sha256(&layers[1])]);
        check(&other);
    }
}

#[test]
fn skopeo_reads_what_we_save() {
    if !needs_skopeo() {
        return;
    }
    let (_temp, stores) = stores();
    let layers = [layer("a", "one"), layer("b", "two")];
    let layers = [layers[0].as_slice(), &layers[1]];
    let id = crate::save::loaded(&stores, &layers, "app:1");
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("saved");
    let images = [crate::save::to_save(&stores, &id, &["app:1"])];
    let layout = archive::Layout::new(&images, archive::For::All);
    archive::save(std::fs::File::create(&file).unwrap(), &stores, &layout).unwrap();

    for source in ["docker-archive:{}", "docker-archive:{}:app:1", "oci-archive:{}"] {
        let source = source.replace("{}", file.to_str().unwrap());
        let back = temp.path().join("back");
        copy(&source, &format!("oci-archive:{}:back:1", back.display()), temp.path());
        let (_temp, other) = crate::fixture::stores();
        let loaded = load(&other, &std::fs::read(&back).unwrap()).unwrap();
        assert_eq!(other.images.get(&loaded.images[0].id).unwrap().diff_ids.len(), 2);
        std::fs::remove_file(&back).unwrap();
    }
}
