use super::*;

fn write(path: PathBuf, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn settings(root: &std::path::Path) -> Settings {
    Settings {
        daemon_json: root.join("daemon.json"),
        certs_dirs: vec![root.join("docker")],
        hosts_dirs: vec![root.join("containerd")],
        registries_conf: root.join("registries.conf"),
        ..Settings::isolated()
    }
}

/// `origin base mirror? clear? verify?` of each server.
fn shown(settings: &Settings, domain: &str) -> Vec<String> {
    let servers = settings.servers(domain).unwrap();
    let line = |server: &Server| {
        let flag = |name: &'static str, on: bool| if on { name } else { "" };
        format!(
            "{}{}{}{}{}",
            server.origin,
            server.base,
            flag(" mirror", server.is_mirror),
            flag(" clear", server.may_be_clear),
            flag(" unverified", !server.trust.verify),
        )
    };
    servers.iter().map(line).collect()
}

#[test]
fn only_names_of_this_machine_may_be_spoken_to_in_clear() {
    let settings = Settings::isolated();
    for (domain, want) in [
        ("docker.io", "https://registry-1.docker.io/v2"),
        ("ghcr.io", "https://ghcr.io/v2"),
        ("reg.example:5000", "https://reg.example:5000/v2"),
        ("localhost:5000", "https://localhost:5000/v2 clear"),
        ("127.1.2.3:80", "https://127.1.2.3:80/v2 clear"),
        ("[::1]:5000", "https://[::1]:5000/v2 clear"),
        ("10.0.0.1", "https://10.0.0.1/v2"),
        ("localhost.evil.example", "https://localhost.evil.example/v2"),
        ("127.0.0.1.evil.example", "https://127.0.0.1.evil.example/v2"),
    ] {
        assert_eq!(shown(&settings, domain), [want]);
    }
}

#[test]
fn dockers_files_are_understood() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    write(
        root.path().join("daemon.json"),
        r#"{"insecure-registries": ["reg.example", "10.0.0.0/8"], "registry-mirrors":
            ["https://mirror.example/"], "storage-driver": "overlay2"}"#,
    );
    assert_eq!(shown(&settings, "reg.example:1"), ["https://reg.example:1/v2 clear unverified"]);
    assert_eq!(shown(&settings, "10.1.2.3:1"), ["https://10.1.2.3:1/v2 clear unverified"]);
    assert_eq!(shown(&settings, "11.1.2.3"), ["https://11.1.2.3/v2"]);
    assert_eq!(
        shown(&settings, "docker.io"),
        ["https://mirror.example/v2 mirror", "https://registry-1.docker.io/v2"]
    );

    write(root.path().join("docker/localhost:5000/ca.crt"), "");
    write(root.path().join("docker/localhost:5000/client.cert"), "");
    let error = settings.servers("localhost:5000").unwrap_err();
    assert!(matches!(error, TransferError::Settings { .. }), "a certificate without its key");
    write(root.path().join("docker/localhost:5000/client.key"), "");
    let servers = settings.servers("localhost:5000").unwrap();
    assert_eq!(servers[0].trust.authorities.len(), 1);
    assert_eq!(servers[0].trust.clients.len(), 1);
    assert!(!servers[0].may_be_clear, "who has certificates has TLS");
}

#[test]
fn containerds_hosts_are_asked_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    write(
        root.path().join("containerd/docker.io/hosts.toml"),
        r#"
        server = "https://registry-1.docker.io"
        [host."https://z.example"]
        capabilities = ["pull", "resolve"]
        ca = "z.crt"
        [host."http://a.example:80/proxy/v2"]
        override_path = true
        skip_verify = true
        [host."https://push.example"]
        capabilities = ["push"]
        "#,
    );
    assert_eq!(
        shown(&settings, "docker.io"),
        [
            "https://z.example/v2 mirror",
            "http://a.example/proxy mirror unverified",
            "https://registry-1.docker.io/v2",
        ]
    );
    write(root.path().join("containerd/_default/hosts.toml"), "server = 5");
    assert!(settings.servers("other.example").is_err());
}

#[test]
fn podmans_registries_are_understood() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    write(
        root.path().join("registries.conf"),
        r#"
        unqualified-search-registries = ["quay.io"]
        [[registry]]
        location = "bad.example"
        blocked = true
        [[registry]]
        prefix = "*.internal"
        location = "store.example:5000"
        "#,
    );
    write(
        root.path().join("registries.conf.d/50.conf"),
        "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.example\"\n\
         insecure = true\n",
    );
    assert!(matches!(settings.servers("bad.example"), Err(TransferError::Blocked { .. })));
    assert_eq!(shown(&settings, "a.internal"), ["https://store.example:5000/v2"]);
    assert_eq!(
        shown(&settings, "quay.io"),
        ["https://m.example/v2 mirror clear unverified", "https://quay.io/v2"]
    );
    write(root.path().join("registries.conf"), "[[registry]\n");
    assert!(matches!(settings.servers("x.example"), Err(TransferError::Settings { .. })));
}
