//! Uploads: chunks in order, bytes compared, one copy.

use crate::server::{Got, Server, config};

fn begin(server: &Server) -> String {
    let got = server.send("POST", "/v2/a/blobs/uploads/", "", b"");
    assert_eq!(got.status, 202);
    got.field("location").to_owned()
}

fn patch(server: &Server, location: &str, range: &str, bytes: &[u8]) -> Got {
    let field =
        if range.is_empty() { String::new() } else { format!("Content-Range: {range}\r\n") };
    server.send("PATCH", location, &field, bytes)
}

#[test]
fn chunks_come_in_order_or_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let location = begin(&server);
    assert_eq!(patch(&server, &location, "0-3", b"abcd").field("range"), "0-3");
    let again = patch(&server, &location, "0-3", b"abcd");
    assert_eq!((again.status, again.field("range")), (416, "0-3"));
    assert_eq!(again.field("location"), location);
    assert_eq!(patch(&server, &location, "6-7", b"gh").status, 416);
    assert_eq!(
        patch(&server, &location, "4-9", b"ef").status,
        416,
        "a range longer than its bytes"
    );
    assert_eq!(patch(&server, &location, "", b"ef").field("range"), "0-5");
    let status = server.get(&location);
    assert_eq!((status.status, status.field("range")), (204, "0-5"));
    let digest = content::sha256(b"abcdefg");
    let put =
        server.send("PUT", &format!("{location}?digest={digest}"), "Content-Range: 6-6\r\n", b"g");
    assert_eq!(
        (put.status, put.field("docker-content-digest")),
        (201, digest.to_string().as_str())
    );
    assert_eq!(server.get(put.field("location")).body, b"abcdefg");
    assert_eq!(server.get(&location).code(), "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn bytes_that_are_not_those_named_leave_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let digest = content::sha256(b"other");
    let got = server.send("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), "", b"bytes");
    assert_eq!((got.status, got.code().as_str()), (400, "DIGEST_INVALID"));
    let location = begin(&server);
    let got = server.send("PUT", &format!("{location}?digest={digest}"), "", b"bytes");
    assert_eq!(got.code(), "DIGEST_INVALID");
    let location = begin(&server);
    assert_eq!(server.send("DELETE", &location, "", b"").status, 204);
    assert_eq!(server.send("PUT", &location, "", b"").code(), "DIGEST_INVALID");
    drop(server);
    assert_eq!(std::fs::read_dir(root.path().join("ingest")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(root.path().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn sha512_is_as_good_also_when_it_is_named_last() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let mut hasher = content::Hasher::new(oci::Algorithm::Sha512);
    hasher.update(b"abcd");
    let digest = hasher.finish();
    for chunked in [true, false] {
        let location = begin(&server);
        let rest: &[u8] = match chunked {
            true => {
                assert_eq!(patch(&server, &location, "0-1", b"ab").status, 202);
                b"cd"
            }
            false => b"abcd",
        };
        let got = server.send("PUT", &format!("{location}?digest={digest}"), "", rest);
        assert_eq!(got.status, 201);
        assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).body, b"abcd");
    }
}

#[test]
fn many_who_send_the_same_blob_store_it_once() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let bytes: Vec<u8> = (0..500_000_u32).map(|n| (n % 253) as u8).collect();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d", "e", "f"] {
            let (server, bytes) = (&server, &bytes);
            scope.spawn(move || server.put_blob(name, bytes));
        }
    });
    assert_eq!(std::fs::read_dir(root.path().join("blobs/sha256")).unwrap().count(), 1);
    for name in ["a", "f"] {
        let digest = content::sha256(&bytes);
        assert_eq!(server.get(&format!("/v2/{name}/blobs/{digest}")).body, bytes);
    }
}

#[test]
fn a_session_is_its_repositorys() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let location = begin(&server).replace("/v2/a/", "/v2/b/");
    assert_eq!(patch(&server, &location, "", b"x").code(), "BLOB_UPLOAD_UNKNOWN");
}
