//! A registry that is a cache of another one.

use registry::RegistryConfig;

use crate::server::{Server, config};

#[test]
fn a_cache_fetches_once_and_answers_when_nobody_else_does() {
    let root = tempfile::tempdir().unwrap();
    let upstream = Server::start(config(&root.path().join("up")));
    let (digest, manifest) = upstream.put_image("a/b", "1", b"layer bytes");
    let proxy = Some(upstream.host());
    let cache = Server::start(RegistryConfig {
        proxy,
        delete: false,
        ..config(&root.path().join("cache"))
    });
    let layer = content::sha256(b"layer bytes");
    assert_eq!(cache.get("/v2/a/b/manifests/1").body, manifest);
    assert_eq!(cache.get(&format!("/v2/a/b/blobs/{layer}")).body, b"layer bytes");
    assert_eq!(cache.get("/v2/a/b/manifests/2").code(), "MANIFEST_UNKNOWN");
    let unknown = content::sha256(b"unknown");
    assert_eq!(cache.get(&format!("/v2/a/b/blobs/{unknown}")).code(), "BLOB_UNKNOWN");
    assert_eq!(cache.put_manifest("a/b", "2", &manifest).status, 405);
    // A tag that moved is followed.
    let (_, moved) = upstream.put_image("a/b", "1", b"another layer");
    assert_eq!(cache.get("/v2/a/b/manifests/1").body, moved);

    drop(upstream);
    assert_eq!(cache.get("/v2/a/b/manifests/1").body, moved);
    assert_eq!(cache.get(&format!("/v2/a/b/manifests/{digest}")).body, manifest);
    assert_eq!(cache.get(&format!("/v2/a/b/blobs/{layer}")).body, b"layer bytes");
    assert_eq!(cache.get("/v2/other/manifests/1").status, 502);
}
