//! `kista registry serve` and other people's clients; Kista and other people's registry.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use testkit::{Image, Kista, Registry, needs, wait_until};

pub(crate) fn run(command: &mut Command) -> Output {
    let out = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{command:?}\n{}{}", text(&out.stdout), text(&out.stderr));
    out
}

/// Pushes busybox as `a/bb:1`; the name.
fn pushed(host: &str) -> (String, Image) {
    let name = format!("{host}/a/bb:1");
    let image = Image::busybox(&name);
    let kista = Kista::on_this_machine();
    kista.load(&image);
    kista.ok(&["push", "-q", &name]);
    (name, image)
}

/// What is under the name is busybox, and runs.
fn check(name: &str) {
    let kista = Kista::on_this_machine();
    kista.ok(&["pull", "-q", name]);
    assert_eq!(kista.ok(&["run", "--rm", name, "echo", "x"]), "x");
}

#[test]
fn skopeo_copies_both_ways() {
    needs!(Root, Busybox, Skopeo);
    let registry = Registry::kista(&["--delete"]);
    let (name, _) = pushed(&registry.host());
    let folder = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}:x", folder.path().join("layout").display());
    let copied = format!("{}/copied/deep/name:2", registry.host());
    let skopeo = |arguments: &[&str]| run(Command::new("skopeo").args(arguments));
    skopeo(&["copy", "--src-tls-verify=false", &format!("docker://{name}"), &layout]);
    // Once as it is, once as Docker's schema 2 with compressed layers.
    let back = format!("docker://{copied}");
    skopeo(&["copy", "--dest-tls-verify=false", &layout, &back]);
    check(&copied);
    skopeo(&[
        "copy",
        "--dest-tls-verify=false",
        "--format",
        "v2s2",
        "--dest-compress",
        &layout,
        &back,
    ]);
    check(&copied);
    let tags =
        skopeo(&["list-tags", "--tls-verify=false", &format!("docker://{}/a/bb", registry.host())]);
    assert!(String::from_utf8_lossy(&tags.stdout).contains("\"1\""));
    skopeo(&["delete", "--tls-verify=false", &back]);
    let kista = Kista::on_this_machine();
    kista.run(&["pull", &copied]).fails(1, "manifest unknown");
}

#[test]
fn podman_pushes_and_pulls() {
    needs!(Root, Busybox, Podman);
    let registry = Registry::kista(&[]);
    let (name, _) = pushed(&registry.host());
    let folder = tempfile::tempdir().unwrap();
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(folder.path().join("root"));
        command.arg("--runroot").arg(folder.path().join("run")).args(["--storage-driver", "vfs"]);
        run(command.args(arguments))
    };
    let copied = format!("{}/by/podman:1", registry.host());
    podman(&["pull", "-q", "--tls-verify=false", &name]);
    podman(&["tag", &name, &copied]);
    podman(&["push", "-q", "--tls-verify=false", &copied]);
    check(&copied);
}

/// A daemon that ends with the test.
pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked first: it has children of its own.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn daemon(command: &mut Command, socket: &Path) -> Daemon {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let daemon = Daemon(child.unwrap());
    wait_until("the daemon listens", || socket.exists().then_some(()));
    daemon
}

/// Docker's daemon, and its client.
pub(crate) struct Dockerd {
    socket: std::path::PathBuf,
    _daemon: Daemon,
    _folder: tempfile::TempDir,
}

impl Dockerd {
    /// Starts one with these variables in its environment.
    pub(crate) fn start(variables: &[(&str, &Path)]) -> Self {
        let folder = tempfile::Builder::new().prefix("kd-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let socket = at("docker.sock");
        let mut command = Command::new("dockerd");
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec"));
        command.arg("--pidfile").arg(at("pid"));
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command.args(["--bridge=none", "--iptables=false", "--storage-driver=vfs"]);
        command.envs(variables.iter().copied());
        let started = daemon(&mut command, &socket);
        let dockerd = Self { socket, _daemon: started, _folder: folder };
        wait_until("docker answers", || {
            let out = dockerd.command(&["version"]).output();
            out.ok().filter(|out| out.status.success())
        });
        dockerd
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.address()).args(arguments);
        command
    }

    /// Where it listens, as clients want it.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs a command that must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }
}

#[test]
fn docker_pushes_and_pulls() {
    needs!(Root, Busybox, Dockerd);
    let registry = Registry::kista(&[]);
    let (name, image) = pushed(&registry.host());
    let dockerd = Dockerd::start(&[]);
    let docker = |arguments: &[&str]| dockerd.run(arguments);
    let copied = format!("{}/by/docker:1", registry.host());
    docker(&["pull", "-q", &name]);
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &name]).stdout;
    assert_eq!(String::from_utf8_lossy(&id).trim(), image.id());
    docker(&["tag", &name, &copied]);
    docker(&["push", "-q", &copied]);
    check(&copied);
}

