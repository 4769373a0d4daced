//! Manifests, blobs, tags, referrers: given as they were taken.

use crate::server::{Server, config};

#[test]
fn what_was_put_is_there_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let (digest, manifest) = server.put_image("a/b", "1", b"layer");
    drop(server);
    let server = Server::start(config(root.path()));
    for target in ["1", &digest] {
        let got = server.get(&format!("/v2/a/b/manifests/{target}"));
        assert_eq!((got.status, &got.body), (200, &manifest));
        assert_eq!(got.field("content-type"), oci::media_type::OCI_MANIFEST);
        assert_eq!(got.field("docker-content-digest"), digest);
        let head = server.send("HEAD", &format!("/v2/a/b/manifests/{target}"), "", b"");
        assert_eq!(head.field("content-length"), manifest.len().to_string());
    }
    assert_eq!(server.get("/v2/_catalog").json()["repositories"], serde_json::json!(["a/b"]));
}

#[test]
fn ranges_are_parts() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let path = format!("/v2/a/blobs/{}", server.put_blob("a", &bytes));
    for (range, status, want) in [
        ("bytes=0-9", 206, &bytes[..10]),
        ("bytes=199990-", 206, &bytes[199_990..]),
        ("bytes=-5", 206, &bytes[199_995..]),
        ("bytes=9-1", 200, &bytes[..]),
        ("bytes=0-1,5-6", 200, &bytes[..]),
    ] {
        let got = server.send("GET", &path, &format!("Range: {range}\r\n"), b"");
        assert_eq!((got.status, got.body.as_slice()), (status, want), "{range}");
    }
    let got = server.send("GET", &path, "Range: bytes=200000-\r\n", b"");
    assert_eq!((got.status, got.field("content-range")), (416, "bytes */200000"));
}

#[test]
fn tags_come_page_by_page() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    for tag in ["b", "a", "d", "c"] {
        server.put_image("x", tag, b"l");
    }
    let tags = |path: &str| server.get(path).json()["tags"].clone();
    assert_eq!(tags("/v2/x/tags/list"), serde_json::json!(["a", "b", "c", "d"]));
    let got = server.get("/v2/x/tags/list?n=2");
    assert_eq!(got.field("link"), "</v2/x/tags/list?n=2&last=b>; rel=\"next\"");
    assert_eq!(tags("/v2/x/tags/list?n=2&last=b"), serde_json::json!(["c", "d"]));
    assert_eq!(tags("/v2/x/tags/list?n=0"), serde_json::json!([]));
    assert_eq!(server.get("/v2/x/tags/list?n=2&last=c").field("link"), "");
    for n in ["-1", "x", "99999999999999999999999"] {
        assert_eq!(server.get(&format!("/v2/x/tags/list?n={n}")).status, 400, "{n}");
    }
    assert_eq!(server.get("/v2/x/tags/list?n=1000000000").status, 200);
    assert_eq!(server.get("/v2/y/tags/list").code(), "NAME_UNKNOWN");
}

#[test]
fn referrers_are_listed_and_go_with_their_manifest() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let (subject, manifest) = server.put_image("a", "1", b"l");
    let mut about: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    about["artifactType"] = "application/x.sbom".into();
    about["annotations"] = serde_json::json!({"k": "v"});
    about["subject"] = serde_json::json!({
        "mediaType": oci::media_type::OCI_MANIFEST, "digest": subject, "size": manifest.len()});
    let about = about.to_string().into_bytes();
    let digest = content::sha256(&about).to_string();
    assert_eq!(server.put_manifest("a", &digest, &about).field("oci-subject"), subject);

    let path = format!("/v2/a/referrers/{subject}");
    let listed = server.get(&path).json()["manifests"].clone();
    assert_eq!(listed[0]["digest"], digest);
    assert_eq!(listed[0]["artifactType"], "application/x.sbom");
    assert_eq!(listed[0]["annotations"]["k"], "v");
    let got = server.get(&format!("{path}?artifactType=application%2Fx.other"));
    assert_eq!(got.json()["manifests"], serde_json::json!([]));
    assert_eq!(got.field("oci-filters-applied"), "artifactType");

    assert_eq!(server.send("DELETE", &format!("/v2/a/manifests/{digest}"), "", b"").status, 202);
    assert_eq!(server.get(&path).json()["manifests"], serde_json::json!([]));
}

#[test]
fn a_deleted_manifest_takes_its_tags_along_and_a_tag_only_itself() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let (digest, manifest) = server.put_image("a", "1", b"l");
    assert_eq!(server.put_manifest("a", "2", &manifest).status, 201);
    assert_eq!(server.send("DELETE", "/v2/a/manifests/1", "", b"").status, 202);
    assert_eq!(server.get("/v2/a/manifests/1").status, 404);
    assert_eq!(server.get("/v2/a/manifests/2").status, 200);
    assert_eq!(server.send("DELETE", &format!("/v2/a/manifests/{digest}"), "", b"").status, 202);
    assert_eq!(server.get("/v2/a/manifests/2").code(), "MANIFEST_UNKNOWN");
    assert_eq!(server.get("/v2/a/tags/list").json()["tags"], serde_json::json!([]));
}

#[test]
fn a_blob_is_read_only_through_a_repository_that_has_it() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let digest = server.put_blob("a", b"secret");
    assert_eq!(server.get(&format!("/v2/b/blobs/{digest}")).code(), "BLOB_UNKNOWN");
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(server.send("POST", &mount, "", b"").status, 201);
    assert_eq!(server.get(&format!("/v2/b/blobs/{digest}")).body, b"secret");
    // Taken from one, it is still the other's.
    assert_eq!(server.send("DELETE", &format!("/v2/a/blobs/{digest}"), "", b"").status, 202);
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).status, 404);
    assert_eq!(server.get(&format!("/v2/b/blobs/{digest}")).status, 200);
    // Not there to be mounted: an upload begins.
    let mount = format!("/v2/c/blobs/uploads/?mount={digest}&from=a");
    assert_eq!(server.send("POST", &mount, "", b"").status, 202);
}

#[test]
fn the_client_of_this_house_lists_what_is_said() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let (subject, manifest) = server.put_image("a", "1", b"layer");
    let empty = server.put_blob("a", b"{}");
    for number in 0..5 {
        let said = serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST,
            "artifactType": format!("t/{}", number % 2),
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
            "layers": [],
            "annotations": {"number": number.to_string()},
            "subject": {"mediaType": oci::media_type::OCI_MANIFEST, "digest": subject,
                "size": manifest.len()},
        })
        .to_string();
        let digest = content::sha256(said.as_bytes()).to_string();
        let got = server.put_manifest("a", &digest, said.as_bytes());
        assert_eq!((got.status, got.field("oci-subject")), (201, subject.as_str()));
    }
    let client = transfer::Client::new(transfer::Settings::isolated());
    let reference = format!("{}/a:1", server.host()).parse().unwrap();
    let repository = client.repository(&reference).unwrap();
    let subject = subject.parse().unwrap();
    assert_eq!(repository.referrers(&subject, None).unwrap().len(), 5);
    assert_eq!(repository.referrers(&subject, Some("t/0")).unwrap().len(), 3);
}
