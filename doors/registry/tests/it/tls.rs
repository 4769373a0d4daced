//! TLS: the server's side, and how the client of this house sees it.

use std::path::Path;
use std::time::{Duration, Instant};

use registry::{RegistryConfig, TlsFiles};
use testkit::certificates::{Authority, LOOPBACK, Pair};
use testkit::needs;
use transfer::{Client, Settings, TransferError};

use crate::server::{Server, config};

fn serve(root: &Path, pair: &Pair, client_ca: Option<&Path>) -> Server {
    let tls = TlsFiles {
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        client_ca: client_ca.map(Path::to_owned),
    };
    Server::start(RegistryConfig { tls: Some(tls), ..config(root) })
}

/// A client for which these files are in the folder of the registry's certificates.
fn client(host: &str, files: &[(&str, &Path)]) -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(host);
    std::fs::create_dir(&own).unwrap();
    for (name, file) in files {
        std::fs::copy(file, own.join(name)).unwrap();
    }
    let mut settings = Settings::isolated();
    settings.certs_dirs.push(folder.path().to_owned());
    settings.timeouts.idle = Duration::from_secs(5);
    (folder, Client::new(settings))
}

/// The error of a request; `None` if the registry is believed and says that there is nothing.
fn asked(client: &Client, host: &str) -> Option<TransferError> {
    let reference = format!("{host}/a:1").parse().unwrap();
    let repository = client.repository(&reference).unwrap();
    match repository.manifest(&reference).unwrap_err() {
        TransferError::NoManifest { .. } => None,
        error => Some(error),
    }
}

