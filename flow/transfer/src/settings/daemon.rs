//! Docker's `daemon.json`: the two keys about registries.

use std::path::Path;

use serde::Deserialize;

use super::read_optional;
use crate::TransferError;

/// What it says about registries.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Daemon {
    /// Hosts, with or without a port, and networks.
    #[serde(rename = "insecure-registries")]
    insecure: Vec<String>,
    /// URLs of mirrors of the default registry.
    #[serde(rename = "registry-mirrors")]
    pub(super) mirrors: Vec<String>,
}

impl Daemon {
    /// Whether the registry of this name may be spoken to without checking who it is.
    ///
    /// A network covers names that are addresses, and no name that resolves to one.
    pub(super) fn is_insecure(&self, domain: &str) -> bool {
        let host = domain.rsplit_once(':').map_or(domain, |(host, _)| host);
        self.insecure.iter().any(|entry| entry == domain || entry == host || contains(entry, host))
    }
}

/// Whether the network `entry` (`10.0.0.0/8`) has the IPv4 address `host`.
fn contains(entry: &str, host: &str) -> bool {
    let parsed = || {
        let (network, bits) = entry.split_once('/')?;
        let network: std::net::Ipv4Addr = network.parse().ok()?;
        let address: std::net::Ipv4Addr = host.parse().ok()?;
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        Some(u32::from(network) & mask == u32::from(address) & mask)
    };
    parsed().unwrap_or(false)
}

pub(super) fn read(path: &Path) -> Result<Daemon, TransferError> {
    let Some(text) = read_optional(path)? else { return Ok(Daemon::default()) };
    serde_json::from_str(&text)
        .map_err(|error| TransferError::Settings { path: path.to_owned(), why: error.to_string() })
}
