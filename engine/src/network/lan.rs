//! Networks that are a link of the host's: macvlan and ipvlan. Containers are on its wire, with
//! addresses that we give out and a router that is not ours.
//!
//! ```text
//! parent=eth0       a device of the host; left alone
//! parent=eth0.10    the VLAN 10 of it, made and removed here unless somebody else has made it
//! no parent, or     a dummy, made and removed here: containers reach each other and nobody else
//! --internal
//! ```
//!
//! The host itself is not reached: that is how such links are.

use std::collections::BTreeMap;

use network::{
    IpvlanFlag, IpvlanMode, LanEndpoint, Link, MacAddress, MacvlanMode, NetworkError, NewParent,
    Routes, Sharing,
};
use networks::{Guard, Network};
use rustix::io::Errno;

use super::options::{Driver, INTERFACE_PREFIX, check_prefix, is_link_name, parse_mtu};
use super::wire;
use crate::{Engine, EngineError};

/// A macvlan or ipvlan network's options, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LanOptions {
    /// The link that is shared.
    pub(crate) parent: String,
    /// Whether that leads nowhere, and is made here.
    pub(crate) is_dummy: bool,
    pub(crate) sharing: Sharing,
    /// The largest packet; the parent's if 0.
    pub(crate) mtu: u32,
}

impl LanOptions {
    /// Reads the options of a network whose id is `id`; those that are not known are refused.
    pub(crate) fn parse(
        driver: &str,
        name: &str,
        id: &str,
        internal: bool,
        options: &BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        let mut parent = None;
        let (mut mode, mut flag, mut mtu) = ("", "", 0);
        for (key, value) in options {
            match (driver, key.as_str()) {
                (_, "parent") => parent = Some(value.as_str()),
                ("macvlan", "macvlan_mode") | ("ipvlan", "ipvlan_mode") => mode = value,
                ("ipvlan", "ipvlan_flag") => flag = value,
                (_, INTERFACE_PREFIX) => check_prefix(name, value)?,
                (_, "com.docker.network.driver.mtu") => mtu = parse_mtu(name, key, value)?,
                _ => {
                    return Err(EngineError::Unsupported {
                        message: format!("option {key} of network {name} is not supported"),
                    });
                }
            }
        }
        let bad = |what: &str, value: &str, known: &str| EngineError::Invalid {
            message: format!(
                "requested {driver} {what} {value:?} of network {name} is not valid: there are \
                 {known}"
            ),
        };
        let sharing = match driver {
            "macvlan" => Sharing::Macvlan(match mode {
                "" | "bridge" => MacvlanMode::Bridge,
                "private" => MacvlanMode::Private,
                "vepa" => MacvlanMode::Vepa,
                "passthru" => MacvlanMode::Passthru,
                mode => return Err(bad("mode", mode, "bridge, private, vepa and passthru")),
            }),
            _ => Sharing::Ipvlan(
                match mode {
                    "" | "l2" => IpvlanMode::L2,
                    "l3" => IpvlanMode::L3,
                    "l3s" => IpvlanMode::L3s,
                    mode => return Err(bad("mode", mode, "l2, l3 and l3s")),
                },
                match flag {
                    "" | "bridge" => IpvlanFlag::Bridge,
                    "private" => IpvlanFlag::Private,
                    "vepa" => IpvlanFlag::Vepa,
                    flag => return Err(bad("flag", flag, "bridge, private and vepa")),
                },
            ),
        };
        let parent = parent.filter(|parent| !parent.is_empty() && !internal);
        if let Some(parent) = parent.filter(|parent| !is_link_name(parent)) {
            return Err(EngineError::Invalid {
                message: format!("{parent:?} is not a valid {driver} parent interface"),
            });
        }
        Ok(Self {
            is_dummy: parent.is_none(),
            parent: parent
                .map_or_else(|| format!("dm-{}", id.get(..12).unwrap_or("")), str::to_owned),
            sharing,
            mtu,
        })
    }

    /// Whether containers send packets and not frames, so that there is no router among their
    /// neighbours.
    pub(crate) fn is_routed(&self) -> bool {
        matches!(self.sharing, Sharing::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _))
    }

    /// Whether a container has a hardware address of its own.
    pub(crate) fn has_mac(&self) -> bool {
        matches!(self.sharing, Sharing::Macvlan(mode) if mode != MacvlanMode::Passthru)
    }

    /// Whether a parent is for one container alone.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.sharing == Sharing::Macvlan(MacvlanMode::Passthru)
    }

    /// Why two networks cannot share one parent; `None` if they can.
    fn conflict(&self, other: &Self) -> Option<&'static str> {
        const PASSTHRU: Sharing = Sharing::Macvlan(MacvlanMode::Passthru);
        if self.parent != other.parent {
            return None;
        }
        match (self.sharing, other.sharing) {
            (PASSTHRU, _) | (_, PASSTHRU) => Some("in mode passthru a parent is for one alone"),
            (Sharing::Macvlan(_), Sharing::Macvlan(_)) => None,
            (Sharing::Ipvlan(own, flag), Sharing::Ipvlan(theirs, their_flag)) => {
                let is_same = own == theirs && flag == their_flag;
                (!is_same).then_some("the kernel wants one mode and one flag for all of a parent")
            }
            _ => Some("macvlan and ipvlan cannot share a parent"),
        }
    }
}

