//! oci-archives: platforms, nested indexes, names.

use archive::{ArchiveError, LoadOptions};
use content::sha256;
use oci::Platform;
use serde_json::{Value, json};

use crate::fixture::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layout in the making.
#[derive(Default)]
struct Layout {
    tar: Tar,
}

impl Layout {
    fn blob(&mut self, bytes: impl AsRef<[u8]>) {
        let path = format!("blobs/sha256/{}", sha256(bytes.as_ref()).hex());
        self.tar = std::mem::take(&mut self.tar).file(&path, bytes);
    }

    /// Adds an image and returns its descriptor.
    fn image(&mut self, text: &str, architecture: &str, docker: bool) -> Value {
        let plain = layer("file", text);
        let config = String::from_utf8(config(&[&plain])).unwrap();
        let config = config.replace(&Platform::host().architecture, architecture);
        let layer = zstd(&plain);
        let types = match docker {
            false => [
                MANIFEST,
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+zstd",
            ],
            true => [
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ],
        };
        let manifest = json!({"schemaVersion": 2, "mediaType": types[0],
            "config": descriptor(types[1], config.as_bytes()),
            "layers": [descriptor(types[2], &layer)]})
        .to_string();
        let mut listed = descriptor(types[0], manifest.as_bytes());
        listed["platform"] = json!({"architecture": architecture, "os": "linux"});
        self.blob(layer);
        self.blob(config);
        self.blob(manifest);
        listed
    }

    /// Adds an index and returns its descriptor.
    fn index(&mut self, manifests: Vec<Value>) -> Value {
        let index =
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string();
        self.blob(&index);
        descriptor(INDEX, index.as_bytes())
    }

    fn finish(self, manifests: Vec<Value>) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        self.tar
            .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", index)
            .bytes()
    }
}

fn named(mut descriptor: Value, key: &str, name: &str) -> Value {
    descriptor["annotations"] = json!({key: name});
    descriptor
}

fn host() -> String {
    Platform::host().architecture
}

#[test]
fn images_are_taken_under_the_names_that_are_names() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let mut layout = Layout::default();
    let oci = layout.image("oci", &host(), false);
    let docker = layout.image("docker", &host(), true);
    let bare = layout.image("bare", &host(), false);
    let archive = layout.finish(vec![
        named(oci.clone(), "io.containerd.image.name", "docker.io/library/one:1"),
        named(oci, "org.opencontainers.image.ref.name", "two:2"),
        named(docker, "org.opencontainers.image.ref.name", "host.example/three"),
        named(bare, "org.opencontainers.image.ref.name", "latest"),
    ]);
    let loaded = load(&stores, &archive).unwrap();
    let lines = loaded.lines();
    assert_eq!(
        lines[..3],
        ["Loaded image: one:1", "Loaded image: two:2", "Loaded image: host.example/three:latest"]
    );
    assert!(lines[3].starts_with("Loaded image ID: sha256:"));
    assert_eq!(lines.len(), 4);
    check(&stores);
}

#[test]
fn all_variants_come_or_those_that_are_asked_for() {
    if !needs_root() {
        return;
    }
    let mut layout = Layout::default();
    let mips = layout.image("mips", "mips64le", false);
    let ours = layout.image("ours", &host(), false);
    let mut attestation = layout.image("attestation", "unknown", false);
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.digest": ours["digest"]});
    let mut windows = descriptor(MANIFEST, b"somewhere else");
    windows["platform"] = json!({"architecture": "amd64", "os": "windows"});
    let mut absent = descriptor(MANIFEST, b"not saved");
    absent["platform"] = json!({"architecture": "s390x", "os": "linux"});
    let inner = layout.index(vec![attestation.clone(), windows, mips.clone(), absent, ours]);
    let outer = layout.index(vec![inner]);
    let name = "org.opencontainers.image.ref.name";
    let archive = layout.finish(vec![named(outer.clone(), name, "app:1")]);
    let mips_alone = ["linux/mips64le"].as_slice();
    for (platforms, text, count) in [([].as_slice(), "ours", 2), (mips_alone, "mips", 1)] {
        let (_temp, stores) = stores();
        let platforms = platforms.iter().map(|text| Platform::parse(text).unwrap()).collect();
        let options = LoadOptions { platforms, ..LoadOptions::default() };
        let loaded = archive::load(archive.as_slice(), &stores, &options).unwrap();
        assert_eq!(loaded.lines(), ["Loaded image: app:1"]);
        let records = stores.images.variants("app:1").unwrap();
        assert_eq!(records.len(), count);
        let file = stores.snapshots.path_of(&records[0].diff_ids[0]).join("etc/file");
        assert_eq!(std::fs::read_to_string(file).unwrap(), text);
        // The index is kept, with what it says about an image that is here.
        let kept = stores.images.named(&"app:1".parse().unwrap()).unwrap().unwrap();
        assert_eq!(json!(kept.index.as_ref().unwrap().digest), outer["digest"]);
        let lists = archive::list_blobs(&stores.content, &stores.images, &kept).unwrap();
        let said: oci::Digest = attestation["digest"].as_str().unwrap().parse().unwrap();
        assert_eq!(lists.contains(&said), text == "ours");
        assert!(lists.iter().all(|digest| stores.content.contains(digest).unwrap()));

        // Saved and loaded again it is the same.
        let image =
            archive::NamedToSave { named: kept.clone(), names: vec!["app:1".parse().unwrap()] };
        let mut saved = Vec::new();
        archive::save_names(&mut saved, &stores, &[image]).unwrap();
        let (_temp, other) = crate::fixture::stores();
        load(&other, &saved).unwrap();
        assert_eq!(other.images.named(&"app:1".parse().unwrap()).unwrap().unwrap(), kept);
        let records: Vec<_> = records.into_iter().map(|record| record.id).collect();
        let again = other.images.variants("app:1").unwrap();
        assert_eq!(again.into_iter().map(|record| record.id).collect::<Vec<_>>(), records);
        check(&other);
    }
    let (_temp, stores) = stores();
    let platforms = vec![Platform::parse("linux/arm/v7").unwrap()];
    let options = LoadOptions { platforms, ..Default::default() };
    let error = archive::load(archive.as_slice(), &stores, &options).unwrap_err();
    assert!(matches!(&error, ArchiveError::Platform { .. }), "{error}");
    assert!(error.to_string().contains("linux/mips64le"), "{error}");
    check(&stores);
}

