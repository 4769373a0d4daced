//! The three files that a container gets from us: `/etc/hostname`, `/etc/hosts` and
//! `/etc/resolv.conf`. There is one writer for each, and it refuses bytes that would start a line
//! of their own (CVE-2022-4318, CVE-2026-15809).

use std::net::{IpAddr, Ipv4Addr};

use crate::BundleError;

/// How much of the host's `resolv.conf` is looked at.
const RESOLV_CONF_LIMIT_BYTES: usize = 64 * 1024;

/// What Docker falls back on when the host names no server that a container could reach.
const DEFAULT_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// `/etc/hostname`.
pub fn hostname_file(hostname: &str) -> Result<String, BundleError> {
    word("hostname", hostname)?;
    Ok(format!("{hostname}\n"))
}

/// What `/etc/hosts` is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostsFile<'a> {
    /// The container's name.
    pub hostname: &'a str,
    /// Its domain; may be empty.
    pub domainname: &'a str,
    /// Its addresses; none without a network.
    pub addresses: &'a [IpAddr],
    /// `NAME:ADDRESS` each, of `--add-host`.
    pub extra_hosts: &'a [String],
    /// What `host-gateway` stands for, if there is a bridge.
    pub host_gateway: Option<IpAddr>,
    /// Other containers: an address, and names with blanks between them.
    pub others: &'a [(IpAddr, String)],
}

/// `/etc/hosts`.
pub fn hosts_file(hosts: &HostsFile<'_>) -> Result<String, BundleError> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    let mut line = |address: IpAddr, names: &str| {
        text.push_str(&format!("{address}\t{names}\n"));
    };
    for extra in hosts.extra_hosts {
        let (name, address) = parse_extra_host(extra)?;
        let address = match address {
            Some(address) => address,
            None => hosts.host_gateway.ok_or(BundleError::Later {
                what: "host-gateway in --add-host".into(),
                hint: ": there is no bridge whose address it could be",
            })?,
        };
        line(address, name);
    }
    for (address, names) in hosts.others {
        names.split(' ').try_for_each(|name| word("name", name))?;
        line(*address, names);
    }
    word("hostname", hosts.hostname)?;
    word("domainname", hosts.domainname)?;
    let mut names = hosts.hostname.to_owned();
    if !hosts.domainname.is_empty() {
        names = format!("{names}.{}", hosts.domainname);
    }
    if let Some((short, _)) = names.split_once('.') {
        names = format!("{names} {short}");
    }
    if !names.is_empty() {
        for address in hosts.addresses {
            line(*address, &names);
        }
    }
    Ok(text)
}

/// Reads `NAME:ADDRESS` of `--add-host`; `None` stands for `host-gateway`. An address of IPv6 may
/// be in brackets.
pub fn parse_extra_host(text: &str) -> Result<(&str, Option<IpAddr>), BundleError> {
    let bad = || BundleError::invalid(format!("bad format for add-host: {text:?}"));
    let (name, address) = text.split_once([':', '=']).ok_or_else(bad)?;
    if name.is_empty() || word("name", name).is_err() || name.contains('#') {
        return Err(bad());
    }
    if address == "host-gateway" {
        return Ok((name, None));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    match bare.parse() {
        Ok(parsed) => Ok((name, Some(parsed))),
        Err(_) => Err(BundleError::invalid(format!("invalid IP address in add-host: {address:?}"))),
    }
}

/// What `/etc/resolv.conf` is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResolvConf<'a> {
    /// The host's file.
    pub host_file: &'a [u8],
    /// `--dns`: replaces the host's servers.
    pub servers: &'a [String],
    /// `--dns-search`: replaces the host's domains; a single `.` stands for none.
    pub search: &'a [String],
    /// `--dns-option`: replaces the host's options.
    pub options: &'a [String],
    /// Whether the container is in the host's network, where its loopback servers can be reached.
    pub host_network: bool,
    /// The container's own resolver, which asks the servers in its place.
    pub resolver: Option<IpAddr>,
}

