//! The mounts of the spec: the kernel's file systems, the user's mounts, our files.

use dockerapi::HostConfig;
use oci::Mount;

use crate::namespaces::{Ids, Modes, Owner};
use crate::{
    Access, BundleError, Files, HostFacts, Joined, PlannedMount, PlannedSource, Profile,
    Propagation, tmpfs,
};

/// `/dev/shm` unless the user says otherwise.
const SHM_BYTES: i64 = 64 << 20;

/// Where our init is inside.
pub(crate) const INIT_PATH: &str = "/sbin/docker-init";

/// What decides about mounts.
pub(crate) struct Wanted<'a> {
    pub(crate) host: &'a HostConfig,
    pub(crate) profile: Profile,
    pub(crate) modes: Modes<'a>,
    pub(crate) ids: Option<Ids<'a>>,
    pub(crate) planned: &'a [PlannedMount],
    pub(crate) files: Files<'a>,
    pub(crate) joined: Joined<'a>,
    pub(crate) facts: &'a HostFacts,
    pub(crate) writable_cgroups: bool,
    pub(crate) init: bool,
}

impl Wanted<'_> {
    /// All mounts in the order in which they are performed: the kernel's, the user's with parents
    /// first, ours last, so that nothing of the user's hides `/etc/hosts` or the init.
    pub(crate) fn mounts(&self) -> Result<Vec<Mount>, BundleError> {
        let own_dev = self.planned.iter().any(|mount| mount.destination == "/dev");
        let mut mounts = self.kernel()?;
        mounts.retain(|Mount { destination, .. }| {
            let hidden = own_dev && destination.starts_with("/dev/");
            !hidden && !self.is_planned(destination)
        });
        let mut planned: Vec<&PlannedMount> = self.planned.iter().collect();
        planned.sort_by_key(|mount| crate::paths::depth(&mount.destination));
        for mount in planned {
            mounts.push(self.user(mount)?);
        }
        let files = [
            ("/etc/resolv.conf", self.files.resolv_conf),
            ("/etc/hostname", self.files.hostname),
            ("/etc/hosts", self.files.hosts),
        ];
        for (destination, source) in files {
            if let Some(source) = source.filter(|_| !self.is_planned(destination)) {
                mounts.push(self.file(destination, source, self.host.readonly_rootfs));
            }
        }
        if self.init {
            let source = self.files.init.ok_or_else(|| {
                BundleError::invalid("--init needs an init, and there is none on this host")
            })?;
            mounts.push(self.file(INIT_PATH, source, true));
        }
        Ok(mounts)
    }

    /// What mounts made later on the host need of the root, if any mount is to see them.
    pub(crate) fn rootfs_propagation(&self) -> Option<String> {
        let any = |wanted: [Propagation; 2]| {
            self.planned.iter().filter_map(|mount| mount.propagation).any(|p| wanted.contains(&p))
        };
        if any([Propagation::Shared, Propagation::Rshared]) {
            return Some("shared".into());
        }
        any([Propagation::Slave, Propagation::Rslave]).then(|| "rslave".into())
    }

    fn is_planned(&self, destination: &str) -> bool {
        self.planned.iter().any(|mount| mount.destination == destination)
    }

    fn kernel(&self) -> Result<Vec<Mount>, BundleError> {
        // gid 5 is `tty` everywhere; without such an id inside, the mount would fail.
        const TTY: u32 = 5;
        let tty = match self.ids {
            None => TTY < self.facts.ids.1,
            Some(ids) => ids
                .gids
                .iter()
                .any(|map| map.container_id <= TTY && TTY - map.container_id < map.size),
        };
        let pts = if tty {
            "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"
        } else {
            "nosuid noexec newinstance ptmxmode=0666 mode=0620"
        };
        let sys =
            if self.host.privileged { "nosuid noexec nodev" } else { "nosuid noexec nodev ro" };
        // Without a cgroup namespace of its own, a rootless container would see, and could
        // write, the cgroups of its user (CVE-2023-25809).
        let open_cgroups =
            self.writable_cgroups && !(self.facts.rootless && self.modes.host_cgroup);
        let cgroup = if open_cgroups { "nosuid noexec nodev" } else { "ro nosuid noexec nodev" };
        let mut mounts = vec![
            kernel_mount("/proc", "proc", "proc", "nosuid noexec nodev"),
            kernel_mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
            kernel_mount("/dev/pts", "devpts", "devpts", pts),
            self.sysfs(sys),
            kernel_mount("/sys/fs/cgroup", "cgroup", "cgroup", cgroup),
        ];
        // One shows an IPC namespace, and an ordinary user has no rights over the host's.
        if !(self.facts.rootless && self.modes.ipc == Owner::Host) {
            mounts.push(kernel_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"));
        }
        let shared = |source: &str| Mount {
            options: words("rbind rprivate nosuid noexec nodev"),
            ..kernel_mount("/dev/shm", "bind", source, "")
        };
        match self.modes.ipc {
            Owner::Own if self.modes.no_shm => {}
            Owner::Own => {
                let size = if self.host.shm_size == 0 { SHM_BYTES } else { self.host.shm_size };
                let options = format!("nosuid noexec nodev mode=1777 size={size}");
                mounts.push(kernel_mount("/dev/shm", "tmpfs", "shm", &options));
            }
            Owner::Host => mounts.push(shared("/dev/shm")),
            Owner::Container(name) => {
                let source = self.joined.shm.ok_or_else(|| {
                    BundleError::invalid(format!("container {name} has no /dev/shm to share"))
                })?;
                mounts.push(shared(source));
            }
        }
        Ok(mounts)
    }

    /// A sysfs shows a network, and only whoever has rights over that may make one: to an ordinary
    /// user's container in the host's network the host's own is shown.
    fn sysfs(&self, options: &str) -> Mount {
        match self.facts.rootless && self.modes.network == Owner::Host {
            true => kernel_mount("/sys", "bind", "/sys", "rbind rprivate nosuid noexec nodev rro"),
            false => kernel_mount("/sys", "sysfs", "sysfs", options),
        }
    }

    fn user(&self, planned: &PlannedMount) -> Result<Mount, BundleError> {
        let destination = planned.destination.clone();
        let (source, recursive) = match &planned.source {
            PlannedSource::Tmpfs { options } => {
                let mut options = tmpfs::with_defaults(options);
                self.harden(&mut options);
                return Ok(Mount {
                    destination,
                    kind: Some("tmpfs".into()),
                    source: Some("tmpfs".into()),
                    options,
                    ..Default::default()
                });
            }
            PlannedSource::Bind { path, non_recursive, .. } => {
                (planned.host_path.as_ref().unwrap_or(path), !non_recursive)
            }
            PlannedSource::Volume(wanted) => {
                let path = planned.host_path.as_ref().ok_or_else(|| {
                    let name = wanted.name.as_deref().unwrap_or("an anonymous one");
                    BundleError::invalid(format!("no path is known for volume {name}"))
                })?;
                (path, true)
            }
        };
        let mut options = vec![if recursive { "rbind" } else { "bind" }.to_owned()];
        let all = self.facts.recursive_read_only;
        match planned.access {
            Access::ReadWrite => {}
            Access::ReadOnly if all => options.push("rro".into()),
            Access::ReadOnly | Access::ReadOnlyTop => options.push("ro".into()),
            Access::ReadOnlyForced if all => options.push("rro".into()),
            Access::ReadOnlyForced => {
                return Err(BundleError::invalid(format!(
                    "cannot make {destination} recursively read-only: the kernel is older than 5.12"
                )));
            }
        }
        options.push(planned.propagation.unwrap_or(Propagation::Rprivate).as_str().into());
        self.harden(&mut options);
        Ok(self.mapped(Mount {
            destination,
            kind: Some("bind".into()),
            source: Some(source.clone()),
            options,
            ..Default::default()
        }))
    }

    /// One of our own files.
    fn file(&self, destination: &str, source: &str, read_only: bool) -> Mount {
        let mut options = words("bind rprivate");
        if read_only {
            options.push("ro".into());
        }
        self.harden(&mut options);
        self.mapped(Mount { options, ..kernel_mount(destination, "bind", source, "") })
    }

    fn harden(&self, options: &mut Vec<String>) {
        for option in self.profile.mount_options() {
            let opposite = &option[2..];
            if !self.host.privileged && !options.iter().any(|own| own == option || own == opposite)
            {
                options.push((*option).to_owned());
            }
        }
    }

    /// Lets files keep the ids that they have on the host: in a container with ids of its own
    /// they would all belong to nobody.
    fn mapped(&self, mut mount: Mount) -> Mount {
        if let Some(ids) = self.ids {
            mount.options.push("idmap".into());
            mount.uid_mappings = ids.uids.to_vec();
            mount.gid_mappings = ids.gids.to_vec();
        }
        mount
    }
}

fn kernel_mount(destination: &str, kind: &str, source: &str, options: &str) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: words(options),
        ..Default::default()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
