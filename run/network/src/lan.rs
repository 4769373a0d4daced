//! Links that share one of the host's: a container on the wire itself, without a bridge of ours.
//! rtnetlink(7); kernel documentation, networking/ipvlan.rst.
//!
//! The container's end is born inside its namespace and ends with it. What it shares is a device of
//! the host, or one that is made here: a VLAN of a device, or a dummy that leads nowhere.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::NetworkError;
use crate::link::{ADDRESS, Link, MacAddress, SET_LINK, UP, header};
use crate::link::{ALIAS, INFO_DATA, INFO_KIND, LINK_INFO, MTU, NAME, NAMESPACE_FD, NEW_LINK};
use crate::netlink::{CREATE, EXCLUSIVE, Request};
use crate::route::Routes;

const PARENT: u16 = 5;

/// How a link shares its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// With a hardware address of its own.
    Macvlan(MacvlanMode),
    /// With the parent's hardware address, told apart by addresses of IP.
    Ipvlan(IpvlanMode, IpvlanFlag),
}

/// Who those that share a parent can talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MacvlanMode {
    /// Not to each other.
    Private = 1,
    /// To each other by way of the switch outside.
    Vepa = 2,
    /// To each other at once.
    Bridge = 4,
    /// There is only one, and it has the parent for itself.
    Passthru = 8,
}

/// At which layer the parent hands packets over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum IpvlanMode {
    /// Frames: they share the parent's neighbours.
    L2 = 0,
    /// Packets: the host routes what they send, and there are no broadcasts.
    L3 = 1,
    /// As `L3`, and the host's netfilter sees what arrives.
    L3s = 2,
}

/// Who those that share a parent can talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum IpvlanFlag {
    /// To each other at once.
    Bridge = 0,
    /// Not to each other.
    Private = 1,
    /// To each other by way of the switch outside.
    Vepa = 2,
}

impl Sharing {
    /// The kernel's name for such links.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(..) => "ipvlan",
        }
    }
}

/// A container's link that shares one of the host's, to be made.
#[derive(Debug, Clone, Copy)]
pub struct LanEndpoint<'a> {
    /// Its name in the container.
    pub name: &'a str,
    /// How it shares.
    pub sharing: Sharing,
    /// What it shares.
    pub parent: &'a Link,
    /// Its address; the parent's, or the kernel's choice, if `None`.
    pub mac: Option<MacAddress>,
    /// The largest packet; the parent's if 0.
    pub mtu: u32,
    /// The container's network namespace.
    pub namespace: BorrowedFd<'a>,
}

/// A parent that is to be made.
#[derive(Debug, Clone, Copy)]
pub enum NewParent<'a> {
    /// Nothing that is sent there arrives anywhere.
    Dummy,
    /// Frames with this tag on another link.
    Vlan {
        /// The other link.
        on: &'a Link,
        /// 1 to 4094.
        tag: u16,
    },
}

impl Routes {
    /// Makes a link to be shared, marks it, and brings it up. The caller has seen that there is none
    /// of that name.
    ///
    /// `EOPNOTSUPP` where the kernel has no such links.
    pub fn create_parent(
        &mut self,
        name: &str,
        new: &NewParent<'_>,
        alias: &str,
    ) -> Result<Option<Link>, NetworkError> {
        const VLAN_ID: u16 = 1;
        let mut request = Request::new(NEW_LINK, CREATE | EXCLUSIVE, &header(0, 0, 0));
        request.text(NAME, name);
        if let NewParent::Vlan { on, .. } = new {
            request.u32(PARENT, on.index);
        }
        request.nest(LINK_INFO, |request| match new {
            NewParent::Dummy => request.text(INFO_KIND, "dummy"),
            NewParent::Vlan { tag, .. } => {
                request.text(INFO_KIND, "vlan");
                request.nest(INFO_DATA, |request| {
                    request.attribute(VLAN_ID, &tag.to_ne_bytes());
                });
            }
        });
        // In one go, so that no moment is left in which it is nobody's.
        request.add(SET_LINK, 0, &header(0, UP, UP));
        request.text(NAME, name);
        request.text(ALIAS, alias);
        self.socket.perform(request, &|| format!("make link {name}"))?;
        self.link(name)
    }

    /// Makes a container's link, which is down; see [`Routes::configure`].
    ///
    /// `EBUSY` when the parent is shared in another way or is a port of something, `EINVAL` when it
    /// is passed through already.
    pub fn create_lan_endpoint(&mut self, endpoint: &LanEndpoint<'_>) -> Result<(), NetworkError> {
        const MODE: u16 = 1;
        const FLAGS: u16 = 2;
        let mut request = Request::new(NEW_LINK, CREATE | EXCLUSIVE, &header(0, 0, 0));
        request.text(NAME, endpoint.name);
        request.u32(PARENT, endpoint.parent.index);
        request.u32(NAMESPACE_FD, endpoint.namespace.as_raw_fd().unsigned_abs());
        if let Some(mac) = endpoint.mac {
            request.attribute(ADDRESS, &mac.0);
        }
        if endpoint.mtu != 0 {
            request.u32(MTU, endpoint.mtu);
        }
        request.nest(LINK_INFO, |request| {
            request.text(INFO_KIND, endpoint.sharing.kind());
            request.nest(INFO_DATA, |request| match endpoint.sharing {
                Sharing::Macvlan(mode) => request.u32(MODE, mode as u32),
                Sharing::Ipvlan(mode, flag) => {
                    request.attribute(MODE, &(mode as u16).to_ne_bytes());
                    // Before Linux 4.15 there are none.
                    if flag != IpvlanFlag::Bridge {
                        request.attribute(FLAGS, &(flag as u16).to_ne_bytes());
                    }
                }
            });
        });
        let (kind, parent) = (endpoint.sharing.kind(), &endpoint.parent.name);
        self.socket.perform(request, &|| format!("make a {kind} link on {parent}"))
    }
}