/// `/etc/resolv.conf`.
pub fn resolv_conf(conf: &ResolvConf<'_>) -> Result<String, BundleError> {
    let (mut servers, mut search, mut options, other) = read_host_file(conf.host_file);
    if !conf.servers.is_empty() {
        servers = conf.servers.iter().map(|text| parse_server(text)).collect::<Result<_, _>>()?;
    } else if !conf.host_network {
        servers.retain(|server| !server.address.is_loopback());
        if servers.is_empty() {
            let default = |address| Server { address, zone: String::new() };
            servers = DEFAULT_SERVERS.into_iter().map(default).collect();
        }
    }
    if !conf.search.is_empty() {
        for domain in conf.search {
            word("DNS search domain", domain)?;
        }
        search = conf.search.iter().filter(|domain| *domain != ".").cloned().collect();
    }
    if !conf.options.is_empty() {
        for option in conf.options {
            word("DNS option", option)?;
        }
        options = conf.options.to_vec();
    }
    if let Some(resolver) = conf.resolver {
        servers = vec![Server { address: resolver, zone: String::new() }];
        // Names of one word are containers' before they are anybody's.
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".to_owned());
        }
    }
    let mut text = String::new();
    for Server { address, zone } in servers {
        text.push_str(&format!("nameserver {address}{zone}\n"));
    }
    for (key, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            text.push_str(&format!("{key} {}\n", words.join(" ")));
        }
    }
    for line in other {
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// The servers that a container's own resolver asks: those of `--dns`, or the host's. The host's
/// own loopback is among them, since they are asked from the host's network.
pub fn resolver_servers(host_file: &[u8], servers: &[String]) -> Vec<IpAddr> {
    if !servers.is_empty() {
        let parsed = servers.iter().filter_map(|text| parse_server(text).ok());
        return parsed.map(|server| server.address).collect();
    }
    let (servers, ..) = read_host_file(host_file);
    // One with a zone would need that with every question.
    let plain = servers.into_iter().filter(|server| server.zone.is_empty());
    let found: Vec<IpAddr> = plain.map(|server| server.address).collect();
    if found.is_empty() { DEFAULT_SERVERS.to_vec() } else { found }
}

/// Checks what `create` can check of `--dns*` and `--add-host`.
pub(crate) fn check(host: &dockerapi::HostConfig) -> Result<(), BundleError> {
    resolv_conf(&ResolvConf {
        servers: &host.dns,
        search: &host.dns_search,
        options: &host.dns_options,
        ..Default::default()
    })?;
    for extra in &host.extra_hosts {
        parse_extra_host(extra)?;
    }
    Ok(())
}

struct Server {
    address: IpAddr,
    /// `%` and an interface, for link-local addresses; else empty.
    zone: String,
}

type HostFile = (Vec<Server>, Vec<String>, Vec<String>, Vec<String>);

/// resolv.conf(5): servers, search domains, options, and lines that are none of these.
fn read_host_file(bytes: &[u8]) -> HostFile {
    let (mut servers, mut search, mut options, mut other) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let bytes = &bytes[..bytes.len().min(RESOLV_CONF_LIMIT_BYTES)];
    for line in String::from_utf8_lossy(bytes).lines() {
        let line = line.trim();
        let words = || line.split_whitespace().skip(1).map(str::to_owned);
        match line.split_whitespace().next() {
            None => {}
            Some(word) if word.starts_with(['#', ';']) => {}
            Some(_) if line.chars().any(|c| c.is_control() && c != '\t') => {}
            Some("nameserver") => {
                servers.extend(words().next().and_then(|text| parse_server(&text).ok()));
            }
            Some("domain" | "search") => search = words().collect(),
            Some("options") => options.extend(words()),
            Some(_) => other.push(line.to_owned()),
        }
    }
    (servers, search, options, other)
}

fn parse_server(text: &str) -> Result<Server, BundleError> {
    let trimmed = text.trim();
    let (address, zone) = trimmed.find('%').map_or((trimmed, ""), |at| trimmed.split_at(at));
    let good_zone = zone.is_empty()
        || zone.len() > 1
            && zone[1..]
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-@".contains(&byte));
    match address.parse::<IpAddr>() {
        Ok(address) if good_zone && (zone.is_empty() || address.is_ipv6()) => {
            Ok(Server { address, zone: zone.to_owned() })
        }
        _ => Err(BundleError::invalid(format!("IP address is not correctly formatted: {text}"))),
    }
}

/// Refuses what would end a word or a line.
fn word(what: &str, text: &str) -> Result<(), BundleError> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(BundleError::invalid(format!("invalid {what}: {text:?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn hosts() {
        let extra = list("db:10.0.0.5 six:[2001:db8::1] also=10.0.0.6");
        let hosts = HostsFile {
            hostname: "box",
            domainname: "example.org",
            addresses: &["172.17.0.2".parse().unwrap()],
            extra_hosts: &extra,
            host_gateway: None,
            others: &[],
        };
        let text = hosts_file(&hosts).unwrap();
        let tail: Vec<&str> = text.lines().skip(6).collect();
        let expected = [
            "10.0.0.5\tdb",
            "2001:db8::1\tsix",
            "10.0.0.6\talso",
            "172.17.0.2\tbox.example.org box",
        ];
        assert_eq!(tail, expected);
        assert_eq!(hosts_file(&HostsFile::default()).unwrap().lines().count(), 6);
    }

    #[test]
    fn a_gateway_needs_a_bridge() {
        let extra = list("up:host-gateway");
        let hosts = HostsFile { extra_hosts: &extra, ..Default::default() };
        let err = hosts_file(&hosts).unwrap_err().to_string();
        assert!(err.starts_with("host-gateway in --add-host is not supported yet"), "{err}");
        let hosts = HostsFile { host_gateway: Some("10.0.0.1".parse().unwrap()), ..hosts };
        assert!(hosts_file(&hosts).unwrap().ends_with("10.0.0.1\tup\n"));
    }

    #[test]
    fn nothing_can_smuggle_a_line_in() {
        for bad in ["a\nb", "a\rb", "a b", "a\0b", "a\tb", "\u{85}"] {
            assert!(hostname_file(bad).is_err(), "{bad:?}");
            let extra = [format!("{bad}:10.0.0.1")];
            assert!(hosts_file(&HostsFile { extra_hosts: &extra, ..Default::default() }).is_err());
            assert!(hosts_file(&HostsFile { hostname: bad, ..Default::default() }).is_err());
            let words = [bad.to_owned()];
            let confs = [
                ResolvConf { servers: &words, ..Default::default() },
                ResolvConf { search: &words, ..Default::default() },
                ResolvConf { options: &words, ..Default::default() },
            ];
            for conf in confs {
                assert!(resolv_conf(&conf).is_err(), "{bad:?}");
            }
        }
        for bad in ["", "x", ":10.0.0.1", "x:", "x:nope", "x:10.0.0.1\n10.0.0.2\ty", "#x:1.1.1.1"] {
            assert!(parse_extra_host(bad).is_err(), "{bad:?}");
        }
    }

    const HOST: &[u8] = b"# made by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n\
        nameserver fe80::1%eth0\nnameserver nonsense\nsearch one two\nsearch three\n\
        options edns0\noptions ndots:2\nsortlist 10.0.0.0\n\x01bad line\n";

    #[test]
    fn the_hosts_resolver_without_its_loopback() {
        let conf = ResolvConf { host_file: HOST, ..Default::default() };
        let expected = "nameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch three\n\
            options edns0 ndots:2\nsortlist 10.0.0.0\n";
        assert_eq!(resolv_conf(&conf).unwrap(), expected);
        let conf = ResolvConf { host_network: true, ..conf };
        assert!(resolv_conf(&conf).unwrap().starts_with("nameserver 127.0.0.53\n"));
        let text = resolv_conf(&ResolvConf::default()).unwrap();
        assert_eq!(text, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn the_users_words_replace_the_hosts() {
        let (servers, search, options) = (list("1.1.1.1 ::1"), list("."), list("ndots:1"));
        let conf = ResolvConf {
            host_file: b"nameserver 192.0.2.1\nsearch one\noptions edns0\n",
            servers: &servers,
            search: &search,
            options: &options,
            host_network: false,
            resolver: None,
        };
        assert_eq!(
            resolv_conf(&conf).unwrap(),
            "nameserver 1.1.1.1\nnameserver ::1\noptions ndots:1\n"
        );
        let bad = list("nope");
        let conf = ResolvConf { servers: &bad, ..conf };
        assert_eq!(
            resolv_conf(&conf).unwrap_err().to_string(),
            "IP address is not correctly formatted: nope"
        );
    }

    proptest! {
        #[test]
        fn each_extra_host_gives_one_line(name in "\\PC{0,8}", address in any::<[u8; 4]>()) {
            let address = IpAddr::from(address);
            let extra = [format!("{name}:{address}")];
            let hosts = HostsFile { extra_hosts: &extra, ..Default::default() };
            if let Ok(text) = hosts_file(&hosts) {
                prop_assert_eq!(text.lines().count(), 7);
                let last = text.lines().last().unwrap();
                prop_assert_eq!(last.split('\t').count(), 2);
            }
        }

        #[test]
        fn any_host_file_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = resolv_conf(&ResolvConf { host_file: &bytes, ..Default::default() }).unwrap();
            prop_assert!(text.starts_with("nameserver "));
        }
    }
}
