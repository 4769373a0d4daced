//! Who has which address: what the host and the bridge would otherwise believe from whoever says so.
//!
//! A container may send what it likes. One that claims another's hardware address would get that
//! one's frames from the bridge, and one that claims another's address of IP would get what the
//! host sends there: published ports, for example. So the bridge and the host are told, and do not
//! learn: the hardware address belongs to the port, and the address of IP to the hardware address.
//! What the host is told has to be taken back; what the bridge is told goes with the port.
//!
//! rtnetlink(7), `RTM_NEWNEIGH`; bridge(8), `fdb`.

use std::net::IpAddr;

use rustix::io::Errno;

use crate::link::Endpoint;
use crate::netlink::{CREATE, REPLACE, Request};
use crate::route::{Routes, family, octets};
use crate::{Link, NetworkError};

const NEW_NEIGHBOUR: u16 = 28;
const DEL_NEIGHBOUR: u16 = 29;
const BRIDGE_FAMILY: u8 = 7;

const DESTINATION: u16 = 1;
const HARDWARE: u16 = 2;

const REACHABLE: u16 = 0x02;
const NO_QUESTION: u16 = 0x40;
const PERMANENT: u16 = 0x80;
/// Of a port, for the table of its bridge.
const OF_BRIDGE: u8 = 0x04;
/// It does not move to another port that sends under the address.
const STICKY: u8 = 0x40;

/// `struct ndmsg`.
fn header(family: u8, link: u32, state: u16, flags: u8) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&link.to_ne_bytes());
    bytes[8..10].copy_from_slice(&state.to_ne_bytes());
    bytes[10] = flags;
    bytes
}

impl Routes {
    /// Tells the bridge and the host whose the addresses of an end are.
    pub(crate) fn pin(&mut self, endpoint: &Endpoint<'_>, port: u32) -> Result<(), NetworkError> {
        let mut request = Request::default();
        let state = NO_QUESTION | REACHABLE;
        let start = header(BRIDGE_FAMILY, port, state, OF_BRIDGE | STICKY);
        request.add(NEW_NEIGHBOUR, CREATE | REPLACE, &start);
        request.attribute(HARDWARE, &endpoint.mac.0);
        for prefix in endpoint.addresses {
            let start = header(family(prefix.address), endpoint.bridge.index, PERMANENT, 0);
            request.add(NEW_NEIGHBOUR, CREATE | REPLACE, &start);
            request.attribute(DESTINATION, &octets(prefix.address));
            request.attribute(HARDWARE, &endpoint.mac.0);
        }
        self.socket
            .perform(request, &|| format!("tell whose the addresses of {} are", endpoint.host_name))
    }

    /// Makes the host forget whose an address on a bridge is; one that it does not know is fine.
    pub fn unpin(&mut self, bridge: &Link, address: IpAddr) -> Result<(), NetworkError> {
        let start = header(family(address), bridge.index, 0, 0);
        let mut request = Request::new(DEL_NEIGHBOUR, 0, &start);
        request.attribute(DESTINATION, &octets(address));
        match self.socket.perform(request, &|| format!("forget whose {address} is")) {
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) => Ok(()),
            done => done,
        }
    }
}
