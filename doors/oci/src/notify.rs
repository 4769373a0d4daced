//! Passing a container's readiness on to systemd: `NOTIFY_SOCKET`, sd_notify(3).
//!
//! ```text
//! container --- /run/notify/notify.sock = <root>/<id>/notify/notify.sock ---> us ---> the host's
//! ```
//!
//! `create` and `run` bind the directory into the container; the socket in it is made by whoever
//! starts the container. Only `READY=` is passed on, followed by the container's own number as
//! `MAINPID=`, since the numbers that a container knows mean nothing outside.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use oci::Mount;
use oci::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect,
    socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{OciError, Step};
use crate::store::Entry;

/// The directory of a container's socket, below its own.
pub(crate) const DIR: &str = "notify";
const SOCKET: &str = "notify/notify.sock";
const INSIDE: &str = "/run/notify";

/// The socket that the caller's service manager listens on, if there is one.
pub(crate) fn host_socket() -> Option<String> {
    std::env::var("NOTIFY_SOCKET").ok().filter(|path| !path.is_empty())
}

/// Lets a container that is to be made speak through `dir`.
pub(crate) fn add_to(spec: &mut Spec, dir: &Path) {
    spec.mounts.push(Mount {
        destination: INSIDE.into(),
        kind: Some("bind".into()),
        source: Some(dir.to_string_lossy().into_owned()),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        process.env.push(format!("NOTIFY_SOCKET={INSIDE}/notify.sock"));
    }
}

/// Makes the directory that [`add_to`] binds.
pub(crate) fn make_dir(entry: &Entry) -> Result<(), OciError> {
    let path = entry.path().join(DIR);
    fs::DirBuilder::new().mode(0o755).create(&path).to(|| format!("make {}", path.display()))
}

/// Listens for a container, and knows whom to tell.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: OwnedFd,
    host: OwnedFd,
}

impl Notify {
    /// Makes the socket of a container; `None` if it was made without a place for one.
    pub(crate) fn open(entry: &Entry, host: &str) -> Result<Option<Self>, OciError> {
        let action = || format!("make a socket for notifications in {}", entry.path().display());
        let new = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
        };
        let path = entry.short(SOCKET);
        let socket = new().to(action)?;
        match bind(&socket, &SocketAddrUnix::new(&*path).to(action)?) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.to(action)?,
        }
        // Whoever the container runs as writes to it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).to(action)?;
        let action = || format!("reach NOTIFY_SOCKET {host}");
        let address = match host.strip_prefix('@') {
            Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
            None => SocketAddrUnix::new(host),
        };
        let host = new().to(action)?;
        connect(&host, &address.to(action)?).to(action)?;
        Ok(Some(Self { socket, host }))
    }

    /// Waits for the container to be ready, or to end.
    pub(crate) fn wait(&self, init: BorrowedFd<'_>, pid: i32) -> Result<(), OciError> {
        loop {
            let mut fds =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&init, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(OciError::io("wait for the container", errno)),
            }
            let ended = !fds[1].revents().is_empty();
            if self.turn(pid)? || ended {
                return Ok(());
            }
        }
    }

    /// Passes on what has come; `true` once the container is ready.
    pub(crate) fn turn(&self, pid: i32) -> Result<bool, OciError> {
        let mut bytes = [0; 4096];
        // A container that never stops talking is not listened to for ever: there are signals.
        for _ in 0..MOST_AT_ONCE {
            let received =
                sys::socket::receive(self.socket.as_fd(), &mut bytes, 0, RecvFlags::empty());
            match received {
                Ok((length, _)) => {
                    let text = String::from_utf8_lossy(&bytes[..length]);
                    if let Some(line) = text.lines().find(|line| line.starts_with("READY=")) {
                        self.tell(line, pid)?;
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // Longer than any notification: not one.
                Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {}
                Err(error) => return Err(OciError::io("read a notification", error)),
            }
        }
        Ok(false)
    }

    fn tell(&self, ready: &str, pid: i32) -> Result<(), OciError> {
        let send = |text: &str, fds: &[BorrowedFd<'_>]| {
            sys::socket::send(self.host.as_fd(), text.as_bytes(), fds, SendFlags::empty())
                .map(drop)
                .to(|| "notify the service manager".into())
        };
        send(&format!("{ready}\n"), &[])?;
        send(&format!("MAINPID={pid}\n"), &[])?;
        // We may be gone before the manager looks who sent this, and then it would not know us:
        // it closes the pipe when it has. sd_notify_barrier(3).
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).to(|| "make a pipe".into())?;
        send("BARRIER=1", &[writer.as_fd()])?;
        drop(writer);
        let deadline = Instant::now() + BARRIER;
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
            match poll(&mut fds, Some(&left)) {
                Err(Errno::INTR) => {}
                // A manager that does not know of barriers keeps the pipe: that is no failure.
                _ => return Ok(()),
            }
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// How many notifications are read before anything else is looked at.
const MOST_AT_ONCE: usize = 32;
/// How long the service manager may take to look.
const BARRIER: Duration = Duration::from_secs(30);
