//! Ports of the host: kept from everybody else by a socket, as long as that is open.
//!
//! The table sends what comes for a published port to the container before any socket sees it. The
//! socket is there so that the port is really free when it is taken, and stays ours: a program
//! that binds it later gets the error, and so do we if one was first. What the table cannot
//! redirect arrives at the socket after all, and is passed on from there (connections to `::1`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// What a port belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names of the protocols")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Reads the lower-case name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            _ => return None,
        })
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The number in an IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port that is ours.
#[derive(Debug)]
pub struct Reservation {
    /// The address and port on the host.
    pub address: SocketAddr,
    /// The socket that keeps it. `None` for SCTP on a kernel that has no such sockets: then
    /// nobody else can listen there either.
    pub socket: Option<OwnedFd>,
}

/// Why a port is not ours.
#[derive(Debug)]
pub enum Taken {
    /// Somebody else has it.
    InUse,
    /// The host does not have the address.
    NoAddress,
    /// The kernel does not have the family or the protocol.
    NoFamily,
    /// Anything else.
    Other(std::io::Error),
}

impl Reservation {
    /// Takes a port of the calling thread's network namespace; any free one if it is 0.
    ///
    /// A port below 1024 needs CAP_NET_BIND_SERVICE.
    pub fn take(protocol: Protocol, address: IpAddr, port: u16) -> Result<Self, Taken> {
        let wanted = SocketAddr::new(address, port);
        match bind(protocol, wanted) {
            Ok(socket) => {
                let bound = rustix::net::getsockname(&socket)
                    .ok()
                    .and_then(|bound| SocketAddr::try_from(bound).ok());
                Ok(Self { address: bound.unwrap_or(wanted), socket: Some(socket) })
            }
            Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT)
                if protocol == Protocol::Sctp && port != 0 =>
            {
                Ok(Self { address: wanted, socket: None })
            }
            Err(Errno::ADDRINUSE) => Err(Taken::InUse),
            Err(Errno::ADDRNOTAVAIL) => Err(Taken::NoAddress),
            Err(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => {
                Err(Taken::NoFamily)
            }
            Err(errno) => Err(Taken::Other(errno.into())),
        }
    }
}

fn bind(protocol: Protocol, address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, Some(number))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol != Protocol::Udp {
        // Connections of an earlier owner that are still winding up do not count; somebody who
        // listens does, and we listen so that we do.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if protocol != Protocol::Udp {
        rustix::net::listen(&socket, 128)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

    #[test]
    fn a_port_belongs_to_one() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let ours = Reservation::take(protocol, local, 0).unwrap();
            let port = ours.address.port();
            assert_ne!(port, 0);
            assert!(matches!(Reservation::take(protocol, local, port), Err(Taken::InUse)));
            let other = match protocol {
                Protocol::Tcp => TcpListener::bind(("127.0.0.1", port)).is_err(),
                _ => UdpSocket::bind(("127.0.0.1", port)).is_err(),
            };
            assert!(other, "{protocol}");
            drop(ours);
            Reservation::take(protocol, local, port).unwrap();
        }
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = theirs.local_addr().unwrap().port();
        for address in [local, IpAddr::V4(Ipv4Addr::UNSPECIFIED)] {
            let taken = Reservation::take(Protocol::Tcp, address, port);
            assert!(matches!(taken, Err(Taken::InUse)), "{address}");
        }
        // The two families do not get into each other's way.
        Reservation::take(Protocol::Tcp, IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).unwrap();
    }

    #[test]
    fn an_address_of_somebody_else_is_told() {
        let foreign = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert!(matches!(Reservation::take(Protocol::Tcp, foreign, 0), Err(Taken::NoAddress)));
    }
}
