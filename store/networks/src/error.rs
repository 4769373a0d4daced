//! Why a network could not be made, found or read, or an address not be had.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use ip::Prefix;

/// Why a network could not be made, found or read, or an address not be had.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// Neither a name nor an id nor the prefix of one.
    #[error("network {text} not found")]
    NotFound {
        /// What was looked for.
        text: String,
    },
    /// The prefix of several ids.
    #[error("network {text} is ambiguous: several networks have ids that begin like this")]
    Ambiguous {
        /// What was looked for.
        text: String,
    },
    /// There is a network of this name.
    #[error("network with name {name} already exists")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A name that cannot be one.
    #[error(
        "invalid network name {name:?}: a name has at most 128 letters, digits, '_', '.' and '-', \
         and begins with a letter or a digit"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A wish for addresses that makes no sense.
    #[error("{problem}")]
    BadPool {
        /// What is wrong, and with what.
        problem: String,
    },
    /// The addresses are another network's too.
    #[error(
        "invalid pool request: Pool overlaps with other one on this address space: \
             {subnet} and network {other}'s {theirs}"
    )]
    Overlap {
        /// What was asked for.
        subnet: Prefix,
        /// Who has it.
        other: String,
        /// What that has.
        theirs: Prefix,
    },
    /// All of Docker's default pools are in use, by networks or by the host's routes.
    #[error(
        "could not find an available, non-overlapping {family} address pool among the defaults to \
         assign to the network: all are in use by networks or by routes of this host; remove a \
         network, or choose one with --subnet"
    )]
    NoPool {
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// Every address of the network is in use.
    #[error("no available {family} addresses on network {network}'s pool {pool}: all are in use")]
    Exhausted {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The network.
        network: String,
        /// The pool.
        pool: Prefix,
    },
    /// A certain address is somebody else's.
    #[error("Address already in use: {address} belongs to {owner}")]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// A container's id, or what else it is kept for.
        owner: String,
    },
    /// A certain address is none of the network's.
    #[error(
        "no configured subnet or ip-range of network {network} contains the IP address {address}"
    )]
    Foreign {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
    },
    /// A document that is damaged, or of a later version of Kista.
    #[error("cannot read {path}", path = path.display())]
    Damaged {
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
