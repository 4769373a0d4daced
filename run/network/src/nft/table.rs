//! The host's table: what may pass, what gets another address, and where published ports lead.
//!
//! What it looks like is drawn in [`super::layout`].
//!
//! A network costs a few elements and a published port one; the rules are always the same. All
//! changes are transactions, so that there is no moment in which half of it holds.

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::expression::Rule;
use super::guard;
use super::layout::{CHAINS, LINK, LINKS, PORT4, PORT6, SETS, VERSION, rules};
use super::{
    Element, GET_CHAIN, GET_ELEMENT, GET_TABLE, HEADER_BYTES, INET, Transaction, header, message,
    read_elements,
};
use crate::netlink::{Answer, DUMP, Request, Socket};
use crate::route::octets;
use crate::{NetworkError, Protocol};

/// What the table has to know of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRules {
    /// Its bridge.
    pub bridge: String,
    /// The host's addresses on it.
    pub host: Vec<IpAddr>,
    /// Whether containers go out under the host's address, by IPv4 and by IPv6.
    pub masquerade: [bool; 2],
    /// Whether there is no way out and none in.
    pub internal: bool,
    /// Whether containers of the network do not talk to each other.
    pub apart: bool,
    /// Whether containers can be reached from outside at their own address and any port, by IPv4
    /// and by IPv6.
    pub open: [bool; 2],
    /// Whether they can at those that are published.
    pub routed: [bool; 2],
    /// Links of the host by which they can at those that are published and `trusted_only`.
    pub trusted: Vec<String>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What the port belongs to.
    pub protocol: Protocol,
    /// The address and port on the host; an unspecified address for all of the family. Port 0 is
    /// none: what comes for the target itself is let through.
    pub host: SocketAddr,
    /// The address and port of the container, of the same family.
    pub target: SocketAddr,
    /// With port 0: whether that holds for those alone that come by a link which the network trusts.
    pub trusted_only: bool,
    /// Whose it is; shown as a comment.
    pub owner: String,
}

/// How the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableState {
    /// All rules are there.
    Whole,
    /// It is not there.
    Missing,
    /// It is another's layout, or rules are not there.
    Damaged,
}

/// The table, in the network namespace in which this was opened.
#[derive(Debug)]
pub struct Table {
    name: String,
    socket: Socket,
}

impl Table {
    /// For the calling thread's network namespace. Nothing is made.
    pub fn open(name: &str) -> Result<Self, NetworkError> {
        Ok(Self { name: name.to_owned(), socket: super::open()? })
    }

    /// Whether its rules are there. What is in the sets is not looked at.
    pub fn state(&mut self) -> Result<TableState, NetworkError> {
        const NAME: u16 = 1;
        const USERDATA: u16 = 6;
        let action = || format!("look at table {}", self.name);
        let mut request = Request::new(message(GET_TABLE), 0, &header(INET));
        request.text(NAME, &self.name);
        let Some(table) = self.socket.ask(request, &action)? else {
            return Ok(TableState::Missing);
        };
        let version = table.attributes(HEADER_BYTES).get(USERDATA).map(super::comment);
        let make = || Request::new(message(GET_CHAIN), DUMP, &header(INET));
        let chains = self.socket.dump(&make, &action)?;
        let uses = |chain: &str| uses_of(&chains, &self.name, chain);
        let is_whole = expected_uses().iter().all(|(chain, count)| uses(chain) == Some(*count));
        match version.as_deref() == Some(VERSION) && is_whole {
            true => Ok(TableState::Whole),
            false => Ok(TableState::Damaged),
        }
    }

