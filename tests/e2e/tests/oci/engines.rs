//! Other people's engines over this runtime: run, exec, statistics, pause, limits, stop, remove.
//!
//! Each has its own data, sockets and daemon, which end with the test; the network is left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use testkit::{Image, needs, wait_until};

use crate::support::{Oci, output};

/// A daemon of a test's; it is asked to end, so that what it started ends too.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(command: &mut Command, dir: &Path) -> Self {
        let log = dir.join("daemon.log");
        let file = fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An engine's command line.
struct Engine {
    program: &'static str,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    dir: PathBuf,
}

impl Engine {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.arguments).args(arguments).envs(self.environment.iter().cloned());
        command
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        output(&mut self.command(arguments), &self.dir).ok()
    }
}

fn archive(dir: &Path) -> String {
    let path = dir.join("busybox.tar");
    fs::write(&path, Image::busybox("busybox").docker_archive()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn arguments(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What docker and podman have in common, down to the words.
fn scenario(engine: &Engine, image: &str, run: &[&str]) {
    let one = |flags: &[&str], command: &[&str]| {
        engine.ok(&[&["run", "--network", "none"], run, flags, &[image], command].concat())
    };
    assert_eq!(one(&["--rm"], &["echo", "hello"]), "hello");
    let failed = engine
        .command(&[&["run", "--rm", "--network", "none"], run, &[image, "nosuch"]].concat())
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(127), "{failed:?}");

    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done";
    one(&["-d", "--name", "box", "--memory", "64m", "--pids-limit", "50"], &["sh", "-c", script]);
    wait_until("output", || (engine.ok(&["logs", "box"]) == "up").then_some(()));
    assert_eq!(engine.ok(&["exec", "-e", "A=b", "box", "sh", "-c", "echo $A; id -u"]), "b\n0");
    assert_eq!(engine.ok(&["exec", "--user", "1000", "box", "id", "-u"]), "1000");
    let code = engine.command(&["exec", "box", "sh", "-c", "exit 9"]).status().unwrap().code();
    assert_eq!(code, Some(9));

    let inspect = |field: &str| engine.ok(&["inspect", "--format", field, "box"]);
    let pid = inspect("{{.State.Pid}}");
    let limit = || {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let path = |name: &str| {
            let line = groups.lines().find(|line| line.contains(name))?;
            line.splitn(3, ':').nth(2).map(str::to_owned)
        };
        match path(":memory:") {
            Some(path) => format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"),
            None => format!("/sys/fs/cgroup{}/memory.max", path("::").unwrap()),
        }
    };
    let limit = || fs::read_to_string(limit()).unwrap().trim().to_owned();
    assert_eq!(limit(), (64 << 20).to_string());
    let stats = engine.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "box"]);
    assert!(stats.contains('/') && !stats.contains("--"), "{stats}");

    engine.ok(&["pause", "box"]);
    assert_eq!(inspect("{{.State.Status}}"), "paused");
    engine.ok(&["unpause", "box"]);
    assert_eq!(inspect("{{.State.Status}}"), "running");
    engine.ok(&["stop", "--time", "20", "box"]);
    assert_eq!(inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 5");
    engine.ok(&["start", "box"]);
    engine.ok(&["rm", "--force", "box"]);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn podman_runs_its_containers_through_it() {
    needs!(Root, Busybox, Podman);
    let oci = Oci::new();
    let dir = oci.dir().join("podman");
    fs::create_dir(&dir).unwrap();
    // Its default limits are higher than root may set on some machines.
    let config = "[containers]\ndefault_ulimits = [\"nofile=10000:10000\", \"nproc=4000:4000\"]\n\
        [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
    fs::write(dir.join("containers.conf"), config).unwrap();
    fs::write(dir.join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)
        .unwrap();
    // Its sockets are below this, whose names must not be long.
    let short = tempfile::Builder::new().prefix("kp").tempdir().unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let engine = Engine {
        program: "podman",
        arguments: arguments(&[
            "--root",
            &text(&dir.join("root")),
            "--runroot",
            &text(short.path()),
            "--runtime",
            &text(oci.program()),
        ]),
        environment: vec![("CONTAINERS_CONF", text(&dir.join("containers.conf")))],
        dir: dir.clone(),
    };
    let policy = text(&dir.join("policy.json"));
    engine.ok(&["load", "--signature-policy", &policy, "-i", &archive(&dir)]);
    scenario(&engine, "localhost/busybox", &[]);
    let _ = Command::new("umount").arg(dir.join("root/overlay")).stderr(Stdio::null()).status();
}

#[test]
fn dockerd_runs_its_containers_through_it() {
    needs!(Root, Busybox, Dockerd);
    let oci = Oci::new();
    let dir = oci.dir().join("docker");
    fs::create_dir(&dir).unwrap();
    let host = format!("unix://{}/socket", dir.display());
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut daemon = Daemon::start(
        Command::new("dockerd")
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--host", &host])
            .args(["--add-runtime", &format!("kista={}", oci.program().display())])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]),
        &dir,
    );
    let engine = Engine {
        program: "docker",
        arguments: arguments(&["--host", &host]),
        environment: Vec::new(),
        dir: dir.clone(),
    };
    wait_until("dockerd", || {
        assert!(matches!(daemon.child.try_wait(), Ok(None)), "{}", daemon.log());
        let out = engine.command(&["version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        out.unwrap().success().then_some(())
    });
    engine.ok(&["load", "-i", &archive(&dir)]);
    scenario(&engine, "busybox", &["--runtime", "kista"]);

    engine.ok(&[
        "run",
        "-d",
        "--name",
        "two",
        "--runtime",
        "kista",
        "--network",
        "none",
        "busybox",
        "sleep",
        "1000",
    ]);
    engine.ok(&["update", "--memory", "48m", "--memory-swap", "48m", "--pids-limit", "20", "two"]);
    assert_eq!(engine.ok(&["exec", "two", "cat", "/proc/1/comm"]), "sleep");
    let tty = engine.ok(&[
        "run",
        "--rm",
        "-t",
        "--runtime",
        "kista",
        "--network",
        "none",
        "busybox",
        "tty",
    ]);
    assert!(tty.trim_end().starts_with("/dev/"), "{tty}");
    engine.ok(&["rm", "--force", "two"]);
}

#[test]
fn containerd_runs_its_containers_through_it() {
    needs!(Root, Busybox, Containerd);
    let oci = Oci::new();
    // The shim's socket is named after it.
    let dir = tempfile::Builder::new().prefix("kc").tempdir().unwrap();
    let dir = dir.path();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let config = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = {:?}\n",
        path("root"),
        path("state"),
        path("socket"),
    );
    fs::write(dir.join("config.toml"), config).unwrap();
    let mut daemon =
        Daemon::start(Command::new("containerd").args(["--config", &path("config.toml")]), dir);
    let engine = Engine {
        program: "ctr",
        arguments: arguments(&["--address", &path("socket")]),
        environment: Vec::new(),
        dir: dir.to_owned(),
    };
    wait_until("containerd", || {
        assert!(matches!(daemon.child.try_wait(), Ok(None)), "{}", daemon.log());
        let out = engine.command(&["version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        out.unwrap().success().then_some(())
    });
    engine.ok(&["images", "import", &archive(dir)]);
    let images = engine.ok(&["images", "ls", "-q"]);
    let image = images.lines().next().unwrap();
    let program = oci.program().to_str().unwrap();
    let state = path("runtime");
    let run = |flags: &[&str], id: &str, command: &[&str]| {
        let runtime = ["--runc-binary", program, "--runc-root", &state];
        engine.ok(&[&["run"], &runtime[..], flags, &[image, id], command].concat())
    };
    let id = oci.id("a");
    assert_eq!(run(&["--rm"], &id, &["echo", "hello"]), "hello");
    run(&["-d", "--memory-limit", "67108864"], &id, &["sleep", "1000"]);
    let task = |words: &[&str]| engine.ok(&[&["tasks"], words].concat());
    assert_eq!(task(&["exec", "--exec-id", "one", &id, "echo", "inside"]), "inside");
    assert!(task(&["ls"]).contains("RUNNING"));
    let metrics: Value =
        serde_json::from_str(&task(&["metrics", "--format", "json", &id])).unwrap();
    assert!(!metrics["memory"].is_null() || !metrics["pids"].is_null(), "{metrics}");
    assert_eq!(task(&["ps", &id]).lines().count(), 2);
    task(&["pause", &id]);
    assert!(task(&["ls"]).contains("PAUSED"));
    task(&["resume", &id]);
    task(&["kill", "--signal", "SIGKILL", &id]);
    wait_until("the end", || task(&["ls"]).contains("STOPPED").then_some(()));
    task(&["delete", &id]);
    engine.ok(&["containers", "rm", &id]);
    let left: Vec<_> = fs::read_dir(dir.join("runtime/default")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
