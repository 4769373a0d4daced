//! `network create`, `ls`, `inspect`, `rm`, `prune`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dockerapi::{EndpointResource, Ipam, IpamConfig, NetworkInspect};
use ip::Prefix;
use networks::{Guard, Network, NewNetwork, WantedPool};

use super::options::{BridgeOptions, Driver};
use super::{DEFAULT, PREDEFINED};
use crate::{Engine, EngineError, Filters};

/// What a new network is to be; Docker's body of the same call.
#[derive(Debug, Clone, Default)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// `bridge` if empty.
    pub driver: String,
    /// `default` if empty.
    pub ipam_driver: String,
    /// Whether it has IPv4.
    pub ipv4: bool,
    /// Whether it has IPv6.
    pub ipv6: bool,
    /// Whether there is no way out of it.
    pub internal: bool,
    /// Docker's flag.
    pub attachable: bool,
    /// Its addresses; chosen if empty.
    pub pools: Vec<NetworkPool>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Options of the address management.
    pub ipam_options: BTreeMap<String, String>,
    /// Free key-value pairs.
    pub labels: BTreeMap<String, String>,
}

/// Addresses of a new network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkPool {
    /// `ADDRESS/BITS`.
    pub subnet: String,
    /// `ADDRESS/BITS`; empty for all.
    pub ip_range: String,
    /// The host's address; the first one if empty.
    pub gateway: String,
    /// Addresses that no container gets, by name.
    pub auxiliary: BTreeMap<String, String>,
}

impl NetworkPool {
    fn wanted(&self) -> Result<WantedPool, EngineError> {
        let bad = |what: &str, text: &str| EngineError::Invalid {
            message: format!("invalid network config: invalid {what}: {text:?}"),
        };
        let prefix = |what: &str, text: &str| -> Result<Option<Prefix>, EngineError> {
            match text {
                "" => Ok(None),
                text => text.parse().map(Some).map_err(|()| bad(what, text)),
            }
        };
        let address = |what: &str, text: &str| text.parse::<IpAddr>().map_err(|_| bad(what, text));
        Ok(WantedPool {
            subnet: prefix("subnet", &self.subnet)?,
            range: prefix("ip-range", &self.ip_range)?,
            gateway: match self.gateway.as_str() {
                "" => None,
                text => Some(address("gateway", text)?),
            },
            reserved: self
                .auxiliary
                .iter()
                .map(|(name, text)| Ok((name.clone(), address("auxiliary address", text)?)))
                .collect::<Result<_, EngineError>>()?,
        })
    }
}

/// Whether an address, or the network `ADDRESS/BITS`, is in a subnet; what cannot be read is not.
pub fn is_in_subnet(subnet: &str, text: &str) -> bool {
    let Ok(subnet) = subnet.parse::<Prefix>() else { return false };
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse().is_ok_and(|address| subnet.contains(address))
}

/// The keys that Docker's `network ls --filter` knows.
const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "label!", "name", "scope", "type"];

impl Engine {
    /// Makes a network and its bridge; answers its id.
    pub fn create_network(&self, request: &CreateNetwork) -> Result<String, EngineError> {
        let name = request.name.as_str();
        let unsupported = |message: String| Err(EngineError::Unsupported { message });
        let is_own = PREDEFINED.contains(&name) || super::pasta::is_pasta(name);
        if is_own || matches!(name, DEFAULT | "default") {
            return Err(EngineError::Conflict {
                message: format!("operation is not permitted on predefined {name} network"),
            });
        }
        let driver = match request.driver.as_str() {
            "" => "bridge",
            driver => driver,
        };
        if !matches!(request.ipam_driver.as_str(), "" | "default") {
            return unsupported(format!(
                "IPAM driver {:?} is not supported: there is the default one",
                request.ipam_driver
            ));
        }
        if let Some(key) = request.ipam_options.keys().next() {
            return unsupported(format!("IPAM option {key} is not supported"));
        }
        if !request.ipv4 && !request.ipv6 {
            return Err(EngineError::Invalid { message: "IPv4 or IPv6 must be enabled".into() });
        }
        // Before anything is made; the bridge's name is checked once the id is known.
        let options = &request.options;
        let parsed = Driver::parse(driver, name, &"0".repeat(64), request.internal, options)?;
        let pools = request.pools.iter().map(NetworkPool::wanted).collect::<Result<_, _>>()?;
        let new = NewNetwork {
            name: name.to_owned(),
            driver: driver.to_owned(),
            ipv4: request.ipv4,
            ipv6: request.ipv6,
            internal: request.internal || parsed.leads_nowhere(),
            attachable: request.attachable,
            has_router: matches!(parsed, Driver::Lan(_)),
            pools,
            options: request.options.clone(),
            ipam_options: request.ipam_options.clone(),
            labels: request.labels.clone(),
        };
        // So that its name and addresses are taken, whether or not anybody has used it.
        self.default_network()?;
        let network = self.networks()?.create(new, &self.occupied()?)?;
        match self.where_bridges_are(|there| there.set_network_up(&network)) {
            Ok(()) => Ok(network.id),
            Err(error) => {
                let guard = self.networks()?.lock()?;
                let _ =
                    self.where_bridges_may_be(|there| there.take_network_down(&network, &guard));
                self.networks()?.remove(&network.name, &guard)?;
                Err(error)
            }
        }
    }

