//! What the kernel does for networks: links, addresses, routes, and one nftables table.
//!
//! ```text
//!                     host                        |   container
//!                                                 |
//!   outside --- eth0 --- routes --- bridge --- veth=|=eth0   addresses, default route
//!                  \                 (Bridge)     |  (Endpoint)
//!                   \--- table `kista`            |
//!                        (Table: one element per network and per published port)
//! ```
//!
//! Everything goes to the kernel by netlink from this process ([`Routes`] for links, addresses and
//! routes, [`Table`] for nftables): no program is started, and no firewall but our own tables are
//! touched. A veth is born with its far end inside the container's namespace and is never moved
//! and never deleted: it ends with the namespace, which costs a twentieth.
//!
//! No policy is made here and nothing is remembered: which addresses, names and ports those are,
//! `engine` says, and what is written down is in `store`. What a published port needs besides the
//! table, a socket that keeps it from others, is made by [`Reservation`].
//!
//! All of it needs CAP_NET_ADMIN over the network namespaces concerned.

mod conntrack;
pub mod dns;
mod error;
mod lan;
mod link;
mod namespace;
mod neighbour;
mod netlink;
mod nft;
mod port;
pub mod proxy;
mod route;
mod sysctl;
mod transparent;

pub use conntrack::forget_datagrams;
pub use error::NetworkError;
pub use lan::{IpvlanFlag, IpvlanMode, LanEndpoint, MacvlanMode, NewParent, Sharing};
pub use link::{BridgeLink, Endpoint, Link, MacAddress};
pub use namespace::{in_namespace, open_own as own_namespace};
pub use nft::redirect::redirect_resolver;
pub use nft::table::{NetworkRules, Published, Table, TableState};
pub use port::{Protocol, Reservation, Taken};
pub use route::{Route, Routes};
pub use sysctl::{Family, Setting, is_forwarding, set_forwarding, set_parameter};
