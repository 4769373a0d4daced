//! Who may do what: each verb by each switch.

use std::path::PathBuf;

use registry::{Access, RegistryConfig, Verb};

use crate::server::{Server, config};

/// `user:pass` with 2^4 rounds, so that the tests are quick.
fn htpasswd(root: &std::path::Path) -> PathBuf {
    let path = root.join("htpasswd");
    let salt = *b"0123456789abcdef";
    let sum = bcrypt::bcrypt(4, salt, b"pass\0");
    let line = format!("user:$2y$04${}{}\n", encode(&salt), encode(&sum[..23]));
    std::fs::write(&path, line).unwrap();
    path
}

fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

const KNOWN: &str = "Authorization: Basic dXNlcjpwYXNz\r\n";
const WRONG: &str = "Authorization: Basic dXNlcjp4eHg=\r\n";
const NOBODY: &str = "Authorization: Basic bm9ib2R5OnBhc3M=\r\n";

/// The status of each verb: pull of a tag, pull of a blob, upload, manifest, deletion of a tag, of
/// a manifest, of a blob.
fn matrix(server: &Server, name: &str, fields: &str) -> Vec<u16> {
    let digest = content::sha256(b"nothing");
    let calls = [
        ("GET", format!("/v2/{name}/manifests/1")),
        ("GET", format!("/v2/{name}/blobs/{digest}")),
        ("POST", format!("/v2/{name}/blobs/uploads/")),
        ("PUT", format!("/v2/{name}/manifests/1")),
        ("DELETE", format!("/v2/{name}/manifests/1")),
        ("DELETE", format!("/v2/{name}/manifests/{digest}")),
        ("DELETE", format!("/v2/{name}/blobs/{digest}")),
    ];
    calls.iter().map(|(method, path)| server.send(method, path, fields, b"").status).collect()
}

#[test]
fn every_verb_obeys_every_switch() {
    let root = tempfile::tempdir().unwrap();
    let base = || config(root.path());
    let server = Server::start(base());
    assert_eq!(matrix(&server, "a", ""), [404, 404, 202, 400, 404, 404, 404]);
    drop(server);
    let server = Server::start(RegistryConfig { delete: false, ..base() });
    assert_eq!(matrix(&server, "a", ""), [404, 404, 202, 400, 405, 405, 405]);
    drop(server);
    let server = Server::start(RegistryConfig { delete: false, read_only: true, ..base() });
    assert_eq!(matrix(&server, "a", ""), [404, 404, 405, 405, 405, 405, 405]);
}

#[test]
fn users_are_known_by_their_password_alone() {
    let root = tempfile::tempdir().unwrap();
    let htpasswd = Some(htpasswd(root.path()));
    let server = Server::start(RegistryConfig { htpasswd, ..config(&root.path().join("r")) });
    assert_eq!(server.get("/healthz").status, 200);
    for path in ["/v2/", "/metrics", "/v2/_catalog"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    assert!(server.get("/v2/").field("www-authenticate").starts_with("Basic realm="));
    assert_eq!(matrix(&server, "a", ""), [401; 7]);
    assert_eq!(matrix(&server, "a", KNOWN), [404, 404, 202, 400, 404, 404, 404]);
    for fields in [WRONG, NOBODY, "Authorization: Bearer x\r\n", "Authorization: Basic !\r\n"] {
        assert_eq!(server.send("GET", "/v2/", fields, b"").status, 401, "{fields}");
    }
    assert_eq!(server.send("GET", "/v2/", KNOWN, b"").status, 200);
    assert_eq!(server.send("GET", "/v2/", WRONG, b"").status, 401, "also after a right one");
    let metrics = server.send("GET", "/metrics", KNOWN, b"");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(
        text.contains(
            "kista_registry_requests_total{route=\"version\",method=\"GET\",status=\"401\"}"
        ),
        "{text}"
    );
}

#[test]
fn rules_are_by_prefix_and_a_mount_needs_to_read_its_source() {
    let root = tempfile::tempdir().unwrap();
    let htpasswd = Some(htpasswd(root.path()));
    let rule = |user: &str, prefix: &str, allow: &[Verb]| Access {
        user: user.into(),
        prefix: prefix.into(),
        allow: allow.to_vec(),
    };
    let store = root.path().join("r");
    let server = Server::start(config(&store));
    let digest = server.put_blob("secret/x", b"bytes");
    drop(server);
    let access = vec![
        rule("user", "team", &[Verb::Pull, Verb::Push]),
        rule("user", "secret", &[]),
        rule("anonymous", "", &[Verb::Pull]),
    ];
    let server = Server::start(RegistryConfig { htpasswd, access, ..config(&store) });
    assert_eq!(matrix(&server, "team/a", KNOWN), [404, 404, 202, 400, 403, 403, 403]);
    assert_eq!(matrix(&server, "secret/a", KNOWN), [403; 7]);
    assert_eq!(matrix(&server, "teams", KNOWN), [404, 404, 403, 403, 403, 403, 403]);
    assert_eq!(matrix(&server, "team/a", ""), [404, 404, 401, 401, 401, 401, 401]);
    for from in ["&from=secret/x", ""] {
        let mount = format!("/v2/team/a/blobs/uploads/?mount={digest}{from}");
        assert_eq!(server.send("POST", &mount, KNOWN, b"").status, 202, "{from}");
    }
    let listed = server.send("GET", "/v2/_catalog", KNOWN, b"").json();
    assert_eq!(listed["repositories"], serde_json::json!([]));
}