    /// Makes the table what it is to be, whatever it was, in one transaction.
    pub fn rebuild(
        &mut self,
        networks: &[NetworkRules],
        published: &[Published],
    ) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(INET, &self.name);
        // Deleting wants one that is there.
        transaction.add_table("");
        transaction.delete_table();
        transaction.add_table(VERSION);
        for (id, set) in (1..).zip(&SETS) {
            transaction.add_set(set, id);
        }
        for chain in &CHAINS {
            transaction.add_chain(chain);
        }
        for (chain, rule) in rules() {
            transaction.add_rule(chain, &rule);
        }
        for network in networks {
            for (set, element) in elements_of(network) {
                transaction.add_elements(set, &[element]);
            }
        }
        for (set, elements) in by_map(published) {
            transaction.add_elements(set, &elements);
        }
        transaction.commit(&mut self.socket, &|| format!("build table {}", self.name))?;
        guard::rebuild(&mut self.socket, &self.name, networks)
    }

    /// Deletes the table; none is fine.
    pub fn delete(&mut self) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(INET, &self.name);
        transaction.add_table("");
        transaction.delete_table();
        transaction.commit(&mut self.socket, &|| format!("delete table {}", self.name))?;
        guard::delete(&mut self.socket, &self.name)
    }

    /// Adds a network; one that is there already is fine.
    pub fn add_network(&mut self, network: &NetworkRules) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(INET, &self.name);
        for (set, element) in elements_of(network) {
            transaction.add_elements(set, &[element]);
        }
        let action = || format!("add bridge {} to table {}", network.bridge, self.name);
        transaction.commit(&mut self.socket, &action)?;
        guard::add_network(&mut self.socket, &self.name, network)
    }

    /// Takes a network's bridge out of all sets.
    pub fn remove_network(&mut self, bridge: &str) -> Result<(), NetworkError> {
        guard::remove_network(&mut self.socket, &self.name, bridge)?;
        let mut trusted = self.elements("trusted")?;
        trusted.retain(|element| element.key.ends_with(&link_key(bridge)));
        let mut transaction = Transaction::new(INET, &self.name);
        let mut is_empty = true;
        for set in SETS.iter() {
            let key = match set.key.number {
                number if number == LINK.number => link_key(bridge),
                number if number == LINKS.number => [link_key(bridge), link_key(bridge)].concat(),
                _ => continue,
            };
            let element = Element { key, data: Vec::new(), comment: String::new() };
            if find(&mut self.socket, &self.name, set.name, &element)?.is_some() {
                is_empty = false;
                transaction.delete_elements(set.name, &[element]);
            }
        }
        if is_empty && trusted.is_empty() {
            return Ok(());
        }
        transaction.delete_elements("trusted", &trusted);
        let action = || format!("take bridge {bridge} out of table {}", self.name);
        transaction.commit(&mut self.socket, &action)
    }

    /// The bridges of all networks in the table.
    pub fn networks(&mut self) -> Result<Vec<String>, NetworkError> {
        let elements = self.elements("bridges")?;
        let text =
            |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
        Ok(elements.into_iter().map(|element| text(element.key)).collect())
    }

    /// Sends what comes for these ports to their targets, whatever was there for them: the caller
    /// has the ports ([`crate::Reservation`]), so that nobody else's can be meant.
    pub fn publish(&mut self, published: &[Published]) -> Result<(), NetworkError> {
        if published.is_empty() {
            return Ok(());
        }
        let action = || format!("publish ports in table {}", self.name);
        let mut transaction = Transaction::new(INET, &self.name);
        for (set, elements) in by_map(published) {
            // What is in a set already is no error, but it would stay another's.
            for element in elements.iter().filter(|element| element.data.is_empty()) {
                if find(&mut self.socket, &self.name, set, element)?.is_some() {
                    transaction.delete_elements(set, std::slice::from_ref(element));
                }
            }
            transaction.add_elements(set, &elements);
        }
        match transaction.commit(&mut self.socket, &action) {
            // Something is there, of a container that was killed.
            Err(error) if matches!(error.errno(), Some(Errno::EXIST | Errno::BUSY)) => {}
            done => return done,
        }
        let mut transaction = Transaction::new(INET, &self.name);
        for (set, elements) in by_map(published) {
            for element in &elements {
                if find(&mut self.socket, &self.name, set, element)?.is_some() {
                    transaction.delete_elements(set, std::slice::from_ref(element));
                }
            }
            transaction.add_elements(set, &elements);
        }
        transaction.commit(&mut self.socket, &action)
    }

    /// Takes ports out of the table, those that still lead to these targets and are their owner's. A
    /// table that is not there is fine.
    pub fn withdraw(&mut self, published: &[Published]) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(INET, &self.name);
        let mut is_empty = true;
        for (set, elements) in by_map(published) {
            for element in elements {
                if find(&mut self.socket, &self.name, set, &element)?
                    .is_some_and(|found| found == element)
                {
                    is_empty = false;
                    transaction.delete_elements(set, &[element]);
                }
            }
        }
        if is_empty {
            return Ok(());
        }
        let action = || format!("withdraw ports from table {}", self.name);
        match transaction.commit(&mut self.socket, &action) {
            // Somebody flushed it meanwhile.
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
            done => done,
        }
    }

    /// All published ports in the table.
    pub fn published(&mut self) -> Result<Vec<Published>, NetworkError> {
        let mut all = Vec::new();
        for set in SETS.iter().filter(|set| {
            set.data.is_some() || set.key.number == PORT4.number || set.key.number == PORT6.number
        }) {
            let elements = self.elements(set.name)?;
            all.extend(elements.iter().filter_map(|element| read_published(set.name, element)));
        }
        Ok(all)
    }

    fn elements(&mut self, set: &str) -> Result<Vec<Element>, NetworkError> {
        const TABLE: u16 = 1;
        const SET: u16 = 2;
        let make = || {
            let mut request = Request::new(message(GET_ELEMENT), DUMP, &header(INET));
            request.text(TABLE, &self.name);
            request.text(SET, set);
            request
        };
        let answers = self.socket.dump(&make, &|| format!("list set {set}"))?;
        Ok(answers.iter().flat_map(read_elements).collect())
    }
}

