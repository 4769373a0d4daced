//! The engines that are compared: how each is called, and what it needs around it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::Host;

use super::Bench;

/// An engine with a data directory of its own.
pub(crate) struct Engine {
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What `load` wants besides, or the words that stand for it.
    pub(super) load: Vec<String>,
    /// Its daemon, ended with the engine.
    daemon: Option<Daemon>,
    /// What it leaves mounted, unmounted with it.
    pub(super) mounted: Option<PathBuf>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(path) = &self.mounted {
            let _ = Command::new("umount").arg(path).stderr(Stdio::null()).status();
        }
    }
}

/// Ended with the value.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // dockerd wants to be asked, so that it ends its containerd too.
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// The most memory that it has had, in MiB.
    pub(crate) fn peak(&self) -> Option<f64> {
        high_water(self.0.id())
    }
}

/// The most that a process had resident, in MiB. proc_pid_status(5), `VmHWM`.
pub(crate) fn high_water(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

impl Engine {
    /// The most memory that its daemon has had, in MiB; nothing if it has none.
    pub(crate) fn daemon_peak(&self) -> Option<f64> {
        self.daemon.as_ref()?.peak()
    }

    /// What it wants said about signatures.
    pub(crate) fn policy(&self) -> &[String] {
        &self.load
    }

    /// One that is called like this, with nothing around it.
    pub(super) fn new(name: &str, program: PathBuf, arguments: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments,
            environment: Vec::new(),
            load: Vec::new(),
            daemon: None,
            mounted: None,
        }
    }

    /// Starts its daemon.
    pub(super) fn serve(
        &mut self,
        command: &mut Command,
        log: &Path,
    ) -> Result<(), Box<dyn Error>> {
        let log = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(Daemon(command.spawn()?));
        Ok(())
    }

    /// The process of its daemon.
    pub(super) fn daemon_id(&self) -> Option<u32> {
        self.daemon.as_ref().map(|daemon| daemon.0.id())
    }

    /// Calls it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&self.program, arguments)
    }

    /// Calls another program as it would be called.
    pub(super) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(&self.arguments).args(arguments).envs(self.environment.iter().cloned());
        command
    }

    /// What it prints; an error if it fails.
    pub(crate) fn output(&self, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = self.command(arguments).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{} {arguments:?}: {stderr}", self.name).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A command that loads an archive.
    pub(crate) fn load(&self, archive: &Path) -> Command {
        // Buildah has no `load`.
        if self.load.first().is_some_and(|word| word == "pull") {
            let mut command = self.command(&[]);
            command.args(&self.load).arg(format!("docker-archive:{}", archive.display()));
            return command;
        }
        let mut command = self.command(&["load"]);
        command.args(&self.load).arg("-i").arg(archive);
        command
    }

    /// How it names an image that it loaded under a name without a domain.
    pub(crate) fn image(&self, name: &str) -> String {
        if self.name.starts_with("podman") { format!("localhost/{name}") } else { name.to_owned() }
    }
}

/// Kista first, then the peers that are here; the second list says why others are not.
pub(crate) fn engines(bench: &Bench) -> (Vec<Engine>, Vec<String>) {
    let mut found = vec![kista(bench)];
    let mut absent = Vec::new();
    for peer in [docker(bench, None), podman(bench, "runc")] {
        match peer {
            Ok(engine) => found.push(engine),
            Err(err) => absent.push(err.to_string()),
        }
    }
    (found, absent)
}

pub(crate) fn kista(bench: &Bench) -> Engine {
    let root = bench.work.path().join("kista").to_string_lossy().into_owned();
    Engine {
        name: "kista".into(),
        program: bench.kista.clone(),
        arguments: Vec::new(),
        environment: vec![("KISTA_ROOT".into(), root)],
        load: Vec::new(),
        daemon: None,
        mounted: None,
    }
}

/// Docker with a daemon of its own: without networks, or with all of them on a host of its own.
pub(crate) fn docker(bench: &Bench, host: Option<&Host>) -> Result<Engine, Box<dyn Error>> {
    let client = find("docker").ok_or("docker: no client")?;
    let server = find("dockerd").ok_or("docker: no dockerd")?;
    let folder = bench.work.path().join("docker");
    fs::create_dir_all(&folder)?;
    let socket = folder.join("socket");
    let mut command = Command::new(server);
    command
        .arg("--data-root")
        .arg(folder.join("data"))
        .arg("--exec-root")
        .arg(folder.join("exec"))
        .arg("--pidfile")
        .arg(folder.join("pid"))
        .arg("--host")
        .arg(format!("unix://{}", socket.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log"))?);
    let child = match host {
        Some(host) => host.enter(|| command.spawn())?,
        None => {
            command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
            command.arg("--ip-masq=false").spawn()?
        }
    };
    let mut engine = Engine {
        name: "docker".into(),
        program: client,
        arguments: vec!["--host".into(), format!("unix://{}", socket.display())],
        environment: Vec::new(),
        load: Vec::new(),
        daemon: Some(Daemon(child)),
        mounted: None,
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(version) = engine.output(&["version", "--format", "{{.Server.Version}}"]) {
            engine.name = format!("docker {}", version.split('+').next().unwrap_or(&version));
            return Ok(engine);
        }
        let ended = engine.daemon.as_mut().is_some_and(|d| !matches!(d.0.try_wait(), Ok(None)));
        if ended || Instant::now() > deadline {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let last = log.lines().last().unwrap_or("says nothing");
            return Err(format!("docker: dockerd does not start: {last}").into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Podman with a given OCI runtime.
pub(crate) fn podman(bench: &Bench, runtime: &str) -> Result<Engine, Box<dyn Error>> {
    let program = find("podman").ok_or("podman: not installed")?;
    let runtime_path = find(runtime).ok_or(format!("podman: no {runtime}"))?;
    let folder = bench.work.path().join(format!("podman-{runtime}"));
    fs::create_dir_all(&folder)?;
    // Its default limits are higher than root may set on some machines.
    let config = folder.join("containers.conf");
    fs::write(
        &config,
        "[containers]\ndefault_ulimits = [\"nofile=10000:10000\", \"nproc=4000:4000\"]\n\
         [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n",
    )?;
    let policy = folder.join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut engine = Engine {
        name: "podman".into(),
        program,
        arguments: vec![
            "--root".into(),
            text(&folder.join("root")),
            "--runroot".into(),
            text(&bench.short.path().join(runtime)),
            "--runtime".into(),
            text(&runtime_path),
        ],
        environment: vec![("CONTAINERS_CONF".into(), text(&config))],
        load: vec!["--signature-policy".into(), text(&policy)],
        daemon: None,
        mounted: Some(folder.join("root/overlay")),
    };
    let version = engine.output(&["version", "--format", "{{.Client.Version}}"])?;
    engine.name = format!("podman {version} + {runtime}");
    Ok(engine)
}

/// A program's path, also in the directories of the administrator.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}
