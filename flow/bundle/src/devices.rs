//! Device nodes and the rules of who may use them.

use std::io;

use dockerapi::{DeviceMapping, HostConfig};
use oci::runtime::{Device, DeviceRule};

use crate::{BundleError, HostDevice, Profile, paths};

/// Looks at a node, or at all nodes below a directory.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> io::Result<Vec<HostDevice>>;

/// Directories and nodes of the host's `/dev` that a container has of its own, or never.
const OWN: [&str; 8] = [
    "/dev/pts",
    "/dev/shm",
    "/dev/fd",
    "/dev/mqueue",
    "/dev/.lxc",
    "/dev/.lxd-mounts",
    "/dev/.udev",
    "/dev/console",
];

/// null, zero, full, random, urandom, tty.
const BASIC: [(i64, i64); 6] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];

/// Reads `HOST[:CONTAINER][:rwm]` of `--device`.
pub fn parse_device(text: &str) -> Result<DeviceMapping, BundleError> {
    let bad = || BundleError::invalid(format!("bad format for path: {text}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, access) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, access] if is_access(access) => (host, host, access),
        [host, container] => (host, container, "rwm"),
        [host, container, access] if is_access(access) => (host, container, access),
        [_, _, access] => {
            return Err(BundleError::invalid(format!("bad mode specified: {access}")));
        }
        _ => return Err(bad()),
    };
    if host.is_empty() || text.contains('\0') {
        return Err(bad());
    }
    if !host.starts_with('/') && host.contains('/') && host.contains('=') {
        return Err(BundleError::Later { what: format!("device {host:?} by CDI name"), hint: "" });
    }
    for path in [container, host] {
        if !path.starts_with('/') {
            return Err(BundleError::invalid(format!("{path} is not an absolute path")));
        }
    }
    Ok(DeviceMapping {
        path_on_host: paths::clean(host),
        path_in_container: paths::clean(container),
        cgroup_permissions: access.to_owned(),
    })
}

/// Letters of `rwm`, each at most once, at least one.
fn is_access(text: &str) -> bool {
    let once = |letter: char| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|c| "rwm".contains(c)) && "rwm".chars().all(once)
}

/// Reads `TYPE MAJOR:MINOR ACCESS` of `--device-cgroup-rule`, such as `c 42:* rmw`.
pub fn parse_device_rule(text: &str) -> Result<DeviceRule, BundleError> {
    let invalid = || BundleError::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind @ ("a" | "b" | "c"), numbers, access] = parts[..] else { return Err(invalid()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| -> Result<i64, BundleError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text {
            "*" => Ok(-1),
            // The kernel's numbers have 12 and 20 bits; larger ones match nothing.
            _ if digits => text.parse::<u32>().map(i64::from).map_err(|_| invalid()),
            _ => Err(invalid()),
        }
    };
    let letters = access.chars().all(|c| "rwm".contains(c));
    if access.is_empty() || access.len() > 3 || !letters {
        return Err(invalid());
    }
    Ok(DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()),
        major: Some(number(major)?),
        minor: Some(number(minor)?),
        access: Some(access.to_owned()),
    })
}

/// What a container sees and may use.
pub(crate) struct Devices {
    pub(crate) nodes: Vec<Device>,
    pub(crate) rules: Vec<DeviceRule>,
}

/// Checks what does not need the host.
pub(crate) fn check(host: &HostConfig) -> Result<(), BundleError> {
    for mapping in &host.devices {
        mapped(mapping)?;
    }
    for rule in &host.device_cgroup_rules {
        parse_device_rule(rule)?;
    }
    // Those by their CDI names are added to the specification by who knows the descriptions.
    match host.device_requests.iter().all(|request| request.driver == "cdi") {
        true => Ok(()),
        false => Err(BundleError::Later { what: "--gpus".into(), hint: "" }),
    }
}

