//! A container's network: its namespace, its addresses and ports, and the wires.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

use dockerapi::HostConfig;
use ip::Prefix;
use metadata::{Container, EndpointState, NetworkState, PortState};
use network::{Link, MacAddress, Routes};
use networks::{Guard, NetworksError};
use shim::client::Session;
use shim::network::Purpose;

use super::files::parse_link;
use super::pasta::is_pasta;
use super::port::{self, TakenPort};
use super::wish::Wish;
use super::{DEFAULT, wire, wish};
use crate::container::{Record, not_launched};
use crate::{Engine, EngineError};

/// Where a container of a user-defined network asks for names.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// A network namespace in the making, beside everything else that a start has to do: the kernel
/// takes a third of a millisecond for it.
#[derive(Debug)]
pub(crate) struct EarlyNamespace(JoinHandle<Result<OwnedFd, runtime::RuntimeError>>);

impl EarlyNamespace {
    /// Begins, if a container with these wishes may have one that we make. Its maker owns it: one
    /// with ids of its own makes it itself.
    pub(crate) fn begin(host: &HostConfig) -> Option<Self> {
        let mode = &host.network_mode;
        let may = (wish::is_networked(mode) || is_pasta(mode)) && host.userns_mode != "auto";
        may.then(Self::begin_one)
    }

    /// Begins.
    pub(crate) fn begin_one() -> Self {
        Self(std::thread::spawn(runtime::new_network))
    }

    pub(super) fn finish(self) -> Result<OwnedFd, EngineError> {
        match self.0.join() {
            Ok(made) => Ok(made?),
            Err(_) => Err(EngineError::Invalid {
                message: "the thread that makes the network namespace panicked".into(),
            }),
        }
    }
}

/// What a container gets of networks in one run: decided and taken, not yet connected.
#[derive(Debug, Default)]
pub(crate) struct Sandbox {
    /// As it is written down.
    pub(crate) state: NetworkState,
    /// `None` if the container's first process is to make its own.
    pub(super) namespace: Option<OwnedFd>,
    pub(super) ends: Vec<Wish>,
    pub(super) ports: Vec<TakenPort>,
    /// Addresses that it has by other ways than by an end.
    pub(super) own_addresses: Vec<IpAddr>,
    /// Where it asks for names because the host's own servers are out of reach.
    pub(super) dns_forward: Option<IpAddr>,
    /// What connects it, if that is another program.
    pub(super) uplink: Option<rootless::Connecting>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

impl Sandbox {
    /// The namespace that was made for it; `None` if its first process makes its own.
    pub(crate) fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.namespace.as_ref().map(AsFd::as_fd)
    }

    /// Whether names are asked for at our resolver.
    pub(crate) fn has_resolver(&self) -> bool {
        self.state.has_resolver
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let prefixes = self.state.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        prefixes.map(|prefix| prefix.address).chain(self.own_addresses.iter().copied()).collect()
    }

    /// The name server to ask instead of the host's.
    pub(crate) fn dns_forward(&self) -> Option<IpAddr> {
        self.dns_forward
    }

    /// The host's address in the first of its networks where the host has one.
    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        self.ends.iter().find_map(Wish::host_address)
    }
}

