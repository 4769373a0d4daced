//! `network connect` and `disconnect`: of containers that run, and of those that do not.

use dockerapi::{EndpointSettings, NetworkingConfig};
use metadata::{Container, EndpointState, NetworkState};
use network::Routes;
use rustix::fs::{CWD, Mode, OFlags};

use super::DEFAULT;
use super::wire;
use super::wish::{self, Wish, is_networked};
use crate::container::{Held, Record, is_up};
use crate::{Engine, EngineError};

impl Engine {
    /// Puts a container into one more network: at once if it runs, and from its next start on.
    pub fn connect_network(
        &self,
        network: &str,
        container: &str,
        settings: &EndpointSettings,
    ) -> Result<(), EngineError> {
        self.restore_table();
        refuse_predefined(network)?;
        let (found, _) = self.look_up(container)?;
        let Held { operation: _operation, life, status } = self.hold(&found)?;
        let record: Record = found.record()?;
        let mode = record.host.network_mode.as_str();
        if !is_networked(mode) && mode != "none" {
            return Err(EngineError::Conflict {
                message: format!(
                    "container cannot be connected to network endpoints: it shares {}",
                    if mode == "host" {
                        "the host's network"
                    } else {
                        "another container's network"
                    }
                ),
            });
        }
        if mode == "none" {
            return Err(EngineError::Conflict {
                message: "container cannot be connected to multiple networks with one of the \
                          networks in private (none) mode"
                    .into(),
            });
        }
        let wish = wish::wish(self.find_network(network)?, settings.clone())?;
        self.check_links(&settings.links)?;
        let mut networking = self.present_networking(&found, &record)?;
        if networking.endpoints_config.contains_key(&wish.network.name) {
            return Err(EngineError::Conflict {
                message: format!(
                    "endpoint with name {} already exists in network {}",
                    status.name, wish.network.name
                ),
            });
        }
        networking.endpoints_config.insert(wish.network.name.clone(), settings.clone());
        if life.is_none() {
            self.where_bridges_are(|there| there.connect_running(&found, &record, &status, wish))?;
        }
        Ok(found.set_networking(&networking)?)
    }

