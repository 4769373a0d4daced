//! Another OCI runtime in place of our own: runc, crun, gVisor's runsc and the like.
//!
//! ```text
//! shim (subreaper) --- stage: a mount namespace of its own, the root mounted there,
//!   ^                    |    <dir>/config.json written
//!   |                    +--> RUNTIME create ... --pid-file   exits; its container is the shim's
//!   +---- reparented ----+--> RUNTIME start ...
//!   |
//!   `- at the end ----------> RUNTIME delete --force ...
//! ```
//!
//! Such a runtime wants its root file system in a directory. It is mounted in a mount namespace
//! that only the stage and what it starts are in, so that the host's table stays as it is. What
//! the runtime keeps between its commands is below the container's directory and goes with it.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci::Mount;
use oci::runtime::{Process, Resources, Root, Spec};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountPropagationFlags, MoveMountFlags};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use rustix::thread::UnshareFlags;
use sys::process::{Program, Spawn};

use super::stage::internal;
use super::standard::Standard;
use crate::{Failure, Foreign};

/// A process that such a runtime made.
pub(super) struct Made {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) console: Option<OwnedFd>,
}

/// What our own runtime is told apart from the specification, for one that is told by it alone.
pub(super) struct Limits<'a> {
    pub(super) cgroup: &'a str,
    pub(super) resources: &'a Resources,
}

/// Makes a container and starts its program.
pub(super) fn create(
    foreign: &Foreign,
    spec: &Spec,
    rootfs: &[Mount],
    limits: Option<&Limits<'_>>,
    stdio: &Standard,
) -> Result<Made, Failure> {
    let io_failed = |error: io::Error| internal(&format!("cannot make a bundle: {error}"));
    // What a run before left; the life lock says that it is nobody's.
    clear(&foreign.dir).map_err(io_failed)?;
    fs::create_dir_all(foreign.dir.join(ROOTFS)).map_err(io_failed)?;
    mount_root(rootfs, &foreign.dir.join(ROOTFS))?;
    let spec = for_others(spec, limits);
    write_json(&foreign.dir.join("config.json"), &spec).map_err(io_failed)?;
    let call = Call::new(foreign, &foreign.container, stdio).map_err(io_failed)?;
    let bundle = foreign.dir.as_os_str();
    let words = [OsStr::new("create"), OsStr::new("--bundle"), bundle];
    let made = call.make(&words, &[OsStr::new(&foreign.container)], stdio).and_then(|made| {
        let start = ["start", &foreign.container].map(OsStr::new);
        foreign.run(&start, None)?;
        Ok(made)
    });
    if made.is_err() {
        foreign.delete();
    }
    made
}

/// Adds a process to a running container.
pub(super) fn exec(
    foreign: &Foreign,
    id: &str,
    process: &Process,
    stdio: &Standard,
) -> Result<Made, Failure> {
    let io_failed = |error: io::Error| internal(&format!("cannot describe the process: {error}"));
    let call = Call::new(foreign, id, stdio).map_err(io_failed)?;
    let path = foreign.dir.join(format!("{id}.json"));
    write_json(&path, process).map_err(io_failed)?;
    let words = ["exec", "--detach", "--process"].map(OsStr::new);
    let words = [&words[..], &[path.as_os_str()]].concat();
    let made = call.make(&words, &[OsStr::new(&foreign.container)], stdio);
    let _ = fs::remove_file(&path);
    made
}

impl Foreign {
    /// Takes away what the runtime has of a container that has ended, or never was.
    pub(super) fn delete(&self) {
        // What it cannot remove is below our directory and in our cgroup, and goes with those.
        let _ = self.run(&["delete", "--force", &self.container].map(OsStr::new), None);
    }

    /// Runs one of its commands to the end. A failure has what it wrote to its log.
    fn run(&self, words: &[&OsStr], stdio: Option<[BorrowedFd<'_>; 3]>) -> Result<(), Failure> {
        let log = self.dir.join("log.json");
        let _ = fs::remove_file(&log);
        let state = self.dir.join("state");
        let globals = [
            self.program.as_os_str(),
            OsStr::new("--root"),
            state.as_os_str(),
            OsStr::new("--log"),
            log.as_os_str(),
            OsStr::new("--log-format=json"),
        ];
        let status = spawn_and_wait(&self.program, &[&globals[..], words].concat(), stdio)
            .map_err(|error| internal(&format!("cannot run {}: {error}", self.program.display())));
        match status? {
            0 => Ok(()),
            code => Err(self.failure(&log, code)),
        }
    }

    /// Its last word, with the exit code that Docker gives for what it says.
    fn failure(&self, log: &Path, code: i32) -> Failure {
        let text = fs::read_to_string(log).unwrap_or_default();
        let entry = text.lines().rev().find_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            let is_error = value.get("level").is_none_or(|level| level == "error");
            is_error.then(|| value.get("msg")?.as_str().map(str::to_owned)).flatten()
        });
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let message = entry.unwrap_or_else(|| format!("it exited with {code}"));
        let has = |part: &str| message.to_ascii_lowercase().contains(part);
        let exit_code = match () {
            () if has("executable file not found") || has("no such file or directory") => 127,
            () if has("permission denied") || has("exec format error") => 126,
            () => 125,
        };
        Failure { exit_code, message: format!("{name}: {message}") }
    }
}

const ROOTFS: &str = "rootfs";

/// One making of a process: where its number is written and its terminal arrives.
struct Call<'a> {
    foreign: &'a Foreign,
    pid_file: PathBuf,
    console: Option<Console>,
}

/// A socket in the runtime's directory, where it sends the terminal.
struct Console {
    /// Keeps the short name of `path` alive.
    _dir: OwnedFd,
    /// By way of `_dir`: the name of a socket has 107 bytes at most.
    path: PathBuf,
    listener: OwnedFd,
}

