//! `--network` and what belongs to it: from flags to the networks of a request.
//!
//! Flags without a network of their own (`--ip`, `--network-alias`...) are those of the first one,
//! as with Docker.

use std::collections::BTreeMap;

use dockerapi::{EndpointIpam, EndpointSettings, NetworkingConfig};

use crate::flags::{Check, Value};

/// The networks that were asked for.
#[derive(Debug, Default, Clone)]
pub(crate) struct NetworkFlag(Vec<(String, EndpointSettings)>);

impl Value for NetworkFlag {
    const KIND: &'static str = "network";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.push(parse(text)?);
        Ok(())
    }
}

/// `NAME`, or `name=NAME,alias=...`.
fn parse(text: &str) -> Result<(String, EndpointSettings), String> {
    let mut settings = EndpointSettings::default();
    let Some(fields) = long_form(text) else {
        return match text.trim().is_empty() {
            true => Err("no name set for network".to_owned()),
            false => Ok((text.to_owned(), settings)),
        };
    };
    let mut name = String::new();
    let mut ipam = EndpointIpam::default();
    for (key, value) in fields {
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = value,
            "alias" => settings.aliases.push(value),
            "ip" => ipam.ipv4_address = value,
            "ip6" => ipam.ipv6_address = value,
            "mac-address" => settings.mac_address = value,
            "link-local-ip" => ipam.link_local_ips.push(value),
            "driver-opt" => {
                let (key, value) = value
                    .split_once('=')
                    .ok_or_else(|| "invalid key value pair format in driver options".to_owned())?;
                settings.driver_opts.insert(key.to_owned(), value.to_owned());
            }
            "gw-priority" => {
                settings.gw_priority = value
                    .parse()
                    .map_err(|_| format!("invalid gw-priority ({value}): it is no number"))?;
            }
            key => return Err(format!("invalid field key {key}")),
        }
    }
    if name.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    settings.ipam_config = Some(ipam).filter(|ipam| *ipam != EndpointIpam::default());
    Ok((name, settings))
}

/// `key=value` between commas; `None` for a plain name. A field may stand in quotes, with commas
/// in it.
fn long_form(text: &str) -> Option<Vec<(String, String)>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => fields.last_mut()?.push(letter),
        }
    }
    let pair = |field: &String| {
        let (key, value) = field.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    };
    fields.iter().map(pair).collect()
}

/// The flags that are the first network's.
#[derive(Debug, Default)]
pub(crate) struct FirstNetwork {
    pub(crate) aliases: Vec<String>,
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) mac: String,
    pub(crate) link_local: Vec<String>,
}

/// The mode and the networks of `--network` and `--net` together; `default` if neither was given.
pub(crate) fn networks(
    network: NetworkFlag,
    net: NetworkFlag,
    first: FirstNetwork,
) -> Result<(String, NetworkingConfig), String> {
    let mut asked = network.0;
    asked.extend(net.0);
    if asked.is_empty() {
        asked.push(("default".to_owned(), EndpointSettings::default()));
    }
    let is_own = |name: &str| !matches!(name, "none" | "host") && !name.starts_with("container:");
    if asked.len() > 1 && asked.iter().any(|(name, _)| !is_own(name)) {
        return Err("conflicting options: cannot attach both user-defined and non-user-defined \
                    network-modes"
            .to_owned());
    }
    let mode = asked[0].0.clone();
    apply(&mut asked[0].1, first)?;
    if !is_own(&mode) {
        let (_, settings) = &asked[0];
        if !settings.aliases.is_empty() || settings.ipam_config.is_some() {
            return Err(format!(
                "conflicting options: addresses and aliases are for networks, and {mode} is none"
            ));
        }
        return Ok((mode, NetworkingConfig::default()));
    }
    let mut endpoints = BTreeMap::new();
    for (name, settings) in asked {
        if endpoints.insert(name.clone(), settings).is_some() {
            return Err(format!("network {name:?} is specified multiple times"));
        }
    }
    // Nothing is said of a network by its name alone.
    endpoints.retain(|name, settings| *name != mode || *settings != EndpointSettings::default());
    Ok((mode, NetworkingConfig { endpoints_config: endpoints }))
}

