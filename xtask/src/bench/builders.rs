//! The builders that are compared: engines that build, Buildah, and BuildKit.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Bench;
use super::measure::time;
use super::peers::{Engine, docker, find, kista, podman};

/// The base image of all contexts.
pub(super) const BASE: &str = "busybox:bench";

/// A builder that has the base image.
pub(super) struct Builder {
    pub(super) name: String,
    engine: Rc<Engine>,
    kind: Kind,
}

enum Kind {
    Kista,
    /// What Docker builds with by itself when it has no plugin.
    Classic,
    /// The BuildKit in the daemon of a Docker whose client needs no plugin for it.
    DockersBuildkit(PathBuf),
    Podman,
    Buildah,
    /// Its base image is in a layout.
    Buildkit {
        layout: PathBuf,
        digest: String,
    },
}

/// Kista first, then the peers that are here; the second list says why others are not.
pub(super) fn builders(bench: &Bench) -> Result<(Vec<Builder>, Vec<String>), Box<dyn Error>> {
    let archive = bench.work.path().join("busybox.tar");
    fs::write(&archive, testkit::Image::busybox(BASE).docker_archive())?;
    let mut found = Vec::new();
    let mut absent = Vec::new();
    let mut add = |engine: Result<Engine, Box<dyn Error>>, kind: Kind| match engine {
        Ok(engine) => {
            time(&mut engine.load(&archive))?;
            found.push(Builder { name: engine.name.clone(), engine: Rc::new(engine), kind });
            Ok::<_, Box<dyn Error>>(())
        }
        Err(err) => {
            absent.push(err.to_string());
            Ok(())
        }
    };
    add(Ok(kista(bench)), Kind::Kista)?;
    add(docker(bench, None), Kind::Classic)?;
    add(podman(bench, "runc"), Kind::Podman)?;
    add(buildah(bench), Kind::Buildah)?;
    match buildkit(bench) {
        Ok(builder) => found.push(builder),
        Err(err) => absent.push(err.to_string()),
    }
    if let Some(docker) = found.iter().find(|builder| matches!(builder.kind, Kind::Classic)) {
        match old_client(&docker.engine) {
            Ok(client) => {
                let (name, engine) = (format!("{} BuildKit", docker.name), docker.engine.clone());
                found.push(Builder { name, engine, kind: Kind::DockersBuildkit(client) });
            }
            Err(err) => absent.push(err.to_string()),
        }
    }
    Ok((found, absent))
}

impl Builder {
    /// The base image as a Dockerfile for it names it.
    pub(super) fn base(&self) -> String {
        match self.kind {
            Kind::Podman | Kind::Buildah => format!("localhost/{BASE}"),
            _ => BASE.to_owned(),
        }
    }

    /// The process that serves it, if it is not the command alone.
    pub(super) fn daemon(&self) -> Option<u32> {
        self.engine.daemon_id()
    }

    /// Builds a directory with one of the Dockerfiles in it; no step has a network.
    pub(super) fn build(&self, context: &Path, file: &Path, fresh: bool) -> Command {
        let mut command = match &self.kind {
            Kind::DockersBuildkit(client) => self.engine.command_of(client, &["build", "-q"]),
            Kind::Buildkit { layout, digest } => {
                return self.buildctl(context, file, fresh, (layout, digest));
            }
            _ => self.engine.command(&["build", "-q"]),
        };
        match &self.kind {
            Kind::Classic => drop(command.env("DOCKER_BUILDKIT", "0")),
            Kind::DockersBuildkit(_) => drop(command.env("DOCKER_BUILDKIT", "1")),
            // As the others: a layer for each step.
            Kind::Podman => drop(command.arg("--layers")),
            Kind::Buildah => drop(command.args(["--layers", "--runtime", "runc", "--pull-never"])),
            _ => {}
        }
        if fresh {
            command.arg("--no-cache");
        }
        command.args(["--network=none", "-t", "built", "-f"]).arg(file).arg(context);
        command
    }