/// `eth0.10`: the VLAN 10 of `eth0`.
fn parse_vlan(name: &str) -> Option<(&str, u16)> {
    let (on, tag) = name.rsplit_once('.')?;
    let tag = tag.parse().ok().filter(|tag| (1..=4094).contains(tag))?;
    (!on.is_empty()).then_some((on, tag))
}

impl Engine {
    /// The alias of a link that we made to be shared.
    fn parent_alias(&self) -> String {
        format!("kista parent of {}", self.root().display())
    }

    /// Whether a link was made here to be shared.
    pub(crate) fn is_own_parent(&self, link: &Link) -> bool {
        link.alias == self.parent_alias()
    }

    /// The link that a network's containers share; made if it is one of ours and not there.
    pub(crate) fn ready_parent(
        &self,
        network: &Network,
        options: &LanOptions,
        routes: &mut Routes,
        _guard: &Guard,
    ) -> Result<Link, EngineError> {
        let parent = options.parent.as_str();
        if let Some(link) = routes.link(parent)? {
            return Ok(link);
        }
        let invalid = |message: String| EngineError::Invalid { message };
        let on;
        let new = if options.is_dummy {
            NewParent::Dummy
        } else {
            let (name, tag) = parse_vlan(parent).ok_or_else(|| {
                invalid(format!(
                    "network {} needs the link {parent}, and this host has none of that name; a \
                     VLAN is made for a name like eth0.10",
                    network.name
                ))
            })?;
            on = routes.link(name)?.ok_or_else(|| {
                invalid(format!(
                    "network {} needs VLAN {tag} of the link {name}, and this host has no such \
                     link",
                    network.name
                ))
            })?;
            NewParent::Vlan { on: &on, tag }
        };
        let made = routes.create_parent(parent, &new, &self.parent_alias());
        let made = made.map_err(|error| match error.errno() {
            Some(Errno::OPNOTSUPP) => EngineError::Unsupported {
                message: format!(
                    "network {} needs a {} link, which this kernel does not have: {}",
                    network.name,
                    if options.is_dummy { "dummy" } else { "VLAN" },
                    if options.is_dummy { "module dummy" } else { "module 8021q" },
                ),
            },
            _ => error.into(),
        })?;
        made.ok_or_else(|| gone(parent))
    }

    /// Removes the link that a network's containers shared, if it was made here and no other
    /// network shares it.
    pub(crate) fn drop_parent(
        &self,
        network: &Network,
        options: &LanOptions,
        _guard: &Guard,
    ) -> Result<(), EngineError> {
        let is_shared = self
            .lan_networks()?
            .iter()
            .any(|(other, theirs)| other.id != network.id && theirs.parent == options.parent);
        let mut routes = Routes::open()?;
        match routes.link(&options.parent)? {
            Some(link) if !is_shared && self.is_own_parent(&link) => {
                Ok(routes.delete_link(&link.name)?)
            }
            _ => Ok(()),
        }
    }

    /// The macvlan and ipvlan networks.
    pub(crate) fn lan_networks(&self) -> Result<Vec<(Network, LanOptions)>, EngineError> {
        let mut found = Vec::new();
        for network in self.networks()?.list()? {
            if let Driver::Lan(options) = Driver::of(&network)? {
                found.push((network, options));
            }
        }
        Ok(found)
    }

