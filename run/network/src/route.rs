//! Addresses and routes. rtnetlink(7).

use std::net::IpAddr;

use ip::Prefix;
use rustix::io::Errno;

use crate::netlink::{Answer, CREATE, DUMP, EXCLUSIVE, REPLACE, Request, Socket};
use crate::{Link, NetworkError};

const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const DEL_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;

const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const BROADCAST: u16 = 4;
const ADDRESS_FLAGS: u16 = 8;
/// No other host is asked whether it has the address: who gives addresses out knows.
const NO_DAD: u32 = 2;

const DESTINATION: u16 = 1;
const OUTPUT: u16 = 4;
const GATEWAY: u16 = 5;

const INET: u8 = 2;
const INET6: u8 = 10;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;

/// A route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where to; `None` for everything.
    pub destination: Option<Prefix>,
    /// The link that it leaves by.
    pub output: u32,
}

/// Links, addresses and routes of the namespace in which this was opened.
#[derive(Debug)]
pub struct Routes {
    pub(crate) socket: Socket,
}

impl Routes {
    /// For the calling thread's network namespace.
    pub fn open() -> Result<Self, NetworkError> {
        Ok(Self { socket: Socket::open(None)? })
    }

    /// Gives a link an address; one that it has already is fine.
    pub fn add_address(&mut self, link: u32, address: Prefix) -> Result<(), NetworkError> {
        let mut request = Request::default();
        add_address(&mut request, link, address);
        self.socket.perform(request, &|| format!("give link {link} the address {address}"))
    }

    /// Brings a link up, gives it addresses, and makes a default route by way of each gateway, or by
    /// the link itself for one that is unspecified.
    ///
    /// One request and one wait for all of it.
    pub fn configure(
        &mut self,
        link: u32,
        addresses: &[Prefix],
        gateways: &[IpAddr],
    ) -> Result<(), NetworkError> {
        let mut request = Request::default();
        crate::link::add_up(&mut request, link);
        for address in addresses {
            add_address(&mut request, link, *address);
        }
        for gateway in gateways {
            add_default_route(&mut request, link, *gateway);
        }
        self.socket.perform(request, &|| {
            let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("give link {link} the addresses {}", list.join(", "))
        })
    }

    /// Makes the default route of `gateway`'s family one by way of it, or by the link itself if it is
    /// unspecified, instead of what there is.
    pub fn set_default_route(&mut self, link: u32, gateway: IpAddr) -> Result<(), NetworkError> {
        let mut request = Request::default();
        add_default_route(&mut request, link, gateway);
        self.socket.perform(request, &|| format!("make a default route by way of {gateway}"))
    }

    /// Takes the default route of a family away; none is fine.
    pub fn delete_default_route(&mut self, is_ipv4: bool) -> Result<(), NetworkError> {
        let family = if is_ipv4 { INET } else { INET6 };
        let request = Request::new(DEL_ROUTE, 0, &route_header(family, 0, 0));
        match self.socket.perform(request, &|| "take the default route away".into()) {
            Err(error) if error.errno() == Some(Errno::SRCH) => Ok(()),
            deleted => deleted,
        }
    }

    /// Takes an address from a link; one that is not there is fine.
    pub fn delete_address(&mut self, link: &Link, address: Prefix) -> Result<(), NetworkError> {
        let mut request = Request::new(DEL_ADDRESS, 0, &address_header(link.index, address));
        request.attribute(LOCAL, &octets(address.address));
        let action = || format!("take the address {address} from link {}", link.name);
        match self.socket.perform(request, &action) {
            Err(error) if error.errno() == Some(Errno::ADDRNOTAVAIL) => Ok(()),
            deleted => deleted,
        }
    }