impl Engine {
    /// Takes addresses and ports for a container that is about to start, and writes them down.
    /// `None` for one without networks. On failure nothing is taken.
    ///
    /// The caller holds the container's operation lock; it does not run.
    pub(crate) fn prepare_sandbox(
        &self,
        container: &Container,
        record: &Record,
        name: &str,
        early: Option<EarlyNamespace>,
        is_fresh: bool,
    ) -> Result<Option<Sandbox>, EngineError> {
        if is_pasta(&record.host.network_mode) {
            self.release_network(container)?;
            return self.prepare_pasta(container, record, name, early).map(Some);
        }
        let ends = self.wishes(container, record)?;
        if !is_fresh {
            // Of a run that was killed.
            self.release_network(container)?;
        }
        if ends.is_empty() {
            // Disconnected from all, it has a namespace of its own and nothing in it.
            return Ok(None);
        }
        let has_resolver = ends.iter().any(|wish| wish.network.name != DEFAULT);
        let exposed = record.config.exposed_ports.keys().map(|key| match key.contains('/') {
            true => key.clone(),
            false => format!("{key}/tcp"),
        });
        let mut state =
            NetworkState { has_resolver, exposed: exposed.collect(), ..NetworkState::default() };
        let taken = self.take_addresses(container.id(), &ends, is_fresh, &mut state);
        let mut warnings = Vec::new();
        let ports = taken.and_then(|()| {
            for (endpoint, wish) in state.endpoints.iter_mut().zip(&ends) {
                self.name_endpoint(record, name, wish, endpoint);
            }
            self.take_ports(record, name, &ends, &mut state, &mut warnings)
        });
        let ports = match ports {
            Ok(ports) => ports,
            Err(error) => {
                self.give_addresses_back(container.id(), &state)?;
                return Err(error);
            }
        };
        let namespace = || match (record.ids.is_some(), early) {
            (true, _) => Ok(None),
            (false, Some(early)) => early.finish().map(Some),
            (false, None) => Ok(Some(runtime::new_network()?)),
        };
        let prepared = namespace().and_then(|namespace| {
            if has_resolver && !record.host.dns.is_empty() {
                container.set_name_servers(&record.host.dns)?;
            }
            container.set_network_state(&state)?;
            Ok(namespace)
        });
        let dns_forward = match has_resolver {
            true => None,
            false => self.dns_out_of_reach(&record.host.dns),
        };
        match prepared {
            Ok(namespace) => Ok(Some(Sandbox {
                state,
                namespace,
                ends,
                ports,
                dns_forward,
                warnings,
                ..Sandbox::default()
            })),
            Err(error) => {
                self.give_addresses_back(container.id(), &state)?;
                Err(error)
            }
        }
    }

    pub(super) fn take_addresses(
        &self,
        id: &str,
        ends: &[Wish],
        is_fresh: bool,
        state: &mut NetworkState,
    ) -> Result<(), EngineError> {
        let guard = self.networks()?.lock()?;
        for wish in ends {
            if !is_fresh {
                self.sweep_own(&wish.network.name, id, state)?;
            }
            let interface = wish.interface(state);
            let endpoint = wish.endpoint(interface);
            // In the list first: what was taken is given back by it.
            state.endpoints.push(endpoint);
            let endpoint = state.endpoints.last_mut().expect("pushed just now");
            self.lease(id, wish, endpoint, &guard)?;
        }
        Ok(())
    }

    /// Takes the addresses of one end.
    pub(crate) fn lease(
        &self,
        id: &str,
        wish: &Wish,
        endpoint: &mut EndpointState,
        guard: &Guard,
    ) -> Result<(), EngineError> {
        let networks = self.networks()?;
        let network = &wish.network;
        if wish.driver.is_exclusive()
            && let Some(name) = self.live_users(network, guard)?.into_iter().next()
        {
            return Err(EngineError::Conflict {
                message: format!(
                    "network {} is for one container at a time in mode passthru, and {name} has it",
                    network.name
                ),
            });
        }
        for (is_ipv4, has) in [(true, network.ipv4), (false, network.ipv6)] {
            if !has {
                continue;
            }
            let wanted = wish.addresses[usize::from(!is_ipv4)];
            let take = || networks.take(network, id, is_ipv4, wanted, guard);
            let address = match take() {
                Err(NetworksError::AddressTaken { .. } | NetworksError::Exhausted { .. }) => {
                    // The dead may have it.
                    self.reclaim(&network.name, guard)?;
                    take()?
                }
                taken => taken?,
            };
            let length = network.pool_of(address).map_or(0, |pool| pool.subnet.length);
            endpoint.addresses.push(Prefix { address, length });
            endpoint.gateways.extend(wish.driver.way_out(network, is_ipv4));
        }
        if !wish.driver.has_mac() {
            return Ok(());
        }
        let mac = wish.mac.unwrap_or_else(|| match endpoint.address(true).map(|it| it.address) {
            Some(IpAddr::V4(address)) => MacAddress::of(address),
            _ => MacAddress::random(),
        });
        endpoint.mac = mac.to_string();
        Ok(())
    }

