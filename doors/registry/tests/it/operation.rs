//! What those who operate a registry see of it.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::server::{Server, config, receive};

/// The value of a metric without labels.
fn metric(server: &Server, name: &str) -> u64 {
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("kista_registry_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

#[test]
fn figures_follow_what_happens() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(config(root.path()));
    let health = server.get("/healthz");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    assert_eq!(server.get("/metrics").field("content-type"), "text/plain; version=0.0.4");
    assert_eq!(metric(&server, "uploads"), 0);
    let bytes = vec![1; 100_000];
    let digest = server.put_blob("a", &bytes);
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).body, bytes);
    let upload = server.send("POST", "/v2/a/blobs/uploads/", "", b"").field("location").to_owned();
    assert_eq!(metric(&server, "uploads"), 1);
    assert!((100_000..200_000).contains(&metric(&server, "received_bytes_total")));
    assert!((100_000..200_000).contains(&metric(&server, "sent_bytes_total")));
    assert!(metric(&server, "connections_total") > 5);
    assert_eq!(server.send("DELETE", &upload, "", b"").status, 204);
    assert_eq!(metric(&server, "uploads"), 0);
    // What a stranger calls his method makes no series.
    server.send("BREW", "/v2/", "", b"");
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(text.contains("method=\"OTHER\"") && !text.contains("BREW"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("kista_registry_") && value.parse::<u64>().is_ok(), "{line}");
    }
}

#[test]
fn what_is_under_way_comes_to_its_end() {
    let root = tempfile::tempdir().unwrap();
    let mut server = Server::start(config(root.path()));
    let bytes = vec![7; 50_000];
    let digest = content::sha256(&bytes);
    let mut idle = TcpStream::connect(server.address).unwrap();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\n\r\n").unwrap();
    let mut busy = TcpStream::connect(server.address).unwrap();
    busy.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    busy.write_all(head.as_bytes()).unwrap();
    busy.write_all(&bytes[..20_000]).unwrap();
    // It is at work on it before it is asked to end.
    let ingest = root.path().join("ingest");
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::read_dir(&ingest).unwrap().count() == 0 {
        assert!(Instant::now() < deadline, "the upload does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    server.ask_to_end();
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < deadline, "it goes on listening");
        std::thread::sleep(Duration::from_millis(5));
    }
    busy.write_all(&bytes[20_000..]).unwrap();
    let got = receive(busy, "POST");
    assert_eq!((got.status, got.field("connection")), (201, "close"));
    drop(server);
    let server = Server::start(config(root.path()));
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).body, bytes);
}

#[test]
fn users_come_and_go_while_it_serves() {
    let root = tempfile::tempdir().unwrap();
    let users = root.path().join("users");
    // `htpasswd -nbB -C 5 user pass`, and the same for another one.
    let user = "user:$2y$05$RPPYmx0HzjWieRSB68HWWeqrtsfRZeZBIX.P8q32aJF8ykhOKxh8y\n";
    let write = |text: &str| {
        let new = root.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &users).unwrap();
    };
    write(user);
    let server = Server::start(registry::RegistryConfig {
        htpasswd: Some(users.clone()),
        ..config(&root.path().join("store"))
    });
    let status = || server.send("GET", "/v2/", "Authorization: Basic dXNlcjpwYXNz\r\n", b"").status;
    assert_eq!(status(), 200);
    let until = |want: u16| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while status() != want {
            assert!(Instant::now() < deadline, "it never becomes {want}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    // Who is gone is gone, however well he was known.
    write("# nobody\n");
    until(401);
    write(user);
    until(200);
    // What is no file of users changes nothing.
    write("nonsense\n");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(status(), 200);
}