    /// Refuses a network whose parent another one has in a way that excludes it.
    pub(crate) fn check_parent(
        &self,
        network: &Network,
        options: &LanOptions,
    ) -> Result<(), EngineError> {
        for (other, theirs) in self.lan_networks()? {
            if other.id == network.id {
                continue;
            }
            if let Some(why) = options.conflict(&theirs) {
                return Err(EngineError::Conflict {
                    message: format!(
                        "network {} is already using parent interface {}: {why}",
                        other.name, options.parent
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Makes a container's link on a parent.
pub(crate) fn plug(
    options: &LanOptions,
    endpoint: &metadata::EndpointState,
    parent: &Link,
    namespace: std::os::fd::BorrowedFd<'_>,
    routes: &mut Routes,
) -> Result<(), EngineError> {
    let lan = LanEndpoint {
        name: &endpoint.interface,
        sharing: options.sharing,
        parent,
        mac: MacAddress::parse(&endpoint.mac),
        mtu: options.mtu,
        namespace,
    };
    let made = match options.is_exclusive() {
        true => wire::until_free(Errno::INVAL, &mut || routes.create_lan_endpoint(&lan)),
        false => routes.create_lan_endpoint(&lan),
    };
    made.map_err(|error| explain(error, options, &endpoint.network))
}

fn explain(error: NetworkError, options: &LanOptions, network: &str) -> EngineError {
    let (kind, parent) = (options.sharing.kind(), &options.parent);
    match error.errno() {
        Some(Errno::OPNOTSUPP) => EngineError::Unsupported {
            message: format!(
                "network {network} needs {kind} links, which this kernel does not have: module \
                 {kind}"
            ),
        },
        Some(Errno::BUSY) => EngineError::Conflict {
            message: format!(
                "the link {parent} of network {network} cannot be shared by {kind}: it is shared \
                 in another way, or part of a bridge or bond"
            ),
        },
        Some(Errno::INVAL) if options.is_exclusive() => EngineError::Conflict {
            message: format!(
                "the link {parent} of network {network} is shared already, and in mode passthru it \
                 is for one alone"
            ),
        },
        _ => error.into(),
    }
}

fn gone(parent: &str) -> EngineError {
    EngineError::Conflict { message: format!("link {parent} was removed while it was made") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: &str, options: &[(&str, &str)]) -> Result<LanOptions, String> {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        LanOptions::parse(driver, "n", &"a".repeat(64), false, &options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_understood_or_refused() {
        let plain = parse("macvlan", &[("parent", "eth0")]).unwrap();
        assert_eq!(plain.sharing, Sharing::Macvlan(MacvlanMode::Bridge));
        assert!(!plain.is_dummy && plain.has_mac() && !plain.is_routed());
        let alone = parse("ipvlan", &[("ipvlan_mode", "l3s"), ("ipvlan_flag", "vepa")]).unwrap();
        assert_eq!(alone.sharing, Sharing::Ipvlan(IpvlanMode::L3s, IpvlanFlag::Vepa));
        assert!(alone.is_dummy && !alone.has_mac() && alone.is_routed());
        assert_eq!(alone.parent, "dm-aaaaaaaaaaaa");
        let parent = [("parent".to_owned(), "eth0".to_owned())].into();
        let internal = LanOptions::parse("macvlan", "n", &"a".repeat(64), true, &parent).unwrap();
        assert!(internal.is_dummy);
        for (driver, options) in [
            ("macvlan", [("macvlan_mode", "l2")]),
            ("macvlan", [("ipvlan_mode", "l2")]),
            ("ipvlan", [("ipvlan_mode", "bridge")]),
            ("ipvlan", [("ipvlan_flag", "x")]),
            ("ipvlan", [("macvlan_mode", "bridge")]),
            ("macvlan", [("parent", "lo")]),
            ("macvlan", [("parent", "../eth0")]),
            ("macvlan", [("com.docker.network.driver.mtu", "1")]),
        ] {
            assert!(parse(driver, &options).is_err(), "{options:?}");
        }
    }

    #[test]
    fn vlans_are_named_after_their_link() {
        for (name, want) in [
            ("eth0.10", Some(("eth0", 10))),
            ("a.b.4094", Some(("a.b", 4094))),
            ("eth0", None),
            ("eth0.", None),
            ("eth0.0", None),
            ("eth0.4095", None),
            (".5", None),
        ] {
            assert_eq!(parse_vlan(name), want, "{name}");
        }
    }

    #[test]
    fn what_cannot_share_a_parent_is_told() {
        let on = |driver: &str, key: &str, mode: &str| {
            parse(driver, &[("parent", "eth0"), (key, mode)]).unwrap()
        };
        let bridge = on("macvlan", "macvlan_mode", "bridge");
        let private = on("macvlan", "macvlan_mode", "private");
        let through = on("macvlan", "macvlan_mode", "passthru");
        let l2 = on("ipvlan", "ipvlan_mode", "l2");
        let l3 = on("ipvlan", "ipvlan_mode", "l3");
        let other = parse("macvlan", &[("parent", "eth1"), ("macvlan_mode", "passthru")]).unwrap();
        for (one, two, can) in [
            (&bridge, &private, true),
            (&bridge, &through, false),
            (&bridge, &l2, false),
            (&l2, &l2, true),
            (&l2, &l3, false),
            (&through, &other, true),
        ] {
            assert_eq!(one.conflict(two).is_none(), can, "{one:?} {two:?}");
            assert_eq!(two.conflict(one).is_none(), can, "{two:?} {one:?}");
        }
    }
}
