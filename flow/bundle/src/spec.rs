//! Puts the parts together.

use std::collections::BTreeMap;

use dockerapi::{ContainerConfig, HostConfig};
use oci::runtime::{self, Capabilities, ConsoleSize, Linux, Process, Root, Spec};

use crate::caps::{self, CapSet};
use crate::mounts::{INIT_PATH, Wanted};
use crate::namespaces::{Ids, Modes, Owner};
use crate::security::{self, SeccompOption, SecurityOptions};
use crate::user::Accounts;
use crate::{Bundle, BundleError, HostFacts, Inputs, Needs, Profile};
use crate::{config, devices, env, files, paths, resources, sysctl, ulimit};

/// Checks at creation all that does not depend on the root file system, so that `create` fails
/// and not `start`. Returns warnings for the user.
///
/// `config` is the merged one, with the host name as the user gave it or left it open. Mounts are
/// checked by [`plan_mounts`](crate::plan_mounts).
pub fn check(
    config: &ContainerConfig,
    host: &HostConfig,
    facts: &HostFacts,
) -> Result<Vec<String>, BundleError> {
    let mut warnings = Vec::new();
    config::check_config(config)?;
    let profile = Profile::of(host)?;
    let modes = Modes::read(host, profile, facts)?;
    modes.check_conflicts(config, host)?;
    later(host, &modes, &mut warnings)?;
    let options = security::parse(host)?;
    check_labels(&options, facts)?;
    if options.custom_seccomp().is_some() && !facts.seccomp {
        return Err(no_seccomp());
    }
    capabilities(host, profile, facts)?;
    devices::check(host)?;
    resources::limits(host, profile, facts, &mut warnings)?;
    ulimit::rlimits(host, profile, facts, &mut warnings)?;
    sysctl::check(&host.sysctls, &modes.sharing())?;
    files::check(host)?;
    check_numbers(host)?;
    for list in [&host.masked_paths, &host.readonly_paths] {
        given_paths(list.as_deref().unwrap_or_default())?;
    }
    Ok(warnings)
}

/// The runtime spec of a container that is about to start.
pub fn spec(inputs: &Inputs<'_>) -> Result<Bundle, BundleError> {
    let Inputs { config, host, facts, .. } = *inputs;
    let mut warnings = Vec::new();
    config::check_config(config)?;
    check_numbers(host)?;
    let profile = Profile::of(host)?;
    let modes = Modes::read(host, profile, facts)?;
    let options = security::parse(host)?;
    check_labels(&options, facts)?;
    let (namespaces, ids) = modes.namespaces(profile, facts, inputs.joined, inputs.userns)?;
    let has_userns = ids.is_some() || inputs.joined.user.is_some();
    if options.writable_cgroups.is_some() && (has_userns || facts.rootless) {
        return Err(BundleError::conflict(
            "option WritableCgroups conflicts with user namespaces and rootless mode",
        ));
    }
    let caps = capabilities(host, profile, facts)?;
    let hostname = hostname(config, host, inputs.id, facts)?;
    let init = host.init == Some(true) && modes.pid == Owner::Own;
    let process = process(inputs, profile, &options, caps, &hostname, init, &mut warnings)?;
    let wanted = Wanted {
        host,
        profile,
        modes,
        ids,
        planned: inputs.mounts,
        files: inputs.files,
        joined: inputs.joined,
        facts,
        writable_cgroups: options.writable_cgroups.unwrap_or(host.privileged),
        init,
    };
    let devices = devices::devices(host, profile, inputs.devices, &mut warnings)?;
    let mut limits = resources::limits(host, profile, facts, &mut warnings)?;
    resources::add_block_devices(&mut limits, host, facts, inputs.devices, &mut warnings)?;
    // Only root may set them; nobody else can use a device that they may not use anyway.
    limits.devices = if facts.rootless { Vec::new() } else { devices.rules };
    let (seccomp, own_seccomp) = filters(inputs, profile, &options)?;
    let open = host.privileged || options.open_paths;
    let paths = |given: &Option<Vec<String>>, own: Vec<String>| match given {
        Some(given) => given_paths(given),
        None if open => Ok(Vec::new()),
        None => Ok(own),
    };
    let linux = Linux {
        namespaces,
        uid_mappings: ids.map(|ids| ids.uids.to_vec()).unwrap_or_default(),
        gid_mappings: ids.map(|ids| ids.gids.to_vec()).unwrap_or_default(),
        devices: devices.nodes,
        cgroups_path: Some(inputs.cgroups_path.to_owned()),
        resources: Some(limits),
        sysctl: sysctls(host, &modes, ids, has_userns, facts)?,
        seccomp,
        rootfs_propagation: wanted.rootfs_propagation(),
        masked_paths: paths(&host.masked_paths, profile.masked_paths(facts))?,
        readonly_paths: paths(&host.readonly_paths, profile.readonly_paths())?,
        ..Default::default()
    };
    let own_uts = !modes.host_uts;
    let spec = Spec {
        oci_version: runtime::VERSION.to_owned(),
        root: Some(Root { path: inputs.rootfs.path.to_owned(), readonly: host.readonly_rootfs }),
        mounts: wanted.mounts()?,
        process: Some(process),
        hostname: own_uts.then_some(hostname),
        domainname: Some(config.domainname.clone()).filter(|name| own_uts && !name.is_empty()),
        hooks: None,
        // The user's only: what an image says is never a switch (CVE-2026-94603).
        annotations: host.annotations.clone(),
        linux: Some(linux),
    };
    let options = if host.privileged { &[] } else { profile.mount_options() };
    let needs = Needs {
        rootfs_options: options.to_vec(),
        rootfs_uids: ids.map(|ids| ids.uids.to_vec()).unwrap_or_default(),
        rootfs_gids: ids.map(|ids| ids.gids.to_vec()).unwrap_or_default(),
        seccomp: own_seccomp,
    };
    Ok(Bundle { spec, warnings, needs })
}

