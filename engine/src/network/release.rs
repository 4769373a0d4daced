//! The end: what is outside of a container's namespace goes.

use std::net::IpAddr;

use metadata::{Container, EndpointState};
use network::Routes;
use networks::Guard;

use super::options::Driver;
use crate::{Engine, EngineError};

impl Engine {
    /// Takes back what a container has of networks outside of its namespace. None is fine.
    ///
    /// Only for its shim, or for whoever knows that it does not run and cannot be started.
    pub(crate) fn release_network(&self, container: &Container) -> Result<(), EngineError> {
        let Some(state) = container.network_state()? else { return Ok(()) };
        let networks = self.networks()?;
        let id = container.id();
        for endpoint in &state.endpoints {
            networks.withdraw(&endpoint.network, id, &endpoint.names)?;
        }
        if !state.endpoints.is_empty() {
            self.where_bridges_may_be(|_| {
                let mut routes = Routes::open()?;
                let wires = state.endpoints.iter().map(|endpoint| endpoint.host_interface.as_str());
                for wire in wires.filter(|wire| !wire.is_empty()) {
                    routes.close_port(wire)?;
                }
                Ok(())
            })?;
        }
        {
            let _guard = networks.lock()?;
            let published = super::port::published(&state, id);
            if !published.is_empty() {
                self.table()?.withdraw(&published)?;
                network::forget_datagrams(&published)?;
            }
            for endpoint in &state.endpoints {
                self.give_end_back(id, endpoint)?;
            }
        }
        Ok(container.clear_network_state()?)
    }

    /// Gives the addresses of an end back, and has the host forget whose they were.
    pub(crate) fn give_end_back(
        &self,
        id: &str,
        endpoint: &EndpointState,
    ) -> Result<(), EngineError> {
        let networks = self.networks()?;
        let addresses = || endpoint.addresses.iter().map(|prefix| prefix.address);
        // One that was taken back before may be another's.
        let is_own = |address: &IpAddr| {
            networks.lease_of(&endpoint.network, *address).is_ok_and(|it| it.as_deref() == Some(id))
        };
        let own: Vec<IpAddr> = addresses().filter(is_own).collect();
        self.forget_neighbours(&endpoint.network, &own)?;
        for address in addresses() {
            networks.give_back(&endpoint.network, id, address)?;
        }
        Ok(())
    }

    /// Has the host forget who had addresses of a network.
    pub(crate) fn forget_neighbours(
        &self,
        network: &str,
        addresses: &[IpAddr],
    ) -> Result<(), EngineError> {
        if addresses.is_empty() {
            return Ok(());
        }
        // A network that is gone has no bridge that anybody remembers.
        let Some(network) = self.networks()?.find_by_name(network)? else { return Ok(()) };
        let Driver::Bridge(options) = Driver::of(&network)? else { return Ok(()) };
        self.where_bridges_may_be(|_| {
            let mut routes = Routes::open()?;
            if let Some(bridge) = routes.link(&options.bridge)? {
                addresses.iter().try_for_each(|address| routes.unpin(&bridge, *address))?;
            }
            Ok(())
        })
        .map(drop)
    }

    /// Takes the addresses of a network back that belong to dead containers.
    pub(crate) fn reclaim(&self, network: &str, guard: &Guard) -> Result<(), EngineError> {
        let mut with_dead = |owner: &str, release: &mut dyn FnMut()| self.with_dead(owner, release);
        let taken = self.networks()?.reclaim(network, &mut with_dead, guard)?;
        self.forget_neighbours(network, &taken)
    }

    /// Calls `release` if the container of this id, or the step of a build, is dead, and keeps it so until that returns.
    pub(crate) fn with_dead(&self, id: &str, release: &mut dyn FnMut()) {
        if super::step::is_step(id) {
            return self.with_dead_step(id, release);
        }
        match self.containers().get(id) {
            Ok(container) => {
                let held = container.try_lock_operation();
                if matches!(held, Ok(Some(_))) && matches!(container.is_alive(), Ok(false)) {
                    release();
                }
            }
            Err(metadata::MetadataError::NotFound { .. }) => release(),
            // It cannot be told.
            Err(_) => {}
        }
    }
}
