//! Other builders: each builds a case into an archive of the form of `docker save`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::{Image, Kista, Registry, wait_until};

use super::super::Context;
use crate::registry::{Daemon, Dockerd, daemon};

/// One build: its flags, each with its value, the directory, and where the archive goes.
pub(super) struct Build<'a> {
    pub(super) options: &'a [(String, String)],
    pub(super) context: &'a Context,
    pub(super) archive: &'a Path,
}

/// A builder. What it fails with is what it printed.
pub(super) trait Peer {
    /// As the corpus calls it.
    fn name(&self) -> &'static str;

    fn build(&self, build: &Build<'_>) -> Result<(), String>;
}

/// Kista itself.
pub(super) struct Ours(pub(super) Kista);

impl Peer for Ours {
    fn name(&self) -> &'static str {
        "kista"
    }

    fn build(&self, build: &Build<'_>) -> Result<(), String> {
        let words = words(build);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let built = build.context.build(&self.0, &[&["--network=none"], &words[..]].concat());
        if built.code != 0 {
            return Err(built.stderr);
        }
        self.0.ok(&["save", "-o", build.archive.to_str().unwrap(), "case"]);
        Ok(())
    }
}

/// `-t case` and the flags.
fn words(build: &Build<'_>) -> Vec<String> {
    let flags = build.options.iter().flat_map(|(flag, value)| [flag.clone(), value.clone()]);
    ["-t".to_owned(), "case".to_owned()].into_iter().chain(flags).collect()
}

/// The classic builder of Docker, or the BuildKit that Debian's Docker has in it.
pub(super) struct Docker<'a> {
    pub(super) dockerd: &'a Dockerd,
    pub(super) buildkit: bool,
}

impl<'a> Docker<'a> {
    /// Both; the second only where the client can speak to it without a plugin.
    #[expect(clippy::print_stdout, reason = "what is skipped is said")]
    pub(super) fn both(dockerd: &'a Dockerd) -> Vec<Box<dyn Peer + 'a>> {
        let archive = tempfile::NamedTempFile::new().unwrap();
        fs::write(archive.path(), Image::busybox("busybox").docker_archive()).unwrap();
        dockerd.run(&["load", "-i", archive.path().to_str().unwrap()]);
        let mut both: Vec<Box<dyn Peer>> = vec![Box::new(Self { dockerd, buildkit: false })];
        let version = client(dockerd).args(["version", "--format", "{{.Client.Version}}"]).output();
        let version = String::from_utf8_lossy(&version.unwrap().stdout).into_owned();
        match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
            Some(major) if major < 23 => both.push(Box::new(Self { dockerd, buildkit: true })),
            _ => println!("without docker's own BuildKit: its client {version} wants a plugin"),
        }
        both
    }
}

/// Debian's client, whatever is found before it.
fn client(dockerd: &Dockerd) -> Command {
    let debians = "/usr/bin/docker";
    let program = if Path::new(debians).exists() { debians } else { "docker" };
    let mut command = Command::new(program);
    command.env("DOCKER_HOST", dockerd.address());
    command
}

impl Peer for Docker<'_> {
    fn name(&self) -> &'static str {
        if self.buildkit { "docker" } else { "classic" }
    }

    fn build(&self, build: &Build<'_>) -> Result<(), String> {
        let mut command = client(self.dockerd);
        command.arg("build").args(["--network=none"]).args(words(build)).arg(build.context.path());
        command.env("DOCKER_BUILDKIT", if self.buildkit { "1" } else { "0" });
        succeed(&mut command)?;
        succeed(client(self.dockerd).args(["save", "-o"]).arg(build.archive).arg("case"))
    }
}

/// Buildah, with its images in a directory of its own.
pub(super) struct Buildah(tempfile::TempDir);

