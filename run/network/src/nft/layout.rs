//! The layout of the host's table.
//!
//! ```text
//! table inet kista {
//!   set bridges    { ifname }            every bridge of ours
//!   set pairs      { ifname . ifname }   each of them with itself
//!   set apart      { ifname }            those whose containers do not talk to each other
//!   set inner      { ifname }            those without a way out
//!   set open4, open6     { ifname }      those whose containers are reached from outside at any port
//!   set routed4, routed6 { ifname }      those whose containers are reached at their own addresses
//!   set direct4, direct6 { protocol . address . port }   where, in these
//!   set trusted  { ifname . ifname }     links of the host with the bridges that trust them
//!   set near4, near6 { protocol . address . port }   where, for those that come by such a link
//!   set masked4, masked6 { ifname }      those whose containers go out under the host's address
//!   set own4, own6 { address . address } each container that publishes ports, with itself
//!   map any4, any6 { protocol . port : address . port }             published at every address
//!   map one4, one6 { protocol . address . port : address . port }   published at one
//!
//!   chain guard       (prerouting, raw)     to or from 127.0.0.0/8 from a container: drop
//!   chain prerouting  (nat)                 to this host: jump publish
//!   chain output      (nat)                 to this host: jump publish
//!   chain publish                           another destination by the maps
//!   chain forward     (filter)              who may talk to whom
//!   chain postrouting (nat)                 masquerade
//! }
//! ```

use super::expression::{FIRST, Rule};
use super::{Chain, Hook, IPV4, IPV6, Set, Type};

/// The layout above. Another number makes the next command build the table anew.
pub(super) const VERSION: &str = "kista 5";

pub(super) const ICMP: u8 = 1;
pub(super) const ICMP6: u8 = 58;
pub(super) const LOOPBACK6: [u8; 16] = std::net::Ipv6Addr::LOCALHOST.octets();

pub(super) const LINK: Type = Type { number: 41, bytes: 16, shown_in: Some(1) };
pub(super) const LINKS: Type = Type { number: 41 << 6 | 41, bytes: 32, shown_in: None };
pub(super) const PORT: Type = Type { number: 12 << 6 | 13, bytes: 8, shown_in: None };
pub(super) const PORT4: Type = Type { number: 12 << 12 | 7 << 6 | 13, bytes: 12, shown_in: None };
pub(super) const PORT6: Type = Type { number: 12 << 12 | 8 << 6 | 13, bytes: 24, shown_in: None };
pub(super) const PAIR4: Type = Type { number: 7 << 6 | 7, bytes: 8, shown_in: None };
pub(super) const PAIR6: Type = Type { number: 8 << 6 | 8, bytes: 32, shown_in: None };
pub(super) const TARGET4: Type = Type { number: 7 << 6 | 13, bytes: 8, shown_in: None };
pub(super) const TARGET6: Type = Type { number: 8 << 6 | 13, bytes: 20, shown_in: None };

pub(super) const SETS: [Set; 21] = [
    Set { name: "bridges", key: LINK, data: None },
    Set { name: "pairs", key: LINKS, data: None },
    Set { name: "apart", key: LINK, data: None },
    Set { name: "inner", key: LINK, data: None },
    Set { name: "open4", key: LINK, data: None },
    Set { name: "open6", key: LINK, data: None },
    Set { name: "routed4", key: LINK, data: None },
    Set { name: "routed6", key: LINK, data: None },
    Set { name: "masked4", key: LINK, data: None },
    Set { name: "masked6", key: LINK, data: None },
    Set { name: "own4", key: PAIR4, data: None },
    Set { name: "own6", key: PAIR6, data: None },
    Set { name: "direct4", key: PORT4, data: None },
    Set { name: "direct6", key: PORT6, data: None },
    Set { name: "trusted", key: LINKS, data: None },
    Set { name: "near4", key: PORT4, data: None },
    Set { name: "near6", key: PORT6, data: None },
    Set { name: "any4", key: PORT, data: Some(TARGET4) },
    Set { name: "any6", key: PORT, data: Some(TARGET6) },
    Set { name: "one4", key: PORT4, data: Some(TARGET4) },
    Set { name: "one6", key: PORT6, data: Some(TARGET6) },
];

pub(super) const CHAINS: [Chain; 6] = [
    Chain { name: "publish", hook: None },
    hooked("guard", "filter", Hook::PREROUTING, -300),
    hooked("prerouting", "nat", Hook::PREROUTING, -100),
    hooked("output", "nat", Hook::OUTPUT, -100),
    hooked("forward", "filter", Hook::FORWARD, 0),
    hooked("postrouting", "nat", Hook::POSTROUTING, 100),
];

