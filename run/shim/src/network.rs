//! The network of a container: made by the client, while the stage makes the rest.
//!
//! ```text
//! client                                  stage
//!   |---- Launch (network namespace) ------>|  makes the process inside the namespace
//!   |  connects the namespace, publishes    |
//!   |---- Socket (what for; one socket) --->|  for the shim, which keeps them
//!   |---- Connected ----------------------->|  starts the program
//! ```
//!
//! A container with ids of its own must own its network, so that its first process makes the
//! namespace: the launch comes without one, and the stage says `Made` with that process's pid
//! before the client connects it.
//!
//! A client that dies before `Connected` takes the launch along.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use network::Protocol;
use oci::runtime::{NamespaceKind, Spec};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Pid;

use crate::frame::{HEADER_BYTES, header};

/// In a spec: the path of the network namespace that comes with the launch.
pub const HANDED_NETWORK: &str = "/handed-network";

pub(crate) const SOCKET: u8 = 0x08;
pub(crate) const CONNECTED: u8 = 0x09;

/// The most bytes of a `Socket` frame.
const MAX_BYTES: usize = 256;

/// What a socket is for that the shim keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It keeps a port of the host, and what arrives there is passed on.
    Port {
        /// What the port belongs to.
        protocol: Protocol,
        /// The address and port of the container.
        target: SocketAddr,
    },
    /// Somebody ends when it is closed.
    Lifeline,
    /// The network namespace from which the targets of ports are reached, if that is not the shim's
    /// own.
    Network,
    /// Questions for the resolver arrive there, inside the container's network.
    Resolver,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { protocol, target } => write!(f, "{protocol} {target}"),
            Self::Lifeline => f.write_str("lifeline"),
            Self::Network => f.write_str("network"),
            Self::Resolver => f.write_str("resolver"),
        }
    }
}

impl Purpose {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "lifeline" => return Some(Self::Lifeline),
            "network" => return Some(Self::Network),
            "resolver" => return Some(Self::Resolver),
            _ => {}
        }
        let (protocol, target) = text.split_once(' ')?;
        Some(Self::Port { protocol: Protocol::parse(protocol)?, target: target.parse().ok()? })
    }
}

/// A socket that was handed over.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) purpose: Purpose,
    pub(crate) socket: OwnedFd,
}

/// Sends one frame with one descriptor.
pub(crate) fn send_socket(
    control: BorrowedFd<'_>,
    purpose: &Purpose,
    socket: BorrowedFd<'_>,
) -> io::Result<()> {
    let text = purpose.to_string();
    let mut bytes = header(SOCKET, text.len()).to_vec();
    bytes.extend_from_slice(text.as_bytes());
    send_all(control, &bytes, socket)
}

/// Sends bytes, a descriptor with the first of them.
pub(crate) fn send_all(
    control: BorrowedFd<'_>,
    bytes: &[u8],
    fd: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut sent = sys::socket::send(control, bytes, &[fd], SendFlags::empty())?;
    while sent < bytes.len() {
        sent += sys::socket::send(control, &bytes[sent..], &[], SendFlags::empty())?;
    }
    Ok(())
}

/// In the stage: takes sockets until the client says that the network is connected. `None` if the
/// client has gone.
pub(crate) fn await_connected(control: BorrowedFd<'_>) -> io::Result<Option<Vec<Handed>>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut handed = Vec::new();
    loop {
        let mut head = [0; HEADER_BYTES];
        let (count, mut fds) = sys::socket::receive(control, &mut head, 1, RecvFlags::WAITALL)?;
        let [kind, a, b, c, d] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        match (count, kind) {
            (0, _) => return Ok(None),
            (HEADER_BYTES, CONNECTED) if length == 0 => return Ok(Some(handed)),
            (HEADER_BYTES, SOCKET) if length <= MAX_BYTES => {}
            _ => return Err(invalid()),
        }
        let mut text = vec![0; length];
        let (count, _) = sys::socket::receive(control, &mut text, 0, RecvFlags::WAITALL)?;
        let purpose = str::from_utf8(&text).ok().and_then(Purpose::parse);
        match (count == length, purpose, fds.pop()) {
            (true, Some(purpose), Some(socket)) => handed.push(Handed { purpose, socket }),
            _ => return Err(invalid()),
        }
    }
}

/// In the stage: tells the client whose network namespace it is to connect.
pub(crate) fn tell_made(control: BorrowedFd<'_>, pid: Pid) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(16);
    let pid = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
    crate::frame::Frame::Made { pid }.encode(&mut bytes);
    sys::socket::send(control, &bytes, &[], SendFlags::empty()).map(drop)
}

/// Makes the spec join the namespace that was handed over.
pub(crate) fn join(spec: &mut Spec, namespace: BorrowedFd<'_>) {
    let path = sys::fs::fd_path(namespace);
    let namespaces = spec.linux.iter_mut().flat_map(|linux| &mut linux.namespaces);
    for own in namespaces.filter(|own| own.kind == NamespaceKind::Network) {
        if own.path.as_deref() == Some(HANDED_NETWORK) {
            own.path = Some(path.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn sockets_arrive_with_their_purpose() {
        let (client, stage) = sys::socket::pair(rustix::net::SocketType::STREAM).unwrap();
        let file = tempfile::tempfile().unwrap();
        let port =
            Purpose::Port { protocol: Protocol::Udp, target: "[fd00::2]:53".parse().unwrap() };
        for purpose in [port, Purpose::Resolver, Purpose::Lifeline, Purpose::Network] {
            send_socket(client.as_fd(), &purpose, file.as_fd()).unwrap();
        }
        sys::socket::send(client.as_fd(), &header(CONNECTED, 0), &[], SendFlags::empty()).unwrap();
        let handed = await_connected(stage.as_fd()).unwrap().unwrap();
        let purposes: Vec<_> = handed.iter().map(|one| one.purpose).collect();
        assert_eq!(purposes, [port, Purpose::Resolver, Purpose::Lifeline, Purpose::Network]);
        // Half a conversation.
        send_socket(client.as_fd(), &port, file.as_fd()).unwrap();
        drop(client);
        assert!(await_connected(stage.as_fd()).unwrap().is_none());
        assert_eq!(Purpose::parse("tcp nowhere"), None);
    }
}
