//! `--network`: none, host, or that of another container.

use crate::flags::Value;
use crate::refused;

/// The networks that were asked for.
#[derive(Debug, Default, Clone)]
pub(crate) struct NetworkFlag(Vec<String>);

impl Value for NetworkFlag {
    const KIND: &'static str = "network";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.push(text.to_owned());
        Ok(())
    }
}

/// The network mode of `--network` and `--net` together; `default` if neither was given.
///
/// The long form (`name=host,alias=x`) is understood as far as it names a mode that there is.
/// The default is without a network until bridges come: the engine decides that, for all doors.
pub(crate) fn mode(network: &NetworkFlag, net: &NetworkFlag) -> Result<String, String> {
    let mut asked = network.0.iter().chain(&net.0);
    let Some(first) = asked.next() else { return Ok("default".to_owned()) };
    if asked.next().is_some() {
        return Err(refusal("several networks"));
    }
    let mode = match long_form(first) {
        None => first.clone(),
        Some(fields) => {
            let mut name = None;
            for field in fields {
                match field {
                    ("name", value) => name = Some(value.to_owned()),
                    (
                        "alias" | "ip" | "ip6" | "mac-address" | "link-local-ip" | "driver-opt"
                        | "gw-priority",
                        _,
                    ) => return Err(refusal(first)),
                    (key, _) => return Err(format!("invalid field key {key}")),
                }
            }
            name.ok_or_else(|| "network name/id is not specified".to_owned())?
        }
    };
    match mode.as_str() {
        text if text.trim().is_empty() => Err("no name set for network".to_owned()),
        "none" | "host" | "default" => Ok(mode),
        text if text.starts_with("container:") => Ok(mode),
        text => Err(refusal(text)),
    }
}

fn refusal(what: &str) -> String {
    format!("--network {what} is not supported yet: {}", refused::NETWORKS)
}

/// `key=value` between commas; `None` for a plain name.
fn long_form(text: &str) -> Option<Vec<(&str, &str)>> {
    let pairs: Vec<_> = text.split(',').map(|field| field.split_once('=')).collect();
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_taken_and_networks_refused() {
        for (text, want) in [
            ("none", Ok("none")),
            ("host", Ok("host")),
            ("container:abc", Ok("container:abc")),
            ("default", Ok("default")),
            ("name=host", Ok("host")),
            ("bridge", Err("--network bridge is not supported yet: ")),
            ("web", Err("--network web is not supported yet: ")),
            ("name=web,alias=x", Err("--network name=web,alias=x is not supported yet: ")),
            ("foo=x", Err("invalid field key foo")),
            ("", Err("no name set for network")),
        ] {
            let mut network = NetworkFlag::default();
            network.set(text).unwrap();
            match (mode(&network, &NetworkFlag::default()), want) {
                (Ok(mode), Ok(want)) => assert_eq!(mode, want),
                (Err(error), Err(want)) => assert!(error.starts_with(want), "{error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        let unset = NetworkFlag::default();
        assert_eq!(mode(&unset, &unset), Ok("default".to_owned()));
    }
}
