//! Registries for tests: Kista's own, and Debian's `docker-registry`, each a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::certificates::Pair;
use crate::wait::wait_until;

/// A registry that runs until it is dropped.
#[derive(Debug)]
pub struct Registry {
    root: tempfile::TempDir,
    port: u16,
    kind: Kind,
    tls: Option<Pair>,
    child: Option<Child>,
    arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kista,
    Docker,
}

impl Registry {
    /// `kista registry serve` with these flags besides.
    pub fn kista(arguments: &[&str]) -> Self {
        Self::start(Kind::Kista, arguments, None)
    }

    /// The same over TLS.
    pub fn kista_tls(pair: &Pair, arguments: &[&str]) -> Self {
        Self::start(Kind::Kista, arguments, Some(pair.clone()))
    }

    /// Debian's `docker-registry`. Needs [`Need::DockerRegistry`](crate::Need::DockerRegistry).
    pub fn docker() -> Self {
        Self::start(Kind::Docker, &[], None)
    }

    /// The same over TLS.
    pub fn docker_tls(pair: &Pair) -> Self {
        Self::start(Kind::Docker, &[], Some(pair.clone()))
    }

    fn start(kind: Kind, arguments: &[&str], tls: Option<Pair>) -> Self {
        let root = tempfile::Builder::new().prefix("kista-registry-").tempdir().unwrap();
        let mut registry = Self {
            root,
            port: match kind {
                // Its own choice, so that no two tests come to share one.
                Kind::Kista => 0,
                Kind::Docker => free_port(),
            },
            kind,
            tls,
            child: None,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        };
        registry.restart();
        registry
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `127.0.0.1:PORT`, as a reference begins.
    pub fn host(&self) -> String {
        self.address().to_string()
    }

    /// Where it keeps everything.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to end, and waits; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        let pid = Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        child.wait().unwrap().code()
    }

    /// Starts it again after it ended, on the same address.
    pub fn restart(&mut self) {
        let mut command = match self.kind {
            Kind::Kista => {
                let mut command = Command::new(crate::program());
                command.args(["registry", "serve", "--listen"]).arg(self.host());
                command.arg("--root").arg(self.root.path().join("store"));
                command.args(&self.arguments);
                if let Some(pair) = &self.tls {
                    command.arg("--tls-cert").arg(&pair.certificate);
                    command.arg("--tls-key").arg(&pair.key);
                }
                command
            }
            Kind::Docker => {
                let mut command = Command::new("docker-registry");
                command.arg("serve").arg(self.docker_configuration());
                command
            }
        };
        let log = self.root.path().join("log");
        let errors = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let mut child = command.spawn().unwrap();
        if self.kind == Kind::Kista {
            self.port = wait_until("the registry listens", || {
                let text = std::fs::read_to_string(&log).unwrap();
                let address = text.lines().find_map(|line| line.strip_prefix("listening on "))?;
                address.parse::<SocketAddr>().ok().map(|address| address.port())
            });
        }
        wait_until("the registry answers", || match &self.tls {
            // What it says over TLS is for the test to find out.
            Some(_) => TcpStream::connect(self.address()).ok().map(drop),
            None => self.get("/v2/").map(drop),
        });
        assert!(child.try_wait().unwrap().is_none(), "somebody else answers in its place");
        self.child = Some(child);
    }

    fn docker_configuration(&self) -> PathBuf {
        let path = self.root.path().join("config.yml");
        let store = self.root.path().join("store");
        let tls = self.tls.as_ref().map_or(String::new(), |pair| {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            format!(", tls: {{certificate: {certificate}, key: {key}}}")
        });
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  \
             filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http: {{addr: \"{}\"{tls}}}\n",
            store.display(),
            self.host()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Status and body of a `GET`; `None` if nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let head = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.host());
        stream.write_all(head.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
        Some((status, bytes.split_off(end + 4)))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody uses at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
