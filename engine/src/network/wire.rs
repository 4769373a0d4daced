//! What is made inside a container's network: its links with their addresses, its routes, and the
//! sockets of its resolver.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ip::Prefix;
use metadata::{EndpointState, NetworkState, PortState};
use network::{Endpoint, Link, MacAddress, NetworkError, Routes, Setting};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::lan;
use super::options::Driver;
use super::sandbox::RESOLVER;
use super::wish::Wish;
use crate::EngineError;

/// Connects one end to a bridge, or to the link that it shares. `ports` are those that the container
/// publishes.
pub(crate) fn plug(
    endpoint: &EndpointState,
    ports: &[PortState],
    wish: &Wish,
    link: &Link,
    namespace: BorrowedFd<'_>,
    routes: &mut Routes,
) -> Result<(), EngineError> {
    match &wish.driver {
        Driver::Lan(options) => lan::plug(options, endpoint, link, namespace, routes)?,
        Driver::Bridge(options) => {
            let mac = MacAddress::parse(&endpoint.mac).unwrap_or_else(MacAddress::random);
            routes.create_endpoint(&Endpoint {
                host_name: &endpoint.host_interface,
                name: &endpoint.interface,
                index: 0,
                mac,
                addresses: &endpoint.addresses,
                mtu: options.mtu,
                bridge: link,
                namespace,
                isolated: options.isolates_ports(),
                reflects: ports.iter().any(|port| endpoint.has(port.target.ip())),
            })?;
            // A port has no address of its own, and a host with a thousand of them has time to
            // lose.
            Setting::DisableIpv6(&endpoint.host_interface, true).apply()?;
        }
    }
    let has_ipv6 = wish.network.ipv6;
    let configured = network::in_namespace(namespace, || {
        let mut inside = Routes::open()?;
        let link = inside.link(&endpoint.interface)?.ok_or_else(|| NetworkError::Answer {
            action: format!("make link {}", endpoint.interface),
        })?;
        Setting::DisableIpv6(&endpoint.interface, !has_ipv6).apply()?;
        if has_ipv6 {
            Setting::AcceptRouters(&endpoint.interface, false).apply()?;
        }
        let local = endpoint
            .link_local
            .iter()
            .filter_map(|address| Prefix::new(*address, if address.is_ipv4() { 16 } else { 64 }));
        let addresses: Vec<Prefix> = endpoint.addresses.iter().copied().chain(local).collect();
        until_free(Errno::ADDRINUSE, &mut || inside.configure(link.index, &addresses, &[]))?;
        wish.own.apply(&endpoint.interface)
    });
    configured.map_err(|error| match error.errno() {
        Some(Errno::ADDRINUSE) => EngineError::Conflict {
            message: format!(
                "the hardware address {} is in use on the link that network {} shares",
                endpoint.mac, endpoint.network
            ),
        },
        _ => error.into(),
    })
}

/// Tries again as long as the kernel says that something is taken: it takes apart the network of a
/// container that has ended some time after that end, and a link that is shared stays taken until
/// then.
pub(crate) fn until_free(
    taken: Errno,
    attempt: &mut dyn FnMut() -> Result<(), NetworkError>,
) -> Result<(), NetworkError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.errno() == Some(taken) && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

/// Takes one end away, whatever there is of it.
pub(crate) fn unplug(
    endpoint: &EndpointState,
    namespace: BorrowedFd<'_>,
    routes: &mut Routes,
) -> Result<(), EngineError> {
    if !endpoint.host_interface.is_empty() {
        return Ok(routes.delete_link(&endpoint.host_interface)?);
    }
    Ok(network::in_namespace(namespace, || Routes::open()?.delete_link(&endpoint.interface))?)
}

/// Makes the default routes what they are to be: of each family by the end with the highest
/// priority that has a way out. In a namespace that `is_fresh` there is none yet.
pub(crate) fn route(
    state: &NetworkState,
    namespace: BorrowedFd<'_>,
    is_fresh: bool,
) -> Result<(), EngineError> {
    let mut ends: Vec<&EndpointState> = state.endpoints.iter().collect();
    ends.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.gw_priority));
    Ok(network::in_namespace(namespace, || {
        let mut inside = Routes::open()?;
        for is_ipv4 in [true, false] {
            let by = ends.iter().find_map(|endpoint| {
                Some((endpoint.gateway(is_ipv4)?, endpoint.interface.as_str()))
            });
            match by {
                Some((gateway, interface)) => {
                    if let Some(link) = inside.link(interface)? {
                        inside.set_default_route(link.index, gateway)?;
                    }
                }
                None if is_fresh => {}
                None => inside.delete_default_route(is_ipv4)?,
            }
        }
        Ok(())
    })?)
}

/// The sockets at which the resolver is asked, for UDP and TCP, inside a container's network.
pub(crate) fn resolver_sockets(namespace: BorrowedFd<'_>) -> Result<[OwnedFd; 2], EngineError> {
    let failed = |errno: rustix::io::Errno| NetworkError::Kernel {
        action: "open the resolver's sockets".into(),
        source: errno.into(),
    };
    Ok(network::in_namespace(namespace, || {
        let open = |kind: SocketType| -> Result<(OwnedFd, u16), NetworkError> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket =
                rustix::net::socket_with(AddressFamily::INET, kind, flags, None).map_err(failed)?;
            let address = SocketAddr::new(IpAddr::V4(RESOLVER), 0);
            rustix::net::bind(&socket, &address).map_err(failed)?;
            if kind == SocketType::STREAM {
                rustix::net::listen(&socket, 64).map_err(failed)?;
            }
            let bound = rustix::net::getsockname(&socket).map_err(failed)?;
            let port = SocketAddr::try_from(bound).map_or(0, |bound| bound.port());
            Ok((socket, port))
        };
        let (udp, udp_port) = open(SocketType::DGRAM)?;
        let (tcp, tcp_port) = open(SocketType::STREAM)?;
        network::redirect_resolver(RESOLVER, udp_port, tcp_port)?;
        Ok([udp, tcp])
    })?)
}
