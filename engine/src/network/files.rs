//! What a container's files say of its networks.

use std::net::IpAddr;

use metadata::{Container, NetworkState};

use super::DEFAULT;
use super::sandbox::{RESOLVER, Sandbox};
use super::wish;
use crate::container::Record;
use crate::{Engine, EngineError};

/// For `/etc/hosts` and `/etc/resolv.conf`.
#[derive(Debug, Default)]
pub(crate) struct NetworkFiles {
    /// Its own addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// What `host-gateway` stands for.
    pub(crate) host_gateway: Option<IpAddr>,
    /// Where it asks for names, if that is our resolver.
    pub(crate) resolver: Option<IpAddr>,
    /// The server that it asks instead of the host's.
    pub(crate) server: Option<IpAddr>,
    /// Names of other containers, with their addresses.
    pub(crate) others: Vec<(IpAddr, String)>,
}

impl Engine {
    /// What the files of a container say.
    pub(crate) fn network_files(
        &self,
        record: &Record,
        sandbox: Option<&Sandbox>,
    ) -> Result<NetworkFiles, EngineError> {
        let wants_gateway =
            record.host.extra_hosts.iter().any(|entry| entry.ends_with("host-gateway"));
        let Some(sandbox) = sandbox else {
            let host_gateway = match wants_gateway && record.host.network_mode == "host" {
                true => Some(IpAddr::from([127, 0, 0, 1])),
                false => None,
            };
            return Ok(NetworkFiles { host_gateway, ..NetworkFiles::default() });
        };
        Ok(NetworkFiles {
            addresses: sandbox.addresses(),
            host_gateway: match sandbox.host_address() {
                Some(address) => Some(address),
                // Docker's, too, although the container has no way there.
                None => self.default_network()?.gateway(true).map(|gateway| gateway.address),
            },
            resolver: sandbox.has_resolver().then_some(IpAddr::V4(RESOLVER)),
            server: sandbox.dns_forward(),
            others: self.linked(record)?,
        })
    }

    /// Writes the files of a running container anew, whose networks have changed.
    pub(crate) fn rewrite_files(
        &self,
        container: &Container,
        record: &Record,
        state: &NetworkState,
    ) -> Result<(), EngineError> {
        let prefixes = state.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let network = NetworkFiles {
            addresses: prefixes.map(|prefix| prefix.address).collect(),
            host_gateway: self.host_address(state)?,
            resolver: state.has_resolver.then_some(IpAddr::V4(RESOLVER)),
            server: None,
            others: self.linked(record)?,
        };
        self.write_files(container, record, &network).map(drop)
    }

    /// The host's address in the first network of a running container that has one, or else in the
    /// default network.
    fn host_address(&self, state: &NetworkState) -> Result<Option<IpAddr>, EngineError> {
        for endpoint in &state.endpoints {
            let wish = wish::wish(self.find_network(&endpoint.network)?, Default::default())?;
            if let Some(address) = wish.host_address() {
                return Ok(Some(address));
            }
        }
        Ok(self.default_network()?.gateway(true).map(|gateway| gateway.address))
    }

    /// The containers that `--link` names in the default network, as lines of `/etc/hosts`.
    fn linked(&self, record: &Record) -> Result<Vec<(IpAddr, String)>, EngineError> {
        let mut lines = Vec::new();
        // In others they are the resolver's.
        let is_default = matches!(record.host.network_mode.as_str(), "" | "default" | DEFAULT);
        for link in record.host.links.iter().filter(|_| is_default) {
            let (name, alias) = parse_link(link);
            let (container, status) = self.look_up(name)?;
            let address =
                self.default_address(&container)?.ok_or_else(|| EngineError::Conflict {
                    message: format!("Cannot link to a non running container: /{}", status.name),
                })?;
            let mut names = vec![alias.to_owned()];
            for other in [&container.id()[..12], status.name.as_str()] {
                if !names.iter().any(|known| known == other) {
                    names.push(other.to_owned());
                }
            }
            lines.push((address, names.join(" ")));
        }
        Ok(lines)
    }

    /// The address that a running container has in the default network.
    fn default_address(&self, container: &Container) -> Result<Option<IpAddr>, EngineError> {
        if !container.is_alive()? {
            return Ok(None);
        }
        let state = container.network_state()?.unwrap_or_default();
        let endpoint = state.endpoints.iter().find(|endpoint| endpoint.network == super::DEFAULT);
        Ok(endpoint.and_then(|endpoint| endpoint.address(true)).map(|prefix| prefix.address))
    }
}

/// `NAME[:ALIAS]`; Docker's own form `/NAME:/OTHER/ALIAS` is understood too.
pub(crate) fn parse_link(link: &str) -> (&str, &str) {
    let (name, alias) = link.split_once(':').unwrap_or((link, link));
    let last = |text: &'_ str| text.rfind('/').map_or(0, |at| at + 1);
    (&name[last(name)..], &alias[last(alias)..])
}

#[cfg(test)]
mod tests {
    use super::parse_link;

    #[test]
    fn links_have_an_alias() {
        assert_eq!(parse_link("db"), ("db", "db"));
        assert_eq!(parse_link("db:store"), ("db", "store"));
        assert_eq!(parse_link("/db:/web/store"), ("db", "store"));
    }
}
