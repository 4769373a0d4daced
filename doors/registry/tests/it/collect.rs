//! Garbage goes, and nothing else, while the registry serves.

use std::time::{Duration, Instant};

use registry::RegistryConfig;

use crate::server::{Server, config};

#[test]
fn what_no_manifest_names_goes_and_the_rest_stays() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(RegistryConfig {
        gc_interval: Duration::from_millis(1),
        gc_grace: Duration::ZERO,
        ..config(root.path())
    });
    // Without a grace an image may be collected while it comes.
    let deadline = Instant::now() + Duration::from_secs(20);
    let (digest, manifest) = loop {
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            server.put_image("a", "1", b"layer")
        }));
        match attempt {
            Ok(image) => break image,
            Err(_) => assert!(Instant::now() < deadline, "an image never comes whole"),
        }
    };
    let lost = server.put_blob("a", b"nobody's");
    while server.get(&format!("/v2/a/blobs/{lost}")).status != 404 {
        assert!(Instant::now() < deadline, "garbage stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v2/a/blobs/{layer}")).body, b"layer");
    assert_eq!(server.get("/v2/a/manifests/1").status, 200);

    assert_eq!(server.send("DELETE", &format!("/v2/a/manifests/{digest}"), "", b"").status, 202);
    let blobs = root.path().join("blobs/sha256");
    while std::fs::read_dir(&blobs).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "a deleted image's blobs stay");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn pushes_race_with_the_collector_and_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(RegistryConfig {
        gc_interval: Duration::from_millis(1),
        ..config(root.path())
    });
    let end = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let mut round = 0;
                while Instant::now() < end {
                    let layer = format!("{worker} {round}");
                    let name = format!("r{worker}");
                    let (digest, _) =
                        server.put_image(&name, &format!("t{round}"), layer.as_bytes());
                    if round % 2 == 0 {
                        let path = format!("/v2/{name}/manifests/{digest}");
                        assert_eq!(server.send("DELETE", &path, "", b"").status, 202);
                    } else {
                        let layer = content::sha256(layer.as_bytes());
                        let path = format!("/v2/{name}/blobs/{layer}");
                        assert_eq!(server.get(&path).status, 200);
                    }
                    round += 1;
                }
                assert!(round > 3, "{round} rounds are no race");
            });
        }
    });
}
