//! Links: bridges, and the pairs that connect a container to one. rtnetlink(7).

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::NetworkError;
use crate::netlink::{ACK, Attributes, CREATE, DUMP, EXCLUSIVE, Request};
use crate::route::Routes;

pub(crate) const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
pub(crate) const SET_LINK: u16 = 19;

pub(crate) const ADDRESS: u16 = 1;
pub(crate) const NAME: u16 = 3;
pub(crate) const MTU: u16 = 4;
const MASTER: u16 = 10;
pub(crate) const LINK_INFO: u16 = 18;
pub(crate) const ALIAS: u16 = 20;
pub(crate) const NAMESPACE_FD: u16 = 28;
pub(crate) const INFO_KIND: u16 = 1;
pub(crate) const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const VETH_PEER: u16 = 1;
const PROTOCOL_INFO: u16 = 12;
const BRIDGE_FAMILY: u8 = 7;
const PORT_STATE: u16 = 1;
const PORT_FLUSH: u16 = 24;
const PORT_REFLECTS: u16 = 4;
const PORT_ISOLATED: u16 = 33;

pub(crate) const UP: u32 = 1;
const HEADER_BYTES: usize = 16;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// `02:42:` and the IPv4 address: as long as addresses differ, so do these, and whoever gets
    /// an address anew has what the neighbours remember of it.
    pub fn of(address: std::net::Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// A made-up one: locally administered, for one device.
    pub fn random() -> Self {
        let hex = sys::names::random_hex::<5>();
        let byte = |at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap_or(0);
        Self([0x02, byte(0), byte(1), byte(2), byte(3), byte(4)])
    }

    /// Reads six bytes in hexadecimal digits, between `:` or `-`; `None` if they cannot be the
    /// address of one device.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        (parts.next().is_none() && bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What is known of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth`...; empty for a device of the hardware.
    pub kind: String,
    /// Whether it is up.
    pub is_up: bool,
    /// The bridge that it is a port of; 0 if none.
    pub master: u32,
    /// A text that belongs to it; ours say whose they are.
    pub alias: String,
    /// The largest packet, in bytes.
    pub mtu: u32,
}

/// A bridge that is to be.
#[derive(Debug, Clone, Copy)]
pub struct BridgeLink<'a> {
    /// Its name, 15 bytes at most.
    pub name: &'a str,
    /// The largest packet; the kernel's choice if 0.
    pub mtu: u32,
    /// Says whose it is.
    pub alias: &'a str,
}

/// Two ends of a wire that are to be: one a port of a bridge, the other inside a container.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// The name of the host's end.
    pub host_name: &'a str,
    /// The name of the container's end.
    pub name: &'a str,
    /// The number of the container's end in its namespace; the kernel's choice if 0.
    pub index: u32,
    /// The address of the container's end.
    pub mac: MacAddress,
    /// Its addresses of IP: the host and the bridge believe nobody else who claims these.
    pub addresses: &'a [ip::Prefix],
    /// The largest packet; the kernel's choice if 0.
    pub mtu: u32,
    /// The bridge.
    pub bridge: &'a Link,
    /// The container's network namespace.
    pub namespace: BorrowedFd<'a>,
    /// Whether it can talk to no other port that is isolated too, but only to the host.
    pub isolated: bool,
    /// Whether what it sends may come back to it: the kernel changes the destination inside the
    /// bridge (br_netfilter), so that a container's packet to a port of the host that leads to the
    /// container itself never leaves the bridge.
    pub reflects: bool,
}

/// Adds a message that brings a link up.
pub(crate) fn add_up(request: &mut Request, link: u32) {
    request.add(SET_LINK, 0, &header(link, UP, UP));
}

