//! Published ports: from wishes to sockets that are ours and elements of the table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dockerapi::{ContainerConfig, HostConfig, PortBinding};
use metadata::{NetworkState, PortState};
use network::{Protocol, Published, Reservation, Taken};

use crate::EngineError;

/// How often another free port is tried when the first is taken in one of two families.
const ATTEMPTS: u32 = 64;

/// One port to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedPort {
    pub(crate) protocol: Protocol,
    /// Of the container.
    pub(crate) port: u16,
    /// On the host; every address if `None`.
    address: Option<IpAddr>,
    /// The first and the last of those on the host that will do; `(0, 0)`: any that is free.
    host_ports: (u16, u16),
}

/// What `-p`, `-P` and the image's EXPOSE ask for, in order; checked as far as it can be.
///
/// `default` is the address for those that name none.
pub(crate) fn wanted(
    config: &ContainerConfig,
    host: &HostConfig,
    default: Option<IpAddr>,
) -> Result<Vec<WantedPort>, EngineError> {
    let mut wanted = Vec::new();
    for (key, bindings) in &host.port_bindings {
        let (protocol, port) = parse_port(key)?;
        let any = [PortBinding::default()];
        for binding in if bindings.is_empty() { &any[..] } else { bindings } {
            wanted.push(WantedPort {
                protocol,
                port,
                address: parse_address(&binding.host_ip)?.or(default),
                host_ports: parse_range(&binding.host_port)?,
            });
        }
    }
    if host.publish_all_ports {
        for key in config.exposed_ports.keys() {
            let (protocol, port) = parse_port(key)?;
            let has = wanted.iter().any(|one| one.port == port && one.protocol == protocol);
            if !has {
                wanted.push(WantedPort { protocol, port, address: default, host_ports: (0, 0) });
            }
        }
    }
    Ok(wanted)
}

fn invalid(message: String) -> EngineError {
    EngineError::Invalid { message }
}

/// `80/tcp`.
pub(crate) fn parse_port(key: &str) -> Result<(Protocol, u16), EngineError> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let protocol = Protocol::parse(&protocol.to_ascii_lowercase())
        .ok_or_else(|| invalid(format!("invalid protocol {protocol:?} of port {key:?}")))?;
    match port.parse() {
        Ok(0) | Err(_) => Err(invalid(format!("invalid port specification: {key:?}"))),
        Ok(port) => Ok((protocol, port)),
    }
}

fn parse_address(text: &str) -> Result<Option<IpAddr>, EngineError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(Some).map_err(|_| invalid(format!("invalid IP address: {text}")))
}

fn parse_range(text: &str) -> Result<(u16, u16), EngineError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| invalid(format!("invalid host port: {text:?}"))),
    };
    match (number(first)?, number(last)?) {
        (first, last) if last < first => Err(invalid(format!("invalid range of ports: {text:?}"))),
        range => Ok(range),
    }
}

/// A port that is ours, with where it leads.
#[derive(Debug)]
pub(crate) struct TakenPort {
    pub(crate) state: PortState,
    pub(crate) protocol: Protocol,
    pub(crate) reservation: Reservation,
}

impl TakenPort {
    /// Whether no socket keeps it from others.
    pub(crate) fn is_unkept(&self) -> bool {
        self.reservation.socket.is_none() && self.state.host.port() != 0
    }

    /// Whether another container's port is the same.
    pub(crate) fn meets(&self, other: &PortState) -> bool {
        let (own, theirs) = (self.state.host, other.host);
        let is_everywhere = own.ip().is_unspecified() || theirs.ip().is_unspecified();
        self.state.protocol == other.protocol
            && own.port() == theirs.port()
            && own.is_ipv4() == theirs.is_ipv4()
            && (is_everywhere || own.ip() == theirs.ip())
    }
}

