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
    let (domain, path) = domain.split_once('/').unwrap_or((domain, ""));
    let servers = settings.servers(domain, path).unwrap();
    let line = |server: &Server| {
        let flag = |name: &'static str, on: bool| if on { name } else { "" };
        format!(
            "{}{}{}{}{}{}",
            server.origin,
            server.base,
            server.path.as_ref().map_or(String::new(), |path| format!("/{path}")),
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
    let error = settings.servers("localhost:5000", "").unwrap_err();
    assert!(matches!(error, TransferError::Settings { .. }), "a certificate without its key");
    write(root.path().join("docker/localhost:5000/client.key"), "");
    let servers = settings.servers("localhost:5000", "").unwrap();
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
    assert!(settings.servers("other.example", "").is_err());
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
    assert!(matches!(settings.servers("bad.example", ""), Err(TransferError::Blocked { .. })));
    assert_eq!(shown(&settings, "a.internal"), ["https://store.example:5000/v2"]);
    assert_eq!(
        shown(&settings, "quay.io"),
        ["https://m.example/v2 mirror clear unverified", "https://quay.io/v2"]
    );
    write(root.path().join("registries.conf"), "[[registry]\n");
    assert!(matches!(settings.servers("x.example", ""), Err(TransferError::Settings { .. })));
}

#[test]
fn podmans_repositories_are_understood() {
    let root = tempfile::tempdir().unwrap();
    let settings = settings(root.path());
    write(
        root.path().join("registries.conf"),
        r#"
        [[registry]]
        location = "one.example"
        [[registry]]
        prefix = "one.example/team"
        location = "two.example/x/y"
        [[registry.mirror]]
        location = "m.example/cache"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "one.example/team/secret"
        blocked = true
        [[registry]]
        prefix = "*.wide.example/a"
        location = "narrow.example"
        "#,
    );
    assert_eq!(shown(&settings, "one.example/other/z"), ["https://one.example/v2"]);
    assert_eq!(
        shown(&settings, "one.example/team/app"),
        ["https://m.example/v2/cache/app mirror", "https://two.example/v2/x/y/app"]
    );
    assert_eq!(
        shown(&settings, "one.example/team"),
        ["https://m.example/v2/cache mirror", "https://two.example/v2/x/y"]
    );
    // A name that only begins alike is another.
    assert_eq!(shown(&settings, "one.example/teams"), ["https://one.example/v2"]);
    assert!(matches!(
        settings.servers("one.example", "team/secret/b"),
        Err(TransferError::Blocked { registry, .. }) if registry == "one.example/team/secret/b"
    ));
    assert_eq!(shown(&settings, "b.wide.example/a/c"), ["https://narrow.example/v2/c"]);
    assert_eq!(shown(&settings, "b.wide.example/c"), ["https://b.wide.example/v2"]);
    let mirrors = settings.servers("one.example", "team/app").unwrap();
    assert!(mirrors[0].serves(true) && !mirrors[0].serves(false));
    // Of a single image: refused where it would count, and in nobody else's way.
    let of_one = "[[registry]]\nprefix = \"a.example/b:c\"\nblocked = true\n";
    write(root.path().join("registries.conf"), of_one);
    assert!(matches!(settings.servers("a.example", "b"), Err(TransferError::Settings { .. })));
    assert_eq!(shown(&settings, "a.example/b/c"), ["https://a.example/v2"]);
    let scheme = "[[registry]]\nprefix = \"a.example\"\nlocation = \"https://b.example\"\n";
    write(root.path().join("registries.conf"), scheme);
    let error = settings.servers("a.example", "b").unwrap_err().to_string();
    assert!(error.contains("registries.conf") && error.contains("without a scheme"), "{error}");
}
