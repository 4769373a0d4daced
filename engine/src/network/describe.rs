//! `inspect` of a container, `ps` and `port`: what they say of networks.

use std::collections::BTreeMap;

use dockerapi::{EndpointSettings, NetworkSettings, PortBinding};
use metadata::{Container, EndpointState, NetworkState, Status};

use super::pasta::is_pasta;
use super::wish::is_networked;
use crate::container::{Record, is_up};
use crate::{Engine, EngineError};

impl Engine {
    /// The part of `inspect` about networks.
    pub(crate) fn network_settings(
        &self,
        container: &Container,
        record: &Record,
        status: &Status,
    ) -> Result<NetworkSettings, EngineError> {
        let state = match is_up(status) {
            true => container.network_state()?.unwrap_or_default(),
            false => NetworkState::default(),
        };
        let mode = record.host.network_mode.as_str();
        let mut networks = BTreeMap::new();
        if is_networked(mode) {
            // One whose network is gone is shown as it asked for it.
            match self.wishes(container, record) {
                Ok(wishes) => {
                    for wish in wishes {
                        let mut settings = wish.settings;
                        settings.network_id.clone_from(&wish.network.id);
                        networks.insert(wish.network.name, settings);
                    }
                }
                Err(_) => {
                    networks.insert(mode.to_owned(), EndpointSettings::default());
                }
            }
        } else if !mode.starts_with("container:") {
            networks.insert(mode.to_owned(), EndpointSettings::default());
        }
        for endpoint in &state.endpoints {
            let settings = networks.entry(endpoint.network.clone()).or_default();
            fill(settings, endpoint);
        }
        let ports = ports(&state);
        let sandbox_id = state.endpoints.first().map_or(String::new(), |first| first.id.clone());
        Ok(NetworkSettings {
            sandbox_key: match is_up(status) {
                true => format!("/proc/{}/ns/net", status.pid),
                false => String::new(),
            },
            sandbox_id,
            ports,
            networks,
        })
    }

    /// The published ports of a container that runs, by `port/protocol`, as `inspect` has them.
    pub fn container_ports(
        &self,
        container: &str,
    ) -> Result<BTreeMap<String, Option<Vec<PortBinding>>>, EngineError> {
        let (found, status) = self.look_up(container)?;
        if !is_up(&status) {
            return Ok(BTreeMap::new());
        }
        Ok(ports(&found.network_state()?.unwrap_or_default()))
    }

    /// What `ps` shows of ports: `0.0.0.0:8080->80/tcp`, and `80/tcp` for one that is not
    /// published. The second part is the names of the networks.
    pub(crate) fn shown_network(
        &self,
        id: &str,
        status: &Status,
    ) -> Result<(String, Vec<String>), EngineError> {
        let mode = vec![status.network.clone()];
        let is_uplink = is_pasta(&status.network);
        if !is_networked(&status.network) && !is_uplink {
            return Ok((String::new(), mode));
        }
        let Ok(container) = self.containers().get(id) else { return Ok((String::new(), mode)) };
        if is_uplink {
            let state = container.network_state()?.filter(|_| is_up(status)).unwrap_or_default();
            return Ok((shown_ports(&ports(&state)), mode));
        }
        if is_up(status)
            && let Some(state) = container.network_state()?
            && !state.endpoints.is_empty()
        {
            let names = state.endpoints.iter().map(|endpoint| endpoint.network.clone());
            return Ok((shown_ports(&ports(&state)), names.collect()));
        }
        let networks = match container.networking()? {
            Some(networking) => networking.endpoints_config.into_keys().collect(),
            None => mode,
        };
        Ok((String::new(), networks))
    }
}