fn refused(archive: &[u8]) -> String {
    let (_temp, stores) = stores();
    let error = load(&stores, archive).unwrap_err();
    assert!(stores.images.list().unwrap().is_empty());
    check(&stores);
    assert!(stores.content.list().unwrap().is_empty());
    error.to_string()
}

#[test]
fn indexes_are_bounded_in_depth_and_number() {
    let mut layout = Layout::default();
    let mut deep = layout.image("deep", &host(), false);
    for _ in 0..5 {
        deep = layout.index(vec![deep]);
    }
    assert!(refused(&layout.finish(vec![deep])).contains("more than 4 deep"));

    let many: Vec<Value> = (0..1100).map(|n: u32| descriptor(MANIFEST, &n.to_le_bytes())).collect();
    assert!(refused(&Layout::default().finish(many)).contains("more than 1024"));
}

#[test]
fn a_child_that_is_listed_again_and_again_is_looked_at_once() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let mut layout = Layout::default();
    let image = layout.image("one", &host(), false);
    let mut tree = layout.index(vec![image; 100]);
    tree = layout.index(vec![tree; 100]);
    tree = layout.index(vec![tree; 100]);
    assert_eq!(load(&stores, &layout.finish(vec![tree])).unwrap().images.len(), 1);
}

#[test]
fn documents_of_two_kinds_are_refused() {
    let cases = [
        json!({"schemaVersion": 2, "manifests": [], "layers": []}),
        json!({"schemaVersion": 2, "manifests": [], "config": {}}),
        json!({"schemaVersion": 2, "manifests": [], "mediaType": MANIFEST}),
        json!({"schemaVersion": 1, "manifests": []}),
        json!({"schemaVersion": 2, "fsLayers": []}),
        json!({"manifests": []}),
        json!([]),
    ];
    for case in cases {
        let archive = Tar::default().file("index.json", case.to_string()).bytes();
        refused(&archive);
    }
    let twice = r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    refused(&Tar::default().file("index.json", twice).bytes());

    let mut layout = Layout::default();
    let both = json!({"schemaVersion": 2, "manifests": [], "layers": [],
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}")})
    .to_string();
    layout.blob(&both);
    for kind in [MANIFEST, INDEX] {
        let mut layout = Layout::default();
        layout.blob(&both);
        let listed = descriptor(kind, both.as_bytes());
        assert!(refused(&layout.finish(vec![listed])).contains("index and a manifest at once"));
    }
}

#[test]
fn wrong_sizes_and_absent_blobs_are_named() {
    let mut layout = Layout::default();
    let mut image = layout.image("one", &host(), false);
    image["size"] = json!(7);
    assert!(refused(&layout.finish(vec![image])).contains("7 bytes where it has"));

    let absent = descriptor(MANIFEST, b"absent");
    let text = refused(&Layout::default().finish(vec![absent]));
    assert!(text.contains(&sha256(b"absent").to_string()), "{text}");
}

#[test]
fn what_is_no_image_is_refused() {
    let mut layout = Layout::default();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.example.artifact", b"{}"), "layers": []})
    .to_string();
    layout.blob("{}");
    layout.blob(&manifest);
    let listed = descriptor(MANIFEST, manifest.as_bytes());
    assert!(refused(&layout.finish(vec![listed])).contains("is no image"));
}