/// What a set has under an element's key.
fn find(
    socket: &mut Socket,
    table: &str,
    set: &str,
    element: &Element,
) -> Result<Option<Element>, NetworkError> {
    let mut request = Request::new(message(GET_ELEMENT), 0, &header(INET));
    super::write_elements(&mut request, table, set, std::slice::from_ref(element), false);
    let answer = socket.ask(request, &|| format!("look into set {set}"))?;
    Ok(answer.and_then(|answer| read_elements(&answer).into_iter().next()))
}

/// How often each chain is used: by its rules, and by the rules that jump to it.
fn expected_uses() -> Vec<(&'static str, u32)> {
    let rules = rules();
    let count = |chain: &str| {
        let uses = |(own, rule): &&(&str, Rule)| *own == chain || rule.target() == Some(chain);
        u32::try_from(rules.iter().filter(uses).count()).unwrap_or(u32::MAX)
    };
    CHAINS.iter().map(|chain| (chain.name, count(chain.name))).collect()
}

fn uses_of(chains: &[Answer], table: &str, chain: &str) -> Option<u32> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const USE: u16 = 6;
    chains.iter().find_map(|answer| {
        let attributes = answer.attributes(HEADER_BYTES);
        let is_it = attributes.text(TABLE).as_deref() == Some(table)
            && attributes.text(NAME).as_deref() == Some(chain);
        is_it.then(|| attributes.be32(USE)).flatten()
    })
}

pub(super) fn link_key(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(16, 0);
    key
}

fn elements_of(network: &NetworkRules) -> Vec<(&'static str, Element)> {
    let element = |key| Element { key, data: Vec::new(), comment: String::new() };
    let link = || element(link_key(&network.bridge));
    let [masked4, masked6] = network.masquerade;
    let [open4, open6] = network.open;
    let [routed4, routed6] = network.routed;
    let mut elements = vec![
        ("bridges", link()),
        ("pairs", element([link_key(&network.bridge), link_key(&network.bridge)].concat())),
    ];
    let sets = [
        ("apart", network.apart),
        ("inner", network.internal),
        ("open4", open4),
        ("open6", open6),
        ("routed4", routed4),
        ("routed6", routed6),
        ("masked4", masked4),
        ("masked6", masked6),
    ];
    elements.extend(sets.into_iter().filter(|(_, is)| *is).map(|(set, _)| (set, link())));
    elements.extend(network.trusted.iter().map(|link| {
        let pair = [link_key(link), link_key(&network.bridge)].concat();
        ("trusted", element(pair))
    }));
    elements
}

