//! Addresses: whose they are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;
use sys::names::{id_of_link, link_text};

use crate::pool::Pool;
use crate::{Guard, LEASES, Network, Networks, NetworksError, failed};

/// An address that is somebody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// The address.
    pub address: IpAddr,
    /// The container's id.
    pub owner: String,
}

impl Networks {
    /// Gives `owner` an address: `wanted`, or the lowest free one of the family.
    ///
    /// One that `owner` has already is fine. [`NetworksError::AddressTaken`] and
    /// [`NetworksError::Exhausted`] may be on account of the dead: see [`Networks::reclaim`].
    pub fn take(
        &self,
        network: &Network,
        owner: &str,
        is_ipv4: bool,
        wanted: Option<IpAddr>,
        _guard: &Guard,
    ) -> Result<IpAddr, NetworksError> {
        let leases = self.open_part(&network.name, LEASES)?;
        if let Some(address) = wanted {
            return self.take_this(network, &leases, owner, address);
        }
        let family = if is_ipv4 { "IPv4" } else { "IPv6" };
        let pools = network.pools.iter().filter(|pool| pool.subnet.address.is_ipv4() == is_ipv4);
        let taken: BTreeSet<IpAddr> = self.addresses(network, &leases)?.into_iter().collect();
        let mut last = None;
        for pool in pools {
            last = Some(pool.subnet);
            if let Some(address) = lowest_free(pool, &taken) {
                self.link(network, &leases, owner, address)?;
                return Ok(address);
            }
        }
        match last {
            Some(pool) => {
                Err(NetworksError::Exhausted { family, network: network.name.clone(), pool })
            }
            None => Err(NetworksError::BadPool {
                problem: format!("network {} has no {family} addresses", network.name),
            }),
        }
    }

    fn take_this(
        &self,
        network: &Network,
        leases: &OwnedFd,
        owner: &str,
        address: IpAddr,
    ) -> Result<IpAddr, NetworksError> {
        let pool = network
            .pool_of(address)
            .ok_or_else(|| NetworksError::Foreign { network: network.name.clone(), address })?;
        if let Some(owner) = pool.kept_for(address) {
            return Err(NetworksError::AddressTaken { address, owner });
        }
        match self.lease_of(&network.name, address)? {
            Some(theirs) if theirs == owner => return Ok(address),
            Some(theirs) => {
                let owner = format!("container {}", theirs.get(..12).unwrap_or(&theirs));
                return Err(NetworksError::AddressTaken { address, owner });
            }
            None => {}
        }
        self.link(network, leases, owner, address)?;
        Ok(address)
    }

    /// Gives an address back, if it is `owner`'s. A network that is gone is fine.
    pub fn give_back(
        &self,
        network: &str,
        owner: &str,
        address: IpAddr,
    ) -> Result<(), NetworksError> {
        let leases = match self.open_part(network, LEASES) {
            Err(NetworksError::NotFound { .. }) => return Ok(()),
            leases => leases?,
        };
        let path = || self.path.join(network).join(LEASES).join(address.to_string());
        match readlinkat(&leases, address.to_string(), Vec::new()) {
            Ok(theirs) if id_of_link(&theirs.to_string_lossy()) == owner => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed("read", &path())(errno)),
        }
        match unlinkat(&leases, address.to_string(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove", &path())(errno)),
        }
    }

    /// Whose an address is, if it is somebody's.
    pub fn lease_of(
        &self,
        network: &str,
        address: IpAddr,
    ) -> Result<Option<String>, NetworksError> {
        let leases = self.open_part(network, LEASES)?;
        match readlinkat(&leases, address.to_string(), Vec::new()) {
            Ok(owner) => Ok(Some(id_of_link(&owner.to_string_lossy()))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                let path = self.path.join(network).join(LEASES).join(address.to_string());
                Err(failed("read", &path)(errno))
            }
        }
    }

    /// All addresses of a network that are somebody's, in order.
    pub fn leases(&self, network: &str) -> Result<Vec<Lease>, NetworksError> {
        let leases = match self.open_part(network, LEASES) {
            Err(NetworksError::NotFound { .. }) => return Ok(Vec::new()),
            leases => leases?,
        };
        let path = self.path.join(network).join(LEASES);
        let mut all = Vec::new();
        for name in self.names_in(&leases, &path)? {
            let Ok(address) = name.parse() else { continue };
            // One that is given back while we look is nobody's.
            if let Ok(owner) = readlinkat(&leases, &name, Vec::new()) {
                all.push(Lease { address, owner: id_of_link(&owner.to_string_lossy()) });
            }
        }
        all.sort();
        Ok(all)
    }

    /// Takes the addresses away that belong to the dead; answers which.
    ///
    /// `with_dead` is called once for each owner and calls back if that one is dead and cannot come
    /// to life until the call returns.
    pub fn reclaim(
        &self,
        network: &str,
        with_dead: &mut dyn FnMut(&str, &mut dyn FnMut()),
        _guard: &Guard,
    ) -> Result<Vec<IpAddr>, NetworksError> {
        let leases = self.leases(network)?;
        let owners: BTreeSet<&str> = leases.iter().map(|lease| lease.owner.as_str()).collect();
        let mut taken = Vec::new();
        let mut outcome = Ok(());
        for owner in owners {
            with_dead(owner, &mut || {
                for lease in leases.iter().filter(|lease| lease.owner == owner) {
                    match self.give_back(network, owner, lease.address) {
                        Ok(()) => taken.push(lease.address),
                        Err(error) => outcome = Err(error),
                    }
                }
            });
        }
        outcome.map(|()| taken)
    }

    fn addresses(&self, network: &Network, leases: &OwnedFd) -> Result<Vec<IpAddr>, NetworksError> {
        let path = self.path.join(&network.name).join(LEASES);
        let names = self.names_in(leases, &path)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn link(
        &self,
        network: &Network,
        leases: &OwnedFd,
        owner: &str,
        address: IpAddr,
    ) -> Result<(), NetworksError> {
        symlinkat(link_text(owner), leases, address.to_string()).map_err(|errno| {
            let path = self.path.join(&network.name).join(LEASES).join(address.to_string());
            failed("create", &path)(errno)
        })
    }
}

/// The lowest address of a pool that is nobody's.
fn lowest_free(pool: &Pool, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let range = pool.range.unwrap_or(pool.subnet);
    // So many are looked at as can be in the way, and one more.
    let most = u128::try_from(taken.len() + pool.reserved.len() + 4).unwrap_or(u128::MAX);
    (0..most)
        .map_while(|place| range.nth(place))
        .find(|address| !taken.contains(address) && pool.kept_for(*address).is_none())
}
