//! The host's side of a network: its bridge, and the table.

use std::net::IpAddr;

use network::{
    BridgeLink, Family, Link, NetworkRules, Published, Routes, Setting, Table, TableState,
};
use networks::{Guard, Network};

use super::options::{BridgeOptions, Driver};
use crate::{Engine, EngineError};

/// What the alias of each of our bridges begins with.
const ALIAS: &str = "kista network ";

impl Engine {
    /// The alias of a network's bridge: whose it is.
    pub(crate) fn bridge_alias(&self, network: &str) -> String {
        format!("{ALIAS}{network} of {}", self.root().display())
    }

    /// The network whose bridge this is, if it is one of ours.
    pub(crate) fn network_of_bridge<'a>(&self, link: &'a Link) -> Option<&'a str> {
        let rest = link.alias.strip_prefix(ALIAS)?;
        rest.strip_suffix(&format!(" of {}", self.root().display()))
    }

    pub(crate) fn table(&self) -> Result<Table, EngineError> {
        Ok(Table::open(&self.own_prefix("_"))?)
    }

    /// Makes sure that what a network's containers are connected to is there: its bridge and the
    /// table, or the link that they share.
    pub(crate) fn ready_link(
        &self,
        network: &Network,
        driver: &Driver,
        routes: &mut Routes,
        table: &mut Table,
        guard: &Guard,
    ) -> Result<Link, EngineError> {
        match driver {
            Driver::Bridge(options) => self.ready_bridge(network, options, routes, table, guard),
            Driver::Lan(options) => self.ready_parent(network, options, routes, guard),
        }
    }

    /// Makes sure that a network's bridge is there and the table whole. Cheap when they are.
    pub(crate) fn ready_bridge(
        &self,
        network: &Network,
        options: &BridgeOptions,
        routes: &mut Routes,
        table: &mut Table,
        guard: &Guard,
    ) -> Result<Link, EngineError> {
        self.ready_table(table, guard)?;
        match routes.link(&options.bridge)? {
            Some(link) if link.kind == "bridge" && link.is_up => Ok(link),
            found => self.make_bridge(network, options, found, routes),
        }
    }

    /// Builds the table anew if it is not whole: somebody has flushed it, or the host is new.
    pub(crate) fn ready_table(&self, table: &mut Table, guard: &Guard) -> Result<(), EngineError> {
        if table.state()? == TableState::Whole {
            return Ok(());
        }
        let (networks, published) = self.wanted_in_table(guard)?;
        Ok(table.rebuild(&networks, &published)?)
    }

    /// As [`Engine::ready_table`], for commands that look and change nothing. Where it cannot be
    /// done, whoever starts a container is told.
    pub(crate) fn restore_table(&self) {
        if !sys::namespace::has_network() {
            return;
        }
        let restore = || -> Result<(), EngineError> {
            let mut table = self.table()?;
            match table.state()? {
                TableState::Whole => Ok(()),
                _ => self.ready_table(&mut table, &self.networks()?.lock()?),
            }
        };
        let _ = restore();
    }

    /// What the table is to hold.
    pub(crate) fn wanted_in_table(
        &self,
        _guard: &Guard,
    ) -> Result<(Vec<NetworkRules>, Vec<Published>), EngineError> {
        let mut networks = Vec::new();
        for network in self.networks()?.list()? {
            if let Driver::Bridge(options) = Driver::of(&network)? {
                networks.push(options.rules(&network));
            }
        }
        let mut published = Vec::new();
        for id in self.containers().ids()? {
            // One that is removed meanwhile has no ports.
            let Ok(container) = self.containers().get(&id) else { continue };
            let Ok(Some(state)) = container.network_state() else { continue };
            let is_dead = || {
                !container.is_alive().unwrap_or(false)
                    && container.try_lock_operation().is_ok_and(|lock| lock.is_some())
            };
            if state.ports.is_empty() || is_dead() {
                continue;
            }
            published.extend(super::port::published(&state, &id));
        }
        Ok((networks, published))
    }

    fn make_bridge(
        &self,
        network: &Network,
        options: &BridgeOptions,
        found: Option<Link>,
        routes: &mut Routes,
    ) -> Result<Link, EngineError> {
        let name = &options.bridge;
        let link = match found {
            Some(link) if link.kind == "bridge" => link,
            Some(link) => {
                return Err(EngineError::Conflict {
                    message: format!(
                        "network {} needs a bridge {name}, and there is a link of that name which \
                         is none ({}): remove it, or choose another name with \
                         -o com.docker.network.bridge.name",
                        network.name,
                        if link.kind.is_empty() { "a device" } else { &link.kind },
                    ),
                });
            }
            None => {
                let alias = self.bridge_alias(&network.name);
                let bridge = BridgeLink { name, mtu: options.mtu, alias: &alias };
                match routes.create_bridge(&bridge)? {
                    Some(link) => link,
                    None => routes.link(name)?.ok_or_else(|| EngineError::Conflict {
                        message: format!("bridge {name} comes and goes while it is made"),
                    })?,
                }
            }
        };
        Setting::AcceptRouters(name, false).apply()?;
        Setting::DisableIpv6(name, !network.ipv6).apply()?;
        for pool in &network.pools {
            let is_ipv4 = pool.subnet.address.is_ipv4();
            if let Some(gateway) = options.host_address(network, is_ipv4)
                && pool.subnet.contains(gateway)
            {
                let prefix = ip::Prefix { address: gateway, length: pool.subnet.length };
                self.check_route(network, prefix, &link, routes)?;
                routes.add_address(link.index, prefix)?;
            }
        }
        routes.set_up(&link, true)?;
        if !network.internal {
            for (has, family) in [(network.ipv4, Family::V4), (network.ipv6, Family::V6)] {
                if has && !network::is_forwarding(family) {
                    network::set_forwarding(family)?;
                }
            }
        }
        Ok(Link { is_up: true, ..link })
    }

    /// A network that was made when the host had no route there, and now it has.
    fn check_route(
        &self,
        network: &Network,
        prefix: ip::Prefix,
        link: &Link,
        routes: &mut Routes,
    ) -> Result<(), EngineError> {
        let own = prefix.network();
        let taken = routes.routes()?.into_iter().find(|route| {
            route.output != link.index && route.destination.is_some_and(|to| to == own)
        });
        match taken {
            None => Ok(()),
            Some(_) => Err(EngineError::Conflict {
                message: format!(
                    "network {} has the addresses {own}, and this host has another way there: \
                     remove that route, or the network",
                    network.name
                ),
            }),
        }
    }

    /// Lets the host's own programs reach published ports at 127.0.0.1 by this bridge.
    pub(crate) fn open_loopback(
        &self,
        bridge: &str,
        targets: &[Published],
    ) -> Result<(), EngineError> {
        let at_loopback = |port: &Published| match port.host.ip() {
            IpAddr::V4(address) => address.is_unspecified() || address.is_loopback(),
            IpAddr::V6(_) => false,
        };
        if targets.iter().any(at_loopback) {
            Setting::RouteLoopback(bridge, true).apply()?;
        }
        Ok(())
    }
}