/// `struct ifinfomsg`.
pub(crate) fn header(index: u32, flags: u32, change: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

impl Routes {
    /// The link of this name, if there is one.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, NetworkError> {
        let mut request = Request::new(GET_LINK, 0, &header(0, 0, 0));
        request.text(NAME, name);
        let answer = self.socket.ask(request, &|| format!("look at link {name}"))?;
        Ok(answer.and_then(|answer| read(&answer.payload)))
    }

    /// All links of the namespace.
    pub fn links(&mut self) -> Result<Vec<Link>, NetworkError> {
        let make = || Request::new(GET_LINK, DUMP, &header(0, 0, 0));
        let answers = self.socket.dump(&make, &|| "list links".into())?;
        Ok(answers.iter().filter_map(|answer| read(&answer.payload)).collect())
    }

    /// Makes a bridge, which is down; `None` if there is a link of that name, which the caller has
    /// not seen.
    pub fn create_bridge(&mut self, bridge: &BridgeLink<'_>) -> Result<Option<Link>, NetworkError> {
        let name = bridge.name;
        let mut request = Request::new(NEW_LINK, CREATE | EXCLUSIVE, &header(0, 0, 0));
        request.text(NAME, name);
        // Of its own: else it has the lowest of its ports', which changes as they come and go.
        request.attribute(ADDRESS, &MacAddress::random().0);
        if bridge.mtu != 0 {
            request.u32(MTU, bridge.mtu);
        }
        request.nest(LINK_INFO, |request| request.text(INFO_KIND, "bridge"));
        // In one go, so that no moment is left in which it is nobody's.
        request.add(SET_LINK, 0, &header(0, 0, 0));
        request.text(NAME, name);
        request.text(ALIAS, bridge.alias);
        match self.socket.perform(request, &|| format!("make bridge {name}")) {
            Err(error) if error.errno() == Some(Errno::EXIST) => return Ok(None),
            made => made?,
        }
        self.link(name)
    }

    /// Brings a link up, or down.
    pub fn set_up(&mut self, link: &Link, is_up: bool) -> Result<(), NetworkError> {
        let flags = if is_up { UP } else { 0 };
        let request = Request::new(SET_LINK, 0, &header(link.index, flags, UP));
        self.socket.perform(request, &|| format!("bring link {} up", link.name))
    }

    /// Makes the two ends: the host's a port of the bridge and up, the container's where it will be
    /// used and down, as the kernel wants it; see [`Routes::configure`].
    ///
    /// [`NetworkError::BridgeFull`] when the bridge has no port left.
    pub fn create_endpoint(&mut self, endpoint: &Endpoint<'_>) -> Result<(), NetworkError> {
        let mut request = Request::new(NEW_LINK, CREATE | EXCLUSIVE, &header(0, UP, UP));
        request.text(NAME, endpoint.host_name);
        request.u32(MASTER, endpoint.bridge.index);
        if endpoint.mtu != 0 {
            request.u32(MTU, endpoint.mtu);
        }
        request.nest(LINK_INFO, |request| {
            request.text(INFO_KIND, "veth");
            request.nest(INFO_DATA, |request| {
                request.nest(VETH_PEER, |request| {
                    request.raw(&header(endpoint.index, 0, 0));
                    request.text(NAME, endpoint.name);
                    request.attribute(ADDRESS, &endpoint.mac.0);
                    if endpoint.mtu != 0 {
                        request.u32(MTU, endpoint.mtu);
                    }
                    let namespace = endpoint.namespace.as_raw_fd().unsigned_abs();
                    request.u32(NAMESPACE_FD, namespace);
                });
            });
        });
        let bridge = &endpoint.bridge.name;
        let action = || format!("connect to bridge {bridge}");
        match self.socket.perform(request, &action) {
            Err(error) if error.errno() == Some(Errno::XFULL) => {
                // Of two messages the kernel carries out the first part of one: the pair is there.
                self.delete_link(endpoint.host_name)?;
                return Err(NetworkError::BridgeFull { bridge: bridge.clone() });
            }
            made => made?,
        }
        let name = endpoint.host_name;
        let port = self
            .socket
            .index_of(name)
            .map_err(|errno| NetworkError::kernel(format!("look at port {name}"))(errno.into()))?;
        self.pin(endpoint, port)?;
        if endpoint.isolated {
            self.set_port(endpoint.host_name, PORT_ISOLATED)?;
        }
        if endpoint.reflects {
            self.set_port(endpoint.host_name, PORT_REFLECTS)?;
        }
        Ok(())
    }

    /// Turns something on for a port of a bridge.
    fn set_port(&mut self, name: &str, what: u16) -> Result<(), NetworkError> {
        let mut request = Request::new(NEW_LINK, ACK, &header(0, 0, 0));
        request.text(NAME, name);
        request.nest(LINK_INFO, |request| {
            request.text(INFO_SLAVE_KIND, "bridge");
            request.nest(INFO_SLAVE_DATA, |request| request.attribute(what, &[1]));
        });
        self.socket.perform(request, &|| format!("set up port {name}"))
    }

    /// Lets nothing pass through a port of a bridge any more; one that is not there is fine.
    ///
    /// A link ends some time after its namespace, and the namespace when nobody holds it. Until
    /// then it would answer for an address that somebody else has been given.
    pub fn close_port(&mut self, name: &str) -> Result<(), NetworkError> {
        let action = || format!("close port {name}");
        let index = match self.socket.index_of(name) {
            Err(Errno::NODEV) => return Ok(()),
            index => index
                .map_err(|errno| NetworkError::Kernel { action: action(), source: errno.into() })?,
        };
        // Of the bridge's own family: the kernel opens the port again with any other change.
        let mut start = header(index, 0, 0);
        start[0] = BRIDGE_FAMILY;
        let mut request = Request::new(SET_LINK, 0, &start);
        request.nest(PROTOCOL_INFO, |request| {
            request.attribute(PORT_STATE, &[0]);
            request.attribute(PORT_FLUSH, &[]);
        });
        match self.socket.perform(request, &action) {
            // Gone, down, or no port.
            Err(error)
                if matches!(
                    error.errno(),
                    Some(Errno::NODEV | Errno::NETDOWN | Errno::OPNOTSUPP | Errno::INVAL)
                ) =>
            {
                Ok(())
            }
            closed => closed,
        }
    }

    /// Deletes a link; one that is not there is fine.
    ///
    /// Slow (15 ms and more): never on a container's way, whose links end with their namespace.
    pub fn delete_link(&mut self, name: &str) -> Result<(), NetworkError> {
        let mut request = Request::new(DEL_LINK, 0, &header(0, 0, 0));
        request.text(NAME, name);
        match self.socket.perform(request, &|| format!("delete link {name}")) {
            Err(error) if error.errno() == Some(Errno::NODEV) => Ok(()),
            deleted => deleted,
        }
    }
}

