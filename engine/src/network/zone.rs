//! What a container's resolver knows: looked up where it is, and kept nowhere.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use metadata::{Containers, EndpointState, NetworkState};
use network::dns::Zone;
use networks::Networks;

/// The names that one container can ask for.
#[derive(Debug)]
pub(crate) struct ContainerZone {
    root: PathBuf,
    id: String,
    stores: OnceCell<Option<Stores>>,
}

/// Opened when something is to be looked up.
#[derive(Debug)]
struct Stores {
    containers: Containers,
    networks: Networks,
}

impl ContainerZone {
    pub(crate) fn new(root: &std::path::Path, id: &str) -> Self {
        Self { root: root.to_owned(), id: id.to_owned(), stores: OnceCell::new() }
    }

    fn stores(&self) -> Option<&Stores> {
        let open = || {
            let containers = Containers::open(&self.root).ok()?;
            Some(Stores { containers, networks: Networks::open(&self.root).ok()? })
        };
        self.stores.get_or_init(open).as_ref()
    }

    fn state(&self) -> Option<NetworkState> {
        self.stores()?.containers.get(&self.id).ok()?.network_state().ok()?
    }

    /// The addresses of the living that answer to a name in a network.
    fn resolve(&self, network: &str, name: &str, found: &mut Vec<IpAddr>) {
        let Some(Stores { containers, networks }) = self.stores() else { return };
        for named in networks.resolve(network, name).unwrap_or_default() {
            let container = containers.get(&named.id);
            if container.is_ok_and(|container| container.is_alive().unwrap_or(false)) {
                found.extend(named.addresses);
            }
        }
    }
}

/// `NAME.NETWORK`: that name in that network.
fn within<'a>(name: &'a str, network: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(network.len() + 1)?;
    let (front, back) = (name.get(..at)?, name.get(at..)?.strip_prefix('.')?);
    (back.eq_ignore_ascii_case(network) && !front.is_empty()).then_some(front)
}

impl Zone for ContainerZone {
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let state = self.state()?;
        let mut found = Vec::new();
        for endpoint in &state.endpoints {
            // What the container itself calls others goes before what they are called.
            if let Some(theirs) = endpoint.links.get(name) {
                self.resolve(&endpoint.network, theirs, &mut found);
                continue;
            }
            self.resolve(&endpoint.network, name, &mut found);
            if let Some(name) = within(name, &endpoint.network) {
                self.resolve(&endpoint.network, name, &mut found);
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
        let Stores { containers, networks } = self.stores()?;
        let id = networks.lease_of(&own.network, address).ok()??;
        let container = containers.get(&id).ok()?;
        let name = container.status().ok()?.name;
        container.is_alive().unwrap_or(false).then(|| format!("{name}.{}", own.network))
    }

    fn servers(&self) -> Option<Vec<SocketAddr>> {
        // Not if every network is without a way out: a question is a way out (CVE-2024-29018).
        let state = self.state()?;
        let Stores { containers, networks } = self.stores()?;
        let leads_out = |endpoint: &EndpointState| {
            let network = networks.find_by_name(&endpoint.network).ok().flatten();
            network.is_some_and(|network| !network.internal)
        };
        if !state.endpoints.iter().any(leads_out) {
            return None;
        }
        let own: Vec<String> =
            containers.get(&self.id).and_then(|it| it.name_servers()).unwrap_or_default();
        let host_file = std::fs::read("/etc/resolv.conf").unwrap_or_default();
        let servers = bundle::resolver_servers(&host_file, &own);
        Some(servers.into_iter().map(|address| SocketAddr::new(address, 53)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn names_may_say_their_network() {
        for (name, network, want) in [
            ("web.net", "net", Some("web")),
            ("web.net", "Net", Some("web")),
            ("a.b.net", "net", Some("a.b")),
            (".net", "net", None),
            ("net", "net", None),
            ("webnet", "net", None),
            ("\u{e9}t", "t", None),
        ] {
            assert_eq!(within(name, network), want, "{name}");
        }
    }
}
