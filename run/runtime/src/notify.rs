//! A program that answers for a filter (`SCMP_ACT_NOTIFY`), and how it gets the filter's listener.
//!
//! The caller connects to it while the host's paths are still paths; the process that loads the
//! filter sends what the kernel gave it over that connection, with one system call, and closes it.
//! runtime-spec 1.3.0, config-linux.md, "Seccomp".

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::runtime::{ContainerProcessState, Seccomp, State};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Pid;

use crate::RuntimeError;
use crate::error::{Step, spec_error};

/// Who answers for a filter.
#[derive(Debug, Clone, Copy)]
pub struct Listener<'a> {
    /// A SOCK_STREAM socket on the host: `linux.seccomp.listenerPath`.
    pub path: &'a str,
    /// `linux.seccomp.listenerMetadata`.
    pub metadata: &'a str,
    /// The container; its pid is filled in.
    pub state: &'a State,
}

/// A connection to it, and what is to be said.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    said: ContainerProcessState,
}

/// What the configuration says of a listener, checked.
pub(crate) fn path_of(
    filter: Option<&Seccomp>,
    program: Option<&seccomp::Program>,
) -> Result<Option<(String, String)>, RuntimeError> {
    let path = filter.and_then(|filter| filter.listener_path.as_deref());
    let path = path.filter(|path| !path.is_empty());
    let metadata = filter.and_then(|filter| filter.listener_metadata.as_deref());
    if path.is_none() && metadata.is_some_and(|text| !text.is_empty()) {
        return Err(spec_error("linux.seccomp.listenerMetadata", "has no listenerPath beside it"));
    }
    if !program.is_some_and(seccomp::Program::has_listener) {
        return Ok(None); // "this value is ignored"
    }
    match path {
        Some(path) => Ok(Some((path.to_owned(), metadata.unwrap_or_default().to_owned()))),
        None => Err(spec_error("linux.seccomp.listenerPath", "is missing for SCMP_ACT_NOTIFY")),
    }
}

impl Connection {
    /// Connects, on the host.
    pub(crate) fn open(listener: &Listener<'_>) -> Result<Self, RuntimeError> {
        let action = || {
            // The first words are runc's.
            format!(
                "go on: failed to connect with seccomp agent specified in the seccomp profile \
                     (linux.seccomp.listenerPath {})",
                listener.path
            )
        };
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .host(action)?;
        let address = SocketAddrUnix::new(listener.path).host(action)?;
        rustix::net::connect(&socket, &address).host(action)?;
        let said = ContainerProcessState {
            oci_version: oci::runtime::VERSION.into(),
            fds: vec!["seccompFd".into()],
            pid: 0,
            metadata: listener.metadata.to_owned(),
            state: listener.state.clone(),
        };
        Ok(Self { socket, said })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The same under a number of at least `first`; the old one stays open.
    pub(crate) fn move_above(&mut self, first: i32) -> Result<(), RuntimeError> {
        let moved = rustix::io::fcntl_dupfd_cloexec(&self.socket, first);
        let moved = moved.inside(|| "keep the connection to the filter's listener".into())?;
        // The number that it had may be one of the program's soon: not to be closed then.
        drop(std::mem::replace(&mut self.socket, moved));
        Ok(())
    }

    /// Sends the filter's descriptor, and closes the connection. `pid` is the process that the
    /// filter is for.
    pub(crate) fn tell(mut self, pid: Pid, filter: OwnedFd) -> Result<(), RuntimeError> {
        let action = || "send the filter to linux.seccomp.listenerPath".to_owned();
        self.said.pid = pid.as_raw_nonzero().get();
        self.said.state.pid = Some(self.said.pid);
        let text = serde_json::to_vec(&self.said).map_err(std::io::Error::from).inside(action)?;
        let mut rest = text.as_slice();
        let mut fds = vec![filter.as_fd()];
        while !rest.is_empty() {
            let sent = sys::socket::send(self.socket.as_fd(), rest, &fds, SendFlags::empty());
            rest = &rest[sent.inside(action)?..];
            fds.clear(); // "only in the first call"
        }
        Ok(())
    }
}
