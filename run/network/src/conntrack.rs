//! Connections that the kernel remembers: those of datagrams outlive what they led to.
//!
//! The kernel looks a datagram up among them before any rule is asked. A client that goes on
//! sending from one port would reach the container that had a published port before, or nobody,
//! for as long as it goes on.

use std::net::IpAddr;

use crate::netlink::{Answer, Attributes, DUMP, Request, Socket};
use crate::{NetworkError, Protocol, Published};

const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const HEADER_BYTES: usize = 4;

const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;

/// One direction of a connection.
#[derive(Debug, PartialEq, Eq)]
struct Direction {
    protocol: u8,
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
}

/// Makes the kernel forget the datagrams that went to these ports, or came from their targets.
/// Ports of other protocols are passed over.
///
/// A look at every connection of the host: only where there are such ports.
pub fn forget_datagrams(published: &[Published]) -> Result<(), NetworkError> {
    let ports: Vec<&Published> =
        published.iter().filter(|port| port.protocol == Protocol::Udp).collect();
    for (is_ipv4, family) in [(true, super::nft::FAMILY4), (false, super::nft::FAMILY6)] {
        if !ports.iter().any(|port| port.host.is_ipv4() == is_ipv4) {
            continue;
        }
        let mut socket = super::nft::open()?;
        let make = || Request::new(GET, DUMP, &[family, 0, 0, 0]);
        for answer in socket.dump(&make, &|| "list connections".into())? {
            if is_of(&answer, &ports) {
                forget(&mut socket, family, &answer)?;
            }
        }
    }
    Ok(())
}

fn is_of(answer: &Answer, ports: &[&Published]) -> bool {
    let attributes = answer.attributes(HEADER_BYTES);
    let direction = |kind| attributes.get(kind).and_then(read);
    let (Some(original), Some(reply)) = (direction(ORIGINAL), direction(REPLY)) else {
        return false;
    };
    original.protocol == Protocol::Udp.number()
        && ports.iter().any(|port| {
            let (address, number) = original.destination;
            let to_port = number == port.host.port()
                && (port.host.ip().is_unspecified() || port.host.ip() == address);
            to_port || reply.source == (port.target.ip(), port.target.port())
        })
}

fn forget(socket: &mut Socket, family: u8, answer: &Answer) -> Result<(), NetworkError> {
    let attributes = answer.attributes(HEADER_BYTES);
    let mut request = Request::new(DELETE, 0, &[family, 0, 0, 0]);
    for kind in [ORIGINAL, ID] {
        if let Some(value) = attributes.get(kind) {
            let kind = if kind == ORIGINAL { kind | crate::netlink::NESTED } else { kind };
            request.attribute(kind, value);
        }
    }
    match socket.perform(request, &|| "forget a connection".into()) {
        // It has ended by itself.
        Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => Ok(()),
        done => done,
    }
}

fn read(bytes: &[u8]) -> Option<Direction> {
    const ADDRESSES: u16 = 1;
    const PORTS: u16 = 2;
    let attributes = Attributes::of(bytes);
    let addresses = Attributes::of(attributes.get(ADDRESSES)?);
    let ports = Attributes::of(attributes.get(PORTS)?);
    let address = |ipv4, ipv6| {
        let four = addresses.get(ipv4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let six = addresses.get(ipv6).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        four.map(IpAddr::from).or(six.map(IpAddr::from))
    };
    let port =
        |kind| ports.get(kind).and_then(|bytes| Some(u16::from_be_bytes(*bytes.first_chunk()?)));
    Some(Direction {
        protocol: *ports.get(1)?.first()?,
        source: (address(1, 3)?, port(2).unwrap_or(0)),
        destination: (address(2, 4)?, port(3).unwrap_or(0)),
    })
}
