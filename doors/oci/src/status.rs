//! What a container is now, asked of the kernel.

use std::os::fd::{AsFd, OwnedFd};

use cgroups::FreezerState;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, PidfdFlags};
use sys::procstat::ProcStat;

use crate::cgroup;
use crate::error::{OciError, Step};
use crate::store::{Entry, Init, Record};

/// The states of runtime-spec 1.3.0, runtime.md, "State", and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Its maker is at work.
    Creating,
    /// It waits to be started.
    Created,
    /// Its program was executed and has not ended.
    Running,
    /// As `Running` or `Created`, but standing still.
    Paused,
    /// It has ended, or never came to be.
    Stopped,
}

impl Status {
    /// The word that `state` answers.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container's first process, alive, and no other.
#[derive(Debug)]
pub(crate) struct Alive {
    /// Its number.
    pub(crate) pid: Pid,
    /// What never means another process.
    pub(crate) pidfd: OwnedFd,
}

/// Finds out what a container is, and its first process if that lives.
pub(crate) fn look(
    entry: &Entry,
    record: Option<&Record>,
) -> Result<(Status, Option<Alive>), OciError> {
    let Some((record, init)) = record.and_then(|record| Some((record, record.init?))) else {
        return Ok(match entry.is_busy()? {
            true => (Status::Creating, None),
            false => (Status::Stopped, None),
        });
    };
    let Some(alive) = find(init)? else { return Ok((Status::Stopped, None)) };
    let status = match () {
        () if is_paused(record) => Status::Paused,
        () if waits(entry)? => Status::Created,
        () => Status::Running,
    };
    Ok((status, Some(alive)))
}

/// The process that was meant, unless it has ended.
pub(crate) fn find(init: Init) -> Result<Option<Alive>, OciError> {
    let Some(pid) = Pid::from_raw(init.pid) else { return Ok(None) };
    let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(errno) => return Err(OciError::io(format!("open process {}", init.pid), errno)),
    };
    // Looked at after the descriptor is there: from now on the number is this process or nobody.
    match ProcStat::of(pid) {
        Ok(stat) if stat.start_time == init.start_time && !stat.is_dead() => {
            Ok(Some(Alive { pid, pidfd }))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OciError::io(format!("look at process {}", init.pid), error)),
    }
}

fn is_paused(record: &Record) -> bool {
    // Without a cgroup, or where it cannot be paused, it is not.
    cgroup::open(record)
        .ok()
        .flatten()
        .and_then(|group| group.freezer_state().ok())
        .is_some_and(|state| state != FreezerState::Thawed)
}

/// Whether the container still waits to be started: whether somebody listens.
fn waits(entry: &Entry) -> Result<bool, OciError> {
    Ok(match connect_start(entry, SocketFlags::NONBLOCK) {
        Ok(_) | Err(Errno::AGAIN) => true,
        Err(Errno::NOENT | Errno::CONNREFUSED) => false,
        Err(errno) => return Err(errno).to(|| "ask whether the container waits".to_owned()),
    })
}

/// A connection to a container that waits. `CONNREFUSED` and `NOENT` if it does not.
pub(crate) fn connect_start(entry: &Entry, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(socket.as_fd(), &SocketAddrUnix::new(entry.start_socket())?)?;
    Ok(socket)
}
