//! What a container's resolver knows: looked up where it is, so that it is never old.

use std::net::{IpAddr, SocketAddr};

use metadata::{Containers, EndpointState, NetworkState};
use network::dns::Zone;
use networks::Networks;

use crate::EngineError;

/// The names that one container can ask for.
#[derive(Debug)]
pub(crate) struct ContainerZone {
    containers: Containers,
    networks: Networks,
    id: String,
}

impl ContainerZone {
    pub(crate) fn open(root: &std::path::Path, id: &str) -> Result<Self, EngineError> {
        Ok(Self {
            containers: Containers::open(root)?,
            networks: Networks::open(root)?,
            id: id.to_owned(),
        })
    }

    fn state(&self) -> Option<NetworkState> {
        self.containers.get(&self.id).ok()?.network_state().ok()?
    }

    fn is_alive(&self, id: &str) -> bool {
        self.containers.get(id).is_ok_and(|container| container.is_alive().unwrap_or(false))
    }
}

impl Zone for ContainerZone {
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let state = self.state()?;
        let mut found = Vec::new();
        for endpoint in &state.endpoints {
            let mut names = vec![name];
            // `NAME.NETWORK` is that name in that network.
            names.extend(name.strip_suffix(&endpoint.network).and_then(|it| it.strip_suffix('.')));
            for name in names {
                for named in self.networks.resolve(&endpoint.network, name).unwrap_or_default() {
                    if self.is_alive(&named.id) {
                        found.extend(named.addresses);
                    }
                }
            }
        }
        (!found.is_empty()).then_some(found)
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        let state = self.state()?;
        let own = state
            .endpoints
            .iter()
            .find(|endpoint| endpoint.addresses.iter().any(|it| it.contains(address)))?;
        let id = self.networks.lease_of(&own.network, address).ok()??;
        let container = self.containers.get(&id).ok()?;
        let name = container.status().ok()?.name;
        container.is_alive().unwrap_or(false).then(|| format!("{name}.{}", own.network))
    }

    fn servers(&self) -> Option<Vec<SocketAddr>> {
        // Not if every network is without a way out: a question is a way out (CVE-2024-29018).
        let state = self.state()?;
        let leads_out = |endpoint: &EndpointState| {
            let network = self.networks.find_by_name(&endpoint.network).ok().flatten();
            network.is_some_and(|network| !network.internal)
        };
        if !state.endpoints.iter().any(leads_out) {
            return None;
        }
        let own: Vec<String> = self
            .containers
            .get(&self.id)
            .and_then(|container| container.name_servers())
            .unwrap_or_default();
        let host_file = std::fs::read("/etc/resolv.conf").unwrap_or_default();
        let servers = bundle::resolver_servers(&host_file, &own);
        Some(servers.into_iter().map(|address| SocketAddr::new(address, 53)).collect())
    }
}