    /// Takes a container out of a network. With `force`, one that is not in it is fine.
    pub fn disconnect_network(
        &self,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<(), EngineError> {
        self.restore_table();
        refuse_predefined(network)?;
        let (found, _) = self.look_up(container)?;
        let Held { operation: _operation, life, status } = self.hold(&found)?;
        let record: Record = found.record()?;
        let network = self.find_network(network)?;
        let mut networking = self.present_networking(&found, &record)?;
        if networking.endpoints_config.remove(&network.name).is_none() {
            return match force {
                true => Ok(()),
                false => Err(EngineError::Conflict {
                    message: format!(
                        "container {} is not connected to network {}",
                        found.id(),
                        network.name
                    ),
                }),
            };
        }
        if life.is_none() && is_up(&status) {
            self.where_bridges_are(|there| {
                there.disconnect_running(&found, &status, &network.name)
            })?;
        }
        Ok(found.set_networking(&networking)?)
    }

    /// All networks that a container is to be in, by their names, its mode's among them.
    fn present_networking(
        &self,
        container: &Container,
        record: &Record,
    ) -> Result<NetworkingConfig, EngineError> {
        if let Some(networking) = container.networking()? {
            return Ok(networking);
        }
        let wishes = self.wishes(container, record)?;
        let endpoints = wishes.into_iter().map(|wish| (wish.network.name, wish.settings));
        Ok(NetworkingConfig { endpoints_config: endpoints.collect() })
    }

    fn connect_running(
        &self,
        container: &Container,
        record: &Record,
        status: &metadata::Status,
        wish: Wish,
    ) -> Result<(), EngineError> {
        let mut state = container.network_state()?.unwrap_or_default();
        let namespace = running_network(container, status)?;
        let mut endpoint = wish.endpoint(wish.interface(&state));
        self.name_endpoint(record, &status.name, &wish, &mut endpoint);
        let mut routes = Routes::open()?;
        let link = {
            let guard = self.networks()?.lock()?;
            self.lease(container.id(), &wish, &mut endpoint, &guard)?;
            state.endpoints.push(endpoint.clone());
            container.set_network_state(&state)?;
            let mut table = self.table()?;
            self.ready_link(&wish.network, &wish.driver, &mut routes, &mut table, &guard)
        };
        use std::os::fd::AsFd;
        let connected = link
            .and_then(|link| {
                wire::plug(&endpoint, &[], &wish, &link, namespace.as_fd(), &mut routes)
            })
            .and_then(|()| self.announce(container.id(), &endpoint))
            .and_then(|()| wire::route(&state, namespace.as_fd(), false))
            .and_then(|()| self.ready_resolver(container, record, &wish, &mut state))
            .and_then(|()| self.rewrite_files(container, record, &state));
        match connected {
            Ok(()) => Ok(()),
            Err(error) => {
                // The wire first, then what stands for it.
                let _ = wire::unplug(&endpoint, namespace.as_fd(), &mut routes);
                self.forget_endpoint(container, &mut state, &endpoint)?;
                Err(error)
            }
        }
    }

    /// Has a container that comes into its first network of names ask for them.
    fn ready_resolver(
        &self,
        container: &Container,
        record: &Record,
        wish: &Wish,
        state: &mut NetworkState,
    ) -> Result<(), EngineError> {
        // The shim of an ordinary user's container cannot enter its network.
        if state.has_resolver || wish.network.name == DEFAULT || self.is_rootless() {
            return Ok(());
        }
        if !record.host.dns.is_empty() {
            container.set_name_servers(&record.host.dns)?;
        }
        let mut session = shim::client::connect(container.path(), shim::Streams::NONE)?;
        session.resolve()?;
        session.detach()?;
        state.has_resolver = true;
        Ok(container.set_network_state(state)?)
    }

    fn disconnect_running(
        &self,
        container: &Container,
        status: &metadata::Status,
        network: &str,
    ) -> Result<(), EngineError> {
        use std::os::fd::AsFd;
        let mut state = container.network_state()?.unwrap_or_default();
        let found = state.endpoints.iter().find(|endpoint| endpoint.network == network).cloned();
        let Some(endpoint) = found else { return Ok(()) };
        let record: Record = container.record()?;
        let namespace = running_network(container, status)?;
        let mut routes = Routes::open()?;
        self.networks()?.withdraw(network, container.id(), &endpoint.names)?;
        wire::unplug(&endpoint, namespace.as_fd(), &mut routes)?;
        self.forget_endpoint(container, &mut state, &endpoint)?;
        wire::route(&state, namespace.as_fd(), false)?;
        self.rewrite_files(container, &record, &state)
    }

    /// Takes an end out of what is written down, with its ports, its names and its addresses.
    fn forget_endpoint(
        &self,
        container: &Container,
        state: &mut NetworkState,
        endpoint: &EndpointState,
    ) -> Result<(), EngineError> {
        let ports = std::mem::take(&mut state.ports);
        let (gone, kept) = ports.into_iter().partition(|port| endpoint.has(port.target.ip()));
        let gone = NetworkState { ports: gone, ..NetworkState::default() };
        state.ports = kept;
        state.endpoints.retain(|other| other.id != endpoint.id);
        {
            let _guard = self.networks()?.lock()?;
            let published = super::port::published(&gone, container.id());
            if !published.is_empty() {
                self.table()?.withdraw(&published)?;
            }
            self.networks()?.withdraw(&endpoint.network, container.id(), &endpoint.names)?;
            self.give_end_back(container.id(), endpoint)?;
        }
        Ok(container.set_network_state(state)?)
    }
}

fn refuse_predefined(network: &str) -> Result<(), EngineError> {
    match network {
        // Docker's words, and what to do.
        "host" => Err(EngineError::Conflict {
            message: "container cannot be disconnected from host network or connected to host \
                      network: choose it with `run --network host`"
                .into(),
        }),
        "none" => Err(EngineError::Conflict {
            message: "container cannot be connected to multiple networks with one of the networks \
                      in private (none) mode: choose it with `run --network none`"
                .into(),
        }),
        _ => Ok(()),
    }
}

/// The network namespace of a running container; an error if it ends meanwhile, since its process
/// id may be another's then.
fn running_network(
    container: &Container,
    status: &metadata::Status,
) -> Result<std::os::fd::OwnedFd, EngineError> {
    let namespace = network_of(status.pid)?;
    let is_same = container.is_alive()? && container.status()?.pid == status.pid;
    match is_same && rustix::process::Pid::from_raw(status.pid).is_some() {
        true => Ok(namespace),
        false => Err(EngineError::Conflict {
            message: format!("container {} is not running", status.name),
        }),
    }
}

/// The network namespace of a process.
pub(crate) fn network_of(pid: i32) -> Result<std::os::fd::OwnedFd, EngineError> {
    let path = format!("/proc/{pid}/ns/net");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path.as_str(), flags, Mode::empty())
        .map_err(|errno| EngineError::io("open", path)(errno.into()))
}
