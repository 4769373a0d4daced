//! Inside a container: from the resolver's well-known address to its port.
//!
//! The resolver cannot listen on port 53 itself, since a container may have a name server of its
//! own that listens there on every address.

use std::net::Ipv4Addr;

use super::expression::Rule;
use super::{Chain, Hook, IPV4, Transaction};
use crate::{NetworkError, Protocol};

const TABLE: &str = "kista_resolver";

/// Sends what programs send to port 53 of `address` to other ports there, for UDP and for TCP; in
/// the calling thread's network namespace.
pub fn redirect_resolver(address: Ipv4Addr, udp: u16, tcp: u16) -> Result<(), NetworkError> {
    const DNS: u16 = 53;
    let chain = Chain {
        name: "output",
        hook: Some(Hook { kind: "nat", number: Hook::OUTPUT, priority: -100 }),
    };
    let mut transaction = Transaction::new(IPV4, TABLE);
    transaction.add_table("");
    transaction.add_chain(&chain);
    for (protocol, port) in [(Protocol::Udp, udp), (Protocol::Tcp, tcp)] {
        let rule = Rule::default()
            .destination(address.octets())
            .protocol(protocol.number())
            .destination_port(DNS)
            .redirect_to(address.octets(), port);
        transaction.add_rule(chain.name, &rule);
    }
    transaction.commit(&mut super::open()?, &|| "redirect the resolver's port".into())
}
