//! Registries that want something of us.

use std::io::Write;
use std::time::{Duration, Instant};

use testkit::{Host, needs};
use transfer::{Client, Settings, TransferError};

use crate::fixture::{Content, House, client, client_with, pull, reference};
use crate::registry::{FakeRegistry, Reply, Seen};

/// An address that everybody could reach, if it were not the test's own.
const PUBLIC: &str = "203.0.113.1";
const OTHER: &str = "203.0.113.2";

/// Calls `action` in a network where those are addresses of this machine.
fn outside<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    let host = Host::new().unwrap();
    for address in [PUBLIC, OTHER] {
        host.output(&["ip", "address", "add", &format!("{address}/32"), "dev", "lo"]);
    }
    host.enter(action)
}

/// A client that speaks to these in clear.
fn insecure(hosts: &[&FakeRegistry]) -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::isolated();
    settings.daemon_json = folder.path().join("daemon.json");
    let hosts: Vec<String> = hosts.iter().map(|host| host.host()).collect();
    let text = serde_json::json!({"insecure-registries": hosts}).to_string();
    std::fs::write(&settings.daemon_json, text).unwrap();
    (folder, client_with(settings))
}

fn check_refused(error: &TransferError, away: &FakeRegistry) {
    assert!(matches!(error, TransferError::Redirect { .. }), "{error:?}");
    assert!(error.to_string().contains("this machine or its network"), "{error}");
    assert_eq!(away.seen().len(), 0, "it was asked all the same");
}

#[test]
fn a_public_registry_sends_nobody_inside() {
    needs!(Root);
    outside(|| {
        let content = Content::new(1000);
        let layer = content.layers[0].clone();
        let inside = content.clone().registry();
        let elsewhere = {
            let content = content.clone();
            FakeRegistry::on(OTHER, move |seen| content.answer(seen))
        };
        let pulled = |location: String| {
            let content = content.clone();
            let path = format!("/v2/a/blobs/{layer}");
            let registry = FakeRegistry::on(PUBLIC, move |seen| match seen.head.path() == path {
                true => Reply::new(307, "").with("Location", location.clone()),
                false => content.answer(seen),
            });
            let (_folder, client) = insecure(&[&registry]);
            let house = House::new();
            pull(&house, &client, &format!("{}/a:1", registry.host()))
        };
        pulled(format!("http://{}/v2/x/blobs/{layer}", elsewhere.host())).unwrap();
        assert_eq!(elsewhere.count("GET /v2/x/blobs"), 1);
        let host = inside.host();
        let (_, port) = host.rsplit_once(':').unwrap();
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1.2.3"] {
            let error = pulled(format!("http://{host}:{port}/v2/x/blobs/{layer}")).unwrap_err();
            check_refused(&error, &inside);
        }
    });
}

#[test]
fn nor_does_its_word_for_a_token_server_or_an_upload() {
    needs!(Root);
    outside(|| {
        let inside = FakeRegistry::new(|_| Reply::new(200, r#"{"token": "x"}"#));
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"x\"", inside.host());
        let registry = FakeRegistry::on(PUBLIC, move |seen| match seen.head.path() {
            "/v2/" => Reply::new(200, ""),
            _ => Reply::new(401, "").with("WWW-Authenticate", realm.clone()),
        });
        let (_folder, client) = insecure(&[&registry]);
        let house = House::new();
        let error = pull(&house, &client, &format!("{}/a:1", registry.host())).unwrap_err();
        check_refused(&error, &inside);

        let from = Content::new(1000).registry();
        let name = format!("{}/a:1", from.host());
        let id = pull(&house, &crate::fixture::client(), &name).unwrap().id;
        let location = format!("http://{}/upload", inside.host());
        let registry =
            FakeRegistry::on(PUBLIC, move |seen: &Seen| match seen.head.method.as_str() {
                "POST" => Reply::new(202, "").with("Location", location.clone()),
                "HEAD" => Reply::new(404, ""),
                _ => Reply::new(200, ""),
            });
        let (_folder, client) = insecure(&[&registry]);
        let request = transfer::PushNamedRequest {
            name: reference(&format!("{}/a:1", registry.host())),
            named: images::Named::one(id),
        };
        let pushed = transfer::push_named(&client, &house.stores, &request, &transfer::Silent);
        check_refused(&pushed.unwrap_err(), &inside);
    });
}

#[test]
fn go_on_and_go_on_has_an_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
            });
        }
    });
    let error = pull(&House::new(), &client(), &format!("{host}/a:1")).unwrap_err();
    assert!(matches!(error, TransferError::Protocol { .. }), "{error}");
}