    fn set_network_up(&self, network: &Network) -> Result<(), EngineError> {
        let driver = Driver::of(network)?;
        let guard = self.networks()?.lock()?;
        let mut routes = network::Routes::open()?;
        let options = match &driver {
            Driver::Lan(options) => {
                self.check_parent(network, options)?;
                self.ready_parent(network, options, &mut routes, &guard)?;
                return Ok(());
            }
            Driver::Bridge(options) => options,
        };
        self.refuse_second_owner(network, options)?;
        if let Some(link) = routes.link(&options.bridge)?
            && self.network_of_bridge(&link).is_some_and(|owner| owner != network.name)
        {
            return Err(EngineError::Conflict {
                message: format!("bridge {} belongs to another network", options.bridge),
            });
        }
        let mut table = self.table()?;
        self.ready_bridge(network, options, &mut routes, &mut table, &guard)?;
        Ok(table.add_network(&options.rules(network))?)
    }

    /// Two networks cannot have one bridge.
    fn refuse_second_owner(
        &self,
        network: &Network,
        options: &BridgeOptions,
    ) -> Result<(), EngineError> {
        for other in self.networks()?.list()? {
            if other.id == network.id {
                continue;
            }
            if Driver::of(&other)?.bridge().is_some_and(|theirs| theirs.bridge == options.bridge) {
                return Err(EngineError::Conflict {
                    message: format!(
                        "bridge {} belongs to network {}: choose another name",
                        options.bridge, other.name
                    ),
                });
            }
        }
        Ok(())
    }

    /// Takes the bridge and what the table has of a network away, or the link that it shared.
    pub(crate) fn take_network_down(
        &self,
        network: &Network,
        guard: &Guard,
    ) -> Result<(), EngineError> {
        let options = match Driver::of(network)? {
            Driver::Bridge(options) => options,
            Driver::Lan(options) => return self.drop_parent(network, &options, guard),
        };
        let mut routes = network::Routes::open()?;
        if let Some(link) = routes.link(&options.bridge)?
            && self.network_of_bridge(&link) == Some(&network.name)
        {
            routes.delete_link(&options.bridge)?;
        }
        let mut table = self.table()?;
        if table.state()? != network::TableState::Missing {
            table.remove_network(&options.bridge)?;
        }
        Ok(())
    }

    /// Lists networks, by name.
    pub fn list_networks(&self, filters: &Filters) -> Result<Vec<NetworkInspect>, EngineError> {
        filters.only(FILTERS)?;
        self.restore_table();
        self.default_network()?;
        let mut all = self.networks()?.list()?;
        all.extend(self.predefined());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let dangling = filters.flag("dangling")?;
        let mut listed = Vec::new();
        for network in all {
            let is_predefined =
                network.name == DEFAULT || PREDEFINED.contains(&network.name.as_str());
            let kind = if is_predefined { "builtin" } else { "custom" };
            for value in filters.values("type") {
                if !matches!(value.as_str(), "builtin" | "custom") {
                    return Err(EngineError::Invalid {
                        message: format!("invalid filter: 'type'='{value}'"),
                    });
                }
            }
            let is_wanted = filters.allow_name(&network.name)
                && filters.any("id", |wanted| network.id.starts_with(wanted))
                && filters.any("driver", |wanted| network.driver == wanted)
                && filters.any("scope", |wanted| wanted == "local")
                && filters.any("type", |wanted| wanted == kind)
                && filters.labels_match(&network.labels);
            if !is_wanted {
                continue;
            }
            if let Some(dangling) = dangling {
                let is_used = is_predefined || !self.users_of_network(&network)?.is_empty();
                if is_used == dangling {
                    continue;
                }
            }
            listed.push(describe(&network, BTreeMap::new()));
        }
        Ok(listed)
    }

    /// All about one network.
    pub fn inspect_network(&self, text: &str) -> Result<NetworkInspect, EngineError> {
        self.restore_table();
        if let Some(network) = self.predefined().into_iter().find(|network| {
            network.name == text || (text.len() >= 3 && network.id.starts_with(text))
        }) {
            return Ok(describe(&network, BTreeMap::new()));
        }
        let network = self.find_network(text)?;
        let mut containers = BTreeMap::new();
        for lease in self.networks()?.leases(&network.name)? {
            let Ok(container) = self.containers().get(&lease.owner) else { continue };
            if containers.contains_key(container.id()) || !container.is_alive()? {
                continue;
            }
            let (Ok(status), Ok(Some(state))) = (container.status(), container.network_state())
            else {
                continue;
            };
            let own = |endpoint: &&metadata::EndpointState| endpoint.network == network.name;
            let Some(endpoint) = state.endpoints.iter().find(own) else { continue };
            let address = |is_ipv4| {
                endpoint.address(is_ipv4).map(|prefix| prefix.to_string()).unwrap_or_default()
            };
            let resource = EndpointResource {
                name: status.name,
                endpoint_id: endpoint.id.clone(),
                mac_address: endpoint.mac.clone(),
                ipv4_address: address(true),
                ipv6_address: address(false),
            };
            containers.insert(lease.owner, resource);
        }
        Ok(describe(&network, containers))
    }

