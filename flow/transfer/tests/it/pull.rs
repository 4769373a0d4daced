//! Pulls that go well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci::Platform;
use transfer::{LayerState, Platforms, Progress, PullRequest, Settings, Silent, TransferError};

use crate::fixture::{Content, House, client, client_with, noise, open, pull, reference};
use crate::registry::{FakeRegistry, Reply};

#[test]
fn an_image_comes_with_all_kinds_of_layers_and_both_names() {
    let content = Content::new(300_000);
    let (config, layers) = (content.config.clone().unwrap(), content.layers.clone());
    let registry = content.registry();
    let house = House::new();
    let name = format!("{}/a/b:multi", registry.host());

    let pulled = pull(&house, &client(), &name).unwrap();

    assert!(pulled.is_new);
    assert_eq!(pulled.id, config);
    let record = house.stores.images.resolve(&name).unwrap();
    assert_eq!(record.id, config);
    let pinned = format!("{}/a/b@{}", registry.host(), pulled.digest);
    assert_eq!(house.stores.images.resolve(&pinned).unwrap().id, config);
    for layer in &layers {
        house.stores.content.verify(layer).unwrap();
    }
    let path = house.stores.snapshots.path_of(&record.diff_ids[1]).join("f2");
    assert_eq!(std::fs::read(path).unwrap(), noise(300_000, 2));
    assert_eq!(house.leftovers(), 0);

    // Again, and by digest: nothing but the manifests is asked for.
    let before = registry.count("GET /v2/a/b/blobs");
    assert!(!pull(&house, &client(), &name).unwrap().is_new);
    pull(&house, &client(), &pinned).unwrap();
    assert_eq!(registry.count("GET /v2/a/b/blobs"), before);
}

#[test]
fn a_layer_that_is_lost_is_fetched_alone() {
    let content = Content::new(1000);
    let layers = content.layers.clone();
    let registry = content.registry();
    let house = House::new();
    let name = format!("{}/a:1", registry.host());
    pull(&house, &client(), &name).unwrap();
    house.stores.content.remove(&layers[0]).unwrap();
    let record = house.stores.images.resolve(&name).unwrap();
    house.stores.snapshots.remove(&record.diff_ids[1]).unwrap();

    pull(&house, &client(), &name).unwrap();

    assert_eq!(registry.count("GET /v2/a/blobs"), 5, "all four, and the one that was lost");
    house.stores.content.verify(&layers[0]).unwrap();
    assert!(house.stores.snapshots.contains(&record.diff_ids[1]).unwrap());
}

#[test]
fn two_pulls_at_once_fetch_each_layer_once() {
    let content = Content::new(200_000);
    let registry = FakeRegistry::new(move |seen| {
        if seen.line().contains("/blobs/") {
            // Long enough for the other pull to come along.
            std::thread::sleep(Duration::from_millis(150));
        }
        content.answer(seen)
    });
    struct Waits(AtomicUsize);
    impl Progress for Waits {
        fn layers(&self, _digests: &[oci::Digest]) {}
        fn layer(&self, _digest: &oci::Digest, state: LayerState) {
            if state == LayerState::Waiting {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    let house = House::new();
    let waits = Waits(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for name in ["x", "y"] {
            let name = format!("{}/{name}:1", registry.host());
            // Stores and clients of their own, as two processes have.
            let (stores, waits) = (open(house.root.path()), &waits);
            scope.spawn(move || {
                let request =
                    PullRequest { reference: reference(&name), platforms: Platforms::Host };
                transfer::pull(&client(), &stores, &request, waits).unwrap();
            });
        }
    });
    let seen = registry.seen();
    let layers = seen.iter().filter(|seen| seen.line().contains("/blobs/")).count();
    // The configuration is small, and may have been asked for by both.
    assert!(layers <= 5, "{layers} blobs were asked for");
    assert!(waits.0.load(Ordering::SeqCst) > 0, "nobody met anybody");
}

#[test]
fn a_platform_that_is_not_there_is_named_with_those_that_are() {
    let registry = Content::new(10).registry();
    let house = House::new();
    let request = PullRequest {
        reference: reference(&format!("{}/a:multi", registry.host())),
        platforms: Platforms::These(vec![Platform::parse("linux/riscv64").unwrap()]),
    };
    let error = transfer::pull(&client(), &house.stores, &request, &Silent).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, TransferError::Platform { .. }), "{text}");
    assert!(text.contains("linux/riscv64") && text.contains("linux/s390x"), "{text}");
}

#[test]
fn a_layer_that_pretends_to_be_another_is_found_out() {
    let house = House::new();
    let honest = Content::new(5000);
    let registry = honest.clone().registry();
    pull(&house, &client(), &format!("{}/a:1", registry.host())).unwrap();

    // The same configuration, and so the same DiffIDs, over another blob.
    let mut lying = honest.clone();
    let (kind, manifest) = honest.manifests["1"].clone();
    let other = noise(5000, 9);
    let digest = content::sha256(&other);
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"][2]["digest"] = digest.to_string().into();
    manifest["layers"][2]["size"] = other.len().into();
    lying.blobs.insert(digest.to_string(), other);
    lying.tag("1", &kind, manifest.to_string().into_bytes());
    let registry = lying.registry();

    let error = pull(&house, &client(), &format!("{}/b:1", registry.host())).unwrap_err();

    assert!(matches!(error, TransferError::Layer { .. }), "{error}");
    assert!(!house.stores.content.contains(&digest).unwrap());
    assert_eq!(house.leftovers(), 0);
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_after_it() {
    let content = Content::new(1000);
    let layer = content.layers[1].clone();
    let mut partial = content.clone();
    partial.blobs.remove(&layer.to_string());
    let (mirror, registry) = (partial.registry(), content.registry());
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join(registry.host());
    std::fs::create_dir(&folder).unwrap();
    let text =
        format!("server = \"http://{}\"\n[host.\"http://{}\"]\n", registry.host(), mirror.host());
    std::fs::write(folder.join("hosts.toml"), text).unwrap();
    let settings =
        Settings { hosts_dirs: vec![directory.path().to_owned()], ..Settings::isolated() };
    let house = House::new();

    pull(&house, &client_with(settings), &format!("{}/a:1", registry.host())).unwrap();

    assert_eq!(mirror.count("GET /v2/a/manifests/1"), 1);
    let asked: Vec<String> = registry.seen().iter().map(|seen| seen.line()).collect();
    assert_eq!(asked, [format!("GET /v2/a/blobs/{layer}")]);
}

#[test]
fn tags_come_page_by_page_and_never_in_a_circle() {
    let registry = FakeRegistry::new(|seen| {
        let page = |tags: &str, next: &str| {
            Reply::new(200, format!(r#"{{"name":"a","tags":{tags}}}"#))
                .with("Link", format!("<{next}>; rel=\"next\""))
        };
        match (seen.head.path(), seen.head.parameter("last").as_deref()) {
            ("/v2/round/tags/list", _) => page("[\"x\"]", "/v2/round/tags/list?n=1"),
            (_, None) => page("[\"1\",\"../2\",\"3\"]", "/v2/a/tags/list?last=3&n=2"),
            (_, Some("3")) => page("null", "list?last=4"),
            _ => Reply::new(200, r#"{"name":"a","tags":["5"]}"#),
        }
    });
    let all = transfer::tags(&client(), &reference(&format!("{}/a", registry.host()))).unwrap();
    assert_eq!(all, ["1", "3", "5"]);
    let round = transfer::tags(&client(), &reference(&format!("{}/round", registry.host())));
    assert!(matches!(round, Err(TransferError::Document { .. })));
}
