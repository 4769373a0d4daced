//! docker-archives of every age.

use content::sha256;
use oci::Reference;
use serde_json::json;
use unpack::tar::Kind;

use crate::fixture::*;

/// As docker 1.10 to 24 write it: plain layers in directories, doubles as links.
fn docker_20(layers: &[&[u8]], names: &[&str]) -> Vec<u8> {
    let config = config(layers);
    let id = sha256(&config);
    let mut tar = Tar::default();
    let mut paths: Vec<String> = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let directory = format!("{number:064x}");
        tar = tar
            .other(&format!("{directory}/"), Kind::Directory, "")
            .file(&format!("{directory}/VERSION"), "1.0")
            .file(&format!("{directory}/json"), "{}");
        let path = format!("{directory}/layer.tar");
        tar = match layers[..number].iter().position(|other| other == layer) {
            Some(first) => tar.other(&path, Kind::Symlink, &format!("../{first:064x}/layer.tar")),
            None => tar.file(&path, layer),
        };
        paths.push(path);
    }
    let config_name = format!("{}.json", id.hex());
    let manifest = json!([{"Config": config_name, "RepoTags": names, "Layers": paths}]);
    tar.file(&config_name, &config)
        .file("manifest.json", manifest.to_string())
        .file("repositories", r#"{"ignored":{"latest":"x"}}"#)
        .bytes()
}

#[test]
fn an_archive_of_docker_20_is_loaded_with_its_names() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let layers = [layer("a", "one"), layer("b", "two"), layer("a", "one")];
    let layers = [layers[0].as_slice(), &layers[1], &layers[2]];

    let loaded = load(&stores, &docker_20(&layers, &["app:1", "host:5000/app"])).unwrap();

    assert_eq!(loaded.lines(), ["Loaded image: app:1", "Loaded image: host:5000/app:latest"]);
    let record = stores.images.resolve("app:1").unwrap();
    assert_eq!(record.id, sha256(&config(&layers)));
    assert_eq!(record.size_bytes, 6);
    assert_eq!(record.layers.len(), 3);
    assert_eq!(record.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar");
    let file = stores.snapshots.path_of(&record.diff_ids[1]).join("etc/b");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "two");
    check(&stores);
    assert_eq!(stores.content.list().unwrap().len(), 4, "two layers, configuration, manifest");
}

#[test]
fn every_outer_compression_is_read() {
    if !needs_root() {
        return;
    }
    let layer = layer("a", "one");
    let plain = docker_20(&[&layer], &["app"]);
    for archive in [gzip(&plain), zstd(&plain), plain] {
        let (_temp, stores) = stores();
        assert_eq!(load(&stores, &archive).unwrap().lines(), ["Loaded image: app:latest"]);
        check(&stores);
    }
}

#[test]
fn a_name_that_another_image_had_moves() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let (old, new) = (layer("a", "old"), layer("a", "new"));
    let first = load(&stores, &docker_20(&[&old], &["app"])).unwrap();
    let again = load(&stores, &docker_20(&[&old], &["app"])).unwrap();
    assert_eq!(first, again);
    let second = load(&stores, &docker_20(&[&new], &["app"])).unwrap();
    let id = &first.images[0].id;
    assert_eq!(
        second.lines(),
        [
            format!(
                "The image app:latest already exists, renaming the old one with ID {id} to empty \
                 string"
            ),
            "Loaded image: app:latest".to_owned(),
        ]
    );
    assert_eq!(stores.images.resolve("app").unwrap().id, second.images[0].id);
    assert_eq!(stores.images.names_of(id).unwrap(), []);
    check(&stores);
}

#[test]
fn an_image_without_a_name_is_loaded_by_its_id() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let layer = layer("a", "one");
    let loaded = load(&stores, &docker_20(&[&layer], &[])).unwrap();
    assert_eq!(loaded.lines(), [format!("Loaded image ID: {}", sha256(&config(&[&layer])))]);
}