const fn hooked(name: &'static str, kind: &'static str, number: u32, priority: i32) -> Chain {
    Chain { name, hook: Some(Hook { kind, number, priority }) }
}

/// All rules, in order.
pub(super) fn rules() -> Vec<(&'static str, Rule)> {
    let rule = Rule::default;
    let by = |map: &'static str, is_ipv4: bool| {
        let family = if is_ipv4 { IPV4 } else { IPV6 };
        rule()
            .family(family)
            .load_protocol(FIRST)
            .load_port(FIRST + 1)
            .map(map)
            .redirect_to_loaded(is_ipv4)
    };
    let at = |map: &'static str, is_ipv4: bool| {
        let (family, words) = if is_ipv4 { (IPV4, 1) } else { (IPV6, 4) };
        rule()
            .family(family)
            .load_protocol(FIRST)
            .load_destination(is_ipv4, FIRST + 1)
            .load_port(FIRST + 1 + words)
            .map(map)
            .redirect_to_loaded(is_ipv4)
    };
    let direct = |rule: Rule, set: &'static str, is_ipv4: bool| {
        let (family, words) = if is_ipv4 { (IPV4, 1) } else { (IPV6, 4) };
        rule.family(family)
            .load_protocol(FIRST)
            .load_destination(is_ipv4, FIRST + 1)
            .load_port(FIRST + 1 + words)
            .among(set)
            .accept()
    };
    let trusted = || rule().between_links_in("trusted", true);
    let own = |set: &'static str, is_ipv4: bool| {
        let (family, words) = if is_ipv4 { (IPV4, 1) } else { (IPV6, 4) };
        rule()
            .redirected(true)
            .family(family)
            .load_source(is_ipv4, FIRST)
            .load_destination(is_ipv4, FIRST + words)
            .among(set)
            .masquerade()
    };
    let leaving = |set: &'static str, family: u8| rule().family(family).leaving_by(set, true);
    let masked = |set: &'static str, family: u8| rule().family(family).entered_by(set).masquerade();
    vec![
        // The host lets 127.0.0.0/8 pass on a bridge for its own programs, not for containers.
        ("guard", rule().entered_by("bridges").family(IPV4).address_begins_with(false, 127).drop()),
        ("guard", rule().entered_by("bridges").family(IPV4).address_begins_with(true, 127).drop()),
        // What is for another host is not ours, whatever its port.
        ("prerouting", rule().for_this_host().jump("publish")),
        ("output", rule().for_this_host().jump("publish")),
        ("publish", at("one4", true)),
        ("publish", by("any4", true)),
        // The kernel lets nothing from ::1 out of the loopback interface: it is passed on by hand.
        ("publish", rule().family(IPV6).destination6(LOOPBACK6).accept()),
        ("publish", at("one6", false)),
        ("publish", by("any6", false)),
        // Containers of one network: by way of the host only where they may talk at all.
        ("forward", rule().of_known_connections().accept()),
        (
            "forward",
            rule().entered_by("apart").between_links_in("pairs", true).redirected(false).drop(),
        ),
        ("forward", rule().between_links_in("pairs", true).accept()),
        ("forward", rule().entered_by("inner").drop()),
        ("forward", rule().leaving_by("inner", true).drop()),
        ("forward", rule().leaving_by("bridges", true).redirected(true).accept()),
        ("forward", direct(rule(), "direct4", true)),
        ("forward", direct(rule(), "direct6", false)),
        ("forward", direct(trusted(), "near4", true)),
        ("forward", direct(trusted(), "near6", false)),
        ("forward", rule().entered_by("bridges").leaving_by("bridges", true).drop()),
        ("forward", leaving("open4", IPV4).accept()),
        ("forward", leaving("open6", IPV6).accept()),
        // Whoever has a way to them may learn why it is not taken.
        ("forward", leaving("routed4", IPV4).protocol(ICMP).accept()),
        ("forward", leaving("routed6", IPV6).protocol(ICMP6).accept()),
        ("forward", rule().leaving_by("bridges", true).drop()),
        // To oneself by the host's address. With br_netfilter such a packet does not leave the bridge,
        // and no link that it came by is known here.
        ("postrouting", own("own4", true)),
        ("postrouting", own("own6", false)),
        // To a container of the same network by the host's address: its answer must come back here.
        ("postrouting", rule().between_links_in("pairs", true).redirected(true).masquerade()),
        (
            "postrouting",
            rule()
                .leaving_by("bridges", true)
                .family(IPV4)
                .address_begins_with(true, 127)
                .masquerade(),
        ),
        // Between networks the source stays, since the answer comes this way anyhow.
        ("postrouting", rule().leaving_by("bridges", true).accept()),
        ("postrouting", masked("masked4", IPV4)),
        ("postrouting", masked("masked6", IPV6)),
    ]
}
