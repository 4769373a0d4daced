//! Runs one container in a process of its own.
//!
//! The runtime wants a caller with one thread, and several tests want a caller with peculiar
//! descriptors or a short life; so the test binary starts itself again with nothing but
//! [`driver`] to run, which reads a [`Request`], carries it out and writes a [`Report`].

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as ProcessStdio};

use oci::Mount;
use oci::runtime::{Process, Spec};
use runtime::{
    Container, Created, Exec, ExecErrorKind, Options, Parent, Rootfs, RuntimeError, Stdio, Target,
};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use serde::{Deserialize, Serialize};

use crate::bundle;
use crate::spy::Spy;

/// What the driver shall do.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) spec: Spec,
    /// Instead of the directory.
    pub(crate) mounts: Option<Vec<Mount>>,
    /// Added once the container runs; its output and end are reported instead of init's.
    pub(crate) exec: Option<Process>,
    pub(crate) make_cwd: Option<(u32, u32)>,
    /// Whether `HOME` is looked up.
    pub(crate) set_home: bool,
    pub(crate) no_pivot: bool,
    pub(crate) death_signal: bool,
    /// Open this many inheritable descriptors of a host's directory first.
    pub(crate) decoys: usize,
    /// Whether to hold the container open until standard input ends, after saying its pid.
    pub(crate) hold: bool,
    /// As `hold`, but the container is not started, and ends.
    pub(crate) only_create: bool,
    /// Enter this program again through its read-only mount first.
    pub(crate) guarded: bool,
    /// Do it all so often again, whatever comes of it; the report is of the last.
    pub(crate) repeat: usize,
    /// Have a spy in the container while `exec` or `joining` is carried out this many times.
    pub(crate) spied: usize,
    /// Another container, in the pid namespace of the first; like `exec`.
    pub(crate) joining: Option<Spec>,
    /// Make the container from a copy of the driver, as the driver's child.
    pub(crate) sibling: bool,
    /// Whether to make a cgroup of its own, with `linux.resources`, under a random name.
    pub(crate) cgroup: bool,
    dir: PathBuf,
}

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The error, with its causes.
    pub(crate) error: Option<String>,
    /// 127 and so on, for an error of execution.
    pub(crate) exec_error: Option<u8>,
    pub(crate) warnings: Vec<String>,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// How many processes the spy met that were not their own program yet.
    pub(crate) met: usize,
    /// What it found.
    pub(crate) found: std::collections::BTreeSet<String>,
    #[serde(skip)]
    pub(crate) stdout: String,
    #[serde(skip)]
    pub(crate) stderr: String,
}

impl Report {
    /// Standard output of a program that ended well.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.error, None);
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout.trim_end()
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> &str {
        self.error.as_deref().unwrap_or_else(|| panic!("not refused: {self:?}"))
    }
}

/// A container to run, with a root file system of its own.
pub(crate) struct Run {
    temp: tempfile::TempDir,
    pub(crate) request: Request,
}

impl Run {
    /// `args` in a container with everything as engines have it.
    pub(crate) fn new(args: &[&str]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let temp = tempfile::tempdir().unwrap();
        bundle::make_rootfs(&temp.path().join("rootfs"));
        let request =
            Request { spec: bundle::spec(args), dir: temp.path().to_owned(), ..Request::default() };
        Self { temp, request }
    }

