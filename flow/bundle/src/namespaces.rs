//! Which namespaces are the container's own, the host's, or another container's.

use dockerapi::{ContainerConfig, HostConfig};
use oci::runtime::{IdMapping, Namespace, NamespaceKind};

use crate::{BundleError, CgroupMode, HostFacts, Joined, Profile, Userns};

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    Own,
    Host,
    Container(&'a str),
}

impl<'a> Owner<'a> {
    fn of(mode: &'a str) -> Option<Self> {
        match mode {
            "" => Some(Self::Own),
            "host" => Some(Self::Host),
            _ => mode.strip_prefix("container:").map(Self::Container),
        }
    }
}

/// All modes of a container, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Modes<'a> {
    pub(crate) network: Owner<'a>,
    pub(crate) pid: Owner<'a>,
    pub(crate) ipc: Owner<'a>,
    /// `--ipc none`: an IPC namespace, but no `/dev/shm`.
    pub(crate) no_shm: bool,
    pub(crate) host_uts: bool,
    pub(crate) host_cgroup: bool,
    /// Whether ids of its own are asked for.
    pub(crate) wants_userns: bool,
}

/// What is shared with the host, as far as kernel parameters go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sharing {
    pub(crate) host_network: bool,
    pub(crate) host_ipc: bool,
}

impl<'a> Modes<'a> {
    /// Reads the modes.
    pub(crate) fn read(
        host: &'a HostConfig,
        profile: Profile,
        facts: &HostFacts,
    ) -> Result<Self, BundleError> {
        let network = network(&host.network_mode)?;
        let invalid =
            |what: &str, mode: &str| BundleError::invalid(format!("invalid {what}: {mode}"));
        let pid = Owner::of(&host.pid_mode)
            .filter(|owner| *owner != Owner::Container(""))
            .ok_or_else(|| invalid("PID mode", &host.pid_mode))?;
        let ipc = match host.ipc_mode.as_str() {
            "none" | "private" | "shareable" => Some(Owner::Own),
            mode => Owner::of(mode).filter(|owner| *owner != Owner::Container("")),
        }
        .ok_or_else(|| invalid("IPC mode", &host.ipc_mode))?;
        let host_uts = match host.uts_mode.as_str() {
            "" => false,
            "host" => true,
            mode => return Err(invalid("UTS mode", mode)),
        };
        let host_cgroup = match host.cgroupns_mode.as_str() {
            "host" => true,
            "private" => false,
            "" => host_cgroup_by_default(host.privileged, profile, facts),
            mode => return Err(invalid("cgroup namespace mode", mode)),
        };
        let wants_userns = wants_userns(host, profile)?;
        let no_shm = host.ipc_mode == "none";
        let modes = Self { network, pid, ipc, no_shm, host_uts, host_cgroup, wants_userns };
        modes.check_userns(host, profile)?;
        Ok(modes)
    }

    pub(crate) fn sharing(&self) -> Sharing {
        Sharing { host_network: self.network == Owner::Host, host_ipc: self.ipc == Owner::Host }
    }

    /// Refuses combinations that make no sense. Only true at creation: the engine fills in a host
    /// name then, and that is no wish of the user's.
    pub(crate) fn check_conflicts(
        &self,
        config: &ContainerConfig,
        host: &HostConfig,
    ) -> Result<(), BundleError> {
        let conflict =
            |what: &str| Err(BundleError::conflict(format!("conflicting options: {what}")));
        if let Owner::Container(_) = self.network {
            let container = "container type network";
            if !config.hostname.is_empty() {
                return conflict("hostname and the network mode");
            }
            if !host.links.is_empty() {
                return conflict(&format!(
                    "{container} can't be used with links. This would result in undefined behavior"
                ));
            }
            if !host.dns.is_empty() {
                return conflict("dns and the network mode");
            }
            if !host.extra_hosts.is_empty() {
                return conflict("custom host-to-IP mapping and the network mode");
            }
            if !host.port_bindings.is_empty() || host.publish_all_ports {
                return conflict("port publishing and the container type network mode");
            }
        }
        if self.host_uts && !config.hostname.is_empty() {
            return conflict("hostname and the UTS mode");
        }
        if self.network == Owner::Host && !host.links.is_empty() {
            return conflict(
                "host type networking can't be used with links. This would result in undefined \
                 behavior",
            );
        }
        Ok(())
    }