/// The elements of published ports, by the set or map that they belong to.
fn by_map(published: &[Published]) -> Vec<(&'static str, Vec<Element>)> {
    let mut maps: Vec<(&'static str, Vec<Element>)> = Vec::new();
    let mut add = |name, element: Element| match maps.iter_mut().find(|(map, _)| *map == name) {
        Some((_, elements)) if elements.iter().any(|other| other.key == element.key) => {}
        Some((_, elements)) => elements.push(element),
        None => maps.push((name, vec![element])),
    };
    for port in published {
        if port.host.port() == 0 {
            let element = Element {
                key: port_key(port.protocol, Some(port.target.ip()), port.target.port()),
                data: Vec::new(),
                comment: port.owner.clone(),
            };
            let set = match (port.trusted_only, port.target.is_ipv4()) {
                (false, true) => "direct4",
                (false, false) => "direct6",
                (true, true) => "near4",
                (true, false) => "near6",
            };
            add(set, element);
            continue;
        }
        let map = match (port.host.ip(), port.host.ip().is_unspecified()) {
            (IpAddr::V4(_), true) => "any4",
            (IpAddr::V4(_), false) => "one4",
            (IpAddr::V6(_), true) => "any6",
            (IpAddr::V6(_), false) => "one6",
        };
        add(map, element_of(port));
        let own = octets(port.target.ip()).repeat(2);
        let element = Element { key: own, data: Vec::new(), comment: port.owner.clone() };
        add(if port.target.is_ipv4() { "own4" } else { "own6" }, element);
    }
    maps
}

/// Each part begins at a multiple of four bytes.
fn port_key(protocol: Protocol, address: Option<IpAddr>, port: u16) -> Vec<u8> {
    let mut key = vec![protocol.number(), 0, 0, 0];
    key.extend(address.map(octets).unwrap_or_default());
    let [high, low] = port.to_be_bytes();
    key.extend([high, low, 0, 0]);
    key
}

fn element_of(port: &Published) -> Element {
    let address = Some(port.host.ip()).filter(|address| !address.is_unspecified());
    let [high, low] = port.target.port().to_be_bytes();
    let mut data = octets(port.target.ip());
    data.extend([high, low, 0, 0]);
    let key = port_key(port.protocol, address, port.host.port());
    Element { key, data, comment: port.owner.clone() }
}

fn read_published(map: &str, element: &Element) -> Option<Published> {
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    };
    let port = |bytes: &[u8]| Some(u16::from_be_bytes(*bytes.first_chunk()?));
    let (head, host_port) = element.key.split_last_chunk::<4>()?;
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = protocols.into_iter().find(|it| Some(&it.number()) == head.first())?;
    if map.starts_with("direct") || map.starts_with("near") {
        let target = address(head.get(4..)?)?;
        let none = if target.is_ipv4() { IpAddr::from([0u8; 4]) } else { IpAddr::from([0u8; 16]) };
        return Some(Published {
            protocol,
            host: SocketAddr::new(none, 0),
            target: SocketAddr::new(target, port(host_port)?),
            trusted_only: map.starts_with("near"),
            owner: element.comment.clone(),
        });
    }
    let (target, target_port) = element.data.split_last_chunk::<4>()?;
    let host = match map {
        "any4" => IpAddr::from([0u8; 4]),
        "any6" => IpAddr::from([0u8; 16]),
        _ => address(head.get(4..)?)?,
    };
    Some(Published {
        protocol,
        host: SocketAddr::new(host, port(host_port)?),
        target: SocketAddr::new(address(target)?, port(target_port)?),
        trusted_only: false,
        owner: element.comment.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_survive_the_way_into_the_table() {
        for (host, target, trusted_only) in [
            ("0.0.0.0:8080", "172.17.0.2:80", false),
            ("192.0.2.1:53", "172.17.0.2:5353", false),
            ("[::]:8080", "[fd00::2]:80", false),
            ("[2001:db8::1]:1", "[fd00::2]:65535", false),
            ("0.0.0.0:0", "172.17.0.2:80", false),
            ("[::]:0", "[fd00::2]:80", false),
            ("0.0.0.0:0", "172.17.0.2:80", true),
            ("[::]:0", "[fd00::2]:80", true),
        ] {
            let port = Published {
                protocol: Protocol::Udp,
                host: host.parse().unwrap(),
                target: target.parse().unwrap(),
                trusted_only,
                owner: "somebody".into(),
            };
            let maps = by_map(std::slice::from_ref(&port));
            let (map, elements) = &maps[0];
            let set = SETS.iter().find(|set| set.name == *map).unwrap();
            assert_eq!(elements[0].key.len(), set.key.bytes as usize, "{host}");
            let data_bytes = set.data.map_or(0, |data| data.bytes as usize);
            assert_eq!(elements[0].data.len(), data_bytes, "{host}");
            assert_eq!(read_published(map, &elements[0]), Some(port));
            if let Some((own, elements)) = maps.get(1) {
                let set = SETS.iter().find(|set| set.name == *own).unwrap();
                assert_eq!(elements[0].key.len(), set.key.bytes as usize, "{host}");
            }
        }
    }

    #[test]
    fn every_rule_is_in_a_chain_and_every_set_is_used() {
        for (chain, rule) in rules() {
            assert!(CHAINS.iter().any(|known| known.name == chain), "{chain}");
            assert!(rule.target().is_none_or(|target| target == "publish"));
        }
        let text = format!("{:?}", rules());
        for set in SETS {
            assert!(text.contains(&format!("{:?}", set.name)), "{}", set.name);
        }
    }
}
