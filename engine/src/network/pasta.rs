//! The network of an ordinary user's containers that name none: pasta(1).
//!
//! The container is in a network of its own that looks like the host's, with the host's addresses,
//! and pasta passes on what comes and goes by sockets of the user's. A published port is pasta's
//! own socket, so that the container sees who connects. Where the host has no way out there is
//! nothing to look like: then the container has its loopback interface alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use metadata::{Container, NetworkState};
use network::{Protocol, Routes};
use rootless::{Forward, RootlessError, Uplink};
use shim::client::Session;
use shim::network::Purpose;

use super::port::{self, TakenPort, WantedPort};
use super::sandbox::{EarlyNamespace, Sandbox};
use crate::container::Record;
use crate::{Engine, EngineError};

/// The mode of such a container.
pub(crate) const PASTA: &str = "pasta";

/// The interface inside, as in other networks.
const INTERFACE: &str = "eth0";

/// Where a name server on the host's own loopback is asked.
pub(super) const DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));

/// How often a port that is taken is asked for again, and after how long.
const ATTEMPTS: u32 = 20;
const MOMENT: Duration = Duration::from_millis(10);

/// Whether a mode stands for pasta. For root it is the name of a network.
pub(crate) fn is_pasta(mode: &str) -> bool {
    mode == PASTA && !sys::namespace::has_network()
}

impl Engine {
    /// The server to ask in a bridge network without a resolver of ours, where an ordinary user's
    /// containers cannot reach those of the host. `given`: those of `--dns`.
    pub(super) fn dns_out_of_reach(&self, given: &[String]) -> Option<IpAddr> {
        (!sys::namespace::has_network() && asks_loopback(given)).then_some(DNS)
    }

    /// As `prepare_sandbox`: takes ports, writes down what was taken, and has pasta begin, which
    /// takes longer than everything else.
    pub(crate) fn prepare_pasta(
        &self,
        container: &Container,
        record: &Record,
        name: &str,
        early: Option<EarlyNamespace>,
    ) -> Result<Sandbox, EngineError> {
        if !rootless::has_pasta() {
            return Err(RootlessError::NoPasta.into());
        }
        let mut routes = Routes::open()?;
        let has_way = routes.routes()?.iter().any(|route| route.destination.is_none());
        let addresses = if has_way { own_addresses() } else { [None, None] };
        let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let targets = [0, 1].map(|at| addresses[at].or(Some(unspecified[at])));
        let default = self.settings()?.default_publish_address;
        let wanted = port::wanted(&record.config, &record.host, default)?;
        if let Some(port) = wanted.iter().find(|port| port.protocol == Protocol::Sctp) {
            return Err(EngineError::Unsupported {
                message: format!(
                    "port {}/sctp cannot be published: pasta passes on tcp and udp alone",
                    port.port
                ),
            });
        }
        let ports = take_ports(&wanted, targets, name)?;
        let exposed = record.config.exposed_ports.keys().map(|key| match key.contains('/') {
            true => key.clone(),
            false => format!("{key}/tcp"),
        });
        let state = NetworkState {
            is_uplink: true,
            exposed: exposed.collect(),
            ports: ports.iter().map(|port| port.state.clone()).collect(),
            ..NetworkState::default()
        };
        let namespace = match early {
            Some(early) => early.finish()?,
            None => runtime::new_network()?,
        };
        container.set_network_state(&state)?;
        let own_addresses: Vec<IpAddr> = addresses.into_iter().flatten().collect();
        let dns_forward = (has_way && asks_loopback(&record.host.dns)).then_some(DNS);
        let is_connected = !own_addresses.is_empty() || !ports.is_empty();
        let uplink =
            Uplink { interface: INTERFACE.into(), forwards: forwards(&ports), dns_forward };
        // They are pasta's from here on.
        drop(ports);
        let begin = || rootless::connect(namespace.as_fd(), &uplink);
        let uplink = is_connected.then(begin).transpose()?;
        let mut warnings = Vec::new();
        if !has_way {
            warnings.push("This host has no way out: the container has no network".into());
        }
        Ok(Sandbox {
            state,
            namespace: Some(namespace),
            own_addresses,
            dns_forward,
            uplink,
            warnings,
            ..Sandbox::default()
        })
    }

    /// As `connect_sandbox`: waits for pasta.
    pub(crate) fn connect_pasta(
        &self,
        sandbox: &mut Sandbox,
        session: &mut Session,
    ) -> Result<(), EngineError> {
        if let Some(uplink) = sandbox.uplink.take() {
            let lifeline = uplink.finish()?;
            session.hand_over(&Purpose::Lifeline, lifeline.as_fd())?;
        }
        Ok(session.connected()?)
    }
}

/// Takes all ports. One of a run whose shim was killed is free in a moment, when its pasta has
/// ended.
fn take_ports(
    wanted: &[WantedPort],
    targets: [Option<IpAddr>; 2],
    name: &str,
) -> Result<Vec<TakenPort>, EngineError> {
    let mut attempts = 0;
    loop {
        match port::take(wanted, targets, [false, false], name) {
            Err(_) if attempts < ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(MOMENT);
            }
            taken => return taken,
        }
    }
}

/// The addresses by which this host reaches others, IPv4 and IPv6. Nothing is sent for it.
fn own_addresses() -> [Option<IpAddr>; 2] {
    // Networks of documentation: nearer than everything is no route to them.
    let towards = |from: &str, to: &str| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    [towards("0.0.0.0", "203.0.113.1"), towards("::", "2001:db8::1")]
}

/// Whether all name servers are on the host's loopback, where a container does not come to.
pub(super) fn asks_loopback(given: &[String]) -> bool {
    let file = std::fs::read("/etc/resolv.conf").unwrap_or_default();
    given.is_empty() && bundle::resolver_servers(&file, &[]).iter().all(IpAddr::is_loopback)
}

/// One for both families where a port is published at all addresses.
fn forwards(ports: &[TakenPort]) -> Vec<Forward> {
    let all = ports.iter().map(|port| Forward {
        is_udp: port.protocol == Protocol::Udp,
        host: port.reservation.address,
        port: port.state.target.port(),
    });
    let all: Vec<Forward> = all.collect();
    let is_covered = |one: &Forward| {
        one.host.is_ipv6()
            && one.host.ip().is_unspecified()
            && all.iter().any(|other| {
                other.host.is_ipv4()
                    && other.host.ip().is_unspecified()
                    && (other.host.port(), other.is_udp) == (one.host.port(), one.is_udp)
            })
    };
    all.iter().copied().filter(|one| !is_covered(one)).collect()
}