    /// Takes back what a killed start of the same container took and did not write down.
    fn sweep_own(&self, network: &str, id: &str, state: &NetworkState) -> Result<(), EngineError> {
        let own: BTreeSet<IpAddr> = state
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .map(|prefix| prefix.address)
            .collect();
        for lease in self.networks()?.leases(network)? {
            if lease.owner == id && !own.contains(&lease.address) {
                self.networks()?.give_back(network, id, lease.address)?;
            }
        }
        Ok(())
    }

    pub(super) fn give_addresses_back(
        &self,
        id: &str,
        state: &NetworkState,
    ) -> Result<(), EngineError> {
        state.endpoints.iter().try_for_each(|endpoint| self.give_end_back(id, endpoint))
    }

    fn take_ports(
        &self,
        record: &Record,
        name: &str,
        ends: &[Wish],
        state: &mut NetworkState,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<TakenPort>, EngineError> {
        let wants = !record.host.port_bindings.is_empty() || record.host.publish_all_ports;
        if !wants {
            return Ok(Vec::new());
        }
        let outward = ends.iter().zip(&state.endpoints).find_map(|(wish, endpoint)| {
            let options = wish.driver.bridge().filter(|_| !wish.network.internal)?;
            Some((options, endpoint))
        });
        let Some((options, endpoint)) = outward else {
            warnings.push(
                "Published ports are discarded: they are for bridge networks that are not internal"
                    .into(),
            );
            return Ok(Vec::new());
        };
        let default = options.host_binding.or(self.settings()?.default_publish_address);
        let wanted = port::wanted(&record.config, &record.host, default)?;
        let target = |is_ipv4| endpoint.address(is_ipv4).map(|prefix| prefix.address);
        let targets = [target(true), target(false)];
        let ports = port::take(&wanted, targets, options.routed(), name)?;
        self.check_unkept(&ports, &record.id, name)?;
        let is_near = options.trusts_links();
        let states = ports.iter().map(|port| PortState { is_near, ..port.state.clone() });
        state.ports = states.collect();
        Ok(ports)
    }

    /// Refuses ports that another container has and that no socket keeps: those of SCTP on a kernel
    /// that does not have it itself, and redirects it all the same.
    fn check_unkept(&self, ports: &[TakenPort], own: &str, name: &str) -> Result<(), EngineError> {
        let unkept: Vec<&TakenPort> = ports.iter().filter(|port| port.is_unkept()).collect();
        if unkept.is_empty() {
            return Ok(());
        }
        for id in self.containers().ids()?.iter().filter(|id| *id != own) {
            let Ok(container) = self.containers().get(id) else { continue };
            let Ok(Some(state)) = container.network_state() else { continue };
            let taken = unkept.iter().find(|port| state.ports.iter().any(|it| port.meets(it)));
            if let Some(port) = taken
                && container.is_alive().unwrap_or(false)
            {
                return Err(port::refused(name, &port::taken(port.state.host)));
            }
        }
        Ok(())
    }

    /// Connects the namespace, publishes, and hands to the shim what it is to keep.
    pub(crate) fn connect_sandbox(
        &self,
        id: &str,
        sandbox: &Sandbox,
        session: &mut Session,
    ) -> Result<(), EngineError> {
        self.keep_shared(session)?;
        self.where_bridges_are(|there| there.connect_here(id, sandbox, session))
    }

    fn connect_here(
        &self,
        id: &str,
        sandbox: &Sandbox,
        session: &mut Session,
    ) -> Result<(), EngineError> {
        let mut routes = Routes::open()?;
        let links = self.publish(id, sandbox, &mut routes)?;
        let made;
        let namespace = match sandbox.namespace() {
            Some(namespace) => namespace,
            None => {
                // It is the shim's child, which does not ask for it as long as we are waited for,
                // so that the number is its own.
                let pid = session.made().map_err(not_launched)?;
                made = super::connect::network_of(pid.cast_signed())?;
                made.as_fd()
            }
        };
        for ((endpoint, wish), link) in
            sandbox.state.endpoints.iter().zip(&sandbox.ends).zip(&links)
        {
            wire::plug(endpoint, &sandbox.state.ports, wish, link, namespace, &mut routes)?;
            self.announce(id, endpoint)?;
        }
        wire::route(&sandbox.state, namespace, true)?;
        if sandbox.has_resolver() {
            for socket in wire::resolver_sockets(namespace)? {
                session.hand_over(&Purpose::Resolver, socket.as_fd())?;
            }
        }
        for port in &sandbox.ports {
            if let Some(socket) = &port.reservation.socket {
                let (protocol, target) = (port.protocol, port.state.target);
                session.hand_over(&Purpose::Port { protocol, target }, socket.as_fd())?;
            }
        }
        Ok(session.connected()?)
    }

    /// Makes sure of what the ends are connected to, one link for each; leads ports there.
    fn publish(
        &self,
        id: &str,
        sandbox: &Sandbox,
        routes: &mut Routes,
    ) -> Result<Vec<Link>, EngineError> {
        let guard = self.networks()?.lock()?;
        let mut table = self.table()?;
        let mut links = Vec::new();
        for wish in &sandbox.ends {
            links.push(self.ready_link(&wish.network, &wish.driver, routes, &mut table, &guard)?);
        }
        let published = port::published(&sandbox.state, id);
        if published.is_empty() {
            return Ok(links);
        }
        table.publish(&published)?;
        network::forget_datagrams(&published)?;
        for options in sandbox.ends.iter().filter_map(|wish| wish.driver.bridge()) {
            self.open_loopback(&options.bridge, &published)?;
        }
        Ok(links)
    }

    /// Says what a container answers to in a network that has a resolver, and what it calls others.
    pub(crate) fn name_endpoint(
        &self,
        record: &Record,
        name: &str,
        wish: &Wish,
        endpoint: &mut EndpointState,
    ) {
        if wish.network.name == DEFAULT {
            return;
        }
        endpoint.names = names(name, &record.id, &record.config.hostname, &endpoint.aliases);
        let mode = record.host.network_mode.as_str();
        let is_first = mode == wish.network.name || wish.network.id.starts_with(mode);
        let general = record.host.links.iter().filter(|_| is_first);
        for link in general.chain(&wish.settings.links) {
            let (theirs, alias) = parse_link(link);
            // By its id, which stays when it is renamed.
            let id = self.look_up(theirs).map(|(other, _)| other.id()[..12].to_owned());
            let theirs = id.unwrap_or_else(|_| theirs.to_owned());
            endpoint.links.insert(alias.to_ascii_lowercase(), theirs);
        }
    }

    /// Makes a container answer to its names.
    pub(crate) fn announce(&self, id: &str, endpoint: &EndpointState) -> Result<(), EngineError> {
        if endpoint.names.is_empty() {
            return Ok(());
        }
        let addresses: Vec<IpAddr> = endpoint.addresses.iter().map(|it| it.address).collect();
        Ok(self.networks()?.announce(&endpoint.network, id, &endpoint.names, &addresses)?)
    }
}

/// Its name, its aliases, the short form of its id, and the host name if it chose one.
pub(crate) fn names(name: &str, id: &str, hostname: &str, aliases: &[String]) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    let others = aliases.iter().map(String::as_str).chain([&id[..12], hostname]);
    for other in others.filter(|other| !other.is_empty()) {
        if !names.iter().any(|known| known == other) {
            names.push(other.to_owned());
        }
    }
    names
}
