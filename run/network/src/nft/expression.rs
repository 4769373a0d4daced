//! Rules: what a packet is asked, and what becomes of it.
//!
//! A rule is a row of expressions. Each loads something into registers, compares them, or decides;
//! the first comparison that fails ends the rule. There are twenty registers of four bytes; what
//! is longer lies in several, one behind the other.

use crate::netlink::Request;

/// The first register. The others follow it.
pub(super) const FIRST: u32 = 8;
const VERDICT: u32 = 0;

/// A row of expressions.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    expressions: Vec<Expression>,
}

#[derive(Debug, Clone)]
enum Expression {
    /// Something about the packet that is not in it.
    Meta { key: u32, register: u32 },
    /// Something about its connection.
    Connection { key: u32, register: u32 },
    /// Bytes of the packet.
    Payload { base: u32, offset: u32, length: u32, register: u32 },
    /// What kind of address the packet goes to.
    AddressType { register: u32 },
    /// Bits of one register.
    Mask { register: u32, mask: u32 },
    /// Whether a register is, or is not, this.
    Compare { register: u32, equal: bool, value: Vec<u8> },
    /// Whether registers are, or are not, in a set; what a map has for them.
    Lookup { set: &'static str, register: u32, result: Option<u32>, inverted: bool },
    /// The end.
    Verdict { code: i32, chain: Option<&'static str> },
    /// Another destination.
    Destination { family: u8, address: u32, port: u32 },
    /// A destination with constant parts.
    Constant { register: u32, value: Vec<u8> },
    /// The source address of the link that it leaves by.
    Masquerade,
    /// Whether it is for a socket that is bound to a foreign address, as one byte.
    IsTransparent { register: u32 },
    /// The packet's mark, from a register.
    SetMark { register: u32 },
}

/// Where in a packet bytes are counted from.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

impl Rule {
    fn with(mut self, expression: Expression) -> Self {
        self.expressions.push(expression);
        self
    }

    fn meta(self, key: u32, register: u32) -> Self {
        self.with(Expression::Meta { key, register })
    }

    fn compare(self, register: u32, equal: bool, value: &[u8]) -> Self {
        self.with(Expression::Compare { register, equal, value: value.to_vec() })
    }

    /// Only packets of this family.
    pub(super) fn family(self, family: u8) -> Self {
        self.meta(15, FIRST).compare(FIRST, true, &[family])
    }

    /// Only packets of this protocol.
    pub(super) fn protocol(self, number: u8) -> Self {
        self.load_protocol(FIRST).compare(FIRST, true, &[number])
    }

    /// Only packets to this host itself.
    pub(super) fn for_this_host(self) -> Self {
        const LOCAL: u32 = 2;
        self.with(Expression::AddressType { register: FIRST }).compare(
            FIRST,
            true,
            &LOCAL.to_ne_bytes(),
        )
    }

    /// Only those that came in by a link of the set.
    pub(super) fn entered_by(self, set: &'static str) -> Self {
        self.meta(6, FIRST).lookup(set, false)
    }

    /// Only those that leave by a link of the set, or not of the set.
    pub(super) fn leaving_by(self, set: &'static str, is: bool) -> Self {
        self.meta(7, FIRST).lookup(set, !is)
    }

    /// Only those whose two links are, or are not, a pair in the set.
    pub(super) fn between_links_in(self, set: &'static str, is: bool) -> Self {
        self.meta(6, FIRST).meta(7, FIRST + 4).lookup(set, !is)
    }

    /// Only those whose destination was changed, or was not.
    pub(super) fn redirected(self, is: bool) -> Self {
        const STATUS: u32 = 2;
        const DESTINATION_CHANGED: u32 = 0x20;
        self.with(Expression::Connection { key: STATUS, register: FIRST })
            .with(Expression::Mask { register: FIRST, mask: DESTINATION_CHANGED })
            .compare(FIRST, !is, &0u32.to_ne_bytes())
    }

    /// Only those of connections that were let through before, and what belongs to these.
    pub(super) fn of_known_connections(self) -> Self {
        const STATE: u32 = 0;
        const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
        self.with(Expression::Connection { key: STATE, register: FIRST })
            .with(Expression::Mask { register: FIRST, mask: ESTABLISHED_OR_RELATED })
            .compare(FIRST, false, &0u32.to_ne_bytes())
    }

    /// Only IPv4 packets from (`source`) or to a network of 8 bits.
    pub(super) fn address_begins_with(self, source: bool, first: u8) -> Self {
        let offset = if source { 12 } else { 16 };
        self.with(Expression::Payload { base: NETWORK, offset, length: 1, register: FIRST })
            .compare(FIRST, true, &[first])
    }

    /// Only IPv4 packets to this address.
    pub(super) fn destination(self, address: [u8; 4]) -> Self {
        self.with(Expression::Payload { base: NETWORK, offset: 16, length: 4, register: FIRST })
            .compare(FIRST, true, &address)
    }

    /// Only IPv6 packets to this address.
    pub(super) fn destination6(self, address: [u8; 16]) -> Self {
        self.with(Expression::Payload { base: NETWORK, offset: 24, length: 16, register: FIRST })
            .compare(FIRST, true, &address)
    }

    /// Only those to this port.
    pub(super) fn destination_port(self, port: u16) -> Self {
        self.load_port(FIRST).compare(FIRST, true, &port.to_be_bytes())
    }

    /// Loads the protocol.
    pub(super) fn load_protocol(self, register: u32) -> Self {
        self.meta(16, register)
    }

    /// Loads the destination address of an IPv4 or IPv6 packet.
    pub(super) fn load_destination(self, is_ipv4: bool, register: u32) -> Self {
        let (offset, length) = if is_ipv4 { (16, 4) } else { (24, 16) };
        self.with(Expression::Payload { base: NETWORK, offset, length, register })
    }

    /// Loads the source address of an IPv4 or IPv6 packet.
    pub(super) fn load_source(self, is_ipv4: bool, register: u32) -> Self {
        let (offset, length) = if is_ipv4 { (12, 4) } else { (8, 16) };
        self.with(Expression::Payload { base: NETWORK, offset, length, register })
    }

    /// Only frames of this kind.
    pub(super) fn ether_type(self, kind: u16) -> Self {
        self.meta(1, FIRST).compare(FIRST, true, &kind.to_be_bytes())
    }

    /// Loads the name of the bridge whose port it came by.
    pub(super) fn load_bridge(self, register: u32) -> Self {
        self.meta(17, register)
    }

    /// Loads bytes behind the beginning of what is in a frame.
    pub(super) fn load_network_bytes(self, offset: u32, length: u32, register: u32) -> Self {
        self.with(Expression::Payload { base: NETWORK, offset, length, register })
    }

    /// Loads bytes behind the beginning of what is in a packet.
    pub(super) fn load_transport_bytes(self, offset: u32, length: u32, register: u32) -> Self {
        self.with(Expression::Payload { base: TRANSPORT, offset, length, register })
    }

    /// Only packets whose content has this byte there.
    pub(super) fn transport_byte(self, offset: u32, byte: u8) -> Self {
        self.load_transport_bytes(offset, 1, FIRST).compare(FIRST, true, &[byte])
    }

    /// Loads the destination port.
    pub(super) fn load_port(self, register: u32) -> Self {
        self.with(Expression::Payload { base: TRANSPORT, offset: 2, length: 2, register })
    }

    fn lookup(self, set: &'static str, inverted: bool) -> Self {
        self.with(Expression::Lookup { set, register: FIRST, result: None, inverted })
    }

    /// Only those for which what was loaded is in a set.
    pub(super) fn among(self, set: &'static str) -> Self {
        self.lookup(set, false)
    }

    /// Replaces what was loaded by what a map has for it; ends the rule if that is nothing.
    pub(super) fn map(self, set: &'static str) -> Self {
        let (register, result) = (FIRST, Some(FIRST));
        self.with(Expression::Lookup { set, register, result, inverted: false })
    }

    /// Sends the packet to the address and the port that were loaded.
    pub(super) fn redirect_to_loaded(self, is_ipv4: bool) -> Self {
        let (family, words) = if is_ipv4 { (super::IPV4, 1) } else { (super::IPV6, 4) };
        self.with(Expression::Destination { family, address: FIRST, port: FIRST + words })
    }

    /// Sends an IPv4 packet to an address and a port.
    pub(super) fn redirect_to(self, address: [u8; 4], port: u16) -> Self {
        self.with(Expression::Constant { register: FIRST, value: address.to_vec() })
            .with(Expression::Constant { register: FIRST + 1, value: port.to_be_bytes().to_vec() })
            .redirect_to_loaded(true)
    }

    /// Gives the packet the address of the link that it leaves by.
    pub(super) fn masquerade(self) -> Self {
        self.with(Expression::Masquerade)
    }

    /// Only what is for a socket that is bound to an address of somebody else's.
    pub(super) fn for_transparent_sockets(self) -> Self {
        self.with(Expression::IsTransparent { register: FIRST }).compare(FIRST, true, &[1])
    }

    /// Gives the packet a mark.
    pub(super) fn set_mark(self, mark: u32) -> Self {
        self.with(Expression::Constant { register: FIRST, value: mark.to_ne_bytes().to_vec() })
            .with(Expression::SetMark { register: FIRST })
    }

    pub(super) fn accept(self) -> Self {
        self.with(Expression::Verdict { code: 1, chain: None })
    }

    pub(super) fn drop(self) -> Self {
        self.with(Expression::Verdict { code: 0, chain: None })
    }

    pub(super) fn jump(self, chain: &'static str) -> Self {
        self.with(Expression::Verdict { code: -3, chain: Some(chain) })
    }

    /// The chain that it jumps to, if it does.
    pub(super) fn target(&self) -> Option<&'static str> {
        self.expressions.iter().find_map(|expression| match expression {
            Expression::Verdict { chain, .. } => *chain,
            _ => None,
        })
    }

    /// Adds the expressions to a request.
    pub(super) fn write(&self, request: &mut Request) {
        const ITEM: u16 = 1;
        const NAME: u16 = 1;
        const DATA: u16 = 2;
        for expression in &self.expressions {
            request.nest(ITEM, |request| {
                request.text(NAME, expression.name());
                request.nest(DATA, |request| expression.write(request));
            });
        }
    }
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } | Self::SetMark { .. } => "meta",
            Self::Connection { .. } => "ct",
            Self::Payload { .. } => "payload",
            Self::AddressType { .. } => "fib",
            Self::Mask { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::Verdict { .. } | Self::Constant { .. } => "immediate",
            Self::Destination { .. } => "nat",
            Self::Masquerade => "masq",
            Self::IsTransparent { .. } => "socket",
        }
    }

    /// The attributes, in the order of the kernel's enumerations.
    fn write(&self, request: &mut Request) {
        const VALUE: u16 = 1;
        let value = |request: &mut Request, kind: u16, bytes: &[u8]| {
            request.nest(kind, |request| request.attribute(VALUE, bytes));
        };
        match self {
            Self::Meta { key, register } | Self::Connection { key, register } => {
                request.be32(1, *register);
                request.be32(2, *key);
            }
            Self::Payload { base, offset, length, register } => {
                request.be32(1, *register);
                request.be32(2, *base);
                request.be32(3, *offset);
                request.be32(4, *length);
            }
            Self::IsTransparent { register } => {
                const TRANSPARENT: u32 = 0;
                request.be32(1, TRANSPARENT);
                request.be32(2, *register);
            }
            Self::SetMark { register } => {
                const MARK: u32 = 3;
                request.be32(2, MARK);
                request.be32(3, *register);
            }
            Self::AddressType { register } => {
                const ADDRESS_TYPE: u32 = 3;
                const OF_DESTINATION: u32 = 2;
                request.be32(1, *register);
                request.be32(2, ADDRESS_TYPE);
                request.be32(3, OF_DESTINATION);
            }
            Self::Mask { register, mask } => {
                request.be32(1, *register);
                request.be32(2, *register);
                request.be32(3, 4);
                value(request, 4, &mask.to_ne_bytes());
                value(request, 5, &[0; 4]);
            }
            Self::Compare { register, equal, value: bytes } => {
                request.be32(1, *register);
                request.be32(2, u32::from(!equal));
                value(request, 3, bytes);
            }
            Self::Lookup { set, register, result, inverted } => {
                request.text(1, set);
                request.be32(2, *register);
                if let Some(result) = result {
                    request.be32(3, *result);
                }
                if *inverted {
                    request.be32(5, 1);
                }
            }
            Self::Verdict { code, chain } => {
                request.be32(1, VERDICT);
                request.nest(2, |request| {
                    request.nest(2, |request| {
                        request.attribute(1, &code.to_be_bytes());
                        if let Some(chain) = chain {
                            request.text(2, chain);
                        }
                    });
                });
            }
            Self::Constant { register, value: bytes } => {
                request.be32(1, *register);
                value(request, 2, bytes);
            }
            Self::Destination { family, address, port } => {
                const DESTINATION: u32 = 1;
                request.be32(1, DESTINATION);
                request.be32(2, u32::from(*family));
                request.be32(3, *address);
                request.be32(5, *port);
            }
            Self::Masquerade => {}
        }
    }
}