impl Buildah {
    pub(super) fn new() -> Self {
        let buildah = Self(tempfile::Builder::new().prefix("kb-").tempdir().unwrap());
        let archive = buildah.0.path().join("busybox.tar");
        fs::write(&archive, Image::busybox("busybox").docker_archive()).unwrap();
        let source = format!("docker-archive:{}", archive.display());
        succeed(buildah.command(&["pull", "-q"]).arg(source)).unwrap();
        buildah
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.0.path().join("root"));
        command.arg("--runroot").arg(self.0.path().join("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    }
}

impl Peer for Buildah {
    fn name(&self) -> &'static str {
        "buildah"
    }

    fn build(&self, build: &Build<'_>) -> Result<(), String> {
        let mut command = self.command(&["build", "--layers", "--runtime", "runc"]);
        command.args(["--network=none", "--pull-never"]).args(words(build));
        succeed(command.arg(build.context.path()))?;
        let target = format!("docker-archive:{}:case", build.archive.display());
        let _ = fs::remove_file(build.archive);
        succeed(self.command(&["push", "-q", "case"]).arg(target))
    }
}

/// A current BuildKit, whose programs `buildkitd`, `buildctl` and `buildkit-runc` are in the
/// directory that `TEST_BUILDKIT` names. It has its base image from a registry of ours.
pub(super) struct Buildkit {
    programs: PathBuf,
    address: String,
    _daemon: Daemon,
    _registry: Registry,
    _folder: tempfile::TempDir,
}

impl Buildkit {
    /// `None` if none is named.
    pub(super) fn named() -> Option<Self> {
        let programs = PathBuf::from(std::env::var_os("TEST_BUILDKIT")?);
        let registry = Registry::kista(&[]);
        let (kista, name) =
            (Kista::on_this_machine(), format!("{}/library/busybox", registry.host()));
        kista.load(&Image::busybox(&name));
        kista.ok(&["push", "-q", &name]);
        let folder = tempfile::Builder::new().prefix("kk-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let host = registry.host();
        let config = format!(
            "[registry.\"docker.io\"]\nmirrors = [\"{host}\"]\n[registry.\"{host}\"]\nhttp = true\n"
        );
        fs::write(at("config.toml"), config).unwrap();
        let socket = at("socket");
        let address = format!("unix://{}", socket.display());
        let mut command = Command::new(programs.join("buildkitd"));
        command.arg("--config").arg(at("config.toml")).arg("--root").arg(at("root"));
        command.args(["--addr", &address, "--containerd-worker=false"]);
        command.arg("--oci-worker-net=host").arg("--oci-worker-binary");
        command.arg(programs.join("buildkit-runc"));
        command.args(["--allow-insecure-entitlement", "network.host"]);
        command.args(["--allow-insecure-entitlement", "security.insecure"]);
        let started = daemon(&mut command, &socket);
        let buildkit =
            Self { programs, address, _daemon: started, _registry: registry, _folder: folder };
        wait_until("BuildKit answers", || {
            let out = buildkit.command(&["debug", "workers"]).output().unwrap();
            out.status.success().then_some(())
        });
        Some(buildkit)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("buildctl"));
        command.args(["--addr", &self.address]).args(arguments);
        command
    }
}

impl Peer for Buildkit {
    fn name(&self) -> &'static str {
        "buildkit"
    }

    fn build(&self, build: &Build<'_>) -> Result<(), String> {
        let path = build.context.path().to_str().unwrap();
        let mut command = self.command(&["build", "--progress=plain", "--frontend=dockerfile.v0"]);
        let local = |name: &str| format!("{name}={path}");
        command.args(["--local", &local("context"), "--local", &local("dockerfile")]);
        command.args(["--opt", "force-network-mode=none"]);
        let mut option = |text: String| {
            command.args(["--opt", &text]);
        };
        let mut more: Vec<String> = Vec::new();
        for (flag, value) in build.options {
            match flag.as_str() {
                "--build-arg" | "--label" => option(format!("{}:{value}", &flag[2..])),
                "--target" | "--platform" => option(format!("{}={value}", &flag[2..])),
                "--add-host" => option(format!("add-hosts={}", value.replacen(':', "=", 1))),
                "--build-context" => {
                    let (name, place) = value.split_once('=').unwrap();
                    if place.contains("://") {
                        option(format!("context:{name}={place}"));
                    } else {
                        option(format!("context:{name}=local:{name}"));
                        more.extend(["--local".to_owned(), value.clone()]);
                    }
                }
                "-f" => {
                    let name = value.strip_prefix(path).unwrap().trim_start_matches('/');
                    option(format!("filename={name}"));
                }
                "--secret" | "--allow" => more.extend([flag.clone(), value.clone()]),
                _ => panic!("{flag}: not known of BuildKit"),
            }
        }
        command.args(more);
        let output = format!("type=docker,name=case,dest={}", build.archive.display());
        succeed(command.args(["--output", &output]))
    }
}

/// What it printed, if it fails.
fn succeed(command: &mut Command) -> Result<(), String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let out = || Stdio::from(File::options().append(true).open(log.path()).unwrap());
    let status = command.stdin(Stdio::null()).stdout(out()).stderr(out()).status().unwrap();
    match status.success() {
        true => Ok(()),
        false => Err(fs::read_to_string(log.path()).unwrap_or_default()),
    }
}
