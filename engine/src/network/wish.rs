//! Which networks a container is to have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dockerapi::{EndpointSettings, HostConfig, NetworkingConfig};
use metadata::{Container, EndpointState, NetworkState};
use networks::Network;

use super::DEFAULT;
use super::endpoint::EndpointOptions;
use super::options::{Driver, INTERFACE_PREFIX};
use super::pasta::is_pasta;
use crate::container::Record;
use crate::{Engine, EngineError};

/// A network that a container is to be in, and how.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) network: Network,
    pub(crate) driver: Driver,
    pub(crate) settings: EndpointSettings,
    pub(crate) own: EndpointOptions,
    /// The address that it asks for, of each family.
    pub(crate) addresses: [Option<IpAddr>; 2],
    /// Further ones that are good on the wire alone.
    link_local: Vec<IpAddr>,
    pub(crate) mac: Option<network::MacAddress>,
}

impl Wish {
    /// The name of the interface: what the container asks for, or the first that it does not have.
    pub(crate) fn interface(&self, state: &NetworkState) -> String {
        if let Some(name) = &self.own.interface {
            return name.clone();
        }
        let prefix = self.network.options.get(INTERFACE_PREFIX).map_or("eth", String::as_str);
        (0..)
            .map(|number| format!("{prefix}{number}"))
            .find(|name| state.endpoints.iter().all(|endpoint| endpoint.interface != *name))
            .unwrap_or_default()
    }

    /// An end of which nothing is taken yet.
    pub(crate) fn endpoint(&self, interface: String) -> EndpointState {
        let id = sys::names::random_hex::<32>();
        let host_interface = match self.driver {
            Driver::Bridge(_) => format!("veth{}", &id[..11]),
            Driver::Lan(_) => String::new(),
        };
        EndpointState {
            network: self.network.name.clone(),
            network_id: self.network.id.clone(),
            id,
            interface,
            host_interface,
            mac: String::new(),
            addresses: Vec::new(),
            gateways: Vec::new(),
            aliases: self.settings.aliases.clone(),
            names: Vec::new(),
            links: BTreeMap::new(),
            link_local: self.link_local.clone(),
            gw_priority: self.settings.gw_priority,
            driver_opts: self.settings.driver_opts.clone(),
        }
    }

    /// The host's address in the network, if it has one there.
    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        let options = self.driver.bridge()?;
        [true, false].into_iter().find_map(|is_ipv4| options.host_address(&self.network, is_ipv4))
    }
}

/// Whether a mode stands for networks, and not for the lack of one or for somebody else's.
pub(crate) fn is_networked(mode: &str) -> bool {
    !matches!(mode, "none" | "host") && !mode.starts_with("container:") && !is_pasta(mode)
}

impl Engine {
    /// The networks of a container, in the order of its interfaces; none for a mode without.
    pub(crate) fn wishes(
        &self,
        container: &Container,
        record: &Record,
    ) -> Result<Vec<Wish>, EngineError> {
        if !is_networked(&record.host.network_mode) {
            return Ok(Vec::new());
        }
        match container.networking()? {
            Some(networking) => self.wishes_of(&record.host, &networking, false),
            None => self.wishes_of(&record.host, &record.networking, true),
        }
    }

    /// As [`Engine::wishes`], of a container to be. With `and_mode` the network that the mode names
    /// is one of them in any case.
    pub(crate) fn wishes_of(
        &self,
        host: &HostConfig,
        networking: &NetworkingConfig,
        and_mode: bool,
    ) -> Result<Vec<Wish>, EngineError> {
        if !is_networked(&host.network_mode) {
            return Ok(Vec::new());
        }
        let mode = match host.network_mode.as_str() {
            "" | "default" => DEFAULT,
            mode => mode,
        };
        let mut wishes = Vec::new();
        let mut asked: BTreeMap<String, EndpointSettings> = BTreeMap::new();
        for (name, settings) in &networking.endpoints_config {
            let network = self.find_network(name)?;
            if asked.insert(network.name.clone(), settings.clone()).is_some() {
                return Err(EngineError::Invalid {
                    message: format!("network {} is named twice", network.name),
                });
            }
        }
        if and_mode {
            let network = self.find_network(mode)?;
            let settings = asked.remove(&network.name).unwrap_or_default();
            wishes.push(wish(network, settings)?);
        }
        for (name, settings) in asked {
            wishes.push(wish(self.find_network(&name)?, settings)?);
        }
        // The first interface is that of the default route; the sort keeps the order of equals.
        wishes.sort_by_key(|wish| std::cmp::Reverse(wish.settings.gw_priority));
        Ok(wishes)
    }
}

/// An address that is good on a wire alone. RFC 3927, section 2.1; RFC 4291, section 2.5.6.
fn link_local(text: &str) -> Result<IpAddr, EngineError> {
    let is_good = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    text.parse().ok().filter(is_good).ok_or_else(|| EngineError::Invalid {
        message: format!("invalid link-local IP address: {text:?}"),
    })
}

/// Checks what is wished for in a network.
pub(crate) fn wish(network: Network, settings: EndpointSettings) -> Result<Wish, EngineError> {
    let invalid = |message: String| EngineError::Invalid { message };
    let driver = Driver::of(&network)?;
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let mut addresses = [None, None];
    for (at, text) in [ipam.ipv4_address, ipam.ipv6_address].into_iter().enumerate() {
        if text.is_empty() {
            continue;
        }
        let address: IpAddr = text
            .parse()
            .ok()
            .filter(|address: &IpAddr| address.is_ipv4() == (at == 0))
            .ok_or_else(|| {
                invalid(format!("invalid endpoint settings: invalid IP address {text}"))
            })?;
        if network.name == DEFAULT {
            return Err(invalid(
                "user specified IP address is supported on user defined networks only".into(),
            ));
        }
        let pool = network.pool_of(address).ok_or_else(|| {
            invalid(format!(
                "invalid config for network {}: invalid endpoint settings: no configured subnet \
                 contains IP address {address}",
                network.name
            ))
        })?;
        if pool.chosen {
            return Err(invalid(format!(
                "invalid config for network {}: invalid endpoint settings: user specified IP \
                 address is supported only when connecting to networks with user configured \
                 subnets",
                network.name
            )));
        }
        addresses[at] = Some(address);
    }
    let link_local = ipam.link_local_ips.iter().map(|text| link_local(text));
    let link_local = link_local.collect::<Result<_, _>>()?;
    let own = EndpointOptions::parse(&network.name, &settings.driver_opts)?;
    if network.name == DEFAULT && !settings.aliases.is_empty() {
        return Err(invalid(
            "network-scoped aliases are only supported for user-defined networks".into(),
        ));
    }
    let mac = match settings.mac_address.as_str() {
        "" => None,
        text => Some(
            network::MacAddress::parse(text)
                .ok_or_else(|| invalid(format!("{text} is not a valid mac address")))?,
        ),
    };
    if mac.is_some() && !driver.has_mac() {
        return Err(invalid(format!(
            "containers of network {} have the hardware address of the link that they share, and \
             none of their own",
            network.name
        )));
    }
    Ok(Wish { network, driver, settings, own, addresses, link_local, mac })
}
