//! What no honest client sends.

use std::io::Write;

use crate::server::{Server, config};

#[test]
fn names_never_leave_the_root() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(&root.path().join("inside")));
    let digest = content::sha256(b"x");
    for path in [
        "/v2/../../etc/manifests/1",
        "/v2/a/../../b/manifests/1",
        "/v2/a/manifests/../../../x",
        "/v2/a%2f..%2f..%2fb/manifests/1",
        "/v2/./manifests/1",
        "/v2/.hidden/manifests/1",
        "/v2/a/manifests/.x",
        "/v2/a+b/manifests/1",
        "/v2/a/blobs/sha256:../../../../etc/passwd",
        &format!("/v2/a/blobs/md5:{}", digest.hex()),
        &format!("/v2/{}/manifests/1", "a".repeat(300)),
    ] {
        let got = server.put_manifest_raw(path);
        assert!(matches!(got, 400 | 404 | 405), "{path}: {got}");
    }
    let entries: Vec<_> = std::fs::read_dir(root.path()).unwrap().collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(std::fs::read_dir(root.path().join("inside/repositories")).unwrap().count(), 0);
}

impl Server {
    fn put_manifest_raw(&self, path: &str) -> u16 {
        self.send("PUT", path, "", b"{}").status
    }
}

#[test]
fn manifests_are_bounded_and_are_one_thing() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let (_, manifest) = server.put_image("a", "1", b"l");
    let got = server.put_manifest("a", "2", &vec![b' '; (4 << 20) + 1]);
    assert_eq!(got.status, 413);
    let text = String::from_utf8(manifest).unwrap();
    let both = text.replacen('{', "{\"manifests\":[],", 1);
    assert_eq!(server.put_manifest("a", "2", both.as_bytes()).code(), "MANIFEST_INVALID");
    let twice = text.replacen('{', "{\"schemaVersion\":2,", 1);
    assert_eq!(server.put_manifest("a", "2", twice.as_bytes()).code(), "MANIFEST_INVALID");
    let got = server.send(
        "PUT",
        "/v2/a/manifests/2",
        "Content-Type: application/vnd.oci.image.index.v1+json\r\n",
        text.as_bytes(),
    );
    assert_eq!(got.code(), "MANIFEST_INVALID");
    // What it names must be in this repository, not in another one.
    assert_eq!(server.put_manifest("b", "1", text.as_bytes()).code(), "MANIFEST_BLOB_UNKNOWN");
    let wrong = format!("sha256:{}", "0".repeat(64));
    assert_eq!(server.put_manifest("a", &wrong, text.as_bytes()).code(), "DIGEST_INVALID");
    assert_eq!(server.get("/v2/a/manifests/2").status, 404);
}

#[test]
fn requests_that_are_ambiguous_are_refused_and_end_the_connection() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    for head in [
        "GET /v2/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n",
        "GET http://x/v2/ HTTP/1.1\r\n\r\n",
        "GET /v2/ HTTP/1.1\nHost: x\r\n\r\n",
        "NONSENSE\r\n\r\n",
    ] {
        let got = server.raw(head.as_bytes()).unwrap();
        assert_eq!((got.status, got.field("connection")), (400, "close"), "{head:?}");
    }
    let long = format!("GET /v2/ HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(40_000));
    assert_eq!(server.raw(long.as_bytes()).unwrap().status, 431);
    let many = format!("GET /v2/ HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
    assert_eq!(server.raw(many.as_bytes()).unwrap().status, 400);
    assert_eq!(server.get("/v2/").status, 200);
}

#[test]
fn who_sends_a_byte_now_and_then_is_hung_up_on() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let upload = server.send("POST", "/v2/a/blobs/uploads/", "", b"").field("location").to_owned();
    let body = format!("PATCH {upload} HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    std::thread::scope(|scope| {
        for begin in ["GET /v2/ HTTP/1.1\r\nA: ".to_owned(), body] {
            let address = server.address;
            scope.spawn(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(begin.as_bytes()).unwrap();
                let began = std::time::Instant::now();
                while stream.write_all(b"x").is_ok() {
                    assert!(began.elapsed().as_secs() < 60, "it listens for ever: {begin}");
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            });
        }
    });
    assert_eq!(server.get("/v2/").status, 200);
}

#[test]
fn connections_are_bounded() {
    let root = tempfile::tempdir().unwrap();
    let mut config = config(root.path());
    config.max_connections = 2;
    let server = Server::start(config);
    let first = std::net::TcpStream::connect(server.address).unwrap();
    let second = std::net::TcpStream::connect(server.address).unwrap();
    // The third is closed, not left waiting.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while server.raw(b"GET /v2/ HTTP/1.1\r\n\r\n").is_some() {
        assert!(std::time::Instant::now() < deadline, "the bound is not kept");
    }
    drop((first, second));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while server.raw(b"GET /v2/ HTTP/1.1\r\n\r\n").is_none() {
        assert!(std::time::Instant::now() < deadline, "a place that was given back is not used");
    }
}