/// The nodes beyond the basic ones, which the runtime makes, and all rules.
///
/// A privileged container has every node of the host's `/dev` and may use all; it gets no node
/// twice. Rules are complete: nothing is allowed that no rule allows.
pub(crate) fn devices(
    host: &HostConfig,
    profile: Profile,
    lookup: Lookup<'_>,
    warnings: &mut Vec<String>,
) -> Result<Devices, BundleError> {
    let mut nodes: Vec<Device> = Vec::new();
    let mut rules =
        if host.privileged { vec![rule(true, None, -1, -1, "rwm")] } else { base(profile) };
    if host.privileged {
        let all = lookup("/dev").map_err(|source| device_error("/dev", source))?;
        let of_host = all.iter().filter(|device| {
            device.kind != 'p' && !OWN.iter().any(|own| paths::is_at_or_below(&device.path, own))
        });
        nodes.extend(of_host.map(|device| node(device, device.path.clone())));
    }
    for mapping in &host.devices {
        let mapping = mapped(mapping)?;
        let DeviceMapping { path_on_host, path_in_container, cgroup_permissions } = &mapping;
        if host.privileged && cgroup_permissions != "rwm" {
            warnings.push(format!(
                "custom {cgroup_permissions} permissions for device {path_on_host} are ignored in \
                 privileged mode"
            ));
        }
        let found = lookup(path_on_host).map_err(|source| device_error(path_on_host, source))?;
        if found.is_empty() {
            let source = io::Error::other("not a device node");
            return Err(device_error(path_on_host, source));
        }
        for device in &found {
            // Of a directory the part below it stays; a link's target has a path of its own.
            let below = device.path.strip_prefix(path_on_host.as_str()).unwrap_or_default();
            let path = paths::clean(&format!("{path_in_container}{below}"));
            nodes.retain(|other| other.path != path);
            nodes.push(node(device, path));
            if !host.privileged {
                let (major, minor) = (i64::from(device.major), i64::from(device.minor));
                rules.push(rule(true, Some(device.kind), major, minor, cgroup_permissions));
            }
        }
    }
    if !host.privileged {
        for text in &host.device_cgroup_rules {
            rules.push(parse_device_rule(text)?);
        }
    }
    Ok(Devices { nodes, rules })
}

/// An API client may send relative paths and odd letters too.
fn mapped(mapping: &DeviceMapping) -> Result<DeviceMapping, BundleError> {
    let DeviceMapping { path_on_host, path_in_container, cgroup_permissions } = mapping;
    let inside = if path_in_container.is_empty() { path_on_host } else { path_in_container };
    let access = if cgroup_permissions.is_empty() { "rwm" } else { cgroup_permissions };
    if path_on_host.contains(':') || inside.contains(':') {
        return Err(BundleError::invalid(format!("invalid device specification: {path_on_host}")));
    }
    parse_device(&format!("{path_on_host}:{inside}:{access}"))
}

/// What a container may use before it asks for more.
///
/// Docker lets any node be made, and relies on the rules for opening it. The other profiles let
/// no others be made than the basic ones, which the runtime makes by these rules itself.
fn base(profile: Profile) -> Vec<DeviceRule> {
    let mut rules = vec![rule(false, None, -1, -1, "rwm")];
    let docker = profile == Profile::Docker;
    let access = if docker { "rwm" } else { "rw" };
    if docker {
        rules.push(rule(true, Some('c'), -1, -1, "m"));
        rules.push(rule(true, Some('b'), -1, -1, "m"));
    }
    // Nodes of their own: the host's are not bound in, whose mode and owner are everybody's.
    for (major, minor) in BASIC {
        rules.push(rule(true, Some('c'), major, minor, "rwm"));
    }
    if docker {
        rules.push(rule(true, Some('c'), 5, 1, access)); // console
    }
    rules.push(rule(true, Some('c'), 5, 2, access)); // ptmx of its own devpts
    rules.push(rule(true, Some('c'), 136, -1, access)); // the terminals in it
    rules
}

fn rule(allow: bool, kind: Option<char>, major: i64, minor: i64, access: &str) -> DeviceRule {
    let number = |number: i64| Some(number).filter(|_| kind.is_some());
    DeviceRule {
        allow,
        kind: Some(kind.map_or("a".to_owned(), String::from)),
        major: number(major),
        minor: number(minor),
        access: Some(access.to_owned()),
    }
}

fn node(device: &HostDevice, path: String) -> Device {
    Device {
        kind: device.kind.to_string(),
        path,
        major: device.major.into(),
        minor: device.minor.into(),
        file_mode: Some(device.mode & 0o7777),
        uid: Some(device.uid),
        gid: Some(device.gid),
    }
}

fn device_error(path: &str, source: io::Error) -> BundleError {
    BundleError::Device { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
