//! Where the bridges of an ordinary user are: in one network of its own.
//!
//! For root it is the host's, and everything happens where the command is. Otherwise the part that
//! deals with bridges, the table and wires is done by a thread in the user's network, with an
//! engine of its own: whoever has gone there cannot come back to the host's.

use std::os::fd::{AsFd, OwnedFd};

use network::Routes;
use rootless::{SharedNetwork, Uplink};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use shim::client::Session;
use shim::network::Purpose;

use super::pasta;
use crate::{Engine, EngineError, supervise};

/// The interface by which the user's network is left.
const INTERFACE: &str = "uplink0";

impl Engine {
    /// Calls `action` with an engine that is where this user's bridges are; makes the network if
    /// it is not there.
    pub(crate) fn where_bridges_are<T: Send>(
        &self,
        action: impl FnOnce(&Self) -> Result<T, EngineError> + Send,
    ) -> Result<T, EngineError> {
        if sys::namespace::has_network() || self.is_in_shared.get() {
            return action(self);
        }
        self.in_shared(self.shared_network()?, action)
    }

    /// As `where_bridges_are`, for those who only look: `None` if there is no such network, and so
    /// no bridge.
    pub(crate) fn where_bridges_may_be<T: Send>(
        &self,
        action: impl FnOnce(&Self) -> Result<T, EngineError> + Send,
    ) -> Result<Option<T>, EngineError> {
        if sys::namespace::has_network() || self.is_in_shared.get() {
            return action(self).map(Some);
        }
        match rootless::shared_network(self.root(), None, &|number| self.surviving(number))? {
            Some(shared) => self.in_shared(&shared, action).map(Some),
            None => Ok(None),
        }
    }

    fn in_shared<T: Send>(
        &self,
        shared: &SharedNetwork,
        action: impl FnOnce(&Self) -> Result<T, EngineError> + Send,
    ) -> Result<T, EngineError> {
        let root = self.root();
        let work = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(shared.namespace.as_fd(), kind)
                .map_err(|errno| EngineError::io("enter the network of", root)(errno.into()))?;
            let engine = Self::open(root)?;
            engine.is_in_shared.set(true);
            action(&engine)
        };
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// This user's network, which stays at least as long as this engine.
    fn shared_network(&self) -> Result<&SharedNetwork, EngineError> {
        crate::once(&self.shared, || {
            let has_way = Routes::open()?.routes()?.iter().any(|route| route.destination.is_none());
            let uplink = Uplink {
                interface: INTERFACE.into(),
                dns_forward: pasta::asks_loopback(&[]).then_some(pasta::DNS),
                ..Uplink::default()
            };
            let uplink = Some(has_way.then_some(&uplink));
            let surviving = |number| self.surviving(number);
            let made = rootless::shared_network(self.root(), uplink, &surviving)?;
            Ok(made.expect("made if it was not there"))
        })
    }

    /// Has a container's shim keep the network.
    pub(crate) fn keep_shared(&self, session: &Session) -> Result<(), EngineError> {
        if sys::namespace::has_network() {
            return Ok(());
        }
        let shared = self.shared_network()?;
        session.hand_over(&Purpose::Network, shared.namespace.as_fd())?;
        Ok(session.hand_over(&Purpose::Lifeline, shared.member.as_fd())?)
    }

    /// The network of this number, in the hands of a shim.
    fn surviving(&self, number: u64) -> Option<OwnedFd> {
        let own = std::fs::metadata("/proc/thread-self/ns/net").ok()?;
        supervise::living_shims(self.root()).find_map(|(pid, _shim)| {
            let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            fds.flatten().find_map(|entry| {
                use std::os::unix::fs::MetadataExt;
                let facts = std::fs::metadata(entry.path()).ok()?;
                if (facts.dev(), facts.ino()) != (own.dev(), number) {
                    return None;
                }
                let found: OwnedFd = std::fs::File::open(entry.path()).ok()?.into();
                // What stood there may have gone meanwhile.
                (rootless::inode(found.as_fd()).ok()? == number).then_some(found)
            })
        })
    }
}
