//! `--publish`: `[[ADDRESS:][PORT[-LAST]]:]PORT[-LAST][/PROTOCOL]`, or `target=80,published=8080`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dockerapi::PortBinding;

/// The bindings that the values of `--publish` stand for, by `port/protocol`.
pub(crate) fn bindings(values: &[String]) -> Result<BTreeMap<String, Vec<PortBinding>>, String> {
    let mut all: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for value in values {
        let spec = match value.contains('=') {
            true => from_long(value)?,
            false => value.clone(),
        };
        for (key, binding) in parse(&spec)? {
            all.entry(key).or_default().push(binding);
        }
    }
    Ok(all)
}

/// The long form in the short one.
fn from_long(value: &str) -> Result<String, String> {
    let invalid =
        |why: String| format!("invalid publish opts format (should be name=value but got '{why}')");
    let (mut target, mut published, mut protocol) = (String::new(), String::new(), "tcp");
    for field in value.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| invalid(field.to_owned()))?;
        match key.trim() {
            "target" => target = value.to_owned(),
            "published" => published = value.to_owned(),
            "protocol" => protocol = value,
            "mode" if matches!(value, "host" | "ingress") => {}
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    match (target.is_empty(), published.is_empty()) {
        (true, _) => Err(format!("no port specified: {value}")),
        (false, true) => Ok(format!("{target}/{protocol}")),
        (false, false) => Ok(format!("{published}:{target}/{protocol}")),
    }
}

fn parse(spec: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let (rest, protocol) = match spec.rsplit_once('/') {
        Some((rest, protocol)) => (rest, protocol.to_ascii_lowercase()),
        None => (spec, "tcp".to_owned()),
    };
    let (address, host, inside) = split(rest)?;
    if inside.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let (first, last) = range(inside).ok_or_else(|| format!("invalid containerPort: {inside}"))?;
    let ports = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
    };
    if let Some((host_first, host_last)) = ports
        && host_last - host_first != last - first
        && first != last
    {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {inside} and {host}"
        ));
    }
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let host_port = |offset: u16| match ports {
        None => String::new(),
        // One port inside: any of these on the host.
        Some((host_first, host_last)) if first == last && host_first != host_last => {
            format!("{host_first}-{host_last}")
        }
        Some((host_first, _)) => (host_first + offset).to_string(),
    };
    let one = |port: u16| {
        let binding =
            PortBinding { host_ip: address.to_owned(), host_port: host_port(port - first) };
        (format!("{port}/{protocol}"), binding)
    };
    Ok((first..=last).map(one).collect())
}

/// Address, port on the host, port inside.
fn split(text: &str) -> Result<(&str, &str, &str), String> {
    let (rest, inside) = match text.rsplit_once(':') {
        None => return Ok(("", "", text)),
        Some(parts) => parts,
    };
    let (address, host) = match rest.rsplit_once(':') {
        // The colons of an address of IPv6 stand in brackets.
        Some((address, host)) if !host.ends_with(']') => (address, host),
        _ if rest.starts_with('[') => (rest, ""),
        _ => ("", rest),
    };
    let bare = address.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(address);
    match bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        true => Ok((bare, host, inside)),
        false => Err(format!("invalid IP address: {bare}")),
    }
}

/// `80` or `80-89`, none of them 0.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let (first, last): (u16, u16) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Result<String, String> {
        let all = bindings(&[value.to_owned()])?;
        let one = |(key, list): (&String, &Vec<PortBinding>)| {
            let list: Vec<String> =
                list.iter().map(|b| format!("{}:{}", b.host_ip, b.host_port)).collect();
            format!("{key}={}", list.join("+"))
        };
        Ok(all.iter().map(one).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn all_forms_are_understood() {
        for (value, want) in [
            ("80", "80/tcp=:"),
            ("80/UDP", "80/udp=:"),
            ("8080:80", "80/tcp=:8080"),
            ("127.0.0.1:8080:80", "80/tcp=127.0.0.1:8080"),
            ("127.0.0.1::80", "80/tcp=127.0.0.1:"),
            ("[::1]:8080:80/sctp", "80/sctp=::1:8080"),
            ("[::1]::80", "80/tcp=::1:"),
            ("8000-8001:80-81", "80/tcp=:8000 81/tcp=:8001"),
            ("8000-8009:80", "80/tcp=:8000-8009"),
            ("80-81", "80/tcp=: 81/tcp=:"),
            ("target=80,published=8080,protocol=udp,mode=host", "80/udp=:8080"),
        ] {
            assert_eq!(shown(value).unwrap(), want, "{value}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        for (value, want) in [
            ("", "no port specified: "),
            ("8080:", "no port specified: 8080:<empty>"),
            ("x", "invalid containerPort: x"),
            ("x:80", "invalid hostPort: x"),
            ("70000:80", "invalid hostPort: 70000"),
            ("80/icmp", "invalid proto: icmp"),
            ("nowhere:80:80", "invalid IP address: nowhere"),
            ("1-2:80-82", "invalid ranges specified"),
            ("9-8:80", "invalid hostPort"),
            ("target=80,foo=1", "invalid field key foo"),
            ("published=80", "no port specified"),
        ] {
            let error = shown(value).unwrap_err();
            assert!(error.starts_with(want), "{value}: {error}");
        }
    }
}
