//! Kista for an ordinary user: the user namespace that all commands on one data directory share.
//!
//! ```text
//! kista ps                    <root>/rootless/users   every member's lock, shared
//!   |  has its uid            <root>/rootless/holder  the holder's lock, and its pid
//!   | enter ----- joins ----> kista-holder            until no member is left
//!   v
//! is root in the namespace, in a mount namespace of its own; the engine goes on from there
//! ```
//!
//! Inside, user 0 is the user itself, and further ids are those that `/etc/subuid` and
//! `/etc/subgid` give it, by newuidmap(1) and newgidmap(1); without any there is user 0 alone.
//! All that the engine does needs no more than that, and nothing in it is more than the kernel
//! gives to any user.
//!
//! Every command must be in one and the same namespace: only there may it signal, look into and
//! enter what another one started. It lives as long as a process is in it, and *the holder* is the
//! process by which others find it. It ends when nobody holds the lock of members, and a holder
//! that was killed is replaced by way of a member that lives on: `docs/decisions/0007`.
//!
//! **The lock is the truth** here as well: a pid in a file says nothing unless the lock is held.

mod directory;
mod door;
mod error;
mod holder;
mod ids;
mod pasta;
mod shared;
mod uplink;
mod user;

pub use directory::data_directory;
pub use error::RootlessError;
pub use holder::{HOLDER, Member, enter, hold, member};
pub use ids::Ids;
pub use pasta::{Forward, Uplink, has_pasta};
pub use shared::{NETWORK, SharedNetwork, hold_network, inode, shared_network};
pub use uplink::{Connecting, UPLINK, connect, look_after};
pub use user::User;