    /// Namespaces of the host belong to its user namespace; a container with ids of its own can
    /// do nothing in them and, worse, looks as if it could.
    fn check_userns(&self, host: &HostConfig, profile: Profile) -> Result<(), BundleError> {
        if !self.wants_userns {
            return Ok(());
        }
        let reason = if host.privileged {
            "privileged mode is incompatible with user namespaces.  You must run the container in \
             the host namespace when running privileged mode"
        } else if self.network == Owner::Host {
            "cannot share the host's network namespace when user namespaces are enabled"
        } else if self.pid == Owner::Host {
            "cannot share the host PID namespace when user namespaces are enabled"
        } else if self.ipc == Owner::Host {
            "cannot share the host IPC namespace when user namespaces are enabled"
        } else if matches!(self.pid, Owner::Container(_)) {
            "cannot share the PID namespace of another container when user namespaces are enabled"
        } else if matches!(self.ipc, Owner::Container(_)) {
            "cannot share the IPC namespace of another container when user namespaces are enabled"
        } else {
            return Ok(());
        };
        if host.userns_mode.is_empty() {
            return Err(refused_by(profile, reason));
        }
        Err(BundleError::conflict(reason))
    }

    /// The namespaces to make or to join, and the ids of a new user namespace.
    pub(crate) fn namespaces<'b>(
        &self,
        profile: Profile,
        facts: &HostFacts,
        joined: Joined<'_>,
        userns: Userns<'b>,
    ) -> Result<(Vec<Namespace>, Option<Ids<'b>>), BundleError> {
        let own = |kind| Namespace { kind, path: None };
        let mut list = vec![own(NamespaceKind::Mount)];
        let mut add = |kind, owner: Owner<'_>, path: Option<&str>| match (owner, path) {
            (Owner::Host, _) => Ok(()),
            (Owner::Own, _) => {
                // One that was made for it before it starts, or one that is made with it.
                let made = joined.made_network.filter(|_| kind == NamespaceKind::Network);
                list.push(Namespace { kind, path: made.map(str::to_owned) });
                Ok(())
            }
            (Owner::Container(_), Some(path)) => {
                list.push(Namespace { kind, path: Some(path.to_owned()) });
                Ok(())
            }
            (Owner::Container(name), None) => Err(BundleError::invalid(format!(
                "cannot join a namespace of container {name}: it is not running"
            ))),
        };
        add(NamespaceKind::Network, self.network, joined.network)?;
        add(NamespaceKind::Pid, self.pid, joined.pid)?;
        add(NamespaceKind::Ipc, self.ipc, joined.ipc)?;
        let one = |host: bool| if host { Owner::Host } else { Owner::Own };
        add(NamespaceKind::Uts, one(self.host_uts), None)?;
        let host_cgroup = self.host_cgroup || !facts.cgroup_namespaces;
        add(NamespaceKind::Cgroup, one(host_cgroup), None)?;
        add(NamespaceKind::Time, one(!facts.time_namespaces), None)?;
        let mut ids = None;
        if let Some(path) = joined.user {
            // A namespace can only be joined by whoever is in the user namespace that owns it.
            list.push(Namespace { kind: NamespaceKind::User, path: Some(path.to_owned()) });
        } else if self.wants_userns {
            match userns {
                Userns::Available { uids, gids } if !uids.is_empty() && !gids.is_empty() => {
                    list.push(own(NamespaceKind::User));
                    ids = Some(Ids { uids, gids });
                }
                Userns::Available { .. } => return Err(refused_by(profile, "no ids are left")),
                Userns::Unavailable(reason) => return Err(refused_by(profile, reason)),
            }
        }
        Ok((list, ids))
    }
}

/// The ids of a new user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids<'a> {
    pub(crate) uids: &'a [IdMapping],
    pub(crate) gids: &'a [IdMapping],
}