    /// All addresses of the namespace, with their links.
    pub fn addresses(&mut self) -> Result<Vec<(u32, Prefix)>, NetworkError> {
        let make = || Request::new(GET_ADDRESS, DUMP, &[0; 8]);
        let answers = self.socket.dump(&make, &|| "list addresses".into())?;
        Ok(answers.iter().filter_map(read_address).collect())
    }

    /// All routes but those to the host itself.
    pub fn routes(&mut self) -> Result<Vec<Route>, NetworkError> {
        let make = || Request::new(GET_ROUTE, DUMP, &[0; 12]);
        let answers = self.socket.dump(&make, &|| "list routes".into())?;
        Ok(answers.iter().filter_map(read_route).collect())
    }

    /// Makes a route to a network that is on the link itself.
    pub fn add_link_route(&mut self, link: u32, destination: Prefix) -> Result<(), NetworkError> {
        let family = family(destination.address);
        let mut header = route_header(family, destination.length, SCOPE_LINK);
        if destination.address.is_ipv6() {
            header[6] = 0;
        }
        let mut request = Request::new(NEW_ROUTE, CREATE | EXCLUSIVE, &header);
        request.attribute(DESTINATION, &octets(destination.address));
        request.u32(OUTPUT, link);
        match self.socket.perform(request, &|| format!("make a route to {destination}")) {
            Err(error) if error.errno() == Some(Errno::EXIST) => Ok(()),
            made => made,
        }
    }
}

fn add_address(request: &mut Request, link: u32, address: Prefix) {
    request.add(NEW_ADDRESS, CREATE | REPLACE, &address_header(link, address));
    let bytes = octets(address.address);
    request.attribute(LOCAL, &bytes);
    request.attribute(ADDRESS, &bytes);
    if address.address.is_ipv6() {
        request.u32(ADDRESS_FLAGS, NO_DAD);
    } else if address.length < 31 {
        request.attribute(BROADCAST, &octets(address.last()));
    }
}

fn add_default_route(request: &mut Request, link: u32, gateway: IpAddr) {
    let scope = if gateway.is_unspecified() && gateway.is_ipv4() { SCOPE_LINK } else { 0 };
    request.add(NEW_ROUTE, CREATE | REPLACE, &route_header(family(gateway), 0, scope));
    if !gateway.is_unspecified() {
        request.attribute(GATEWAY, &octets(gateway));
    }
    request.u32(OUTPUT, link);
}

pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { INET } else { INET6 }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn from_octets(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        INET => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        INET6 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// `struct ifaddrmsg`.
fn address_header(link: u32, address: Prefix) -> [u8; 8] {
    let [a, b, c, d] = link.to_ne_bytes();
    [family(address.address), address.length, 0, 0, a, b, c, d]
}

/// `struct rtmsg`.
fn route_header(family: u8, length: u8, scope: u8) -> [u8; 12] {
    [family, length, 0, 0, TABLE_MAIN, PROTOCOL_STATIC, scope, UNICAST, 0, 0, 0, 0]
}

fn read_address(answer: &Answer) -> Option<(u32, Prefix)> {
    let &[family, length, _, _, a, b, c, d] = answer.payload.first_chunk::<8>()?;
    let attributes = answer.attributes(8);
    let bytes = attributes.get(LOCAL).or_else(|| attributes.get(ADDRESS))?;
    let prefix = Prefix::new(from_octets(family, bytes)?, length)?;
    Some((u32::from_ne_bytes([a, b, c, d]), prefix))
}

fn read_route(answer: &Answer) -> Option<Route> {
    let &[family, length, _, _, table, _, _, _] = answer.payload.first_chunk::<8>()?;
    if table == TABLE_LOCAL {
        return None;
    }
    let attributes = answer.attributes(12);
    let destination = match attributes.get(DESTINATION) {
        Some(bytes) => Some(Prefix::new(from_octets(family, bytes)?, length)?),
        None if length == 0 => None,
        None => return None,
    };
    Some(Route { destination, output: attributes.u32(OUTPUT).unwrap_or(0) })
}
