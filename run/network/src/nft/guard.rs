//! The bridges' table: nobody on a bridge is taken for the host.
//!
//! ```text
//! table bridge kista {
//!   set hosts4 { ifname . address }   each bridge of ours, with the host's addresses on it
//!   set hosts6 { ifname . address }
//!   chain guard (prerouting)          what comes from a port: no ARP, no neighbour advertisement
//!                                     and no packet in the host's name
//! }
//! ```
//!
//! A container that could claim the gateway's address would be sent what its neighbours send to the
//! outside. RFC 826; RFC 4861, section 4.4.
//!
//! A kernel without nftables for bridges does without it.

use std::net::IpAddr;

use rustix::io::Errno;

use super::expression::{FIRST, Rule};
use super::table::{NetworkRules, link_key};
use super::{Chain, Element, Hook, Set, Transaction, Type, read_elements};
use super::{GET_ELEMENT, header, message};
use crate::NetworkError;
use crate::netlink::{DUMP, Request, Socket};
use crate::route::octets;

const BRIDGE: u8 = 7;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP6: u8 = 58;
const ADVERTISEMENT: u8 = 136;

const HOST4: Type = Type { number: 41 << 6 | 7, bytes: 20, shown_in: None };
const HOST6: Type = Type { number: 41 << 6 | 8, bytes: 32, shown_in: None };
const SETS: [Set; 2] = [
    Set { name: "hosts4", key: HOST4, data: None },
    Set { name: "hosts6", key: HOST6, data: None },
];
const CHAIN: Chain = Chain {
    name: "guard",
    hook: Some(Hook { kind: "filter", number: Hook::PREROUTING, priority: -300 }),
};
/// Where the loaded address lies: behind the bridge's name.
const ADDRESS: u32 = FIRST + 4;

fn rules() -> [Rule; 4] {
    let of = |kind: u16| Rule::default().ether_type(kind).load_bridge(FIRST);
    // The sender's address behind the hardware's and four kinds and sizes.
    let arp = of(ARP).load_network_bytes(14, 4, ADDRESS).among("hosts4").drop();
    let ipv4 = of(IPV4).load_source(true, ADDRESS).among("hosts4").drop();
    let ipv6 = of(IPV6).load_source(false, ADDRESS).among("hosts6").drop();
    let advertisement = Rule::default()
        .ether_type(IPV6)
        .protocol(ICMP6)
        .transport_byte(0, ADVERTISEMENT)
        .load_bridge(FIRST)
        .load_transport_bytes(8, 16, ADDRESS)
        .among("hosts6")
        .drop();
    [arp, ipv4, ipv6, advertisement]
}

fn elements_of(network: &NetworkRules) -> Vec<(&'static str, Element)> {
    let element = |address: &IpAddr| {
        let key = [link_key(&network.bridge), octets(*address)].concat();
        let set = if address.is_ipv4() { "hosts4" } else { "hosts6" };
        (set, Element { key, data: Vec::new(), comment: String::new() })
    };
    network.host.iter().map(element).collect()
}

/// Whether the kernel has no such tables, which is nobody's mistake.
fn unless_missing(done: Result<(), NetworkError>) -> Result<(), NetworkError> {
    match done {
        Err(error)
            if matches!(
                error.errno(),
                Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::NODEV)
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Makes the table what it is to be, whatever it was, in one transaction.
pub(super) fn rebuild(
    socket: &mut Socket,
    name: &str,
    networks: &[NetworkRules],
) -> Result<(), NetworkError> {
    let mut transaction = Transaction::new(BRIDGE, name);
    transaction.add_table("");
    transaction.delete_table();
    transaction.add_table("");
    for (id, set) in (1..).zip(&SETS) {
        transaction.add_set(set, id);
    }
    transaction.add_chain(&CHAIN);
    for rule in rules() {
        transaction.add_rule(CHAIN.name, &rule);
    }
    for (set, element) in networks.iter().flat_map(elements_of) {
        transaction.add_elements(set, &[element]);
    }
    unless_missing(transaction.commit(socket, &|| format!("build table {name} for bridges")))
}

/// Deletes the table; none is fine.
pub(super) fn delete(socket: &mut Socket, name: &str) -> Result<(), NetworkError> {
    let mut transaction = Transaction::new(BRIDGE, name);
    transaction.add_table("");
    transaction.delete_table();
    unless_missing(transaction.commit(socket, &|| format!("delete table {name} for bridges")))
}

/// Adds a network's bridge; one that is there already is fine.
pub(super) fn add_network(
    socket: &mut Socket,
    name: &str,
    network: &NetworkRules,
) -> Result<(), NetworkError> {
    let mut transaction = Transaction::new(BRIDGE, name);
    for (set, element) in elements_of(network) {
        transaction.add_elements(set, &[element]);
    }
    let action = || format!("add bridge {} to table {name} for bridges", network.bridge);
    unless_missing(transaction.commit(socket, &action))
}

/// Takes a bridge out of the table, with whatever addresses.
pub(super) fn remove_network(
    socket: &mut Socket,
    name: &str,
    bridge: &str,
) -> Result<(), NetworkError> {
    const TABLE: u16 = 1;
    const SET: u16 = 2;
    let mut transaction = Transaction::new(BRIDGE, name);
    let mut is_empty = true;
    for set in SETS {
        let make = || {
            let mut request = Request::new(message(GET_ELEMENT), DUMP, &header(BRIDGE));
            request.text(TABLE, name);
            request.text(SET, set.name);
            request
        };
        let Ok(answers) = socket.dump(&make, &|| format!("list set {}", set.name)) else {
            continue;
        };
        for element in answers.iter().flat_map(read_elements) {
            if element.key.starts_with(&link_key(bridge)) {
                is_empty = false;
                transaction.delete_elements(set.name, &[element]);
            }
        }
    }
    match is_empty {
        true => Ok(()),
        false => {
            let action = || format!("take bridge {bridge} out of table {name} for bridges");
            unless_missing(transaction.commit(socket, &action))
        }
    }
}
