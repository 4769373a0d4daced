//! Docker in Kista's place: the same tests, so that what they assert is checked.
//!
//! `TEST_PEER=docker cargo nextest run -p e2e network::` has each test's commands answered by a
//! dockerd of its own, with its data in the test's directory and its bridges and firewall in the
//! test's host. What it does in another way is listed in docs/compat/networks.md.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Host, wait_until};

/// A daemon that ends with the value.
#[derive(Debug)]
pub(crate) struct Docker {
    daemon: Child,
    socket: PathBuf,
}

impl Docker {
    /// Whether the tests are to be run with it.
    pub(crate) fn is_wanted() -> bool {
        match std::env::var("TEST_PEER") {
            Ok(peer) if peer == "docker" => true,
            Ok(peer) => panic!("TEST_PEER is {peer:?}, and there is docker alone"),
            Err(_) => false,
        }
    }

    /// Starts a daemon with its data below `root`.
    pub(crate) fn start(root: &Path, host: &Host) -> Self {
        let socket = root.join("docker.sock");
        let log = File::create(root.join("docker.log")).unwrap();
        // What it mounts goes with its namespace.
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "dockerd", "--data-root"]);
        command.arg(root.join("data")).arg("--exec-root").arg(root.join("exec"));
        command.arg("--pidfile").arg(root.join("docker.pid"));
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = host.enter(|| command.spawn().unwrap());
        let mut docker = Self { daemon, socket };
        wait_until("dockerd answers", || {
            let ended = docker.daemon.try_wait().unwrap();
            assert!(ended.is_none(), "dockerd ended: see {}", root.join("docker.log").display());
            let out = docker.command(&["version"]).output().unwrap();
            out.status.success().then_some(())
        });
        docker
    }

    /// A command of its client.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display())).args(arguments);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It wants to be asked, so that it ends its containerd too. unshare has become dockerd.
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(30);
        while matches!(self.daemon.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
