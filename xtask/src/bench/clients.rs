//! Clients of registries: the engines, and containerd by its own `ctr`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Bench;
use super::measure::time;
use super::peers::{Daemon, Engine, engines, find};

/// One that pulls, unpacks and pushes.
pub(super) enum Client {
    Engine(Engine),
    Containerd { name: String, program: PathBuf, socket: PathBuf, daemon: Daemon },
}

/// Kista first, then the peers that are here; the second list says why others are not.
pub(super) fn clients(bench: &Bench) -> (Vec<Client>, Vec<String>) {
    let (engines, mut absent) = engines(bench);
    let mut found: Vec<Client> = engines.into_iter().map(Client::Engine).collect();
    match containerd(bench) {
        Ok(client) => found.push(client),
        Err(error) => absent.push(error.to_string()),
    }
    (found, absent)
}

impl Client {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Engine(engine) => &engine.name,
            Self::Containerd { name, .. } => name,
        }
    }

    pub(super) fn pull(&self, image: &str) -> Command {
        match self {
            Self::Engine(engine) => plain(engine, &["pull", "-q"], image),
            Self::Containerd { .. } => self.images(&["pull", "--plain-http", image]),
        }
    }

    pub(super) fn push(&self, image: &str) -> Command {
        match self {
            Self::Engine(engine) => plain(engine, &["push", "-q"], image),
            Self::Containerd { .. } => self.images(&["push", "--plain-http", image]),
        }
    }

    pub(super) fn tag(&self, image: &str, name: &str) -> Result<(), Box<dyn Error>> {
        time(&mut match self {
            Self::Engine(engine) => engine.command(&["tag", image, name]),
            Self::Containerd { .. } => self.images(&["tag", image, name]),
        })?;
        Ok(())
    }

    /// Removes the image, and returns when nothing of it is left.
    pub(super) fn remove(&self, image: &str) -> Result<(), Box<dyn Error>> {
        time(&mut match self {
            Self::Engine(engine) => engine.command(&["rmi", "-f", image]),
            Self::Containerd { .. } => self.images(&["rm", "--sync", image]),
        })?;
        Ok(())
    }

    /// The most memory that its daemon has had, in MiB; nothing if it has none.
    pub(super) fn daemon_peak(&self) -> Option<f64> {
        match self {
            Self::Engine(engine) => engine.daemon_peak(),
            Self::Containerd { daemon, .. } => daemon.peak(),
        }
    }

    fn images(&self, arguments: &[&str]) -> Command {
        let Self::Containerd { program, socket, .. } = self else {
            unreachable!("asked of containerd only")
        };
        let mut command = Command::new(program);
        command.arg("--address").arg(socket).arg("images").args(arguments);
        command
    }
}

/// Podman has to be told that there is no TLS; the others know it of the loopback.
fn plain(engine: &Engine, verb: &[&str], image: &str) -> Command {
    let mut command = engine.command(verb);
    if engine.name.starts_with("podman") {
        command.arg("--tls-verify=false").args(engine.policy());
    }
    command.arg(image);
    command
}

/// containerd with a daemon of its own.
fn containerd(bench: &Bench) -> Result<Client, Box<dyn Error>> {
    let server = find("containerd").ok_or("containerd: not installed")?;
    let program = find("ctr").ok_or("containerd: no ctr")?;
    let folder = bench.work.path().join("containerd");
    fs::create_dir_all(&folder)?;
    let socket = bench.short.path().join("containerd");
    let config = folder.join("config.toml");
    fs::write(&config, settings(&folder, &socket))?;
    let child = Command::new(server)
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log"))?)
        .spawn()?;
    let daemon = Daemon(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let version =
            Command::new(&program).arg("--address").arg(&socket).arg("version").output()?;
        if version.status.success() {
            let text = String::from_utf8_lossy(&version.stdout);
            let number = text.lines().rev().find_map(|line| line.trim().strip_prefix("Version:"));
            let number = number.unwrap_or_default().trim().to_owned();
            return Ok(Client::Containerd {
                name: format!("containerd {number}"),
                program,
                socket,
                daemon,
            });
        }
        if Instant::now() > deadline {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let last = log.lines().last().unwrap_or("says nothing");
            return Err(format!("containerd does not start: {last}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Directories of its own, and nothing of Kubernetes.
fn settings(folder: &Path, socket: &Path) -> String {
    format!(
        "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{1}\"\n",
        folder.display(),
        socket.display()
    )
}