fn check_untrusted(error: Option<TransferError>, want: &str) {
    let error = error.expect("the registry is not to be believed");
    assert!(matches!(error, TransferError::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains(want), "{error}\nlacks {want:?}");
}

#[test]
fn only_the_right_certificate_is_believed() {
    needs!(Openssl);
    let root = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ca = authority.certificate();
    let advice = "ca.crt";
    for (pair, trusted, want) in [
        (authority.sign("good", LOOPBACK, 30), &ca, None),
        (authority.sign("old", LOOPBACK, -1), &ca, Some("has expired")),
        (authority.sign("other", "DNS:other.example", 30), &ca, Some("for other.example, and not")),
        (authority.sign("stranger", LOOPBACK, 30), &stranger.certificate(), Some(advice)),
        (authority.self_signed("own", LOOPBACK), &ca, Some(advice)),
        // Docker's own way: the server's certificate is the clients' authority.
        (authority.self_signed("named", LOOPBACK), &authority.folder().join("named.crt"), None),
        (
            authority.self_signed("wrong", "DNS:other.example"),
            &authority.folder().join("wrong.crt"),
            Some("and not for 127.0.0.1"),
        ),
    ] {
        let server = serve(root.path(), &pair, None);
        let (_folder, client) = client(&server.host(), &[("ca.crt", trusted)]);
        match (asked(&client, &server.host()), want) {
            (None, None) => {}
            (error, Some(want)) => check_untrusted(error, want),
            (Some(error), None) => panic!("{pair:?}: {error:?}"),
        }
        // Without any setting it is not believed either, and the error is not about HTTP.
        let bare = Client::new(Settings::isolated());
        assert!(matches!(asked(&bare, &server.host()), Some(TransferError::Untrusted { .. })));
    }
}

#[test]
fn a_name_that_is_called_insecure_is_believed_whoever_answers() {
    needs!(Openssl);
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = serve(root.path(), &authority.sign("old", "DNS:other.example", -1), None);
    let mut settings = Settings::isolated();
    settings.daemon_json = root.path().join("daemon.json");
    let insecure = format!(r#"{{"insecure-registries": ["{}"]}}"#, server.host());
    std::fs::write(&settings.daemon_json, insecure).unwrap();
    assert!(asked(&Client::new(settings), &server.host()).is_none());

    // containerd's way of saying so, and its authority in a file beside.
    let mut settings = Settings::isolated();
    settings.hosts_dirs.push(root.path().join("hosts"));
    let folder = root.path().join("hosts").join(server.host());
    std::fs::create_dir_all(&folder).unwrap();
    let hosts = |text: &str| {
        let text = format!("server = \"https://{}\"\n{text}\n", server.host());
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
    };
    hosts("skip_verify = true");
    assert!(asked(&Client::new(settings.clone()), &server.host()).is_none());
    std::fs::copy(authority.certificate(), folder.join("own.pem")).unwrap();
    hosts("ca = \"own.pem\"");
    check_untrusted(asked(&Client::new(settings), &server.host()), "expired");
}

#[test]
fn clients_show_a_certificate_where_one_is_wanted() {
    needs!(Openssl);
    let root = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let own = authority.sign("server", LOOPBACK, 30);
    let server = serve(root.path(), &own, Some(&authority.certificate()));
    let ca = authority.certificate();
    let ask = |pair: Option<Pair>| {
        let mut files = vec![("ca.crt", ca.as_path())];
        if let Some(pair) = &pair {
            files.push(("client.cert", &pair.certificate));
            files.push(("client.key", &pair.key));
        }
        let (_folder, client) = client(&server.host(), &files);
        asked(&client, &server.host())
    };
    assert!(ask(Some(authority.sign("client", "DNS:client", 30))).is_none());
    check_untrusted(ask(None), "client.cert");
    check_untrusted(ask(Some(stranger.sign("client", "DNS:client", 30))), "client.cert");
    check_untrusted(ask(Some(authority.sign("late", "DNS:client", -1))), "client.cert");
}

#[test]
fn a_certificate_is_changed_while_the_registry_serves() {
    needs!(Openssl);
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    let pair = first.sign("server", LOOPBACK, 30);
    let server = serve(root.path(), &pair, None);
    let believes = |authority: &Authority| {
        let (_folder, client) = client(&server.host(), &[("ca.crt", &authority.certificate())]);
        asked(&client, &server.host()).is_none()
    };
    assert!(believes(&first) && !believes(&second));
    // One half of it, or nonsense, changes nothing.
    std::fs::write(&pair.key, "nonsense").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(believes(&first));
    second.sign("server", LOOPBACK, 30).replace(&pair);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !believes(&second) {
        assert!(Instant::now() < deadline, "the new certificate is not shown");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!believes(&first));
}

#[test]
fn who_comes_in_clear_is_told_so() {
    needs!(Openssl);
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = serve(root.path(), &authority.sign("server", LOOPBACK, 30), None);
    let got = server.get("/v2/");
    assert_eq!(got.status, 400);
    assert!(String::from_utf8_lossy(&got.body).contains("https"), "{got:?}");
}

#[test]
fn large_blobs_pass_whole_and_in_part() {
    needs!(Openssl);
    let root = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let plain = Server::start(config(root.path()));
    let bytes: Vec<u8> = (0..5_000_003_u32).map(|at| (at % 251) as u8).collect();
    let (_, _) = plain.put_image("a", "1", &bytes);
    drop(plain);
    let server = serve(root.path(), &authority.sign("server", LOOPBACK, 30), None);
    let (_folder, client) = client(&server.host(), &[("ca.crt", &authority.certificate())]);
    let store = tempfile::tempdir().unwrap();
    let store = content::Content::open(store.path().join("s")).unwrap();
    let reference = format!("{}/a:1", server.host()).parse().unwrap();
    let repository = client.repository(&reference).unwrap();
    let digest = content::sha256(&bytes);
    let fetched = repository.fetch_blob(&store, &digest).unwrap();
    assert_eq!(fetched.size_bytes, bytes.len() as u64);
    assert!(fetched.publish(&store, &digest).unwrap());
    assert!(store.read(&digest, 10 << 20).unwrap() == bytes);
}