/// As docker 25 and later write it: an OCI layout with manifest.json beside.
#[test]
fn an_archive_of_docker_25_keeps_its_manifest() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let plain = layer("a", "one");
    let (config, layer) = (config(&[&plain]), gzip(&plain));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
        "annotations": {"only": "here"},
    })
    .to_string();
    let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    listed["annotations"] = json!({"io.containerd.image.name": "docker.io/library/other:1"});
    let absent = descriptor("application/vnd.oci.image.manifest.v1+json", b"of another platform");
    let index = json!({"schemaVersion": 2, "manifests": [absent, listed]}).to_string();
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", sha256(bytes).hex());
    let docker = json!([{"Config": blob(&config), "RepoTags": ["app:25"], "Layers": [blob(&layer)],
        "LayerSources": {}}]);
    let archive = Tar::default()
        .other("blobs/", Kind::Directory, "")
        .file(&blob(&config), &config)
        .file(&blob(&layer), &layer)
        .file(&blob(manifest.as_bytes()), &manifest)
        .file("index.json", &index)
        .file("manifest.json", docker.to_string())
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .bytes();

    assert_eq!(load(&stores, &archive).unwrap().lines(), ["Loaded image: app:25"]);

    let record = stores.images.resolve("app:25").unwrap();
    assert_eq!(record.manifest.digest, sha256(manifest.as_bytes()));
    assert_eq!(record.layers[0].digest, sha256(&layer));
    check(&stores);
}

/// As docker before 1.10 wrote it.
fn docker_1(repositories: Option<&str>) -> Vec<u8> {
    let (base, top) = ("a".repeat(64), "b".repeat(64));
    let record = |id: &str, parent: &str, cmd: &str| {
        json!({"id": id, "parent": parent, "created": "2014-05-06T07:08:09Z",
            "container_config": {"Cmd": ["/bin/sh", "-c", cmd]}, "architecture": "amd64",
            "os": "linux", "config": {"Cmd": [cmd], "Env": null}, "Size": 1})
        .to_string()
    };
    let mut tar = Tar::default();
    for (id, parent, cmd) in [(&top, base.as_str(), "top"), (&base, "", "base")] {
        tar = tar
            .other(&format!("{id}/"), Kind::Directory, "")
            .file(&format!("{id}/VERSION"), "1.0")
            .file(&format!("{id}/json"), record(id, parent, cmd))
            .file(&format!("{id}/layer.tar"), layer(cmd, cmd));
    }
    match repositories {
        Some(text) => tar.file("repositories", text).bytes(),
        None => tar.bytes(),
    }
}

#[test]
fn an_archive_of_docker_1_is_loaded() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let names = format!(r#"{{"old":{{"8":"{0}","latest":"{0}"}}}}"#, "b".repeat(64));
    let loaded = load(&stores, &docker_1(Some(&names))).unwrap();
    assert_eq!(loaded.lines(), ["Loaded image: old:8", "Loaded image: old:latest"]);
    let record = stores.images.resolve("old:8").unwrap();
    assert_eq!(record.diff_ids, [sha256(&layer("base", "base")), sha256(&layer("top", "top"))]);
    let config = stores.content.read(&record.id, 1 << 20).unwrap();
    let config: oci::ImageConfig = serde_json::from_slice(&config).unwrap();
    assert_eq!(config.config.cmd, ["top"]);
    assert_eq!(config.history[0].created_by, "/bin/sh -c base");
    check(&stores);

    let loaded = load(&stores, &docker_1(None)).unwrap();
    assert_eq!(loaded.lines(), [format!("Loaded image ID: {}", record.id)]);
}

#[test]
fn many_images_in_one_archive_are_all_loaded() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let mut tar = Tar::default();
    let mut items = Vec::new();
    for number in 0..230 {
        // Larger than what stays in memory, and more than are held open at once.
        let layer = layer("big", vec![number as u8; 40_000 + number]);
        let config = config(&[&layer]);
        let (layer_name, config_name) = (format!("{number}.tar"), format!("{number}.json"));
        tar = tar.file(&layer_name, &layer).file(&config_name, &config);
        let name = format!("many:{number}");
        items.push(json!({"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}));
    }
    let archive = tar.file("manifest.json", json!(items).to_string()).bytes();
    assert_eq!(load(&stores, &archive).unwrap().images.len(), 230);
    let name: Reference = "many:229".parse().unwrap();
    assert_eq!(stores.images.list().unwrap().len(), 230);
    stores.images.untag(&name).unwrap();
    check(&stores);
}

#[test]
fn another_layer_under_the_diff_id_of_one_that_is_there_is_refused() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let honest = layer("a", "one");
    load(&stores, &docker_20(&[&honest], &["app:1"])).unwrap();
    let config = config(&[&honest]);
    let name = format!("{}.json", sha256(&config).hex());
    let manifest = json!([{"Config": name, "RepoTags": ["app:2"], "Layers": ["x/layer.tar"]}]);
    let forged = Tar::default()
        .file("x/layer.tar", layer("a", "two"))
        .file(&name, &config)
        .file("manifest.json", manifest.to_string())
        .bytes();

    let error = load(&stores, &forged).unwrap_err();

    let digest = sha256(&honest).to_string();
    assert!(error.to_string().contains(&digest), "{error}");
    assert!(stores.images.resolve("app:2").is_err());
    check(&stores);
}