    /// Removes a network that no running container uses; with `force`, one that is not there is
    /// fine. Answers the name as it was given; `None` if there was none.
    pub fn remove_network(&self, text: &str, force: bool) -> Result<Option<String>, EngineError> {
        if PREDEFINED.contains(&text) || matches!(text, DEFAULT | "default") {
            return Err(EngineError::Conflict {
                message: format!("{text} is a pre-defined network and cannot be removed"),
            });
        }
        let network = match self.networks()?.find(text) {
            Err(networks::NetworksError::NotFound { .. }) if force => return Ok(None),
            found => found?,
        };
        if network.name == DEFAULT {
            return self.remove_network(DEFAULT, false);
        }
        self.restore_table();
        let guard = self.networks()?.lock()?;
        let active = self.live_users(&network, &guard)?;
        if !active.is_empty() {
            return Err(EngineError::Conflict {
                message: format!(
                    "error while removing network: network {} has active endpoints (name:{}): \
                     disconnect or stop them first",
                    network.name,
                    active.join(", name:")
                ),
            });
        }
        self.where_bridges_may_be(|there| there.take_network_down(&network, &guard))?;
        self.networks()?.remove(&network.name, &guard)?;
        Ok(Some(text.to_owned()))
    }

    /// Removes all networks that no container uses; answers their names.
    pub fn prune_networks(&self, filters: &Filters) -> Result<Vec<String>, EngineError> {
        filters.only(&["label", "label!", "until"])?;
        let until = filters.until()?;
        self.restore_table();
        let mut removed = Vec::new();
        for network in self.networks()?.list()? {
            if network.name == DEFAULT
                || !filters.labels_match(&network.labels)
                || until.is_some_and(|until| network.created > until)
                || !self.users_of_network(&network)?.is_empty()
            {
                continue;
            }
            match self.remove_network(&network.id, false) {
                Ok(_) => removed.push(network.name),
                // Somebody has begun to use it.
                Err(EngineError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// The names of the containers that have an address of a network now; the dead lose theirs.
    pub(crate) fn live_users(
        &self,
        network: &Network,
        guard: &Guard,
    ) -> Result<Vec<String>, EngineError> {
        self.reclaim(&network.name, guard)?;
        let mut names = Vec::new();
        for lease in self.networks()?.leases(&network.name)? {
            let name = self.containers().get(&lease.owner).and_then(|found| found.status());
            let name = name.map_or(lease.owner, |status| status.name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The ids of the containers, running or not, that are to be in a network.
    pub(crate) fn users_of_network(&self, network: &Network) -> Result<Vec<String>, EngineError> {
        let mut users = Vec::new();
        for id in self.containers().ids()? {
            let Ok(container) = self.containers().get(&id) else { continue };
            let Ok(record) = container.record::<bundle::PlannedMount>() else { continue };
            // One whose network is gone uses none.
            let wishes = self.wishes(&container, &record).unwrap_or_default();
            if wishes.iter().any(|wish| wish.network.id == network.id) {
                users.push(id);
            }
        }
        Ok(users)
    }

    /// `host` and `none`: shown as Docker shows them, and nowhere on disk.
    fn predefined(&self) -> Vec<Network> {
        let network = |name: &str, driver: &str| {
            let seed = [self.root().as_os_str().as_encoded_bytes(), name.as_bytes()].concat();
            Network {
                id: content::sha256(&seed).hex().to_owned(),
                name: name.to_owned(),
                created: oci::Timestamp::NEVER,
                driver: driver.to_owned(),
                ipv4: true,
                ipv6: false,
                internal: false,
                attachable: false,
                pools: Vec::new(),
                options: BTreeMap::new(),
                ipam_options: BTreeMap::new(),
                labels: BTreeMap::new(),
            }
        };
        vec![network("host", "host"), network("none", "null")]
    }
}

fn describe(network: &Network, containers: BTreeMap<String, EndpointResource>) -> NetworkInspect {
    let config = network.pools.iter().map(|pool| IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: pool.range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: pool.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        auxiliary_addresses: pool
            .reserved
            .iter()
            .map(|(name, address)| (name.clone(), address.to_string()))
            .collect(),
    });
    NetworkInspect {
        name: network.name.clone(),
        id: network.id.clone(),
        created: network.created.to_string(),
        scope: "local".into(),
        driver: network.driver.clone(),
        enable_ipv4: network.ipv4,
        enable_ipv6: network.ipv6,
        ipam: Ipam {
            driver: "default".into(),
            options: (network.name != DEFAULT).then(|| network.ipam_options.clone()),
            config: config.collect(),
        },
        internal: network.internal,
        attachable: network.attachable,
        containers,
        options: network.options.clone(),
        labels: network.labels.clone(),
        ..NetworkInspect::default()
    }
}