    /// A script for the container's shell.
    pub(crate) fn shell(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Spec)) -> Self {
        edit(&mut self.request.spec);
        self
    }

    pub(crate) fn process(self, edit: impl FnOnce(&mut Process)) -> Self {
        self.edit(|spec| edit(spec.process.as_mut().unwrap()))
    }

    pub(crate) fn linux(self, edit: impl FnOnce(&mut oci::runtime::Linux)) -> Self {
        self.edit(|spec| edit(spec.linux.as_mut().unwrap()))
    }

    pub(crate) fn request(mut self, edit: impl FnOnce(&mut Request)) -> Self {
        edit(&mut self.request);
        self
    }

    /// The directory beside the root file system.
    pub(crate) fn dir(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.temp.path().join("rootfs")
    }

    /// The driver's command, for tests that start it themselves.
    pub(crate) fn command(&self) -> Command {
        self.command_of(&std::env::current_exe().unwrap())
    }

    /// The same from another copy of the program.
    pub(crate) fn command_of(&self, program: &Path) -> Command {
        let request = serde_json::to_vec(&self.request).unwrap();
        std::fs::write(self.temp.path().join("request"), request).unwrap();
        let mut command = Command::new(program);
        command
            .args(["--exact", "driver::driver", "--nocapture", "--test-threads=1"])
            .env("RUNTIME_DRIVER", self.temp.path())
            .stdin(ProcessStdio::null());
        command
    }

    pub(crate) fn run(&self) -> Report {
        let output = self.command().output().unwrap();
        assert!(output.status.success(), "{output:?}");
        self.report()
    }

    /// What the driver wrote.
    pub(crate) fn report(&self) -> Report {
        let read = |name: &str| std::fs::read(self.temp.path().join(name)).unwrap_or_default();
        let mut report: Report = serde_json::from_slice(&read("report")).unwrap();
        report.stdout = String::from_utf8_lossy(&read("stdout")).into_owned();
        report.stderr = String::from_utf8_lossy(&read("stderr")).into_owned();
        report
    }
}

/// Not a test: what [`Run`] starts in another process.
#[test]
fn driver() {
    let Some(dir) = std::env::var_os("RUNTIME_DRIVER") else { return };
    let dir = PathBuf::from(dir);
    let request = std::fs::read(dir.join("request")).unwrap();
    let request: Request = serde_json::from_slice(&request).unwrap();
    if request.guarded && !sys::exe::is_exe_readonly().unwrap() {
        return enter_guarded();
    }
    // The test framework has a thread of its own; its copy has one in all.
    let child = sys::process::fork(|| {
        live(&request);
        0
    })
    .unwrap();
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    assert_eq!(status.unwrap().unwrap().exit_status(), Some(0));
}

/// What whoever enters containers does first.
fn enter_guarded() {
    let exe = sys::exe::self_exe_readonly().unwrap();
    let strings = |texts: Vec<std::ffi::OsString>| -> Vec<std::ffi::CString> {
        let bytes = texts.into_iter().map(std::os::unix::ffi::OsStringExt::into_vec);
        bytes.map(|text| std::ffi::CString::new(text).unwrap()).collect()
    };
    let args = strings(std::env::args_os().collect());
    let env = strings(
        std::env::vars_os()
            .map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                name
            })
            .collect(),
    );
    let own = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let child = sys::process::spawn(&sys::process::Spawn {
        program: sys::process::Program::Fd(exe.as_fd()),
        args: &args.iter().map(|text| text.as_c_str()).collect::<Vec<_>>(),
        env: &env.iter().map(|text| text.as_c_str()).collect::<Vec<_>>(),
        fds: &[(own[0], 0), (own[1], 1), (own[2], 2)],
        new_session: false,
        death_signal: None,
    })
    .unwrap();
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    assert_eq!(status.unwrap().unwrap().exit_status(), Some(0));
}

fn live(request: &Request) {
    // What dies with its parent dies with the driver.
    sys::process::set_pdeathsig(Some(Signal::KILL)).unwrap();
    let dir = &request.dir;
    for _ in 0..request.repeat {
        // Errors are what the test provokes.
        let _ = carry_out(request, &mut Report::default());
    }
    let mut report = Report::default();
    if let Err(error) = carry_out(request, &mut report) {
        if let RuntimeError::Exec(error) = &error {
            assert_ne!(error.kind, ExecErrorKind::Other);
            report.exec_error = Some(error.kind.exit_code());
        }
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        report.error = Some(text);
    }
    std::fs::write(dir.join("report"), serde_json::to_vec(&report).unwrap()).unwrap();
}

