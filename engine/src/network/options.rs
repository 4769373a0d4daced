//! The options of networks, by Docker's names: what a driver is to do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use network::NetworkRules;
use networks::Network;

use super::lan::LanOptions;
use crate::EngineError;
use crate::network::DEFAULT;

/// What makes a network, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Driver {
    /// A bridge of our own.
    Bridge(BridgeOptions),
    /// A link of the host's.
    Lan(LanOptions),
}

impl Driver {
    /// Reads the options of a network that is to be.
    pub(crate) fn parse(
        driver: &str,
        name: &str,
        id: &str,
        internal: bool,
        options: &std::collections::BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        match driver {
            "bridge" => BridgeOptions::parse(name, id, internal, options).map(Self::Bridge),
            "macvlan" | "ipvlan" => {
                LanOptions::parse(driver, name, id, internal, options).map(Self::Lan)
            }
            driver => Err(EngineError::Unsupported {
                message: format!(
                    "network driver {driver:?} of network {name} is not supported: there are \
                     bridge, macvlan and ipvlan"
                ),
            }),
        }
    }

    pub(crate) fn of(network: &Network) -> Result<Self, EngineError> {
        Self::parse(&network.driver, &network.name, &network.id, network.internal, &network.options)
    }

    /// By which router of a family containers leave the network; an unspecified address is none,
    /// but the way out is the link itself.
    pub(crate) fn way_out(&self, network: &Network, is_ipv4: bool) -> Option<IpAddr> {
        if network.internal {
            return None;
        }
        match self {
            Self::Lan(options) if options.is_routed() => Some(match is_ipv4 {
                true => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                false => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            }),
            Self::Lan(_) => network.gateway(is_ipv4).map(|prefix| prefix.address),
            Self::Bridge(options) if !options.has_gateway(is_ipv4) => None,
            Self::Bridge(_) => network.gateway(is_ipv4).map(|prefix| prefix.address),
        }
    }

    /// Whether containers reach each other only, although the user did not say so.
    pub(crate) fn leads_nowhere(&self) -> bool {
        matches!(self, Self::Lan(options) if options.is_dummy)
    }

    /// Whether it is for one container alone.
    pub(crate) fn is_exclusive(&self) -> bool {
        matches!(self, Self::Lan(options) if options.is_exclusive())
    }

    /// The bridge, if it is one.
    pub(crate) fn bridge(&self) -> Option<&BridgeOptions> {
        match self {
            Self::Bridge(options) => Some(options),
            Self::Lan(_) => None,
        }
    }

    /// Whether a container has a hardware address of its own.
    pub(crate) fn has_mac(&self) -> bool {
        match self {
            Self::Bridge(_) => true,
            Self::Lan(options) => options.has_mac(),
        }
    }
}

/// A bridge network's options, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeOptions {
    /// The name of the bridge.
    pub(crate) bridge: String,
    /// The largest packet; the kernel's choice if 0.
    pub(crate) mtu: u32,
    /// Whether containers talk to each other.
    icc: bool,
    masquerade: bool,
    /// Where ports are published without an address of their own.
    pub(crate) host_binding: Option<IpAddr>,
    gateway_modes: [GatewayMode; 2],
    /// Whether the bridge's IPv4 address is somebody else's to give.
    inhibits_ipv4: bool,
    /// Links of the host by which published ports are reached at the containers' own addresses.
    trusted: Vec<String>,
}

/// How containers are reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GatewayMode {
    /// By published ports.
    Nat,
    /// By every port, at their own address too.
    Unprotected,
    /// By published ports at their own address: they have it outside, too.
    Routed,
    /// Not at all, and not even by the host.
    Isolated,
}

const PREFIX: &str = "com.docker.network.";