    fn buildctl(
        &self,
        context: &Path,
        file: &Path,
        fresh: bool,
        (layout, digest): (&Path, &str),
    ) -> Command {
        let mut command = self.engine.command(&["build", "--frontend=dockerfile.v0"]);
        if fresh {
            command.arg("--no-cache");
        }
        for name in ["context", "dockerfile"] {
            command.arg("--local").arg(format!("{name}={}", context.display()));
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        command.args(["--opt", &format!("filename={name}")]);
        command.args(["--opt", "force-network-mode=none", "--progress=plain"]);
        command.args(["--opt", &format!("context:{BASE}=oci-layout://base@{digest}")]);
        command.arg("--oci-layout").arg(format!("base={}", layout.display()));
        command.args(["--output", "type=image,name=built"]);
        command
    }
}

/// Buildah, with the limits that Podman gets here.
fn buildah(bench: &Bench) -> Result<Engine, Box<dyn Error>> {
    let program = find("buildah").ok_or("buildah: not installed")?;
    find("runc").ok_or("buildah: no runc")?;
    let folder = bench.work.path().join("buildah");
    fs::create_dir_all(&folder)?;
    let policy = folder.join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (root, run) = (folder.join("root"), bench.short.path().join("buildah"));
    let arguments = vec!["--root".into(), text(&root), "--runroot".into(), text(&run)];
    let mut engine = Engine::new("buildah", program, arguments);
    engine.mounted = Some(root.join("overlay"));
    engine.load = vec!["pull".into(), "-q".into(), "--signature-policy".into(), text(&policy)];
    let version = engine.output(&["--version"])?;
    engine.name = format!("buildah {}", version.split(' ').nth(2).unwrap_or_default());
    Ok(engine)
}

/// A BuildKit whose `buildkitd`, `buildctl` and `buildkit-runc` are in `BENCH_BUILDKIT`.
fn buildkit(bench: &Bench) -> Result<Builder, Box<dyn Error>> {
    let programs = std::env::var_os("BENCH_BUILDKIT")
        .map(PathBuf::from)
        .ok_or("buildkit: no directory with its programs in BENCH_BUILDKIT")?;
    let folder = bench.work.path().join("buildkit");
    let layout = folder.join("layout");
    fs::create_dir_all(&layout)?;
    let archive = folder.join("base.tar");
    fs::write(&archive, testkit::Image::busybox(BASE).oci_archive())?;
    time(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&layout))?;
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let digest = index["manifests"][0]["digest"].as_str().ok_or("a layout without a manifest")?;
    // Without one of its own it would read the machine's.
    let config = folder.join("config.toml");
    fs::write(&config, "")?;
    let address = format!("unix://{}", bench.short.path().join("buildkit.sock").display());
    let mut command = Command::new(programs.join("buildkitd"));
    command.arg("--config").arg(config).arg("--root").arg(folder.join("root"));
    command.args(["--addr", &address, "--containerd-worker=false", "--oci-worker-net=host"]);
    command.arg("--oci-worker-binary").arg(programs.join("buildkit-runc"));
    let arguments = vec!["--addr".to_owned(), address];
    let mut engine = Engine::new("buildkit", programs.join("buildctl"), arguments);
    engine.serve(&mut command, &folder.join("log"))?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while engine.output(&["debug", "workers"]).is_err() {
        if Instant::now() > deadline {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!("buildkit: {}", log.lines().last().unwrap_or_default()).into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let version = engine.output(&["--version"])?;
    let name = format!("buildkit {}", version.split(' ').nth(2).unwrap_or_default());
    let kind = Kind::Buildkit { layout, digest: digest.to_owned() };
    Ok(Builder { name, engine: Rc::new(engine), kind })
}

/// A client that speaks to a daemon's BuildKit by itself: later ones want a plugin.
fn old_client(engine: &Engine) -> Result<PathBuf, Box<dyn Error>> {
    let debians = PathBuf::from("/usr/bin/docker");
    let client = if debians.exists() { debians } else { find("docker").ok_or("docker: none")? };
    let words = ["version", "--format", "{{.Client.Version}}"];
    let output = engine.command_of(&client, &words).output()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major < 23 => Ok(client),
        _ => Err(format!("docker's BuildKit: its client {version} wants a plugin").into()),
    }
}
