//! Kernel parameters of the calling thread's network namespace.

use std::path::PathBuf;

use crate::NetworkError;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names of the protocols")]
pub enum Family {
    V4,
    V6,
}

/// A parameter of one link, or of all that are made from now on (`default`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting<'a> {
    /// Whether the link has IPv6 at all.
    DisableIpv6(&'a str, bool),
    /// Whether routers are listened to: a container could pretend to be one (CVE-2020-10749).
    AcceptRouters(&'a str, bool),
    /// Whether 127.0.0.0/8 may come in or go out by this link: the host's own programs reach
    /// published ports at 127.0.0.1 by it. The table drops what containers send there.
    RouteLoopback(&'a str, bool),
}

impl Setting<'_> {
    /// Sets it, if it is not so already. A kernel without IPv6 has its parameters off.
    pub fn apply(self) -> Result<(), NetworkError> {
        let (family, link, name, on) = match self {
            Self::DisableIpv6(link, on) => ("ipv6", link, "disable_ipv6", on),
            Self::AcceptRouters(link, on) => ("ipv6", link, "accept_ra", on),
            Self::RouteLoopback(link, on) => ("ipv4", link, "route_localnet", on),
        };
        let path = PathBuf::from(format!("/proc/sys/net/{family}/conf/{link}/{name}"));
        let value = if on { "1" } else { "0" };
        match std::fs::write(&path, value) {
            Err(error) if family == "ipv6" && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(())
            }
            // Where it cannot be written it may be right.
            Err(_)
                if std::fs::read(&path).is_ok_and(|now| now.trim_ascii() == value.as_bytes()) =>
            {
                Ok(())
            }
            written => written.map_err(|source| NetworkError::Sysctl { path, source }),
        }
    }
}

/// Sets a parameter of one link: `conf` or `neigh` of a family. The caller vouches for the words,
/// which become a path.
pub fn set_parameter(
    family: &str,
    kind: &str,
    link: &str,
    name: &str,
    value: &str,
) -> Result<(), NetworkError> {
    let path = PathBuf::from(format!("/proc/sys/net/{family}/{kind}/{link}/{name}"));
    std::fs::write(&path, value).map_err(|source| NetworkError::Sysctl { path, source })
}

fn forwarding(family: Family) -> &'static str {
    match family {
        Family::V4 => "/proc/sys/net/ipv4/ip_forward",
        Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
    }
}

/// Whether the host passes packets on between its links.
pub fn is_forwarding(family: Family) -> bool {
    std::fs::read(forwarding(family)).is_ok_and(|text| text.trim_ascii() == b"1")
}

/// Makes the host pass packets on.
///
/// For IPv6 the kernel then listens to routers no more, so that links which did are told to go on
/// (`accept_ra` 2).
pub fn set_forwarding(family: Family) -> Result<(), NetworkError> {
    if family == Family::V6 {
        for entry in std::fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
            let path = entry.path().join("accept_ra");
            if std::fs::read(&path).is_ok_and(|text| text.trim_ascii() == b"1") {
                // A link that has gone meanwhile needs no routers.
                let _ = std::fs::write(path, "2");
            }
        }
    }
    let path = PathBuf::from(forwarding(family));
    std::fs::write(&path, "1").map_err(|source| NetworkError::Sysctl { path, source })
}