/// The host name that a container has: its own, the host's where it shares the host's network or
/// name, else the first twelve digits of its id.
///
/// The engine writes it into the record at creation, after [`check`]; of a container that joins
/// another one's network it writes that one's.
pub fn hostname(
    config: &ContainerConfig,
    host: &HostConfig,
    id: &str,
    facts: &HostFacts,
) -> Result<String, BundleError> {
    if !config.hostname.is_empty() {
        return Ok(config.hostname.clone());
    }
    if host.network_mode == "host" || host.uts_mode == "host" {
        return Ok(facts.hostname.clone());
    }
    match id.get(..12) {
        Some(short) => Ok(short.to_owned()),
        None => Err(BundleError::invalid(format!("invalid container id {id:?}"))),
    }
}

fn process(
    inputs: &Inputs<'_>,
    profile: Profile,
    options: &SecurityOptions<'_>,
    caps: CapSet,
    hostname: &str,
    init: bool,
    warnings: &mut Vec<String>,
) -> Result<Process, BundleError> {
    let Inputs { config, host, facts, rootfs, .. } = *inputs;
    let mut args = config::command(config)?;
    if init {
        args.splice(0..0, [INIT_PATH.to_owned(), "--".to_owned()]);
    }
    let accounts = Accounts::new(rootfs.passwd, rootfs.group)?;
    let identity = accounts.identify_on(&config.user, &host.group_add, facts.ids)?;
    let mut env = env::base(config, hostname, config.tty);
    env::set_home(&mut env, &identity.home);
    let [height, width] = host.console_size;
    let size = ConsoleSize { height, width };
    let strict = profile.no_new_privileges() && !host.privileged;
    Ok(Process {
        terminal: config.tty,
        console_size: Some(size).filter(|_| config.tty && height != 0 && width != 0),
        user: identity.user,
        args,
        env,
        cwd: config::working_dir(&config.working_dir)?,
        capabilities: Some(sets(caps)),
        rlimits: ulimit::rlimits(host, profile, facts, warnings)?,
        no_new_privileges: options.no_new_privileges.unwrap_or(strict),
        apparmor_profile: apparmor(options, facts),
        oom_score_adj: i32::try_from(host.oom_score_adj).ok().filter(|score| *score != 0),
        ..Default::default()
    })
}

/// Nothing is ever inheritable or ambient: file capabilities and users other than root would
/// gain by it (CVE-2022-24769 and its siblings, CVE-2016-8867).
pub(crate) fn sets(caps: CapSet) -> Capabilities {
    let names = caps.names();
    Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        permitted: names,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}

fn capabilities(
    host: &HostConfig,
    profile: Profile,
    facts: &HostFacts,
) -> Result<CapSet, BundleError> {
    let all = CapSet::of_host(facts);
    let named = caps::resolve(profile.capabilities(), &host.cap_add, &host.cap_drop, all)?;
    Ok(if host.privileged { all } else { named })
}

/// The user's filter for the spec, or else the profile's own.
type Filters = (Option<runtime::Seccomp>, Option<seccomp::profile::Profile>);

