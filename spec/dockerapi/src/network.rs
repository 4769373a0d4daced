//! What `network inspect` and `network ls` answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::null_default;

/// All about one network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInspect {
    /// Its name.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// 64 hexadecimal digits.
    #[serde(deserialize_with = "null_default")]
    pub id: String,
    /// RFC 3339.
    #[serde(deserialize_with = "null_default")]
    pub created: String,
    /// `local`.
    #[serde(deserialize_with = "null_default")]
    pub scope: String,
    /// `bridge`, `host`, `null`...
    #[serde(deserialize_with = "null_default")]
    pub driver: String,
    /// Whether it has IPv4.
    #[serde(rename = "EnableIPv4", deserialize_with = "null_default")]
    pub enable_ipv4: bool,
    /// Whether it has IPv6.
    #[serde(rename = "EnableIPv6", deserialize_with = "null_default")]
    pub enable_ipv6: bool,
    /// Its addresses.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// Whether there is no way out.
    #[serde(deserialize_with = "null_default")]
    pub internal: bool,
    /// Swarm.
    #[serde(deserialize_with = "null_default")]
    pub attachable: bool,
    /// Swarm.
    #[serde(deserialize_with = "null_default")]
    pub ingress: bool,
    /// Swarm.
    pub config_from: ConfigReference,
    /// Swarm.
    #[serde(deserialize_with = "null_default")]
    pub config_only: bool,
    /// The running containers in it, by id.
    #[serde(deserialize_with = "null_default")]
    pub containers: BTreeMap<String, EndpointResource>,
    /// Options of the driver.
    #[serde(deserialize_with = "null_default")]
    pub options: BTreeMap<String, String>,
    /// Free key-value pairs.
    #[serde(deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
}

/// Where a network takes its configuration from: nowhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigReference {
    /// Empty.
    #[serde(deserialize_with = "null_default")]
    pub network: String,
}

/// The addresses of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    /// `default`.
    #[serde(deserialize_with = "null_default")]
    pub driver: String,
    /// Options of the driver.
    pub options: Option<BTreeMap<String, String>>,
    /// One for each subnet.
    #[serde(deserialize_with = "null_default")]
    pub config: Vec<IpamConfig>,
}

/// One subnet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    /// All addresses.
    #[serde(deserialize_with = "null_default")]
    pub subnet: String,
    /// Those that containers get.
    #[serde(
        rename = "IPRange",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ip_range: String,
    /// The host's.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Those that nobody gets.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

/// A container in a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointResource {
    /// The container's name.
    #[serde(deserialize_with = "null_default")]
    pub name: String,
    /// 64 hexadecimal digits.
    #[serde(rename = "EndpointID", deserialize_with = "null_default")]
    pub endpoint_id: String,
    /// The hardware address.
    #[serde(deserialize_with = "null_default")]
    pub mac_address: String,
    /// With the bits of the network.
    #[serde(rename = "IPv4Address", deserialize_with = "null_default")]
    pub ipv4_address: String,
    /// With the bits of the network.
    #[serde(rename = "IPv6Address", deserialize_with = "null_default")]
    pub ipv6_address: String,
}
