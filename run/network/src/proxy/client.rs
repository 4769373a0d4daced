//! How a container is called: in the client's name where that can be.
//!
//! Where the proxy is in the network of the containers' bridges, it may use any address there. It
//! leaves the client's alone where the container's answer would not come back: an address of a
//! bridge's network is looked for on that bridge.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use ip::Prefix;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::{NetworkError, Routes};

/// Bridges come and go; a client of a new one's network may be mistaken for so long.
const FRESH: Duration = Duration::from_secs(1);

/// What it takes to call containers.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// Whether answers to foreign addresses arrive here.
    is_transparent: bool,
    /// The networks of bridges, and when they were looked at.
    bridged: Option<(Instant, Vec<Prefix>)>,
}

impl Caller {
    /// One that is in the network of the bridges, and belongs to the user whose network it is.
    pub(super) fn among_bridges() -> Self {
        // Without it the container sees its gateway as the client.
        Self { is_transparent: crate::transparent::receive_answers().is_ok(), bridged: None }
    }

    /// A socket that is connected, or about to be; in the name of `client` if possible.
    pub(super) fn connect(
        &mut self,
        kind: SocketType,
        target: SocketAddr,
        client: SocketAddr,
    ) -> Result<OwnedFd, Errno> {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        if self.can_be(client.ip(), target) {
            // The port may be in use with this target: by a connection that has just ended.
            for port in [client.port(), 0] {
                let own = SocketAddr::new(client.ip(), port);
                if let Ok(socket) = connect(kind, target, Some(own)) {
                    return Ok(socket);
                }
            }
        }
        connect(kind, target, None)
    }

    fn can_be(&mut self, client: IpAddr, target: SocketAddr) -> bool {
        let is_of_one_link = match client {
            IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
            IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
        };
        self.is_transparent
            && client.is_ipv4() == target.is_ipv4()
            && !client.is_unspecified()
            && !is_of_one_link
            && !self.bridged().iter().any(|network| network.contains(client))
    }

    fn bridged(&mut self) -> &[Prefix] {
        if self.bridged.as_ref().is_none_or(|(since, _)| since.elapsed() > FRESH) {
            let networks = bridged_networks().unwrap_or_default();
            self.bridged = Some((Instant::now(), networks));
        }
        self.bridged.as_ref().map_or(&[], |(_, networks)| networks)
    }
}

fn bridged_networks() -> Result<Vec<Prefix>, NetworkError> {
    let mut routes = Routes::open()?;
    let links = routes.links()?;
    let is_bridge =
        |index: u32| links.iter().any(|link| link.index == index && link.kind == "bridge");
    let addresses = routes.addresses()?.into_iter();
    let of_bridges = addresses.filter(|(link, _)| is_bridge(*link));
    Ok(of_bridges.map(|(_, address)| address.network()).collect())
}

fn connect(
    kind: SocketType,
    target: SocketAddr,
    own: Option<SocketAddr>,
) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    if let Some(own) = own {
        let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::PERM);
        sys::socket::set_transparent(socket.as_fd(), target.is_ipv4()).map_err(errno)?;
        // The same client may have connections to several ports from one of its own.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &own)?;
    }
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}