#[test]
fn containerd_pushes_and_pulls() {
    needs!(Root, Busybox, Containerd);
    let registry = Registry::kista(&[]);
    let (name, _) = pushed(&registry.host());
    let folder = tempfile::Builder::new().prefix("kc-").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let socket = at("containerd.sock");
    let configuration = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = {:?}\n",
        at("root"),
        at("state"),
        socket
    );
    std::fs::write(at("config.toml"), configuration).unwrap();
    let mut command = Command::new("containerd");
    let _daemon = daemon(command.arg("--config").arg(at("config.toml")), &socket);
    let ctr = |arguments: &[&str]| {
        let mut command = Command::new("ctr");
        run(command.arg("--address").arg(&socket).arg("images").args(arguments))
    };
    let copied = format!("{}/by/ctr:1", registry.host());
    ctr(&["pull", "--plain-http", "--snapshotter", "native", &name]);
    ctr(&["tag", &name, &copied]);
    ctr(&["push", "--plain-http", &copied]);
    check(&copied);
}

#[test]
fn debians_registry_takes_and_gives() {
    needs!(Root, Busybox, DockerRegistry);
    let registry = Registry::docker();
    let (name, image) = pushed(&registry.host());
    check(&name);
    let kista = Kista::on_this_machine();
    kista.ok(&["pull", "-q", &name]);
    assert_eq!(kista.format("{{.Id}}", &name), image.id());
    let digests = kista.format("{{json .RepoDigests}}", &name);
    let pinned: Vec<String> = serde_json::from_str(&digests).unwrap();
    kista.ok(&["rmi", &name]);
    assert_eq!(kista.ok(&["run", "--rm", &pinned[0], "echo", "x"]), "x");
    // The same blobs under another name of the same registry are mounted.
    let second = format!("{}/other:1", registry.host());
    kista.ok(&["tag", &pinned[0], &second]);
    let out = kista.ok(&["push", &second]);
    assert!(out.contains(": Mounted"), "{out}");
}

#[test]
fn a_list_of_manifests_is_made_and_pulled_by_platform() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let (name, image) = pushed(&registry.host());
    let list = format!("{}/lists/bb:all", registry.host());
    let kista = Kista::on_this_machine();
    kista.run(&["manifest", "push", &list]).fails(1, "No such manifest");
    let begun = kista.ok(&["manifest", "create", &list, &name]);
    assert_eq!(begun, format!("Created manifest list {list}"));
    kista.run(&["manifest", "create", &list, &name]).fails(1, "refusing to amend");
    kista.ok(&["manifest", "annotate", "--arch", "s390x", &list, &name]);
    let wrong = kista.ok(&["manifest", "inspect", &list]);
    assert!(wrong.contains("s390x"), "{wrong}");
    kista.run(&["manifest", "annotate", &list, "other:1"]).fails(1, "does not exist in");
    kista.ok(&["manifest", "create", "--amend", &list, &name]);
    let digest = kista.ok(&["manifest", "push", "--purge", &list]);
    kista.run(&["manifest", "rm", &list]).fails(1, "No such manifest");

    let other = Kista::on_this_machine();
    let out = other.ok(&["pull", &list]);
    assert!(out.contains(&format!("Digest: {digest}")), "{out}");
    assert_eq!(other.format("{{.Id}}", &list), image.id());
    let absent = other.run(&["pull", "--platform", "linux/riscv64", &list]);
    absent.fails(1, "no matching manifest for linux/riscv64");
}