/// A link of the kernel's.
fn read(payload: &[u8]) -> Option<Link> {
    let word = |at: usize| Some(u32::from_ne_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    let attributes = Attributes::of(payload.get(HEADER_BYTES..)?);
    let info = attributes.get(LINK_INFO).map(Attributes::of);
    Some(Link {
        index: word(4)?,
        name: attributes.text(NAME)?,
        kind: info.and_then(|info| info.text(INFO_KIND)).unwrap_or_default(),
        is_up: word(8)? & UP != 0,
        master: attributes.u32(MASTER).unwrap_or(0),
        alias: attributes.text(ALIAS).unwrap_or_default(),
        mtu: attributes.u32(MTU).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_of_one_device() {
        assert_eq!(MacAddress::of([172, 17, 0, 2].into()).to_string(), "02:42:ac:11:00:02");
        for (text, good) in [
            ("02:42:ac:11:00:02", true),
            ("92-d0-C6-0a-29-33", true),
            ("01:00:5e:00:00:01", false),
            ("00:00:00:00:00:00", false),
            ("02:42:ac:11:00", false),
            ("02:42:ac:11:00:02:03", false),
            ("2:42:ac:11:00:02", false),
            ("x2:42:ac:11:00:02", false),
        ] {
            assert_eq!(MacAddress::parse(text).is_some(), good, "{text}");
        }
        let random = MacAddress::random();
        assert_eq!(MacAddress::parse(&random.to_string()), Some(random));
    }
}
