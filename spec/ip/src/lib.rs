//! Networks of the Internet Protocol as numbers: prefixes, and arithmetic with them. No I/O.
//!
//! RFC 4632, section 3.1; RFC 4291, section 2.3.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network: an address whose host part is zero, and how many bits the rest has.
///
/// With a host part it is the address of a host together with its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub length: u8,
}

impl Prefix {
    /// `None` if the length does not fit the address.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        (length <= width(address)).then_some(Self { address, length })
    }

    /// The same without its host part.
    #[must_use]
    pub fn network(self) -> Self {
        Self { address: from_bits(self.address, bits(self.address) & self.mask()), ..self }
    }

    /// Whether it has no host part.
    pub fn is_network(self) -> bool {
        self == self.network()
    }

    /// Whether an address is in this network.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && bits(address) & self.mask() == bits(self.address) & self.mask()
    }

    /// Whether the two networks have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        let (wide, narrow) =
            if self.length <= other.length { (self, other) } else { (other, self) };
        wide.contains(narrow.address)
    }

    /// The address so many places behind the network's first, if it is in the network.
    pub fn nth(self, place: u128) -> Option<IpAddr> {
        let first = bits(self.address) & self.mask();
        let address = first.checked_add(place).filter(|sum| sum & self.mask() == first)?;
        Some(from_bits(self.address, address))
    }

    /// How many places behind the network's first an address is.
    pub fn place_of(self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| bits(address) & !self.mask() & full(self.address))
    }

    /// How many addresses the network has; `None` for more than fit a number.
    pub fn size(self) -> Option<u128> {
        1u128.checked_shl(u32::from(width(self.address) - self.length))
    }

    /// The last address: for IPv4 that of a broadcast.
    pub fn last(self) -> IpAddr {
        let address = bits(self.address) | (!self.mask() & full(self.address));
        from_bits(self.address, address)
    }

    fn mask(self) -> u128 {
        let width = u32::from(width(self.address));
        let host = width - u32::from(self.length);
        full(self.address).checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0)
            & full(self.address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn full(address: IpAddr) -> u128 {
    if address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn from_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(bits).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(bits)),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = ();

    /// `ADDRESS/BITS`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = if digits { length.parse().map_err(|_| ())? } else { return Err(()) };
        Self::new(address.parse().map_err(|_| ())?, length).ok_or(())
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(|()| serde::de::Error::custom(format!("{text:?} is no prefix")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_count() {
        let net = prefix("172.17.0.0/16");
        assert_eq!(net.nth(2), Some([172, 17, 0, 2].into()));
        assert_eq!(net.nth(65_536), None);
        assert_eq!(net.last(), IpAddr::from([172, 17, 255, 255]));
        assert_eq!(net.size(), Some(65_536));
        assert_eq!(prefix("172.17.3.4/16").network(), net);
        assert_eq!(net.place_of([172, 17, 3, 4].into()), Some(0x304));
        assert_eq!(net.place_of([172, 18, 3, 4].into()), None);
        assert!(net.is_network() && !prefix("172.17.3.4/16").is_network());
        let wide = prefix("0.0.0.0/0");
        assert!(wide.contains([1, 2, 3, 4].into()) && wide.overlaps(net) && net.overlaps(wide));
        assert!(!prefix("172.18.0.0/16").overlaps(net));
        let six = prefix("fd00:1::/64");
        assert_eq!(six.nth(2).unwrap().to_string(), "fd00:1::2");
        assert!(!six.contains([1, 2, 3, 4].into()));
        assert_eq!(prefix("::/0").size(), None);
        assert_eq!(prefix("1.2.3.4/32").size(), Some(1));
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3/8", "::1/129", "1.2.3.4/+8", "1.2.3.4/"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
