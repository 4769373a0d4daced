//! `network.json`: what a container has of networks while it runs, and `networking.json`: what it
//! is to have, if that is no longer what its record says. `nameservers`: whom its resolver asks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use dockerapi::NetworkingConfig;
use ip::Prefix;
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::failed;
use crate::{Container, MetadataError};

const STATE: &str = "network.json";
const WISHES: &str = "networking.json";
const SERVERS: &str = "nameservers";

/// What a container has of networks in one run.
///
/// Written before any of it is outside of the container, and removed when nothing is any more:
/// while it is there and the container does not run, somebody was killed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkState {
    /// Its ends, in the order of their interfaces.
    pub endpoints: Vec<EndpointState>,
    /// Its published ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortState>,
    /// `port/protocol` of all ports that it exposes, published or not: `ps` shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// Whether its shim answers questions for names: it is, or was in this run, in a network that
    /// has some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_resolver: bool,
    /// Whether it is connected by another program and has no ends: pasta, for ordinary users.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_uplink: bool,
}

/// A container's end in one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointState {
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The name of the interface inside.
    pub interface: String,
    /// The name of its far end on the host; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_interface: String,
    /// The hardware address; empty if it is that of the link that it shares.
    pub mac: String,
    /// Its addresses with their networks, IPv4 first.
    pub addresses: Vec<Prefix>,
    /// By which routers the network is left; an unspecified address is none but the link itself.
    /// Empty for an internal one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// Further names, as the user gave them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// All names that it answers to in this network; empty where there is no resolver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What the container itself calls others, with what they are called, in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// Addresses that are good on the wire alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local: Vec<IpAddr>,
    /// The highest gives the default route.
    #[serde(default)]
    pub gw_priority: i64,
    /// Options of the driver, as the user gave them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
}

impl EndpointState {
    /// The address of a family.
    pub fn address(&self, is_ipv4: bool) -> Option<Prefix> {
        self.addresses.iter().copied().find(|prefix| prefix.address.is_ipv4() == is_ipv4)
    }

    /// Whether an address is its own.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|prefix| prefix.address == address)
    }

    /// The gateway of a family.
    pub fn gateway(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == is_ipv4)
    }
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The address and port on the host; port 0 where the container is reached at its own address.
    pub host: SocketAddr,
    /// The address and port of the container.
    pub target: SocketAddr,
    /// Whether it is reached there, too, by links of the host that the network trusts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_near: bool,
}

impl Container {
    /// What the container has of networks; `None` if nothing.
    pub fn network_state(&self) -> Result<Option<NetworkState>, MetadataError> {
        self.read_if_there(STATE)
    }

    /// Writes down what the container has of networks.
    pub fn set_network_state(&self, state: &NetworkState) -> Result<(), MetadataError> {
        self.write(STATE, state)
    }

    /// Says that the container has nothing of networks any more.
    pub fn clear_network_state(&self) -> Result<(), MetadataError> {
        match unlinkat(self.dir(), STATE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove", self.path().join(STATE))(errno)),
        }
    }

    /// The servers that the container's resolver is to ask, if they are not the host's.
    pub fn name_servers(&self) -> Result<Vec<String>, MetadataError> {
        match crate::container::read_document(self.dir(), SERVERS) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()),
            Err(Errno::NOENT) => Ok(Vec::new()),
            Err(errno) => Err(failed("read", self.path().join(SERVERS))(errno)),
        }
    }

    /// Says which servers the container's resolver is to ask.
    pub fn set_name_servers(&self, servers: &[String]) -> Result<(), MetadataError> {
        sys::fs::replace_file(self.dir(), SERVERS, servers.join("\n").as_bytes(), false).map_err(
            |source| MetadataError::Io { action: "write", path: self.path().join(SERVERS), source },
        )
    }

    /// The networks that the container is to have, if they have changed since its creation.
    pub fn networking(&self) -> Result<Option<NetworkingConfig>, MetadataError> {
        self.read_if_there(WISHES)
    }

    /// Writes down which networks the container is to have from now on.
    pub fn set_networking(&self, networking: &NetworkingConfig) -> Result<(), MetadataError> {
        self.write(WISHES, networking)
    }
}