fn filters(
    inputs: &Inputs<'_>,
    profile: Profile,
    options: &SecurityOptions<'_>,
) -> Result<Filters, BundleError> {
    let own = Some(profile.seccomp()).filter(|_| inputs.facts.seccomp);
    match options.seccomp {
        Some(SeccompOption::Unconfined) => Ok((None, None)),
        None if inputs.host.privileged => Ok((None, None)),
        None | Some(SeccompOption::Builtin) => Ok((None, own)),
        Some(SeccompOption::Custom(_)) if !inputs.facts.seccomp => Err(no_seccomp()),
        Some(SeccompOption::Custom(_)) => match inputs.seccomp {
            Some(filter) => Ok((Some(filter.clone()), None)),
            None => Err(BundleError::invalid("the seccomp profile was not read")),
        },
    }
}

fn no_seccomp() -> BundleError {
    BundleError::invalid(
        "seccomp is not enabled in your kernel, cannot run a custom seccomp profile",
    )
}

/// A label that was asked for and cannot be given is an error, never silence.
fn check_labels(options: &SecurityOptions<'_>, facts: &HostFacts) -> Result<(), BundleError> {
    if let Some(profile) = options.apparmor.filter(|profile| *profile != "unconfined") {
        if !facts.apparmor {
            return Err(BundleError::invalid(format!(
                "AppArmor profile {profile:?} cannot be used: AppArmor is not enabled on this host"
            )));
        }
        if profile.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(BundleError::invalid(format!("invalid AppArmor profile {profile:?}")));
        }
    }
    match options.labels.iter().find(|label| **label != "disable") {
        Some(label) if facts.selinux => Err(BundleError::Later {
            what: format!("SELinux label {label:?}"),
            hint: ": use label=disable",
        }),
        Some(label) => Err(BundleError::invalid(format!(
            "SELinux label {label:?} cannot be used: SELinux is not enabled on this host"
        ))),
        None => Ok(()),
    }
}

fn apparmor(options: &SecurityOptions<'_>, facts: &HostFacts) -> Option<String> {
    options.apparmor.filter(|_| facts.apparmor).map(str::to_owned)
}

/// Ours for a network of its own, with the user's over them.
fn sysctls(
    host: &HostConfig,
    modes: &Modes<'_>,
    ids: Option<Ids<'_>>,
    has_userns: bool,
    facts: &HostFacts,
) -> Result<BTreeMap<String, String>, BundleError> {
    sysctl::check(&host.sysctls, &modes.sharing())?;
    let mut all = BTreeMap::new();
    if modes.network == Owner::Own && facts.ipv4_sysctls {
        // ping without CAP_NET_RAW. Both ends of the range must be ids that exist inside.
        let last = match ids {
            None if has_userns => None,
            None if facts.rootless => facts.ids.1.checked_sub(1),
            None => Some(i32::MAX.unsigned_abs()),
            Some(ids) => ids.gids.iter().find(|map| map.container_id == 0).map(|map| map.size - 1),
        };
        if let Some(last) = last {
            let last = last.min(i32::MAX.unsigned_abs());
            all.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {last}"));
        }
        // Ports below 1024 without CAP_NET_BIND_SERVICE.
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
    }
    all.extend(host.sysctls.clone());
    Ok(all)
}

fn check_numbers(host: &HostConfig) -> Result<(), BundleError> {
    if host.shm_size < 0 {
        return Err(BundleError::invalid("SHM size can not be less than 0"));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(BundleError::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    if host.annotations.contains_key("") {
        return Err(BundleError::invalid(
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ));
    }
    Ok(())
}

/// Masked and read-only paths of an API client: absolute ones, cleaned.
fn given_paths(list: &[String]) -> Result<Vec<String>, BundleError> {
    let one = |path: &String| {
        if !path.starts_with('/') || path.contains('\0') {
            return Err(BundleError::invalid(format!(
                "invalid path {path:?}: it must be absolute"
            )));
        }
        Ok(paths::clean(path))
    };
    list.iter().map(one).collect()
}

/// What comes in a later piece of work is refused, never ignored.
fn later(
    host: &HostConfig,
    modes: &Modes<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), BundleError> {
    let later = |what: &str| Err(BundleError::Later { what: what.into(), hint: "" });
    match host.isolation.to_ascii_lowercase().as_str() {
        "" | "default" | "process" => {}
        "vm" => return later("isolation \"vm\""),
        _ => {
            return Err(BundleError::invalid(format!(
                "invalid isolation '{}' on linux",
                host.isolation
            )));
        }
    }
    let publishes = !host.port_bindings.is_empty() || host.publish_all_ports;
    if publishes && modes.network == Owner::Host {
        warnings.push("Published ports are discarded when using host network mode".into());
    }
    if !host.storage_opt.is_empty() {
        return later("--storage-opt");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