/// Takes all ports. If one cannot be had, those that were taken are let go again.
///
/// `targets` are the container's addresses, IPv4 and IPv6. What arrives in a family that the
/// container does not have is passed on by the shim. In a family that is `routed` no port of the
/// host is taken: the container is reached at its own address.
pub(crate) fn take(
    wanted: &[WantedPort],
    targets: [Option<IpAddr>; 2],
    routed: [bool; 2],
    name: &str,
) -> Result<Vec<TakenPort>, EngineError> {
    let mut all = Vec::new();
    for port in wanted {
        all.extend(take_one(port, targets, routed).map_err(|why| refused(name, &why))?);
    }
    Ok(all)
}

/// That a container does not get its ports.
pub(crate) fn refused(name: &str, why: &str) -> EngineError {
    EngineError::NotStarted {
        message: format!(
            "driver failed programming external connectivity on endpoint {name}: {why}"
        ),
        exit_code: 125,
    }
}

/// That somebody else has a port.
pub(crate) fn taken(socket: SocketAddr) -> String {
    format!("Bind for {socket} failed: port is already allocated")
}

fn take_one(
    wanted: &WantedPort,
    [ipv4, ipv6]: [Option<IpAddr>; 2],
    routed: [bool; 2],
) -> Result<Vec<TakenPort>, String> {
    let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let addresses = match &wanted.address {
        Some(address) => std::slice::from_ref(address),
        None => &unspecified[..],
    };
    let is_routed = |address: &&IpAddr| routed[usize::from(address.is_ipv6())];
    let (direct, addresses): (Vec<&IpAddr>, Vec<&IpAddr>) = addresses.iter().partition(is_routed);
    let taken_port = |reservation: Reservation, target: IpAddr| TakenPort {
        state: PortState {
            protocol: wanted.protocol.as_str().to_owned(),
            host: reservation.address,
            target: SocketAddr::new(target, wanted.port),
            is_near: false,
        },
        protocol: wanted.protocol,
        reservation,
    };
    let direct = direct.into_iter().filter_map(|address| {
        let (none, target) = match address.is_ipv4() {
            true => (unspecified[0], ipv4?),
            false => (unspecified[1], ipv6?),
        };
        let reservation = Reservation { address: SocketAddr::new(none, 0), socket: None };
        Some(taken_port(reservation, target))
    });
    if addresses.is_empty() {
        return Ok(direct.collect());
    }
    let (first, last) = wanted.host_ports;
    let candidates: Box<dyn Iterator<Item = u16>> = match first {
        0 => Box::new((0..ATTEMPTS).map(|_| 0)),
        _ => Box::new(first..=last),
    };
    let mut problem = String::new();
    for candidate in candidates {
        let mut taken: Vec<Reservation> = Vec::new();
        let mut failed = false;
        for address in &addresses {
            // The second family gets the same port as the first.
            let port = taken.first().map_or(candidate, |first| first.address.port());
            match Reservation::take(wanted.protocol, **address, port) {
                Ok(reservation) => taken.push(reservation),
                // A host without IPv6 has no address of it to publish at.
                Err(Taken::NoFamily) if wanted.address.is_none() && !taken.is_empty() => {}
                Err(why) => {
                    problem = explain(&why, **address, port, wanted.protocol);
                    // Another port does not help against these.
                    if !matches!(why, Taken::InUse) {
                        return Err(problem);
                    }
                    failed = true;
                    break;
                }
            }
        }
        if failed {
            continue;
        }
        let target_of = |host: SocketAddr| match host.is_ipv4() {
            true => ipv4.or(ipv6),
            false => ipv6.or(ipv4),
        };
        let redirected = taken.into_iter().filter_map(|reservation| {
            let target = target_of(reservation.address)?;
            Some(taken_port(reservation, target))
        });
        return Ok(redirected.chain(direct).collect());
    }
    Err(problem)
}