fn wants_userns(host: &HostConfig, profile: Profile) -> Result<bool, BundleError> {
    match host.userns_mode.as_str() {
        "" => Ok(profile == Profile::Strict),
        "host" => Ok(false),
        "auto" | "private" => Ok(true),
        mode if mode.starts_with("container:") => Err(BundleError::Later {
            what: "the user namespace of another container".to_owned(),
            hint: ": use --userns auto or host",
        }),
        _ => Err(BundleError::invalid("--userns: invalid USER mode")),
    }
}

/// Whether a container is to have ids of its own: `--userns auto`, or its profile.
pub fn has_own_ids(host: &HostConfig) -> Result<bool, BundleError> {
    wants_userns(host, Profile::of(host)?)
}

/// The error that it cannot.
pub fn no_own_ids(host: &HostConfig, reason: &str) -> BundleError {
    match (host.userns_mode.as_str(), Profile::of(host)) {
        (_, Err(error)) => error,
        ("", Ok(profile)) => refused_by(profile, reason),
        (mode, Ok(_)) => BundleError::conflict(format!("--userns {mode}: {reason}")),
    }
}

fn refused_by(profile: Profile, reason: &str) -> BundleError {
    BundleError::Profile {
        profile,
        what: "user and group ids of its own",
        reason: reason.to_owned(),
        relax: "--userns host",
    }
}

/// Every mode but two is the name of a network, which the container has an end in.
fn network(mode: &str) -> Result<Owner<'_>, BundleError> {
    match mode {
        "container" | "container:" => {
            return Err(BundleError::invalid(
                "invalid network mode: invalid container format container:<name|id>",
            ));
        }
        _ => {}
    }
    Ok(Owner::of(mode).unwrap_or(Owner::Own))
}