impl<'a> Call<'a> {
    fn new(foreign: &'a Foreign, id: &str, stdio: &Standard) -> io::Result<Self> {
        let console = match stdio {
            Standard::Terminal => Some(Console::listen(&foreign.dir, id)?),
            Standard::Pipes { .. } => None,
        };
        Ok(Self { foreign, pid_file: foreign.dir.join(format!("{id}.pid")), console })
    }

    /// `words` are the command and its own flags, `operands` what follows ours.
    fn make(
        &self,
        words: &[&OsStr],
        operands: &[&OsStr],
        stdio: &Standard,
    ) -> Result<Made, Failure> {
        let mut all = [words, &[OsStr::new("--pid-file"), self.pid_file.as_os_str()]].concat();
        if let Some(console) = &self.console {
            all.extend([OsStr::new("--console-socket"), console.path.as_os_str()]);
        }
        all.extend(operands);
        self.foreign.run(&all, stdio.descriptors())?;
        self.find().map_err(|error| internal(&format!("cannot find the process: {error}")))
    }

    /// The process is this one's, or the shim's by now, and nobody has waited for it: its number
    /// is its own.
    fn find(&self) -> io::Result<Made> {
        let text = fs::read_to_string(&self.pid_file)?;
        let number =
            text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let pid = Pid::from_raw(number).ok_or(io::ErrorKind::InvalidData)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let console = match &self.console {
            Some(console) => Some(console.receive()?),
            None => None,
        };
        Ok(Made { pid, pidfd, console })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pid_file);
        if let Some(console) = &self.console {
            let _ = fs::remove_file(&console.path);
        }
    }
}

/// The specification as others want it: limits in it, no time namespace (which is ours to add and
/// which many do not know), and descriptors of this process by their long names.
fn for_others(spec: &Spec, limits: Option<&Limits<'_>>) -> Spec {
    use oci::runtime::NamespaceKind::Time;
    let mut spec = spec.clone();
    spec.root = Some(Root {
        path: ROOTFS.to_owned(),
        readonly: spec.root.as_ref().is_some_and(|root| root.readonly),
    });
    let Some(linux) = &mut spec.linux else { return spec };
    if let Some(limits) = limits {
        linux.cgroups_path = Some(format!("/{}", limits.cgroup));
        linux.resources = Some(limits.resources.clone());
    }
    linux.namespaces.retain(|namespace| namespace.kind != Time);
    let own = format!("/proc/{}/", std::process::id());
    for path in linux.namespaces.iter_mut().filter_map(|namespace| namespace.path.as_mut()) {
        if let Some(rest) = path.strip_prefix("/proc/self/") {
            *path = format!("{own}{rest}");
        }
    }
    spec
}

/// Mounts the root where only this process and what it starts see it.
fn mount_root(rootfs: &[Mount], at: &Path) -> Result<(), Failure> {
    let mounted = || -> io::Result<()> {
        sys::namespace::unshare(UnshareFlags::NEWNS)?;
        // The host's later mounts arrive here, and none of ours there.
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", slave)?;
        let root = runtime::mount_detached(rootfs).map_err(io::Error::other)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(rustix::mount::move_mount(&root, "", CWD, at, flags)?)
    };
    mounted().map_err(|error| internal(&format!("cannot mount the root file system: {error}")))
}

/// Removes a directory with all that is in it; one that is not there is fine.
fn clear(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    fs::write(path, serde_json::to_vec(value)?)
}

/// Its exit code, or 128 and the signal.
fn spawn_and_wait(
    program: &Path,
    words: &[&OsStr],
    stdio: Option<[BorrowedFd<'_>; 3]>,
) -> io::Result<i32> {
    let text = |word: &OsStr| {
        CString::new(word.as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
    };
    let path = text(program.as_os_str())?;
    let words = words.iter().map(|word| text(word)).collect::<io::Result<Vec<_>>>()?;
    let args: Vec<_> = words.iter().map(CString::as_c_str).collect();
    let null =
        rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let [stdin, stdout, stderr] = stdio.unwrap_or([null.as_fd(); 3]);
    let child = sys::process::spawn(&Spawn {
        program: Program::Path(&path),
        args: &args,
        // It may call helpers, and is nobody's business otherwise.
        env: &[c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        fds: &[(stdin, 0), (stdout, 1), (stderr, 2)],
        new_session: false,
        death_signal: Some(Signal::KILL),
    })?;
    loop {
        match rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Ok(Some(status)) => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                return Ok(status.exit_status().or(signal).unwrap_or(255));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Console {
    fn listen(dir: &Path, id: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, dir, flags, Mode::empty())?;
        let start = id.get(..12).unwrap_or(id);
        let (pid, number) = (std::process::id(), dir.as_raw_fd());
        let path = PathBuf::from(format!("/proc/{pid}/fd/{number}/{start}.sock"));
        let kind = SocketType::STREAM;
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        let _ = fs::remove_file(&path);
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path)?)?;
        rustix::net::listen(&listener, 1)?;
        Ok(Self { _dir: dir, path, listener })
    }

    /// The terminal, which the runtime sent before it exited.
    fn receive(&self) -> io::Result<OwnedFd> {
        let flags = rustix::fs::fcntl_getfl(&self.listener)?;
        rustix::fs::fcntl_setfl(&self.listener, flags | OFlags::NONBLOCK)?;
        let connection = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC)?;
        let mut name = [0; 4096];
        let (_, fds) = sys::socket::receive(connection.as_fd(), &mut name, 1, RecvFlags::DONTWAIT)?;
        fds.into_iter().next().ok_or_else(|| io::Error::other("the runtime sent no terminal"))
    }
}
