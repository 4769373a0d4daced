//! `create`: what can be said of a container's networks before it starts.

use dockerapi::{ContainerConfig, HostConfig, NetworkingConfig};
use metadata::Container;

use super::files::parse_link;
use super::pasta::is_pasta;
use super::port;
use super::wish::is_networked;
use crate::{Engine, EngineError};

impl Engine {
    /// Refuses networks that are not there, and addresses, ports and links that cannot be.
    pub(crate) fn check_network_wishes(
        &self,
        config: &ContainerConfig,
        host: &HostConfig,
        networking: &NetworkingConfig,
    ) -> Result<(), EngineError> {
        let invalid = |message: &str| Err(EngineError::Invalid { message: message.into() });
        if !is_networked(&host.network_mode) {
            if networking.endpoints_config.keys().any(|name| *name != host.network_mode) {
                return invalid(
                    "conflicting options: cannot attach both user-defined and \
                     non-user-defined network-modes",
                );
            }
            if is_pasta(&host.network_mode) {
                port::wanted(config, host, None)?;
            }
            return Ok(());
        }
        port::wanted(config, host, None)?;
        let wishes = self.wishes_of(host, networking, true)?;
        self.check_links(&host.links)?;
        wishes.iter().try_for_each(|wish| self.check_links(&wish.settings.links))
    }

    /// Refuses links to containers that are not there.
    pub(crate) fn check_links(&self, links: &[String]) -> Result<(), EngineError> {
        for link in links {
            let (name, _) = parse_link(link);
            self.look_up(name).map_err(|error| match error {
                EngineError::NoContainer { name } => EngineError::Invalid {
                    message: format!(
                        "could not get container for {name}: No such container: {name}"
                    ),
                },
                other => other,
            })?;
        }
        Ok(())
    }

    /// Makes a running container answer to its new name instead of the old one.
    pub(crate) fn rename_in_networks(
        &self,
        container: &Container,
        old: &str,
        new: &str,
    ) -> Result<(), EngineError> {
        let Some(mut state) = container.network_state()? else { return Ok(()) };
        for endpoint in &mut state.endpoints {
            let Some(at) = endpoint.names.iter().position(|name| name == old) else { continue };
            endpoint.names[at] = new.to_owned();
        }
        // In the list first: what is announced is withdrawn by it.
        container.set_network_state(&state)?;
        for endpoint in &state.endpoints {
            if endpoint.names.is_empty() {
                continue;
            }
            self.announce(container.id(), endpoint)?;
            let is_alias = endpoint.names.iter().any(|name| name == old);
            if !is_alias {
                let old = [old.to_owned()];
                self.networks()?.withdraw(&endpoint.network, container.id(), &old)?;
            }
        }
        Ok(())
    }
}