#[test]
fn a_byte_now_and_then_is_silence() {
    let content = Content::new(1000);
    let manifest = content.manifests["1"].1.clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let manifest = manifest.clone();
            std::thread::spawn(move || {
                let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                while let Ok(Some(head)) = http1::read_head(&mut reader) {
                    let is_check = head.starts_with(b"GET /v2/ ");
                    let length = if is_check { 0 } else { manifest.len() };
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes());
                    for byte in manifest.iter().take(length) {
                        if stream.write_all(&[*byte]).is_err() {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
    });
    let began = Instant::now();
    let error = pull(&House::new(), &client(), &format!("{host}/a:1")).unwrap_err();
    assert!(matches!(error, TransferError::Broken { .. }), "{error}");
    // 20 ms for each of some 900 bytes would be 18 s.
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[test]
fn a_list_of_tags_without_end_is_given_up() {
    let registry = FakeRegistry::new(|seen| match seen.head.path() {
        "/v2/" => Reply::new(200, ""),
        _ => {
            let page: u64 = seen.head.parameter("p").map_or(0, |text| text.parse().unwrap());
            Reply::new(200, r#"{"tags": []}"#)
                .with("Link", format!("</v2/a/tags/list?p={}>; rel=\"next\"", page + 1))
        }
    });
    let error = transfer::tags(&client(), &reference(&format!("{}/a", registry.host())));
    assert!(error.unwrap_err().to_string().contains("no end"));
}

#[test]
fn what_an_index_lists_is_bounded_and_must_be_what_it_says() {
    let content = Content::new(1000);
    let index = |entries: Vec<serde_json::Value>| {
        serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX, "manifests": entries})
        .to_string()
        .into_bytes()
    };
    let listed = |bytes: &[u8], kind: &str| {
        serde_json::json!({
            "mediaType": kind, "digest": content::sha256(bytes), "size": bytes.len(),
            "platform": {"os": "linux", "architecture": oci::Platform::host().architecture}})
    };
    // Indexes in indexes, deeper than anybody has them.
    let mut spoilt = content.clone();
    let mut inner = content.manifests["1"].clone();
    for _ in 0..6 {
        spoilt.tag("x", &inner.0, inner.1.clone());
        inner = (oci::media_type::OCI_INDEX.into(), index(vec![listed(&inner.1, &inner.0)]));
    }
    spoilt.tag("deep", &inner.0, inner.1);
    // More entries than anybody reads, and one that is something else than it is said to be.
    let many = index(vec![listed(b"x", oci::media_type::OCI_MANIFEST); 5000]);
    spoilt.tag("many", oci::media_type::OCI_INDEX, many);
    let other = index(vec![listed(&content.manifests["1"].1, oci::media_type::DOCKER_MANIFEST)]);
    spoilt.tag("other", oci::media_type::OCI_INDEX, other);
    let registry = spoilt.registry();
    let house = House::new();
    for (tag, want) in [("deep", "deep"), ("many", "more than 4096"), ("other", "announces")] {
        let error = pull(&house, &client(), &format!("{}/a:{tag}", registry.host())).unwrap_err();
        assert!(error.to_string().contains(want), "{tag}: {error}");
        assert!(registry.seen().len() < 40);
    }
    assert_eq!(house.leftovers(), 0);
}