fn apply(settings: &mut EndpointSettings, first: FirstNetwork) -> Result<(), String> {
    let conflict = |flag: &str, what: &str| {
        Err(format!("conflicting options: cannot specify both --{flag} and per-network {what}"))
    };
    if !first.aliases.is_empty() {
        if !settings.aliases.is_empty() {
            return conflict("network-alias", "alias");
        }
        settings.aliases = first.aliases;
    }
    let mut ipam = settings.ipam_config.take().unwrap_or_default();
    if !first.link_local.is_empty() {
        if !ipam.link_local_ips.is_empty() {
            return conflict("link-local-ip", "link-local IP addresses");
        }
        ipam.link_local_ips = first.link_local;
    }
    let pairs = [
        (&mut ipam.ipv4_address, first.ipv4, "ip", "IPv4 address"),
        (&mut ipam.ipv6_address, first.ipv6, "ip6", "IPv6 address"),
        (&mut settings.mac_address, first.mac, "mac-address", "MAC address"),
    ];
    for (field, value, flag, what) in pairs {
        if value.is_empty() {
            continue;
        }
        if !field.is_empty() {
            return conflict(flag, what);
        }
        *field = value;
    }
    settings.ipam_config = Some(ipam).filter(|ipam| *ipam != EndpointIpam::default());
    Ok(())
}

/// `CONTAINER[:ALIAS]`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Link;

impl Check for Link {
    fn check(text: &str) -> Result<String, String> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            _ if text.is_empty() => Err("empty string specified for links".to_owned()),
            [name] if !name.is_empty() => Ok(format!("{name}:{name}")),
            [name, alias] if !name.is_empty() && !alias.is_empty() => Ok(text.to_owned()),
            _ => Err(format!("bad format for links: {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(texts: &[&str], first: FirstNetwork) -> Result<(String, NetworkingConfig), String> {
        let mut network = NetworkFlag::default();
        for text in texts {
            network.set(text)?;
        }
        networks(network, NetworkFlag::default(), first)
    }

    #[test]
    fn modes_and_networks_are_told_apart() {
        for (texts, mode, others) in [
            (&[][..], "default", 0),
            (&["none"], "none", 0),
            (&["container:abc"], "container:abc", 0),
            (&["name=host"], "host", 0),
            (&["web"], "web", 0),
            (&["name=web,alias=x"], "web", 1),
            (&["web", "name=db,ip=10.0.0.5,gw-priority=2"], "web", 1),
        ] {
            let (got, networking) = asked(texts, FirstNetwork::default()).unwrap();
            assert_eq!((got.as_str(), networking.endpoints_config.len()), (mode, others));
        }
        for (texts, want) in [
            (&["foo=x"][..], "invalid field key foo"),
            (&["alias=x"], "network name/id is not specified"),
            (&[""], "no name set for network"),
            (&["host", "web"], "conflicting options: cannot attach both"),
            (&["web", "web"], "network \"web\" is specified multiple times"),
            (&["name=web,gw-priority=high"], "invalid gw-priority (high)"),
            (&["name=web,driver-opt=x"], "invalid key value pair"),
        ] {
            let error = asked(texts, FirstNetwork::default()).unwrap_err();
            assert!(error.starts_with(want), "{texts:?}: {error}");
        }
    }

    #[test]
    fn other_flags_are_the_first_networks() {
        let first = || FirstNetwork {
            aliases: vec!["x".into()],
            ipv4: "10.0.0.2".into(),
            mac: "02:42:0a:00:00:02".into(),
            ..FirstNetwork::default()
        };
        let (_, networking) = asked(&["web", "db"], first()).unwrap();
        let web = &networking.endpoints_config["web"];
        assert_eq!(web.aliases, ["x"]);
        assert_eq!(web.ipam_config.as_ref().unwrap().ipv4_address, "10.0.0.2");
        assert_eq!(networking.endpoints_config["db"], EndpointSettings::default());
        let error = asked(&["name=web,ip=10.0.0.3"], FirstNetwork { aliases: vec![], ..first() });
        assert_eq!(
            error.unwrap_err(),
            "conflicting options: cannot specify both --ip and per-network IPv4 address"
        );
        assert!(asked(&["host"], first()).is_err());
    }

    #[test]
    fn links_have_two_parts() {
        assert_eq!(Link::check("db").unwrap(), "db:db");
        assert_eq!(Link::check("db:x").unwrap(), "db:x");
        for bad in ["", ":", "a:", ":b", "a:b:c"] {
            assert!(Link::check(bad).is_err(), "{bad}");
        }
    }
}