impl BridgeOptions {
    /// Reads the options of a network whose id is `id`; those that are not known are refused.
    pub(crate) fn parse(
        name: &str,
        id: &str,
        internal: bool,
        options: &std::collections::BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        let mut parsed = Self {
            bridge: format!("br-{}", id.get(..12).unwrap_or("")),
            mtu: 0,
            icc: true,
            masquerade: true,
            host_binding: None,
            gateway_modes: [GatewayMode::Nat; 2],
            inhibits_ipv4: false,
            trusted: Vec::new(),
        };
        for (key, value) in options {
            let bad = || bad_value(name, key, value);
            let flag = || match value.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
                _ => Err(bad()),
            };
            let mode = || match value.as_str() {
                "nat" => Ok(GatewayMode::Nat),
                "nat-unprotected" => Ok(GatewayMode::Unprotected),
                "isolated" if internal => Ok(GatewayMode::Isolated),
                "isolated" => Err(EngineError::Invalid {
                    message: format!("option {key}=isolated is for internal networks only"),
                }),
                "routed" => Ok(GatewayMode::Routed),
                _ => Err(bad()),
            };
            match key.strip_prefix(PREFIX) {
                Some("bridge.name") if is_link_name(value) => parsed.bridge.clone_from(value),
                Some("bridge.name") => return Err(bad()),
                Some("bridge.enable_icc") => parsed.icc = flag()?,
                Some("bridge.enable_ip_masquerade") => parsed.masquerade = flag()?,
                Some("bridge.host_binding_ipv4") => {
                    let address: IpAddr = value.parse().map_err(|_| bad())?;
                    parsed.host_binding = Some(address).filter(|address| !address.is_unspecified());
                }
                Some("bridge.gateway_mode_ipv4") => parsed.gateway_modes[0] = mode()?,
                Some("bridge.gateway_mode_ipv6") => parsed.gateway_modes[1] = mode()?,
                Some("bridge.inhibit_ipv4") => parsed.inhibits_ipv4 = flag()?,
                Some("bridge.trusted_host_interfaces") => {
                    let names = value.split(':').filter(|name| !name.is_empty());
                    parsed.trusted = names.map(str::to_owned).collect();
                    if !parsed.trusted.iter().all(|name| could_be_link(name)) {
                        return Err(bad());
                    }
                }
                Some("container_iface_prefix") => check_prefix(name, value)?,
                Some("driver.mtu") => parsed.mtu = parse_mtu(name, key, value)?,
                Some("bridge.default_bridge") if name == DEFAULT => {}
                _ => {
                    return Err(EngineError::Unsupported {
                        message: format!("option {key} of network {name} is not supported"),
                    });
                }
            }
        }
        Ok(parsed)
    }

    /// What the table has to know.
    pub(crate) fn rules(&self, network: &Network) -> NetworkRules {
        let is = |wanted| self.gateway_modes.map(|mode| mode == wanted);
        let [routed4, routed6] = is(GatewayMode::Routed);
        let masquerade = self.masquerade && !network.internal;
        let hosts = [true, false].map(|is_ipv4| self.host_address(network, is_ipv4));
        NetworkRules {
            bridge: self.bridge.clone(),
            host: hosts.into_iter().flatten().collect(),
            masquerade: [
                masquerade && network.ipv4 && !routed4,
                masquerade && network.ipv6 && !routed6,
            ],
            internal: network.internal,
            apart: !self.icc,
            open: is(GatewayMode::Unprotected),
            routed: [routed4, routed6],
            trusted: self.trusted.clone(),
        }
    }

    /// Whether published ports are reached at the containers' own addresses by some links.
    pub(crate) fn trusts_links(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// In which families containers are reached at their own addresses.
    pub(crate) fn routed(&self) -> [bool; 2] {
        self.gateway_modes.map(|mode| mode == GatewayMode::Routed)
    }

    /// Whether ports of the bridge are kept from each other.
    pub(crate) fn isolates_ports(&self) -> bool {
        !self.icc
    }

    /// Whether containers leave the network by its gateway.
    fn has_gateway(&self, is_ipv4: bool) -> bool {
        self.gateway_modes[usize::from(!is_ipv4)] != GatewayMode::Isolated
    }

    /// Whether the bridge gets the gateway's address.
    fn has_address(&self, is_ipv4: bool) -> bool {
        self.has_gateway(is_ipv4) && !(is_ipv4 && self.inhibits_ipv4)
    }

    /// The host's address of a family in the network, if it has one.
    pub(crate) fn host_address(&self, network: &Network, is_ipv4: bool) -> Option<IpAddr> {
        let gateway = network.gateway(is_ipv4)?;
        self.has_address(is_ipv4).then_some(gateway.address)
    }
}

