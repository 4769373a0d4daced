//! Networks: the verbs, and how a container comes to be in one.
//!
//! ```text
//! create      checks which networks a container is to have        wish
//! start       namespace (beside everything else)                  sandbox
//!             addresses, ports, network.json                      sandbox, port
//!             hosts, resolv.conf                                  files
//!             launch -> the shim's stage makes the process
//!             bridge, table, veth, names                          bridge, sandbox
//!             or a share of a link of the host                    lan
//!             connected -> the program starts
//! end         ports, names, addresses; network.json goes last     release
//! ```
//!
//! `network.json` in the container's directory lists what is outside of its namespace. It is
//! written before any of that is there, and as long as it is there without a container that runs,
//! whoever looks at the container takes back what it lists.

pub(crate) mod bridge;
mod check;
mod connect;
mod create;
mod describe;
mod endpoint;
mod files;
mod lan;
mod options;
mod pasta;
mod port;
mod release;
mod sandbox;
mod shared;
mod step;
mod verbs;
mod wire;
mod wish;
pub(crate) mod zone;

pub(crate) use connect::network_of;
pub(crate) use files::NetworkFiles;
pub(crate) use pasta::PASTA;
pub(crate) use sandbox::{EarlyNamespace, Sandbox};
pub(crate) use step::{STEPS, StepNetwork};
pub use verbs::{CreateNetwork, NetworkPool, is_in_subnet};
pub(crate) use wire::resolver_sockets;
pub(crate) use wish::is_networked;

use networks::{Network, Networks, NetworksError, NewNetwork};

use crate::{Engine, EngineError};

/// The network of containers that name none.
pub(crate) const DEFAULT: &str = "bridge";
/// Names that are no networks of ours: the host's own, and none at all.
const PREDEFINED: [&str; 2] = ["host", "none"];

impl Engine {
    pub(crate) fn networks(&self) -> Result<&Networks, EngineError> {
        crate::once(&self.networks, || Networks::open(self.root()).map_err(Into::into))
    }

    /// What names of ours on the host begin with: so that two data directories do not meet.
    fn own_prefix(&self, separator: &str) -> String {
        if self.root() == std::path::Path::new("/var/lib/kista") {
            return "kista".to_owned();
        }
        let digest = content::sha256(self.root().as_os_str().as_encoded_bytes());
        format!("kista{separator}{}", &digest.hex()[..8])
    }

    /// The network of containers that name none; made when it is first asked for.
    pub(crate) fn default_network(&self) -> Result<Network, EngineError> {
        if let Some(network) = self.networks()?.find_by_name(DEFAULT)? {
            return Ok(network);
        }
        let bridge = match self.own_prefix("-").as_str() {
            "kista" => "kista0".to_owned(),
            prefix => prefix.to_owned(),
        };
        let option =
            |key: &str, value: &str| (format!("com.docker.network.{key}"), value.to_owned());
        let new = NewNetwork {
            name: DEFAULT.into(),
            driver: "bridge".into(),
            ipv4: true,
            options: [
                option("bridge.default_bridge", "true"),
                option("bridge.enable_icc", "true"),
                option("bridge.enable_ip_masquerade", "true"),
                option("bridge.host_binding_ipv4", "0.0.0.0"),
                option("bridge.name", &bridge),
                option("driver.mtu", "1500"),
            ]
            .into(),
            ..NewNetwork::default()
        };
        match self.networks()?.create(new, &self.occupied()?) {
            // Somebody else needed it too.
            Err(NetworksError::NameTaken { .. }) => Ok(self.networks()?.find(DEFAULT)?),
            made => Ok(made?),
        }
    }

    /// A network by its name, its id or the beginning of that.
    pub(crate) fn find_network(&self, text: &str) -> Result<Network, EngineError> {
        match text {
            DEFAULT | "default" => self.default_network(),
            text => Ok(self.networks()?.find(text)?),
        }
    }

    /// The name of the network that this is the name, the id or the beginning of the id of; the text
    /// itself if there is none.
    pub(crate) fn network_named(&self, text: &str) -> String {
        let found = self.networks().ok().and_then(|networks| networks.find(text).ok());
        found.map_or_else(|| text.to_owned(), |network| network.name)
    }

    /// The networks that this host can reach, which no new one may hide.
    fn occupied(&self) -> Result<Vec<ip::Prefix>, EngineError> {
        let mut routes = network::Routes::open()?;
        let mut occupied: Vec<_> =
            routes.routes()?.into_iter().filter_map(|route| route.destination).collect();
        occupied.extend(routes.addresses()?.into_iter().map(|(_, address)| address.network()));
        // Routes that cover half the world are VPNs' and hide nothing that is nearer.
        occupied.retain(|prefix| prefix.length > 1);
        Ok(occupied)
    }
}
