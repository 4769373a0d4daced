//! Where a network's addresses come from, and how a new network gets a place of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ip::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Network, NetworksError, NewNetwork};

/// Addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// All of them.
    pub subnet: Prefix,
    /// Those that containers get without asking for one; all if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Prefix>,
    /// The host's, or that of a router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Those that no container gets, by what has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<String, IpAddr>,
    /// Whether the subnet was chosen here and not by the user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
}

/// Addresses that a new network should have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedPool {
    /// One is chosen if `None`.
    pub subnet: Option<Prefix>,
    /// As in [`Pool`].
    pub range: Option<Prefix>,
    /// The first address if `None` and the gateway is the host.
    pub gateway: Option<IpAddr>,
    /// As in [`Pool`].
    pub reserved: BTreeMap<String, IpAddr>,
}

/// Docker's: what is divided, and the length of the parts.
const DEFAULTS: [([u8; 4], u8, u8); 7] = [
    ([172, 17, 0, 0], 16, 16),
    ([172, 18, 0, 0], 16, 16),
    ([172, 19, 0, 0], 16, 16),
    ([172, 20, 0, 0], 14, 16),
    ([172, 24, 0, 0], 14, 16),
    ([172, 28, 0, 0], 14, 16),
    ([192, 168, 0, 0], 16, 20),
];

impl Pool {
    /// Why no container can have this address; `None` if one can.
    pub(crate) fn kept_for(&self, address: IpAddr) -> Option<String> {
        if self.gateway == Some(address) {
            return Some("the gateway".into());
        }
        if let Some((name, _)) = self.reserved.iter().find(|(_, reserved)| **reserved == address) {
            return Some(format!("{name} (--aux-address)"));
        }
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if self.subnet.length + 2 > bits {
            return None; // RFC 3021: of two addresses both are hosts'.
        }
        if self.subnet.network().address == address {
            return Some("the network itself".into());
        }
        (address.is_ipv4() && self.subnet.last() == address).then(|| "broadcasts".into())
    }
}

/// The pools of a new network.
pub(crate) fn decide(
    new: &NewNetwork,
    others: &[Network],
    occupied: &[Prefix],
) -> Result<Vec<Pool>, NetworksError> {
    let mut pools: Vec<Pool> = Vec::new();
    let mut chosen: Vec<&WantedPool> = Vec::new();
    for wanted in &new.pools {
        let Some(subnet) = wanted.subnet else {
            chosen.push(wanted);
            continue;
        };
        check_subnet(subnet, others, &pools)?;
        pools.push(complete(wanted, subnet, false, new.has_router)?);
    }
    for (is_ipv4, has_family) in [(true, new.ipv4), (false, new.ipv6)] {
        let has_pool = pools.iter().any(|pool| pool.subnet.address.is_ipv4() == is_ipv4);
        if has_pool && !has_family {
            let family = if is_ipv4 { "IPv4" } else { "IPv6" };
            return Err(bad(format!("the network has no {family}, but a subnet of it")));
        }
        if has_pool || !has_family {
            continue;
        }
        let subnet = match is_ipv4 {
            true => choose_ipv4(others, occupied)?,
            false => choose_ipv6(others, occupied)?,
        };
        let nothing = WantedPool::default();
        let wanted = if is_ipv4 { chosen.pop().unwrap_or(&nothing) } else { &nothing };
        pools.push(complete(wanted, subnet, true, new.has_router)?);
    }
    Ok(pools)
}

fn bad(problem: String) -> NetworksError {
    NetworksError::BadPool { problem }
}

fn check_subnet(subnet: Prefix, others: &[Network], own: &[Pool]) -> Result<(), NetworksError> {
    if !subnet.is_network() {
        let network = subnet.network();
        return Err(bad(format!(
            "invalid network config: invalid subnet {subnet}: it should be {network}"
        )));
    }
    if subnet.length == 0 {
        return Err(bad(format!(
            "invalid network config: invalid subnet {subnet}: it is everything"
        )));
    }
    if own.iter().any(|pool| pool.subnet.overlaps(subnet)) {
        return Err(bad(format!("the subnet {subnet} overlaps with another of the same network")));
    }
    for other in others {
        if let Some(pool) = other.pools.iter().find(|pool| pool.subnet.overlaps(subnet)) {
            let (other, theirs) = (other.name.clone(), pool.subnet);
            return Err(NetworksError::Overlap { subnet, other, theirs });
        }
    }
    Ok(())
}

/// Checks what was asked for besides the subnet, and fills the gateway in if that is the host.
fn complete(
    wanted: &WantedPool,
    subnet: Prefix,
    chosen: bool,
    has_router: bool,
) -> Result<Pool, NetworksError> {
    let inside = |what: &str, address: IpAddr| match subnet.contains(address) {
        true => Ok(()),
        false => Err(bad(format!(
            "invalid network config: invalid {what} {address}: it is not in the subnet {subnet}"
        ))),
    };
    if let Some(range) = wanted.range {
        if !range.is_network() {
            let network = range.network();
            return Err(bad(format!(
                "invalid network config: invalid ip-range {range}: it should be {network}"
            )));
        }
        if range.length < subnet.length {
            return Err(bad(format!(
                "invalid network config: invalid ip-range {range}: it is larger than the subnet \
                 {subnet}"
            )));
        }
        inside("ip-range", range.address)?;
    }
    for (name, address) in &wanted.reserved {
        inside(&format!("auxiliary address {name}"), *address)?;
    }
    if let Some(gateway) = wanted.gateway {
        inside("gateway", gateway)?;
    }
    let mut pool = Pool {
        subnet,
        range: wanted.range,
        gateway: wanted.gateway,
        reserved: wanted.reserved.clone(),
        chosen,
    };
    if pool.gateway.is_none() && !has_router {
        let places = (0..).map_while(|place| subnet.nth(place));
        pool.gateway = places.take(1024).find(|address| pool.kept_for(*address).is_none());
    }
    Ok(pool)
}

fn is_free(subnet: Prefix, others: &[Network], occupied: &[Prefix]) -> bool {
    let theirs = others.iter().flat_map(|network| &network.pools).map(|pool| &pool.subnet);
    theirs.chain(occupied).all(|other| !other.overlaps(subnet))
}

fn choose_ipv4(others: &[Network], occupied: &[Prefix]) -> Result<Prefix, NetworksError> {
    for (base, length, part) in DEFAULTS {
        let base = Prefix { address: IpAddr::from(base), length };
        let step = 1u128 << (32 - part);
        let mut place = 0;
        while let Some(address) = base.nth(place) {
            let subnet = Prefix { address, length: part };
            if is_free(subnet, others, occupied) {
                return Ok(subnet);
            }
            place += step;
        }
    }
    Err(NetworksError::NoPool { family: "IPv4" })
}

/// A unique local prefix, made up as RFC 4193, section 3.2 asks: 40 random bits, subnet 0.
fn choose_ipv6(others: &[Network], occupied: &[Prefix]) -> Result<Prefix, NetworksError> {
    for _ in 0..16 {
        let digits = sys::names::random_hex::<5>();
        let random = u128::from_str_radix(&digits, 16).unwrap_or(0);
        let address = IpAddr::V6(Ipv6Addr::from(0xfd << 120 | random << 80));
        let subnet = Prefix { address, length: 64 };
        if is_free(subnet, others, occupied) {
            return Ok(subnet);
        }
    }
    Err(NetworksError::NoPool { family: "IPv6" })
}