/// The option that says what the names of containers' interfaces begin with.
pub(crate) const INTERFACE_PREFIX: &str = "com.docker.network.container_iface_prefix";

pub(crate) fn check_prefix(network: &str, prefix: &str) -> Result<(), EngineError> {
    match is_link_name(prefix) && prefix.len() <= 12 {
        true => Ok(()),
        false => Err(bad_value(network, INTERFACE_PREFIX, prefix)),
    }
}

fn bad_value(network: &str, key: &str, value: &str) -> EngineError {
    EngineError::Invalid {
        message: format!("invalid value {value:?} of option {key} for network {network}"),
    }
}

pub(crate) fn parse_mtu(network: &str, key: &str, value: &str) -> Result<u32, EngineError> {
    let mtu = value.parse().ok().filter(|mtu| (68..=65_535).contains(mtu));
    mtu.ok_or_else(|| bad_value(network, key, value))
}

/// Whether the kernel takes it as the name of a link, and it cannot be a path in `/proc/sys`.
pub(crate) fn is_link_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && !matches!(name, "." | ".." | "all" | "default" | "lo")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Whether the kernel could have a link of this name, whoever makes it.
fn could_be_link(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.chars().any(|letter| letter == '/' || letter.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<BridgeOptions, String> {
        let options = [(format!("{PREFIX}{key}"), value.to_owned())].into();
        BridgeOptions::parse("n", &"a".repeat(64), false, &options).map_err(|e| e.to_string())
    }

    #[test]
    fn options_are_understood_or_refused() {
        assert_eq!(parse("driver.mtu", "1400").unwrap().mtu, 1400);
        assert_eq!(parse("bridge.name", "br9").unwrap().bridge, "br9");
        assert!(parse("bridge.enable_icc", "false").unwrap().isolates_ports());
        assert_eq!(parse("driver.mtu", "1400").unwrap().bridge, "br-aaaaaaaaaaaa");
        assert_eq!(parse("bridge.gateway_mode_ipv6", "routed").unwrap().routed(), [false, true]);
        let inhibited = parse("bridge.inhibit_ipv4", "true").unwrap();
        assert!(!inhibited.has_address(true) && inhibited.has_gateway(true));
        assert!(parse("container_iface_prefix", "lan").is_ok());
        let trusting = parse("bridge.trusted_host_interfaces", "eth1:wg-0:").unwrap();
        assert_eq!(trusting.trusted, ["eth1", "wg-0"]);
        assert!(trusting.trusts_links());
        assert!(!parse("bridge.trusted_host_interfaces", "").unwrap().trusts_links());
        for (key, value) in [
            ("driver.mtu", "x"),
            ("driver.mtu", "1"),
            ("bridge.name", "a/b"),
            ("bridge.name", "a-name-that-is-too-long"),
            ("bridge.enable_icc", "maybe"),
            ("bridge.host_binding_ipv4", "here"),
            ("bridge.gateway_mode_ipv4", "isolated"),
            ("bridge.gateway_mode_ipv4", "x"),
            ("bridge.trusted_host_interfaces", "eth0:a/b"),
            ("bridge.trusted_host_interfaces", "eth0,eth1,eth2,eth3"),
            ("bridge.unheard_of", "x"),
            ("container_iface_prefix", "a/b"),
            ("container_iface_prefix", "a-name-that-is-too-long"),
            ("bridge.default_bridge", "true"),
        ] {
            assert!(parse(key, value).is_err(), "{key}={value}");
        }
    }
}
