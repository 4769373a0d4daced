//! Registries over TLS: Kista's with other people's clients, other people's with Kista.

use std::path::Path;
use std::process::Command;

use testkit::certificates::{Authority, LOOPBACK};
use testkit::{Image, Kista, Registry, needs};

use crate::registry::{Dockerd, run};

/// One whose user trusts this certificate for a registry.
fn trusting(host: &str, certificate: &Path) -> Kista {
    let kista = Kista::on_this_machine();
    let folder = kista.root().join(".config/containers/certs.d").join(host);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(certificate, folder.join("ca.crt")).unwrap();
    kista
}

/// Pushes busybox as `a/bb:1`; the name.
fn pushed(host: &str, certificate: &Path) -> (String, Image) {
    let name = format!("{host}/a/bb:1");
    let image = Image::busybox(&name);
    let kista = trusting(host, certificate);
    kista.load(&image);
    kista.ok(&["push", "-q", &name]);
    (name, image)
}

#[test]
fn a_registry_is_trusted_by_its_certificate_alone() {
    needs!(Root, Busybox, Openssl);
    let authority = Authority::new();
    let registry = Registry::kista_tls(&authority.sign("server", LOOPBACK, 30), &[]);
    let host = registry.host();
    let (name, image) = pushed(&host, &authority.certificate());
    let kista = trusting(&host, &authority.certificate());
    kista.ok(&["pull", "-q", &name]);
    assert_eq!(kista.format("{{.Id}}", &name), image.id());

    let bare = Kista::on_this_machine();
    let out = bare.run(&["pull", &name]);
    out.fails(1, &format!("registry {host} at https://{host} is not trusted: "));
    assert!(out.stderr.contains(&format!("certs.d/{host}/ca.crt")), "{}", out.stderr);
    let login =
        bare.command(&["login", "-u", "u", "--password-stdin", &host]).stdin("secret").run();
    login.fails(1, "is not trusted");
    // What a user's daemon.json calls insecure is asked all the same.
    let folder = bare.root().join(".config/docker");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(r#"{{"insecure-registries": ["{host}"]}}"#);
    std::fs::write(folder.join("daemon.json"), text).unwrap();
    bare.ok(&["pull", "-q", &name]);
}

#[test]
fn skopeo_and_podman_push_and_pull_over_tls() {
    needs!(Root, Busybox, Openssl, Skopeo, Podman);
    let authority = Authority::new();
    let registry = Registry::kista_tls(&authority.sign("server", LOOPBACK, 30), &[]);
    let host = registry.host();
    let (name, _) = pushed(&host, &authority.certificate());
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust");
    std::fs::create_dir(&trust).unwrap();
    std::fs::copy(authority.certificate(), trust.join("ca.crt")).unwrap();
    let copied = format!("{host}/by/skopeo:1");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--src-cert-dir"]).arg(&trust).arg("--dest-cert-dir").arg(&trust);
    run(skopeo.arg(format!("docker://{name}")).arg(format!("docker://{copied}")));
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(folder.path().join("root"));
        command.arg("--runroot").arg(folder.path().join("run")).args(["--storage-driver", "vfs"]);
        run(command.args(arguments))
    };
    let again = format!("{host}/by/podman:1");
    let trust = trust.to_str().unwrap();
    podman(&["pull", "-q", "--cert-dir", trust, &copied]);
    podman(&["tag", &copied, &again]);
    podman(&["push", "-q", "--cert-dir", trust, &again]);
    let kista = trusting(&host, &authority.certificate());
    kista.ok(&["pull", "-q", &again]);
    assert_eq!(kista.ok(&["run", "--rm", &again, "echo", "x"]), "x");
}

#[test]
fn docker_pushes_and_pulls_over_tls() {
    needs!(Root, Busybox, Openssl, Dockerd);
    let authority = Authority::new();
    let registry = Registry::kista_tls(&authority.sign("server", LOOPBACK, 30), &[]);
    let host = registry.host();
    let (name, image) = pushed(&host, &authority.certificate());
    let dockerd = Dockerd::start(&[("SSL_CERT_FILE", &authority.certificate())]);
    dockerd.run(&["pull", "-q", &name]);
    let id = dockerd.run(&["image", "inspect", "--format", "{{.Id}}", &name]).stdout;
    assert_eq!(String::from_utf8_lossy(&id).trim(), image.id());
    let copied = format!("{host}/by/docker:1");
    dockerd.run(&["tag", &name, &copied]);
    dockerd.run(&["push", "-q", &copied]);
    trusting(&host, &authority.certificate()).ok(&["pull", "-q", &copied]);
}

#[test]
fn debians_registry_takes_and_gives_over_tls() {
    needs!(Root, Busybox, Openssl, DockerRegistry);
    let authority = Authority::new();
    // Docker's own instructions: one certificate, for the server and for its clients.
    let pair = authority.self_signed("both", LOOPBACK);
    let registry = Registry::docker_tls(&pair);
    let (name, image) = pushed(&registry.host(), &pair.certificate);
    let kista = trusting(&registry.host(), &pair.certificate);
    kista.ok(&["pull", "-q", &name]);
    assert_eq!(kista.format("{{.Id}}", &name), image.id());
    Kista::on_this_machine().run(&["pull", &name]).fails(1, "is not trusted");
}
