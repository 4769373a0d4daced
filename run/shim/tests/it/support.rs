//! A container of busybox in directories of its own, and conversations with its shim.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci::Mount;
use oci::runtime::{Capabilities, Linux, Namespace, NamespaceKind, Process, Resources, Root, Spec};
use shim::client::{self, Incoming, Session};
use shim::frame::Frame;
use shim::log::LogPlan;
use shim::{CgroupPlan, Kind, Launch, Plan, ShimError, Streams, Target};
use tempfile::TempDir;

/// How long anything may take before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A container to be, with a busybox in it. Everything of it is gone when this is dropped.
pub(crate) struct Container {
    temp: TempDir,
    pub(crate) launch: Launch,
}

/// What became of a process.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// `None` if the shim closed without saying.
    pub(crate) code: Option<u8>,
}

impl Container {
    /// One that runs `args` and whose output goes to the client.
    pub(crate) fn new(args: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        for dir in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        fs::write(root.join("etc/text"), "no program\n").unwrap();
        fs::create_dir(temp.path().join("container")).unwrap();
        let id = temp.path().file_name().unwrap().to_str().unwrap().replace('.', "");
        let plan = Plan {
            id: id.clone(),
            container_dir: temp.path().join("container"),
            tty: false,
            open_stdin: false,
            stdin_once: false,
            attach: Streams::ALL,
            log: LogPlan::none(),
            listen: true,
            ends_with_client: false,
            engine: serde_json::Value::Null,
        };
        let spec = Spec {
            oci_version: "1.3.0".to_owned(),
            root: Some(Root { path: root.to_str().unwrap().to_owned(), readonly: false }),
            process: Some(process(args)),
            hostname: Some("inside".to_owned()),
            mounts: vec![
                mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
                mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
                mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]),
            ],
            linux: Some(Linux { namespaces: own_namespaces(), ..Linux::default() }),
            ..Spec::default()
        };
        let cgroup = CgroupPlan {
            path: format!("kista-shim-test-{id}"),
            resources: Some(Box::new(Resources::default())),
        };
        let kind = Kind::Init { spec: Box::new(spec), rootfs: Vec::new(), joined: Vec::new() };
        let launch = Launch {
            plan,
            kind,
            seccomp: None,
            cgroup: Some(cgroup),
            make_cwd: None,
            foreign: None,
            network: false,
        };
        Self { temp, launch }
    }

    pub(crate) fn shell(script: &str) -> Self {
        Self::new(&["/bin/busybox", "sh", "-c", &with_applets(script)])
    }

    /// Its stdin is a pipe from the launching client, which closes it.
    pub(crate) fn with_stdin(mut self) -> Self {
        self.launch.plan.open_stdin = true;
        self.launch.plan.stdin_once = true;
        self
    }

    pub(crate) fn with_terminal(mut self) -> Self {
        self.launch.plan.tty = true;
        self.launch.plan.open_stdin = true;
        self.spec().process.as_mut().unwrap().terminal = true;
        self
    }

    pub(crate) fn spec(&mut self) -> &mut Spec {
        match &mut self.launch.kind {
            Kind::Init { spec, .. } => spec,
            Kind::Exec { .. } => panic!("not an init"),
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.temp.path().join("container")
    }

    pub(crate) fn start(&self) -> Session {
        client::spawn_early_as(&shim_program(), &shim::Early::default())
            .unwrap()
            .launch(&self.launch)
            .unwrap()
    }

    /// Starts it and waits until it runs; answers its pid too.
    pub(crate) fn started(&self) -> (Session, u32) {
        let mut session = self.start();
        let pid = session.started().unwrap();
        (session, pid)
    }

    pub(crate) fn run(&self) -> Outcome {
        let (mut session, _) = self.started();
        collect(&mut session)
    }

    pub(crate) fn attach(&self, streams: Streams) -> Session {
        let mut session = client::connect(&self.dir(), streams).unwrap();
        session.started().unwrap();
        session
    }

    /// A process to be added to it.
    pub(crate) fn exec(&self, pid: u32, script: &str) -> Launch {
        let args = ["/bin/busybox", "sh", "-c", &with_applets(script)];
        let mut launch = self.launch.clone();
        launch.plan.listen = false;
        launch.plan.tty = false;
        launch.plan.open_stdin = false;
        launch.plan.engine = serde_json::json!({ "lock": false });
        launch.kind = Kind::Exec {
            target: Target { pid, start_time: None },
            process: Box::new(process(&args)),
        };
        launch.cgroup.as_mut().unwrap().resources = None;
        launch
    }

    /// What the hooks heard, once the last of it is there.
    pub(crate) fn events(&self) -> Vec<String> {
        let path = self.dir().join("events");
        let read = || fs::read_to_string(&path).unwrap_or_default();
        wait_until("the hooks have finished", || read().ends_with("finished\n"));
        read().lines().map(str::to_owned).collect()
    }

    /// The cgroup's directories that exist.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let path = &self.launch.cgroup.as_ref().unwrap().path;
        let below = |dir: &str| Path::new("/sys/fs/cgroup").join(dir).join(path);
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap();
        let names = hierarchies.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut all: Vec<_> = names.map(|name| below(&name)).collect();
        all.push(below(""));
        all.retain(|path| path.exists());
        all
    }
}

