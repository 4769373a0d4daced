//! What the values of the flags of `run` and `create` must look like, in Docker's words.

use std::net::IpAddr;

use dockerapi::Mount;

use crate::flags::{Check, Value};

/// `stdin`, `stdout` or `stderr`, in any case.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Attached;

impl Check for Attached {
    fn check(text: &str) -> Result<String, String> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "stdin" | "stdout" | "stderr" => Ok(lower),
            _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
        }
    }
}

/// `NAME=value`, or `NAME` for the value that it has here. One that has none is kept as `NAME`,
/// which takes it away from the image's.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Environment;

impl Check for Environment {
    fn check(text: &str) -> Result<String, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(format!("invalid environment variable: {text}"));
        }
        let inherited = || std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Ok(match value.map(str::to_owned).or_else(inherited) {
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        })
    }
}

/// `key=value` with a key that has no white space.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Label;

impl Check for Label {
    fn check(text: &str) -> Result<String, String> {
        let key = text.split_once('=').map_or(text, |(key, _)| key);
        let key = key.trim_start_matches([' ', '\t']);
        if key.is_empty() {
            return Err(format!("invalid label '{text}': empty name"));
        } else if key.contains([' ', '\t']) {
            return Err(format!("label '{key}' contains whitespaces"));
        }
        Ok(text.to_owned())
    }
}

/// A kernel parameter that a namespace of the container holds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sysctl;

const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

impl Check for Sysctl {
    fn check(text: &str) -> Result<String, String> {
        match text.split_once('=') {
            Some((key, _))
                if IPC_SYSCTLS.contains(&key)
                    || key.starts_with("net.")
                    || key.starts_with("fs.mqueue.") =>
            {
                Ok(text.to_owned())
            }
            _ => Err(format!("sysctl '{text}' is not allowed")),
        }
    }
}

/// An address of a name server.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct IpAddress;

impl Check for IpAddress {
    fn check(text: &str) -> Result<String, String> {
        match text.trim().parse::<IpAddr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
        }
    }
}

/// A domain to search in, or `.` for none.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct DnsSearch;

impl Check for DnsSearch {
    fn check(text: &str) -> Result<String, String> {
        let text = text.trim_matches(' ');
        if text == "." {
            return Ok(text.to_owned());
        }
        let domain = text.trim_end().trim_end_matches('.');
        let is_label = |label: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty()
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let has_letter = domain.bytes().any(|byte| byte.is_ascii_alphabetic());
        if has_letter && domain.len() < 255 && domain.split('.').all(is_label) {
            Ok(domain.to_owned())
        } else {
            Err(format!("{text} is not a valid domain"))
        }
    }
}

/// `name:address` or `name=address`; the address may stand in brackets or be `host-gateway`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct HostEntry;

impl Check for HostEntry {
    fn check(text: &str) -> Result<String, String> {
        let bad = || format!("bad format for add-host: {}", crate::text::quote(text));
        let separator = if text.contains('=') { '=' } else { ':' };
        let (name, address) = text.split_once(separator).ok_or_else(bad)?;
        if name.is_empty() {
            return Err(bad());
        }
        let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = inner.unwrap_or(address);
        if address != "host-gateway" {
            address.parse::<IpAddr>().map_err(|_| {
                format!("invalid IP address in add-host: {}", crate::text::quote(address))
            })?;
        }
        Ok(format!("{name}:{address}"))
    }
}

/// `TYPE MAJOR:MINOR MODE`: `c 42:* rmw`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CgroupRule;

impl Check for CgroupRule {
    fn check(text: &str) -> Result<String, String> {
        let number = |part: &str| {
            part == "*" || (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let mode = |part: &str| {
            matches!(part.len(), 1..=3) && part.bytes().all(|byte| b"rwm".contains(&byte))
        };
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["a" | "b" | "c", device, access]
                if mode(access)
                    && device
                        .split_once(':')
                        .is_some_and(|(major, minor)| number(major) && number(minor)) =>
            {
                Ok(text.to_owned())
            }
            _ => Err(format!("invalid device cgroup format '{text}'")),
        }
    }
}

/// Mounts in the long form. A source that begins with a dot is taken from here.
#[derive(Debug, Default, Clone)]
pub(crate) struct MountFlag(pub(crate) Vec<Mount>);

impl Value for MountFlag {
    const KIND: &'static str = "mount";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let mut mount = engine::parse_mount(text).map_err(|error| error.to_string())?;
        if mount.source.starts_with('.') {
            mount.source = super::volumes::absolute(&mount.source);
        }
        if mount.target.is_empty() {
            return Err("target is required".to_owned());
        }
        self.0.push(mount);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<C: Check>(rows: &[(&str, Result<&str, &str>)]) {
        for (text, want) in rows {
            let want = want.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(C::check(text), want, "{text}");
        }
    }

    #[test]
    fn streams_and_addresses() {
        check::<Attached>(&[
            ("STDIN", Ok("stdin")),
            ("x", Err("valid streams are STDIN, STDOUT and STDERR")),
        ]);
        check::<IpAddress>(&[
            (" 1.1.1.1", Ok("1.1.1.1")),
            ("::1", Ok("::1")),
            ("x", Err("IP address is not correctly formatted: x")),
        ]);
        check::<HostEntry>(&[
            ("a:1.2.3.4", Ok("a:1.2.3.4")),
            ("a=::1", Ok("a:::1")),
            ("a:[::1]", Ok("a:::1")),
            ("a:host-gateway", Ok("a:host-gateway")),
            ("a:x", Err("invalid IP address in add-host: \"x\"")),
            ("a", Err("bad format for add-host: \"a\"")),
            (":1.1.1.1", Err("bad format for add-host: \":1.1.1.1\"")),
        ]);
        check::<DnsSearch>(&[
            (".", Ok(".")),
            ("example.com.", Ok("example.com")),
            ("1.1", Err("1.1 is not a valid domain")),
            ("a..b", Err("a..b is not a valid domain")),
            ("-a", Err("-a is not a valid domain")),
        ]);
    }

    #[test]
    fn variables_and_labels() {
        check::<Environment>(&[
            ("a=b=c", Ok("a=b=c")),
            ("a=", Ok("a=")),
            ("KISTA_NO_SUCH_VARIABLE", Ok("KISTA_NO_SUCH_VARIABLE")),
            ("=x", Err("invalid environment variable: =x")),
            ("", Err("invalid environment variable: ")),
        ]);
        assert!(Environment::check("PATH").unwrap().starts_with("PATH=/"));
        check::<Label>(&[
            ("a=b c", Ok("a=b c")),
            ("a", Ok("a")),
            ("=x", Err("invalid label '=x': empty name")),
            ("a b=c", Err("label 'a b' contains whitespaces")),
        ]);
    }

    #[test]
    fn kernel_parameters_and_devices() {
        check::<Sysctl>(&[
            ("net.core.somaxconn=1", Ok("net.core.somaxconn=1")),
            ("kernel.msgmax=1", Ok("kernel.msgmax=1")),
            ("kernel.panic=1", Err("sysctl 'kernel.panic=1' is not allowed")),
            ("net.x", Err("sysctl 'net.x' is not allowed")),
        ]);
        check::<CgroupRule>(&[
            ("c 42:* rmw", Ok("c 42:* rmw")),
            ("a *:* r", Ok("a *:* r")),
            ("d 1:1 r", Err("invalid device cgroup format 'd 1:1 r'")),
            ("c 1 r", Err("invalid device cgroup format 'c 1 r'")),
            ("c 1:1 x", Err("invalid device cgroup format 'c 1:1 x'")),
        ]);
    }
}
