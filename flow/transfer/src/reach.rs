//! Where a registry may send us.
//!
//! A public registry's word (a redirect, the place of an upload, a token server, a URL of a
//! foreign layer) must not make us ask what only this machine or its network can reach: the
//! metadata service of a cloud, a router, an unprotected API. What counts is the address that a
//! connection is made to, so that a name which resolves to an inner address is no way around.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use http1::Origin;

/// Which addresses a connection may be made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Any: the user named who is asked, or the registry is an inner one itself.
    Anywhere,
    /// Those that everybody reaches.
    Public,
}

impl Reach {
    /// For whom a registry sends us to: what it is itself.
    pub(crate) fn of(registry: &Origin) -> Self {
        let host = registry.bare_host();
        let inner = |address: IpAddr| !is_public(address);
        let is_inner = match host.parse::<IpAddr>() {
            Ok(address) => inner(address),
            Err(_) if host == "localhost" => true,
            // One that cannot be resolved here is reached through a proxy, by those outside.
            Err(_) => (host, registry.port)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.any(|address| inner(address.ip()))),
        };
        if is_inner { Self::Anywhere } else { Self::Public }
    }

    /// Refuses an address that may not be reached.
    pub(crate) fn check(self, address: SocketAddr) -> io::Result<()> {
        match self == Self::Anywhere || is_public(address.ip()) {
            true => Ok(()),
            false => Err(refused()),
        }
    }

    /// Refuses a host that is written as an address which may not be reached. For connections
    /// through a proxy, which resolves names itself.
    pub(crate) fn check_text(self, origin: &Origin) -> io::Result<()> {
        let host = origin.bare_host();
        let is_inner = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| !is_public(address));
        match self == Self::Public && is_inner {
            true => Err(refused()),
            false => Ok(()),
        }
    }
}

/// Whether an error is a refusal of this module.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Inner>())
}

#[derive(Debug, thiserror::Error)]
#[error("it is an address of this machine or its network")]
struct Inner;

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Inner)
}

/// Whether everybody on the Internet reaches the same machine by it.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let is_carriers = a == 100 && (64..128).contains(&b);
    let is_benchmark = a == 198 && (18..20).contains(&b);
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || is_carriers
        || is_benchmark)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    let is_unique_local = first & 0xfe00 == 0xfc00;
    let is_link_local = first & 0xffc0 == 0xfe80;
    let is_site_local = first & 0xffc0 == 0xfec0;
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || is_unique_local
        || is_link_local
        || is_site_local)
}

/// The IPv4 address in one that is mapped, compatible, translated (64:ff9b::/96) or of 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let last = from(segments[6], segments[7]);
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(last),
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => Some(last),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::Url;

    #[test]
    fn inner_addresses_are_known_in_every_form() {
        for (text, want) in [
            ("8.8.8.8", true),
            ("203.0.113.1", true),
            ("100.63.255.255", true),
            ("2001:db8::1", true),
            ("::ffff:8.8.8.8", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("172.16.0.1", false),
            ("192.168.0.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::127.0.0.1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("2002:7f00:1::", false),
            ("fc00::1", false),
            ("fd12::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(text.parse().unwrap()), want, "{text}");
        }
    }

    #[test]
    fn an_inner_registry_may_send_us_to_its_neighbours() {
        let origin = |text: &str| Url::parse(text).unwrap().origin;
        assert_eq!(Reach::of(&origin("https://127.0.0.1:5000")), Reach::Anywhere);
        assert_eq!(Reach::of(&origin("https://localhost")), Reach::Anywhere);
        assert_eq!(Reach::of(&origin("https://[fd00::1]")), Reach::Anywhere);
        assert_eq!(Reach::of(&origin("https://203.0.113.1")), Reach::Public);
        for host in ["https://localhost", "https://a.localhost", "http://169.254.169.254"] {
            let error = Reach::Public.check_text(&origin(host)).unwrap_err();
            assert!(is_refusal(&error), "{host}");
            Reach::Anywhere.check_text(&origin(host)).unwrap();
        }
        Reach::Public.check_text(&origin("https://cdn.example")).unwrap();
        assert!(Reach::Public.check("127.0.0.1:80".parse().unwrap()).is_err());
    }
}