fn explain(why: &Taken, address: IpAddr, port: u16, protocol: Protocol) -> String {
    let socket = SocketAddr::new(address, port);
    match why {
        Taken::InUse => taken(socket),
        Taken::NoAddress => format!(
            "failed to bind host port {socket}/{protocol}: cannot assign requested address: this \
             host does not have the address {address}"
        ),
        Taken::NoFamily => format!(
            "failed to bind host port {socket}/{protocol}: the kernel has no {} or no {protocol}",
            if address.is_ipv4() { "IPv4" } else { "IPv6" }
        ),
        Taken::Other(error) => format!("failed to bind host port {socket}/{protocol}: {error}"),
    }
}

/// What the table has for a container's ports: those of a family that the container has.
pub(crate) fn published(state: &NetworkState, owner: &str) -> Vec<Published> {
    // An ordinary user has no table on the host: the shim passes on what comes.
    if state.is_uplink || !sys::namespace::has_network() {
        return Vec::new();
    }
    let of = |port: &PortState| {
        let redirected = Published {
            protocol: Protocol::parse(&port.protocol).unwrap_or(Protocol::Tcp),
            host: port.host,
            target: port.target,
            trusted_only: false,
            owner: owner.get(..12).unwrap_or(owner).to_owned(),
        };
        let none = match port.target.is_ipv4() {
            true => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            false => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let near =
            Published { host: SocketAddr::new(none, 0), trusted_only: true, ..redirected.clone() };
        let is_redirected = port.host.is_ipv4() == port.target.is_ipv4();
        let is_near = port.is_near && port.host.port() != 0;
        [is_redirected.then_some(redirected), is_near.then_some(near)]
    };
    state.ports.iter().flat_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bindings: serde_json::Value) -> Result<Vec<WantedPort>, String> {
        let host = HostConfig {
            port_bindings: serde_json::from_value(bindings).unwrap(),
            ..HostConfig::default()
        };
        wanted(&ContainerConfig::default(), &host, None).map_err(|error| error.to_string())
    }

    #[test]
    fn bindings_are_read() {
        let found = all(serde_json::json!({
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "9000-9009"}],
            "53/UDP": [],
        }));
        let found = found.unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].protocol, found[0].host_ports), (Protocol::Udp, (0, 0)));
        assert_eq!((found[1].port, found[1].host_ports), (80, (8080, 8080)));
        assert_eq!(found[2].host_ports, (9000, 9009));
        for bad in [
            serde_json::json!({"0/tcp": []}),
            serde_json::json!({"80/icmp": []}),
            serde_json::json!({"x": []}),
            serde_json::json!({"80": [{"HostPort": "9-8"}]}),
            serde_json::json!({"80": [{"HostPort": "70000"}]}),
            serde_json::json!({"80": [{"HostIp": "nowhere"}]}),
        ] {
            assert!(all(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_gives_the_first_free_port_and_says_when_there_is_none() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let target = [Some(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2))), None];
        let free = Reservation::take(Protocol::Tcp, local, 0).unwrap();
        let port = free.address.port();
        let wanted = |last| WantedPort {
            protocol: Protocol::Tcp,
            port: 80,
            address: Some(local),
            host_ports: (port, last),
        };
        let error = take(&[wanted(port)], target, [false; 2], "web").unwrap_err().to_string();
        assert!(error.contains("web: Bind for 127.0.0.1"), "{error}");
        assert!(error.ends_with("port is already allocated"), "{error}");
        let taken = take(&[wanted(port.saturating_add(50))], target, [false; 2], "web").unwrap();
        assert!(taken[0].state.host.port() > port);
        assert_eq!(taken[0].state.target.port(), 80);
        // Where it is reached at its own address no port of the host is taken.
        let direct = take(&[wanted(port)], target, [true, false], "web").unwrap();
        assert_eq!(direct[0].state.host, "0.0.0.0:0".parse().unwrap());
        assert!(direct[0].reservation.socket.is_none());
    }
}
