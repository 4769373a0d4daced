//! Execs: processes added to a running container. Each has a shim of its own, so that it outlives
//! whoever asked for it, and ends with its container.

use std::os::fd::{AsFd, OwnedFd};

use bundle::{Exec, RootfsFacts};
use metadata::Phase;
use oci::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use shim::{Early, Kind, Launch, Plan, ShimError, Streams, Target};

use crate::container::Record;
use crate::launch::{self, ForHooks};
use crate::{Engine, EngineError, Session, names};

/// A process to add.
#[derive(Debug, Clone, Default)]
pub struct ExecContainer {
    /// A name or the prefix of an id.
    pub container: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `NAME=value` each, over the container's own.
    pub env: Vec<String>,
    /// `name|uid[:group|gid]`; the container's if empty.
    pub user: String,
    /// Where it starts; the container's if empty.
    pub working_dir: String,
    /// Whether it gets a pseudo-terminal.
    pub tty: bool,
    /// The terminal's first size: rows, columns.
    pub console_size: Option<(u16, u16)>,
    /// Whether standard input is open.
    pub interactive: bool,
    /// All capabilities.
    pub privileged: bool,
    /// The streams to attach; `None` leaves the process alone.
    pub attach: Option<Streams>,
}

/// A process that was added.
#[derive(Debug)]
pub struct ExecSession {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The attached streams, if they were asked for.
    pub session: Option<Session>,
}

impl Engine {
    /// Adds a process to a running container.
    pub fn exec_container(&self, request: &ExecContainer) -> Result<ExecSession, EngineError> {
        // A shim is born where its maker is, and enters groups from there.
        self.delegation()?;
        let shim = shim::client::spawn_early(&Early::default())?;
        let (container, status) = self.look_up(&request.container)?;
        let not_running = || EngineError::Conflict {
            message: format!("container {} is not running", container.id()),
        };
        let (init, status) = self.open_init(&container, status)?.ok_or_else(not_running)?;
        match status.phase {
            Phase::Running => {}
            Phase::Paused => {
                return Err(EngineError::Conflict {
                    message: format!(
                        "Container {} is paused, unpause the container before exec",
                        request.container
                    ),
                });
            }
            _ => return Err(not_running()),
        }
        let record: Record = container.record()?;
        let facts = self.facts()?;
        let read = |path: &str| read_inside(status.pid, path);
        let (passwd, group) = (read("etc/passwd"), read("etc/group"));
        let rootfs = RootfsFacts { path: "", passwd: passwd.as_deref(), group: group.as_deref() };
        let bundle = self.spec_for_exec(&record, &status.cgroup, rootfs, facts)?;
        let spec = bundle.spec;
        let process = bundle::exec_process(&Exec {
            spec: &spec,
            config: &record.config,
            host: &record.host,
            command: &request.command,
            user: &request.user,
            env: &request.env,
            working_dir: &request.working_dir,
            tty: request.tty,
            privileged: request.privileged,
            console_size: launch::console_size(request.console_size),
            passwd: passwd.as_deref(),
            group: group.as_deref(),
            facts,
        })?;
        let id = names::new_id();
        let mut confined =
            Spec { process: Some(process), linux: spec.linux.clone(), ..Spec::default() };
        let seccomp = match request.privileged {
            true => None,
            false => self.filter(&mut confined, bundle.needs.seccomp)?,
        };
        let Some(process) = confined.process else { unreachable!("was put in above") };
        // As long as the process is there, its number was its own in all that was read above.
        let target = Target::running(status.pid.unsigned_abs()).ok_or_else(not_running)?;
        if has_ended(&init) {
            return Err(not_running());
        }
        let told = ForHooks {
            root: self.root().to_owned(),
            id: container.id().to_owned(),
            auto_remove: false,
            exec: true,
        };
        let plan = Plan {
            id: id.clone(),
            container_dir: container.path().to_owned(),
            tty: request.tty,
            open_stdin: request.interactive,
            stdin_once: true,
            attach: request.attach.unwrap_or(Streams::NONE),
            log: shim::log::LogPlan::none(),
            listen: false,
            ends_with_client: false,
            engine: serde_json::to_value(told)
                .map_err(|error| EngineError::Invalid { message: error.to_string() })?,
        };
        let launch = Launch {
            plan,
            kind: Kind::Exec { target, process: Box::new(process) },
            seccomp,
            cgroup: launch::cgroup_plan(&status.cgroup, None),
            make_cwd: None,
            foreign: self.foreign(&container, &record.host.runtime)?,
            network: false,
        };
        let mut session = shim.launch(&launch)?;
        match session.started() {
            Ok(_) => Ok(ExecSession { id, session: request.attach.map(|_| session) }),
            Err(ShimError::Failed { exit_code, message }) => {
                Err(EngineError::NotStarted { message, exit_code })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
    !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0))
}

/// Reads a small file as the container sees it now; `None` if there is no such regular file.
fn read_inside(pid: i32, path: &str) -> Option<Vec<u8>> {
    use std::io::Read;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, format!("/proc/{pid}/root"), flags, Mode::empty()).ok()?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = sys::fs::open_in_root(root.as_fd(), path, flags, Mode::empty()).ok()?;
    let file = crate::rootfs::open_regular(found.as_fd()).ok()??;
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(bundle::ACCOUNT_FILE_LIMIT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}