/// The program beside this one that is a shim.
pub(crate) fn shim_program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().unwrap().parent().unwrap().join("examples/shim");
    assert!(path.exists(), "{} is not built: run all targets", path.display());
    path
}

/// Applets by their plain names.
fn with_applets(script: &str) -> String {
    format!(
        "for name in $(/bin/busybox --list); do alias $name=\"/bin/busybox $name\"; done\n{script}"
    )
}

pub(crate) fn process(args: &[&str]) -> Process {
    let all: Vec<String> =
        ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"].map(str::to_owned).to_vec();
    Process {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec!["PATH=/bin".to_owned(), "TERM=xterm".to_owned()],
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: all.clone(),
            effective: all.clone(),
            permitted: all,
            ..Capabilities::default()
        }),
        ..Process::default()
    }
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(kind.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn own_namespaces() -> Vec<Namespace> {
    use NamespaceKind::{Ipc, Mount, Network, Pid, Uts};
    [Pid, Mount, Ipc, Uts, Network].map(|kind| Namespace { kind, path: None }).to_vec()
}

/// Reads until the process has ended.
pub(crate) fn collect(session: &mut Session) -> Outcome {
    let mut outcome = Outcome::default();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match session.try_recv().unwrap() {
            Incoming::Frame(Frame::Stdout(bytes)) => outcome.stdout.extend_from_slice(bytes),
            Incoming::Frame(Frame::Stderr(bytes)) => outcome.stderr.extend_from_slice(bytes),
            Incoming::Frame(Frame::Exited { code }) => outcome.code = Some(code),
            Incoming::Frame(Frame::Started { .. }) => {}
            Incoming::Frame(other) => panic!("{other:?}"),
            Incoming::End => return outcome,
            Incoming::Nothing => wait_readable(session, deadline),
        }
    }
}

/// Reads until standard output holds `wanted`.
pub(crate) fn read_until(session: &mut Session, wanted: &str) -> String {
    let mut text = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !text.contains(wanted) {
        match session.try_recv().unwrap() {
            Incoming::Frame(Frame::Stdout(bytes)) => text += &String::from_utf8_lossy(bytes),
            Incoming::Frame(Frame::Started { .. }) => {}
            Incoming::Nothing => wait_readable(session, deadline),
            other => panic!("{other:?} after {text:?}"),
        }
    }
    text
}

pub(crate) fn wait_readable(session: &Session, deadline: Instant) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    assert!(Instant::now() < deadline, "nothing more came");
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)], Some(&second)).unwrap();
}

/// Sends all of it, and the end; reads what comes meanwhile.
pub(crate) fn converse(session: &mut Session, mut input: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let deadline = Instant::now() + PATIENCE;
    let mut is_open = true;
    loop {
        let sent = session.send_stdin(input).unwrap();
        input = &input[sent..];
        if input.is_empty() && is_open {
            session.send_stdin_eof().unwrap();
            is_open = false;
        }
        match session.try_recv().unwrap() {
            Incoming::Frame(Frame::Stdout(bytes)) => outcome.stdout.extend_from_slice(bytes),
            Incoming::Frame(Frame::Stderr(bytes)) => outcome.stderr.extend_from_slice(bytes),
            Incoming::Frame(Frame::Exited { code }) => outcome.code = Some(code),
            Incoming::Frame(other) => panic!("{other:?}"),
            Incoming::End => return outcome,
            Incoming::Nothing => {
                if session.window() == 0 || input.is_empty() {
                    wait_readable(session, deadline);
                }
            }
        }
    }
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The parent of a process.
pub(crate) fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The exit code and text of a launch that failed.
pub(crate) fn failure_of(session: &mut Session) -> (u8, String) {
    match session.started() {
        Err(ShimError::Failed { exit_code, message }) => (exit_code, message),
        other => panic!("{other:?}"),
    }
}
