//! The options of a container's end in a network, by Docker's names.

use std::collections::BTreeMap;

use network::NetworkError;

use super::options::is_link_name;
use crate::EngineError;

/// What `driver-opt` of `--network` says, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EndpointOptions {
    /// The name of the interface inside.
    pub(crate) interface: Option<String>,
    /// Parameters of the interface: `net`, the family, `conf` or `neigh`, and its own name; with
    /// the value. The interface's name comes between the last two.
    parameters: Vec<([String; 3], String)>,
}

const PREFIX: &str = "com.docker.network.endpoint.";

impl EndpointOptions {
    /// Reads the options; those that are not known are refused.
    pub(crate) fn parse(
        network: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        let mut parsed = Self::default();
        for (key, value) in options {
            match key.strip_prefix(PREFIX) {
                Some("ifname") if is_link_name(value) => parsed.interface = Some(value.clone()),
                Some("ifname") => return Err(invalid(network, key, value)),
                Some("sysctls") => {
                    let each = value
                        .split(',')
                        .map(|one| parameter(one).ok_or_else(|| invalid(network, key, one)));
                    parsed.parameters = each.collect::<Result<_, _>>()?;
                }
                _ => {
                    return Err(EngineError::Unsupported {
                        message: format!(
                            "driver option {key} of network {network} is not supported"
                        ),
                    });
                }
            }
        }
        Ok(parsed)
    }

    /// Sets the parameters of an interface, in the calling thread's network namespace.
    pub(crate) fn apply(&self, interface: &str) -> Result<(), NetworkError> {
        for ([family, kind, name], value) in &self.parameters {
            network::set_parameter(family, kind, interface, name, value)?;
        }
        Ok(())
    }
}

fn invalid(network: &str, key: &str, value: &str) -> EngineError {
    EngineError::Invalid {
        message: format!("invalid value {value:?} of driver option {key} of network {network}"),
    }
}

/// `net.ipv4.conf.IFNAME.log_martians=1`; also with `/` for `.`, as sysctl(8) has it.
fn parameter(text: &str) -> Option<([String; 3], String)> {
    let (name, value) = text.split_once('=')?;
    let parts: Vec<&str> = name.split(['.', '/']).collect();
    let ["net", family @ ("ipv4" | "ipv6" | "mpls"), kind @ ("conf" | "neigh"), "IFNAME", last] =
        parts[..]
    else {
        return None;
    };
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    is_word(last).then(|| ([family.into(), kind.into(), last.into()], value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<EndpointOptions, String> {
        let options = [(format!("{PREFIX}{key}"), value.to_owned())].into();
        EndpointOptions::parse("n", &options).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_understood_or_refused() {
        assert_eq!(parse("ifname", "lan7").unwrap().interface.as_deref(), Some("lan7"));
        let two = "net.ipv4.conf.IFNAME.log_martians=1,net/ipv6/neigh/IFNAME/mcast_solicit=3";
        assert_eq!(parse("sysctls", two).unwrap().parameters.len(), 2);
        for (key, value) in [
            ("ifname", "lo"),
            ("ifname", "../x"),
            ("ifname", ""),
            ("sysctls", "net.ipv4.ip_forward=1"),
            ("sysctls", "net.ipv4.conf.eth0.forwarding=1"),
            ("sysctls", "net.ipv4.conf.IFNAME...=1"),
            ("sysctls", "kernel.domainname.x.IFNAME.y=1"),
            ("sysctls", "net.ipv4.conf.IFNAME.forwarding"),
            ("unheard_of", "x"),
        ] {
            assert!(parse(key, value).is_err(), "{key}={value}");
        }
    }
}