#[test]
fn logins_are_kept_where_docker_keeps_them() {
    needs!(Root, Busybox);
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    // `htpasswd -nbB -C 5 user pass`
    std::fs::write(&users, format!("user:{PASS}\n")).unwrap();
    let registry = Registry::kista(&["--htpasswd", users.to_str().unwrap()]);
    let host = registry.host();
    let kista = Kista::on_this_machine();
    kista.load(&testkit::Image::busybox("busybox"));
    let name = format!("{host}/x:1");
    kista.ok(&["tag", "busybox", &name]);
    kista.run(&["push", &name]).fails(1, "push access denied");
    let login = |password: &str| {
        kista.command(&["login", "-u", "user", "--password-stdin", &host]).stdin(password).run()
    };
    login("wrong").fails(1, "refuses the credentials");
    let out = login("pass\n");
    assert_eq!((out.code, out.stdout.as_str()), (0, "Login Succeeded\n"), "{}", out.stderr);
    let path = kista.root().join(".docker/config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&host) && text.contains("dXNlcjpwYXNz"), "{text}");
    kista.ok(&["push", "-q", &name]);
    assert_eq!(kista.ok(&["logout", &host]), format!("Removing login credentials for {host}"));
    assert_eq!(kista.ok(&["logout", &host]), format!("Not logged in to {host}"));
    kista.run(&["pull", &name]).fails(1, "pull access denied");
}

/// The bcrypt hash of `pass`.
const PASS: &str = "$2y$05$RPPYmx0HzjWieRSB68HWWeqrtsfRZeZBIX.P8q32aJF8ykhOKxh8y";

#[test]
fn a_killed_registry_has_what_it_said_that_it_has() {
    needs!(Root, Busybox);
    let mut registry = Registry::kista(&["--delete"]);
    let host = registry.host();
    let kista = Kista::on_this_machine();
    kista.load(&testkit::Image::busybox("busybox"));
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..6_u64 {
        let name = format!("{host}/r{}:t{round}", round % 3);
        kista.ok(&["tag", "busybox", &name]);
        let child = kista.command(&["push", "-q", &name]).spawn();
        std::thread::sleep(Duration::from_millis(3 + 9 * (round % 7)));
        registry.kill();
        registry.restart();
        let out = child.wait_with_output().unwrap();
        // It tries again, and comes through, or says that it did not.
        if out.status.success() {
            acknowledged.push(name);
        }
        for name in &acknowledged {
            let (repository, tag) = name[host.len() + 1..].rsplit_once(':').unwrap();
            let (status, body) =
                registry.get(&format!("/v2/{repository}/manifests/{tag}")).unwrap();
            assert_eq!(status, 200, "{name}");
            let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let digest = manifest["layers"][0]["digest"].as_str().unwrap();
            let (status, blob) = registry.get(&format!("/v2/{repository}/blobs/{digest}")).unwrap();
            assert_eq!((status, testkit::image::digest(&blob).as_str()), (200, digest));
        }
    }
    assert!(!acknowledged.is_empty());
    let left = std::fs::read_dir(registry.root().join("store/ingest")).unwrap().count();
    assert_eq!(left, 0, "what was being sent is swept at the start");
    assert_eq!(registry.terminate(), Some(0));
}

#[test]
fn a_search_prints_what_docker_prints() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let list = r#"{"results": [
        {"name": "a/one", "description": "Short", "star_count": 3},
        {"name": "two", "description": "A description that is longer than a line may be, by far",
         "star_count": 12, "is_official": true}]}"#;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 2048];
            let count = stream.read(&mut head).unwrap_or(0);
            let is_search = head[..count].starts_with(b"GET /v1/search?q=term&n=25 ");
            let body = if is_search { list } else { "" };
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let kista = Kista::on_this_machine();
    let term = format!("{host}/term");
    assert_eq!(
        kista.ok(&["search", &term]),
        "NAME      DESCRIPTION                                     STARS     OFFICIAL\n\
         two       A description that is longer than a line may…   12        [OK]\n\
         a/one     Short                                           3         "
    );
    let filtered = ["search", "--filter", "is-official=true", "--format", "{{.Name}}", &term];
    assert_eq!(kista.ok(&filtered), "two");
    kista.run(&["search", "--limit", "101", &term]).fails(1, "outside the range of [1, 100]");
    kista.run(&["search", "--filter", "x=y", &term]).fails(1, "invalid filter 'x'");
    let registry = Registry::kista(&[]);
    let none = format!("{}/x", registry.host());
    kista.run(&["search", &none]).fails(1, "cannot be searched");
}

#[test]
fn artifacts_are_listed_and_not_taken_for_images() {
    needs!(Root, Busybox, Skopeo);
    let registry = Registry::kista(&[]);
    let (name, _) = pushed(&registry.host());
    let kista = Kista::on_this_machine();
    assert_eq!(kista.ok(&["manifest", "referrers", "-q", &name]), "");
    let (_, bytes) = registry.get("/v2/a/bb/manifests/1").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |bytes: &[u8]| {
        let digest = testkit::image::digest(bytes);
        let hex = digest.strip_prefix("sha256:").unwrap().to_owned();
        let blobs = folder.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(hex), bytes).unwrap();
        digest
    };
    let empty = serde_json::json!({"mediaType": "application/vnd.oci.empty.v1+json",
        "digest": write(b"{}"), "size": 2});
    let artifact = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/example+json", "config": empty, "layers": [empty],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": testkit::image::digest(&bytes), "size": bytes.len()},
    })
    .to_string();
    let digest = write(artifact.as_bytes());
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
        "size": artifact.len(), "annotations": {"org.opencontainers.image.ref.name": "x"}}]});
    std::fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--dest-tls-verify=false"]);
    copy.arg(format!("oci:{}:x", folder.path().display()));
    run(copy.arg(format!("docker://{}/a/bb:artifact", registry.host())));

    let listed = kista.ok(&["manifest", "referrers", &name]);
    assert!(listed.contains(&digest) && listed.contains("application/example+json"), "{listed}");
    let other = ["manifest", "referrers", "-q", "--artifact-type", "other/type", &name];
    assert_eq!(kista.ok(&other), "");
    kista
        .run(&["pull", &format!("{}/a/bb:artifact", registry.host())])
        .fails(1, "it is an artifact of type application/example+json, not an image");
}