/// Docker gives private ones on v2 only, and also to privileged containers there.
fn host_cgroup_by_default(privileged: bool, profile: Profile, facts: &HostFacts) -> bool {
    let unified = facts.cgroup == CgroupMode::V2;
    match profile {
        Profile::Docker => !unified,
        _ => privileged && !unified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::facts;
    use serde_json::json;

    fn read(config: serde_json::Value, host: serde_json::Value) -> Result<String, String> {
        let config: ContainerConfig = serde_json::from_value(config).unwrap();
        let host: HostConfig = serde_json::from_value(host).unwrap();
        let profile = Profile::of(&host).unwrap();
        let joined =
            Joined { network: Some("/n"), pid: Some("/p"), ipc: Some("/i"), ..Default::default() };
        let uids = [IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
        let userns = Userns::Available { uids: &uids, gids: &uids };
        let modes = Modes::read(&host, profile, &facts()).map_err(|err| err.to_string())?;
        modes.check_conflicts(&config, &host).map_err(|err| err.to_string())?;
        let (list, _) =
            modes.namespaces(profile, &facts(), joined, userns).map_err(|err| err.to_string())?;
        let names = list.iter().map(|one| {
            let kind = format!("{:?}", one.kind).to_lowercase();
            one.path.as_ref().map_or(kind.clone(), |path| format!("{kind}={path}"))
        });
        Ok(names.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn all_are_its_own_unless_asked_otherwise() {
        let rows = [
            (json!({}), "mount network pid ipc uts cgroup time"),
            (
                json!({"NetworkMode": "none", "IpcMode": "none"}),
                "mount network pid ipc uts cgroup time",
            ),
            (
                json!({"NetworkMode": "host", "PidMode": "host", "IpcMode": "host", "UTSMode": "host",
                    "CgroupnsMode": "host"}),
                "mount time",
            ),
            (
                json!({"NetworkMode": "container:x", "PidMode": "container:x", "IpcMode": "container:x"}),
                "mount network=/n pid=/p ipc=/i uts cgroup time",
            ),
            (json!({"Profile": "strict"}), "mount network pid ipc uts cgroup time user"),
            (
                json!({"Profile": "strict", "UsernsMode": "host"}),
                "mount network pid ipc uts cgroup time",
            ),
            (json!({"UsernsMode": "auto"}), "mount network pid ipc uts cgroup time user"),
        ];
        for (host, expected) in rows {
            assert_eq!(read(json!({}), host.clone()).unwrap(), expected, "{host}");
        }
    }

    #[test]
    fn a_network_of_its_own_may_have_been_made_before() {
        let host = HostConfig { network_mode: "web".into(), ..HostConfig::default() };
        let profile = Profile::of(&host).unwrap();
        let facts = facts();
        let modes = Modes::read(&host, profile, &facts).unwrap();
        let joined = Joined { made_network: Some("/made"), ..Joined::default() };
        let none = Userns::Unavailable("");
        let (list, _) = modes.namespaces(profile, &facts, joined, none).unwrap();
        let paths: Vec<_> = list.iter().filter_map(|one| one.path.as_deref()).collect();
        assert_eq!(paths, ["/made"]);
    }

    #[test]
    fn conflicts_have_dockers_words() {
        let name = || json!({"Hostname": "x"});
        let rows = [
            (
                name(),
                json!({"NetworkMode": "container:x"}),
                "conflicting options: hostname and the network mode",
            ),
            (name(), json!({"UTSMode": "host"}), "conflicting options: hostname and the UTS mode"),
            (
                json!({}),
                json!({"NetworkMode": "container:x", "Dns": ["1.1.1.1"]}),
                "conflicting options: dns and the network mode",
            ),
            (
                json!({}),
                json!({"NetworkMode": "container:x", "ExtraHosts": ["a:1.1.1.1"]}),
                "conflicting options: custom host-to-IP mapping and the network mode",
            ),
            (
                json!({}),
                json!({"NetworkMode": "container:x", "PublishAllPorts": true}),
                "conflicting options: port publishing and the container type network mode",
            ),
            (
                json!({}),
                json!({"NetworkMode": "container:"}),
                "invalid network mode: invalid container format container:<name|id>",
            ),
            (json!({}), json!({"PidMode": "container:"}), "invalid PID mode: container:"),
            (json!({}), json!({"PidMode": "private"}), "invalid PID mode: private"),
            (json!({}), json!({"IpcMode": "x"}), "invalid IPC mode: x"),
            (json!({}), json!({"UTSMode": "private"}), "invalid UTS mode: private"),
            (json!({}), json!({"CgroupnsMode": "x"}), "invalid cgroup namespace mode: x"),
            (json!({}), json!({"UsernsMode": "x"}), "--userns: invalid USER mode"),
            (
                json!({}),
                json!({"Profile": "strict", "NetworkMode": "host"}),
                "profile strict needs user and group ids of its own: cannot share the host's \
                 network namespace when user namespaces are enabled; --userns host does without",
            ),
            (
                json!({}),
                json!({"UsernsMode": "auto", "Privileged": true}),
                "privileged mode is incompatible with user namespaces.  You must run the container \
                 in the host namespace when running privileged mode",
            ),
        ];
        for (config, host, expected) in rows {
            assert_eq!(read(config, host).unwrap_err(), expected);
        }
    }

    #[test]
    fn what_strict_asks_for_and_cannot_get_is_said() {
        let host = HostConfig::default();
        let modes = Modes::read(&host, Profile::Strict, &facts()).unwrap();
        let userns = Userns::Unavailable("the kernel has no user namespaces");
        let err = modes
            .namespaces(Profile::Strict, &facts(), Joined::default(), userns)
            .unwrap_err()
            .to_string();
        assert!(err.contains("the kernel has no user namespaces") && err.contains("--userns host"));
    }

    #[test]
    fn cgroup_namespaces_by_default() {
        let v1 = HostFacts { cgroup: CgroupMode::Hybrid, ..facts() };
        assert!(host_cgroup_by_default(false, Profile::Docker, &v1));
        assert!(!host_cgroup_by_default(true, Profile::Docker, &facts()));
        assert!(!host_cgroup_by_default(false, Profile::Standard, &v1));
        assert!(host_cgroup_by_default(true, Profile::Standard, &v1));
    }
}