fn fill(settings: &mut EndpointSettings, endpoint: &EndpointState) {
    settings.network_id.clone_from(&endpoint.network_id);
    settings.endpoint_id.clone_from(&endpoint.id);
    settings.mac_address.clone_from(&endpoint.mac);
    settings.aliases.clone_from(&endpoint.aliases);
    settings.dns_names.clone_from(&endpoint.names);
    settings.gw_priority = endpoint.gw_priority;
    let gateway = |is_ipv4| {
        let router = endpoint.gateway(is_ipv4).filter(|router| !router.is_unspecified());
        router.map(|address| address.to_string()).unwrap_or_default()
    };
    settings.gateway = gateway(true);
    settings.ipv6_gateway = gateway(false);
    if let Some(prefix) = endpoint.address(true) {
        settings.ip_address = prefix.address.to_string();
        settings.ip_prefix_len = i64::from(prefix.length);
    }
    if let Some(prefix) = endpoint.address(false) {
        settings.global_ipv6_address = prefix.address.to_string();
        settings.global_ipv6_prefix_len = i64::from(prefix.length);
    }
}

/// All ports that are exposed or published; `None` for those that are only exposed.
fn ports(state: &NetworkState) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> =
        state.exposed.iter().map(|key| (key.clone(), None)).collect();
    for port in &state.ports {
        let key = format!("{}/{}", port.target.port(), port.protocol);
        ports.entry(key).or_default().get_or_insert_default().push(PortBinding {
            host_ip: port.host.ip().to_string(),
            host_port: match port.host.port() {
                0 => String::new(),
                number => number.to_string(),
            },
        });
    }
    ports
}

/// Ports in Docker's order, those that follow each other as ranges.
fn shown_ports(ports: &BTreeMap<String, Option<Vec<PortBinding>>>) -> String {
    // Address on the host (empty if none), protocol, port inside, port on the host.
    let mut rows: Vec<(String, String, u16, u16)> = Vec::new();
    for (key, bindings) in ports {
        let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
        let port: u16 = port.parse().unwrap_or(0);
        match bindings {
            None => rows.push((String::new(), protocol.to_owned(), port, 0)),
            // Reached at the container's own address alone.
            Some(bindings) if bindings.iter().all(|binding| binding.host_port.is_empty()) => {
                rows.push((String::new(), protocol.to_owned(), port, 0));
            }
            Some(bindings) => rows.extend(bindings.iter().filter_map(|binding| {
                let host_port = binding.host_port.parse().ok()?;
                Some((binding.host_ip.clone(), protocol.to_owned(), port, host_port))
            })),
        }
    }
    // Those that are published by their number, IPv4 before IPv6.
    rows.sort_by(|a, b| {
        let key = |row: &(String, String, u16, u16)| {
            (row.0.is_empty(), row.0.contains(':'), row.0.clone(), row.1.clone(), row.2, row.3)
        };
        key(a).cmp(&key(b))
    });
    let mut groups: Vec<(String, String, [u16; 2], [u16; 2])> = Vec::new();
    for (address, protocol, port, host) in rows {
        if let Some((a, p, inside, outside)) = groups.last_mut()
            && *a == address
            && *p == protocol
            && inside[1].checked_add(1) == Some(port)
            && (host == 0 || outside[1].checked_add(1) == Some(host))
        {
            inside[1] = port;
            outside[1] = host;
            continue;
        }
        groups.push((address, protocol, [port; 2], [host; 2]));
    }
    let range = |[first, last]: [u16; 2]| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let shown = groups.into_iter().map(|(address, protocol, inside, outside)| {
        let inside = format!("{}/{protocol}", range(inside));
        match (address.is_empty(), address.contains(':')) {
            (true, _) => inside,
            (false, true) => format!("[{address}]:{}->{inside}", range(outside)),
            (false, false) => format!("{address}:{}->{inside}", range(outside)),
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        let binding = |address: &str, port: &str| PortBinding {
            host_ip: address.into(),
            host_port: port.into(),
        };
        let both = |port: &str| Some(vec![binding("0.0.0.0", port), binding("::", port)]);
        let ports = BTreeMap::from([
            ("80/tcp".to_owned(), both("8080")),
            ("81/tcp".to_owned(), both("8081")),
            ("443/tcp".to_owned(), None),
            ("53/udp".to_owned(), Some(vec![binding("127.0.0.1", "53")])),
        ]);
        assert_eq!(
            shown_ports(&ports),
            "0.0.0.0:8080-8081->80-81/tcp, 127.0.0.1:53->53/udp, [::]:8080-8081->80-81/tcp, \
             443/tcp"
        );
    }
}