fn carry_out(request: &Request, report: &mut Report) -> Result<(), RuntimeError> {
    let decoys: Vec<OwnedFd> = (0..request.decoys)
        .map(|_| {
            let fd = OwnedFd::from(File::open("/sys/fs/cgroup").unwrap());
            rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty()).unwrap();
            fd
        })
        .collect();
    let rootfs = request.dir.join("rootfs");
    let files = [
        File::open("/dev/null").unwrap(),
        File::create(request.dir.join("stdout")).unwrap(),
        File::create(request.dir.join("stderr")).unwrap(),
    ];
    let stdio = |terminal: bool| match terminal {
        true => Stdio::Terminal { size: None },
        false => Stdio::Fds([files[0].as_fd(), files[1].as_fd(), files[2].as_fd()]),
    };
    let options = Options {
        make_cwd: request.make_cwd,
        no_pivot: request.no_pivot,
        set_home: request.set_home,
        ..Options::default()
    };
    let death_signal = request.death_signal.then_some(Signal::KILL);
    let terminal = request.spec.process.as_ref().is_some_and(|process| process.terminal);
    let filter = request.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let filter = filter.map(|filter| seccomp::compile(filter, seccomp::Arch::NATIVE).unwrap());
    let cgroup = request.cgroup.then(|| OwnCgroup::new(&request.spec));
    let parent = if request.sibling { Parent::Sibling } else { Parent::Own };
    let container = Container {
        id: "test",
        spec: &request.spec,
        rootfs: match &request.mounts {
            Some(mounts) => Rootfs::Mounts(mounts),
            None => Rootfs::Directory(&rootfs),
        },
        seccomp: filter.as_ref(),
        cgroup: cgroup.as_ref().map(|own| &own.0),
        resctrl: None,
        mover: None,
        stdio: stdio(terminal),
        parent,
        death_signal,
        preserved: &[],
        options,
    };
    let created = match request.sibling {
        false if request.spec.hooks.is_some() => runtime::create_in(&container, &request.dir)?,
        false => runtime::create(&container)?,
        true => from_a_stage(&container)?,
    };
    if request.only_create {
        std::fs::write(request.dir.join("pid"), created.pid.as_raw_nonzero().to_string()).unwrap();
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        drop(created.start);
        waitid(WaitId::PidFd(created.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        return Ok(());
    }
    let is_first = request.exec.is_some() || request.joining.is_some();
    let init = run(created, report, &request.dir, is_first || request.hold)?;
    if request.hold {
        std::fs::write(request.dir.join("pid"), init.pid.as_raw_nonzero().to_string()).unwrap();
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    } else if is_first {
        let mut joining = request.joining.clone();
        for namespace in joining
            .iter_mut()
            .flat_map(|spec| &mut spec.linux)
            .flat_map(|linux| &mut linux.namespaces)
        {
            if namespace.kind == oci::runtime::NamespaceKind::Pid {
                namespace.path = Some(format!("/proc/{}/ns/pid", init.pid.as_raw_nonzero()));
            }
        }
        let linux = request.spec.linux.as_ref();
        let once = |report: &mut Report| {
            let created = match (&request.exec, &joining) {
                (Some(process), _) => exec(
                    &Exec {
                        target: Target { pid: init.pid, pidfd: init.pidfd.as_fd() },
                        process,
                        seccomp: filter.as_ref(),
                        cgroup: cgroup.as_ref().map(|own| &own.0),
                        resctrl: None,
                        memory_policy: linux.and_then(|linux| linux.memory_policy.as_ref()),
                        stdio: stdio(process.terminal),
                        parent: Parent::Own,
                        death_signal,
                        preserved: &[],
                        options,
                    },
                    &request.spec,
                ),
                (None, Some(spec)) => runtime::create(&Container { spec, ..container }),
                (None, None) => unreachable!("one of them is there"),
            };
            created.and_then(|created| run(created, report, &request.dir, false))
        };
        let spy = (request.spied > 0)
            .then(|| Spy::send(init.pidfd.as_fd(), bundle::RIGHTS, filter.is_some()));
        for _ in 1..request.spied {
            once(report)?;
        }
        let outcome = once(report);
        if let Some(spy) = spy {
            (report.met, report.found) = spy.recall();
        }
        rustix::process::pidfd_send_signal(&init.pidfd, Signal::KILL).unwrap();
        waitid(WaitId::PidFd(init.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        outcome?;
    }
    drop(decoys);
    Ok(())
}

fn exec(exec: &Exec<'_>, spec: &Spec) -> Result<Created, RuntimeError> {
    let filter = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let Some(path) = filter.and_then(|filter| filter.listener_path.as_deref()) else {
        return runtime::exec(exec);
    };
    let state = oci::runtime::State {
        oci_version: oci::runtime::VERSION.into(),
        id: "test".into(),
        status: "running".into(),
        pid: None,
        bundle: "/bundle".into(),
        annotations: std::collections::BTreeMap::new(),
    };
    runtime::exec_notifying(exec, &runtime::Listener { path, metadata: "for exec", state: &state })
}

/// Makes a container in a copy of this process, which then ends: what the shim does.
fn from_a_stage(container: &Container<'_>) -> Result<Created, RuntimeError> {
    let (near, far) = sys::socket::pair(rustix::net::SocketType::SEQPACKET).unwrap();
    let stage = sys::process::fork(|| {
        let created = runtime::create(container).unwrap();
        let pid = created.pid.as_raw_nonzero().get().to_ne_bytes();
        let start = created.start.into_fd();
        let fds = [created.pidfd.as_fd(), start.as_fd()];
        sys::socket::send(far.as_fd(), &pid, &fds, rustix::net::SendFlags::empty()).unwrap();
        0
    })
    .unwrap();
    let mut pid = [0; 4];
    let flags = rustix::net::RecvFlags::empty();
    let (_, mut fds) = sys::socket::receive(near.as_fd(), &mut pid, 2, flags).unwrap();
    waitid(WaitId::PidFd(stage.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
    let start = runtime::StartHandle::from_fd(fds.pop().unwrap());
    Ok(Created {
        pid: rustix::process::Pid::from_raw(i32::from_ne_bytes(pid)).unwrap(),
        pidfd: fds.pop().unwrap(),
        console: None,
        start,
        warnings: Vec::new(),
    })
}

/// Removed when dropped, as long as nobody is in it.
struct OwnCgroup(cgroups::Cgroup);

impl OwnCgroup {
    fn new(spec: &Spec) -> Self {
        let path = format!("kista-test/{}", sys::names::random_hex::<8>());
        let path = cgroups::CgroupPath::new(&path).unwrap();
        let resources = spec.linux.as_ref().and_then(|linux| linux.resources.clone());
        let hierarchy = cgroups::Hierarchy::detect().unwrap();
        let options = cgroups::Options::default();
        Self(hierarchy.create(&path, &resources.unwrap_or_default(), &options).unwrap())
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        self.0.remove(std::time::Duration::from_secs(5)).unwrap();
        let parent = cgroups::CgroupPath::new("kista-test").unwrap();
        // Another test may have something there.
        let _ = cgroups::Hierarchy::detect().unwrap().remove_empty(&parent);
    }
}

struct Running {
    pid: rustix::process::Pid,
    pidfd: OwnedFd,
}

fn run(
    created: Created,
    report: &mut Report,
    dir: &Path,
    leave: bool,
) -> Result<Running, RuntimeError> {
    let Created { pid, pidfd, console, start, warnings } = created;
    report.warnings.extend(warnings);
    let started = start.start();
    if !leave || started.is_err() {
        if let Some(console) = console {
            // The end of a terminal is EIO.
            let mut copy = File::create(dir.join("stdout")).unwrap();
            let _ = std::io::copy(&mut File::from(console), &mut copy);
        }
        let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
        report.code = status.exit_status();
        report.signal = status.terminating_signal();
    }
    started.map(|()| Running { pid, pidfd })
}
