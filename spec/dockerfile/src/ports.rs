//! The words of `EXPOSE`: `PORT[-PORT][/PROTOCOL]`, and what Docker once took besides.
//!
//! Dockerfile reference 1.20, "EXPOSE".

use std::net::IpAddr;

/// What a word says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// `PORT/PROTOCOL` each, the protocol in lower case.
    pub ports: Vec<String>,
    /// The protocol was not written in lower case.
    pub mixed_case: bool,
    /// An address or a host's port was given, which means nothing here.
    pub mapped: bool,
}

/// Reads one expanded word.
pub fn parse(word: &str) -> Result<Exposed, String> {
    let mut parts = word.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host_port = parts.next().unwrap_or_default();
    let address = parts.next().unwrap_or_default();
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    if container.is_empty() {
        return Err(format!("invalid port: {word:?}: no port specified"));
    }
    let lower = match protocol.to_lowercase() {
        empty if empty.is_empty() => "tcp".to_owned(),
        known if ["tcp", "udp", "sctp"].contains(&known.as_str()) => known,
        _ => return Err(format!("invalid port: {word:?}: invalid proto: {protocol}")),
    };
    if !address.is_empty() {
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bare.unwrap_or(address).parse::<IpAddr>().is_err() {
            return Err(format!("invalid IP address: {address}"));
        }
    }
    let (first, last) =
        range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    if !host_port.is_empty() {
        let (from, to) =
            range(host_port).ok_or_else(|| format!("invalid hostPort: {host_port}"))?;
        if to - from != last - first && last != first {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {container} and {host_port}"
            ));
        }
    }
    Ok(Exposed {
        ports: (first..=last).map(|port| format!("{port}/{lower}")).collect(),
        mixed_case: !protocol.is_empty() && protocol != lower,
        mapped: !address.is_empty() || !host_port.is_empty(),
    })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_ports() {
        for (word, ports) in [
            ("80", &["80/tcp"][..]),
            ("80/UDP", &["80/udp"]),
            ("80-82", &["80/tcp", "81/tcp", "82/tcp"]),
            ("8080:80", &["80/tcp"]),
            ("127.0.0.1:8080:80/sctp", &["80/sctp"]),
            ("[::1]:8080:80", &["80/tcp"]),
            ("8080-8090:80", &["80/tcp"]),
        ] {
            assert_eq!(parse(word).unwrap().ports, ports, "{word}");
        }
        assert!(parse("80/UDP").unwrap().mixed_case);
        assert!(parse("8080:80").unwrap().mapped);
        for (word, error) in [
            ("", "invalid port: \"\": no port specified"),
            ("80/foo", "invalid port: \"80/foo\": invalid proto: foo"),
            ("x", "invalid containerPort: x"),
            ("65536", "invalid containerPort: 65536"),
            ("90-80", "invalid containerPort: 90-80"),
            ("a:80:80", "invalid IP address: a"),
            ("1-2:80-89", "invalid ranges specified for container and host Ports: 80-89 and 1-2"),
        ] {
            assert_eq!(parse(word).unwrap_err(), error, "{word}");
        }
    }
}
