//! From a record to a launch: what the shim is told when a container starts.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use bundle::{
    CgroupMode, Files, HostDevice, HostFacts, HostsFile, Inputs, Joined, LimitFacts, PlannedSource,
    ResolvConf, RootfsFacts, Userns,
};
use cgroups::{Controller, Delegation, Hierarchy, Instance, Systemd, Unit};
use metadata::{Container, Status};
use oci::runtime::{Capabilities, ConsoleSize, IdMapping, Resources, Seccomp, Spec};
use rustix::fs::{Mode, OFlags, openat};
use rustix::process::getrlimit;
use seccomp::DockerProfile;
use shim::log::{LogFacts, LogPlan};
use shim::{CgroupPlan, Filter, Kind, Launch, Plan, Streams, Target};
use snapshots::Writable;

use crate::container::Record;
use crate::network::{NetworkFiles, Sandbox};
use crate::rootfs::Tree;
use crate::runtimes::spell_out_filter;
use crate::{Engine, EngineError};

/// The cgroup below which all containers of the default data directory are.
const CGROUP_PARENT: &str = "kista";

/// What hooks in the shim need to know; small, since the shim keeps it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct ForHooks {
    /// The data directory.
    pub(crate) root: std::path::PathBuf,
    /// The container.
    pub(crate) id: String,
    /// Whether it is removed when it ends.
    pub(crate) auto_remove: bool,
    /// Whether this is an exec, which leaves the record alone.
    #[serde(default)]
    pub(crate) exec: bool,
}

impl Engine {
    /// Computes what the shim is told, and writes the files that the container's spec mounts.
    /// Returns warnings too.
    pub(crate) fn plan_launch(
        &self,
        container: &Container,
        record: &mut Record,
        status: &Status,
        attach: Streams,
        sandbox: Option<&Sandbox>,
    ) -> Result<(Launch, Vec<String>), EngineError> {
        let facts = self.facts()?;
        let writable = Writable { container_dir: container.path(), volatile: record.volatile };
        let mut rootfs = self.snapshots()?.mounts(&record.diff_ids, Some(writable), false)?;
        let tree = Tree::new(self.snapshots()?, container, &record.diff_ids);
        let passwd = tree.read("etc/passwd", bundle::ACCOUNT_FILE_LIMIT_BYTES + 1)?;
        let group = tree.read("etc/group", bundle::ACCOUNT_FILE_LIMIT_BYTES + 1)?;
        self.mount_volumes(&tree, &mut record.mounts)?;

        let joined = self.join(record)?;
        let network = self.network_files(record, sandbox)?;
        let files = self.write_files(container, record, &network)?;
        let profile = custom_seccomp(&record.host.security_opt)?;
        let custom = profile.is_some().then(Seccomp::default);
        let cgroup = status.cgroup.clone();
        let init = if record.host.init.unwrap_or(false) { Some(own_path()?) } else { None };
        let ids = crate::ids::mappings(record);
        let bundle = bundle::spec(&Inputs {
            userns: userns(ids.as_ref()),
            rootfs: RootfsFacts { path: "", passwd: passwd.as_deref(), group: group.as_deref() },
            files: Files {
                hostname: files.hostname.as_deref(),
                hosts: files.hosts.as_deref(),
                resolv_conf: files.resolv_conf.as_deref(),
                init: init.as_deref(),
            },
            joined: Joined {
                network: joined.network.as_deref(),
                made_network: sandbox
                    .and_then(Sandbox::namespace)
                    .map(|_| shim::network::HANDED_NETWORK),
                pid: joined.pid.as_deref(),
                ipc: joined.ipc.as_deref(),
                shm: joined.shm.as_deref(),
                user: None,
            },
            seccomp: custom.as_ref(),
            ..inputs(record, &cgroup, facts)
        })?;
        let mut spec = bundle.spec;
        crate::cdi::give(&record.host.device_requests, &mut spec)?;
        decide_conditions(profile, &mut spec)?;
        for mount in &mut rootfs {
            mount
                .options
                .extend(bundle.needs.rootfs_options.iter().map(|option| (*option).to_owned()));
            mount.uid_mappings.clone_from(&bundle.needs.rootfs_uids);
            mount.gid_mappings.clone_from(&bundle.needs.rootfs_gids);
        }
        let foreign = self.foreign(container, &record.host.runtime)?;
        let seccomp = match &foreign {
            None => self.filter(&mut spec, bundle.needs.seccomp)?,
            Some(_) => {
                spell_out_filter(&mut spec, bundle.needs.seccomp);
                None
            }
        };
        let resources =
            spec.linux.as_mut().and_then(|linux| linux.resources.take()).unwrap_or_default();
        let log = log_plan(record, &status.name)?;
        let plan = Plan {
            id: record.id.clone(),
            container_dir: container.path().to_owned(),
            tty: record.config.tty,
            open_stdin: record.config.open_stdin,
            stdin_once: record.config.stdin_once,
            attach,
            log,
            listen: true,
            ends_with_client: false,
            engine: serde_json::to_value(ForHooks {
                root: self.root().to_owned(),
                id: record.id.clone(),
                auto_remove: status.auto_remove,
                exec: false,
            })
            .map_err(|source| EngineError::Invalid {
                message: format!("the launch cannot be written down: {source}"),
            })?,
        };
        let launch = Launch {
            plan,
            kind: Kind::Init { spec: Box::new(spec), rootfs, joined: joined.targets },
            seccomp,
            cgroup: cgroup_plan(&cgroup, Some(resources)),
            // As Docker does; without one of its own the container starts in `/`.
            make_cwd: Some((0, 0)),
            foreign,
            network: sandbox.is_some(),
        };
        Ok((launch, bundle.warnings))
    }

    /// The specification that a running container was started by, as far as an exec has to know it.
    pub(crate) fn spec_for_exec(
        &self,
        record: &Record,
        cgroup: &str,
        rootfs: RootfsFacts<'_>,
        facts: &HostFacts,
    ) -> Result<bundle::Bundle, EngineError> {
        let profile = custom_seccomp(&record.host.security_opt)?;
        let custom = profile.is_some().then(Seccomp::default);
        let init = own_path()?;
        let ids = crate::ids::mappings(record);
        let mut bundle = bundle::spec(&Inputs {
            userns: userns(ids.as_ref()),
            rootfs,
            files: Files { init: Some(&init), ..Files::default() },
            // Any path will do: what counts is that there is one where the modes ask for it.
            joined: Joined {
                network: Some(""),
                made_network: None,
                pid: Some(""),
                ipc: Some(""),
                shm: Some(""),
                user: None,
            },
            mounts: &[],
            seccomp: custom.as_ref(),
            ..inputs(record, cgroup, facts)
        })?;
        decide_conditions(profile, &mut bundle.spec)?;
        Ok(bundle)
    }

    /// The cgroup below which this data directory's containers are: each directory has its own, so
    /// that what lies there and belongs to nobody can be told. `None` if containers have none.
    pub(crate) fn cgroup_parent(&self) -> Result<Option<String>, EngineError> {
        self.below_delegated(&self.cgroup_folder())
    }

    fn cgroup_folder(&self) -> String {
        if self.root() == Path::new("/var/lib/kista") {
            return CGROUP_PARENT.to_owned();
        }
        let digest = content::sha256(self.root().as_os_str().as_encoded_bytes());
        format!("{CGROUP_PARENT}-{}", &digest.hex()[..16])
    }

    /// The cgroup of a container: below `--cgroup-parent` or ours. Empty if this user may make
    /// none; then there must be no such wish.
    pub(crate) fn cgroup_path(&self, id: &str, parent: &str) -> Result<String, EngineError> {
        let given = parent.trim_matches('/');
        let folder = if given.is_empty() { self.cgroup_folder() } else { given.to_owned() };
        match self.below_delegated(&folder)? {
            Some(parent) => {
                Ok(cgroups::CgroupPath::new(&format!("{parent}/{id}"))?.as_str().to_owned())
            }
            None if given.is_empty() => Ok(String::new()),
            None => Err(self.no_cgroup("--cgroup-parent")),
        }
    }

    fn below_delegated(&self, folder: &str) -> Result<Option<String>, EngineError> {
        Ok(match self.delegation()? {
            Delegation::Whole => Some(folder.to_owned()),
            Delegation::Below { parent, .. } => Some(format!("{}/{folder}", parent.as_str())),
            Delegation::Nothing { .. } => None,
        })
    }

    /// The refusal of what cannot be done without a cgroup.
    pub(crate) fn no_cgroup(&self, what: &str) -> EngineError {
        let reason = match self.delegation() {
            Ok(Delegation::Nothing { reason }) => reason,
            _ => "it was started where cgroups could not be made",
        };
        EngineError::Unsupported {
            message: format!("{what} needs a control group, and the container has none: {reason}"),
        }
    }

    /// The compiled filter: from the tables for a built-in profile, from the cache for another.
    pub(crate) fn filter(
        &self,
        spec: &mut Spec,
        built_in: Option<seccomp::Profile>,
    ) -> Result<Option<Filter>, EngineError> {
        let native = seccomp::Arch::NATIVE;
        if let Some(profile) = built_in {
            let bounding = spec.process.as_ref().and_then(|process| process.capabilities.as_ref());
            let names = bounding.map_or(&[][..], |sets: &Capabilities| &sets.bounding);
            let program = profile.program(seccomp::Capabilities::from_names(names), native);
            return Ok(Some(Filter::Bytes(program.to_bytes())));
        }
        let Some(filter) = spec.linux.as_mut().and_then(|linux| linux.seccomp.take()) else {
            return Ok(None);
        };
        let cache = seccomp::Cache::open(&self.root().join("cache").join("seccomp"));
        let program = cache.get_or_compile(&filter, native)?;
        Ok(Some(Filter::Bytes(program.to_bytes())))
    }

    /// The namespaces of other containers that the modes name; each must run.
    fn join(&self, record: &Record) -> Result<JoinedPaths, EngineError> {
        let mut joined = JoinedPaths::default();
        let host = &record.host;
        let mut targets: Vec<Target> = Vec::new();
        let mut namespace = |mode: &str, kind: &str| -> Result<Option<String>, EngineError> {
            let Some(id) = mode.strip_prefix("container:") else { return Ok(None) };
            let target = self.running_init(id)?;
            if !targets.contains(&target) {
                targets.push(target);
            }
            Ok(Some(format!("/proc/{}/{kind}", target.pid)))
        };
        joined.network = namespace(&host.network_mode, "ns/net")?;
        joined.pid = namespace(&host.pid_mode, "ns/pid")?;
        joined.ipc = namespace(&host.ipc_mode, "ns/ipc")?;
        joined.shm = namespace(&host.ipc_mode, "root/dev/shm")?;
        joined.targets = targets;
        Ok(joined)
    }

    /// The first process of a container that runs.
    fn running_init(&self, text: &str) -> Result<Target, EngineError> {
        let (container, status) = self.look_up(text)?;
        let target = Target::running(status.pid.unsigned_abs());
        // It is not reaped before the status says that it has ended: if that still says the same,
        // and its shim lives, what was found under its number was its own.
        let same = container.status()?.pid == status.pid && container.is_alive()?;
        match target.filter(|_| status.pid != 0 && same) {
            Some(target) => Ok(target),
            None => Err(EngineError::Conflict {
                message: format!(
                    "cannot join the namespace of a non running container: container {} is {}",
                    container.id(),
                    crate::container::state_of(&status).as_str()
                ),
            }),
        }
    }

    /// Writes `hostname`, `hosts` and `resolv.conf` into the container's directory.
    pub(crate) fn write_files(
        &self,
        container: &Container,
        record: &Record,
        network: &NetworkFiles,
    ) -> Result<WrittenFiles, EngineError> {
        let host = &record.host;
        // A container that shares another's network shares its files as well.
        let owner = match host.network_mode.strip_prefix("container:") {
            Some(id) => self.containers().find(id)?.path().to_owned(),
            None => container.path().to_owned(),
        };
        let path = |name: &str| Some(owner.join(name).to_string_lossy().into_owned());
        if owner == container.path() {
            let hostname = match record.config.hostname.as_str() {
                "" if host.network_mode == "host" || host.uts_mode == "host" => own_hostname(),
                "" => record.id[..12].to_owned(),
                given => given.to_owned(),
            };
            let host_network = host.network_mode == "host";
            let hosts = HostsFile {
                hostname: &hostname,
                domainname: &record.config.domainname,
                addresses: &network.addresses,
                extra_hosts: &host.extra_hosts,
                host_gateway: network.host_gateway,
                others: &network.others,
            };
            let server = network.server.map(|server| vec![server.to_string()]);
            let conf = ResolvConf {
                host_file: &std::fs::read("/etc/resolv.conf").unwrap_or_default(),
                servers: server.as_deref().unwrap_or(&host.dns),
                search: &host.dns_search,
                options: &host.dns_options,
                host_network,
                resolver: network.resolver,
            };
            write_for_container(container, "hostname", &bundle::hostname_file(&hostname)?)?;
            write_for_container(container, "hosts", &bundle::hosts_file(&hosts)?)?;
            write_for_container(container, "resolv.conf", &bundle::resolv_conf(&conf)?)?;
        }
        Ok(WrittenFiles {
            hostname: path("hostname"),
            hosts: path("hosts"),
            resolv_conf: path("resolv.conf"),
        })
    }

    /// Finds each volume's directory and fills a new one from the image.
    fn mount_volumes(
        &self,
        tree: &Tree<'_>,
        mounts: &mut [bundle::PlannedMount],
    ) -> Result<(), EngineError> {
        // Before anything is made: what is missing and must not be made.
        for mount in mounts.iter() {
            if let PlannedSource::Bind { path, create: false, .. } = &mount.source
                && !Path::new(path).exists()
            {
                return Err(EngineError::Invalid {
                    message: format!(
                        "invalid mount config for type \"bind\": \
                         bind source path does not exist: {path}"
                    ),
                });
            }
        }
        for mount in mounts {
            self.ready_volume(mount, tree)?;
            match &mount.source {
                PlannedSource::Bind { path, create: true, .. } => {
                    std::fs::create_dir_all(path).or_else(|error| {
                        match Path::new(path).exists() {
                            true => Ok(()),
                            false => Err(EngineError::io("create", path)(error)),
                        }
                    })?;
                }
                PlannedSource::Bind { .. }
                | PlannedSource::Volume(_)
                | PlannedSource::Tmpfs { .. } => {}
            }
        }
        Ok(())
    }
}

/// What the shim is told of a cgroup; nothing if there is none. `resources` for its maker.
pub(crate) fn cgroup_plan(path: &str, resources: Option<Resources>) -> Option<CgroupPlan> {
    let plan = || CgroupPlan { path: path.to_owned(), resources: resources.map(Box::new) };
    (!path.is_empty()).then(plan)
}

fn userns(ids: Option<&(Vec<IdMapping>, Vec<IdMapping>)>) -> Userns<'_> {
    match ids {
        Some((uids, gids)) => Userns::Available { uids, gids },
        // Made by an earlier version, which refused to start such a container too.
        None => Userns::Unavailable("none were given to it when it was created"),
    }
}

/// What a record says by itself; the rest is left empty.
fn inputs<'a>(record: &'a Record, cgroup: &'a str, facts: &'a HostFacts) -> Inputs<'a> {
    Inputs {
        id: &record.id,
        config: &record.config,
        host: &record.host,
        rootfs: RootfsFacts::default(),
        mounts: &record.mounts,
        files: Files::default(),
        joined: Joined::default(),
        userns: userns(None),
        devices: &host_devices,
        cgroups_path: cgroup,
        seccomp: None,
        facts,
    }
}

/// What the log driver and its options say; an error of Docker's if they cannot be.
pub(crate) fn log_plan(record: &Record, name: &str) -> Result<LogPlan, EngineError> {
    let config = &record.host.log_config;
    let labels: Vec<(&str, &str)> =
        record.config.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let env: Vec<(&str, &str)> =
        record.config.env.iter().filter_map(|entry| entry.split_once('=')).collect();
    let image_id = record.image_id.to_string();
    let facts = LogFacts {
        id: &record.id,
        name,
        image_id: &image_id,
        image_name: &record.config.image,
        labels: &labels,
        env: &env,
    };
    let options = config.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    Ok(LogPlan::parse(&config.kind, options, &facts)?)
}

/// Writes a file that the container sees, readable for all its users; it may be open inside, so
/// that it is written over and not replaced.
fn write_for_container(container: &Container, name: &str, text: &str) -> Result<(), EngineError> {
    let failed = |errno: rustix::io::Errno| {
        EngineError::io("write", container.path().join(name))(errno.into())
    };
    let mode = Mode::from_raw_mode(0o644);
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(container.dir(), name, flags, mode).map_err(failed)?;
    let found = rustix::fs::fstat(&file).map_err(failed)?;
    if Mode::from_raw_mode(found.st_mode) != mode {
        rustix::fs::fchmod(&file, mode).map_err(failed)?;
    }
    let size = u64::try_from(found.st_size).unwrap_or(0);
    let mut bytes = vec![0; text.len()];
    // To write the same again would take the disk longer than to see that it is the same.
    if size == text.len() as u64
        && rustix::io::pread(&file, &mut bytes, 0) == Ok(text.len())
        && bytes == text.as_bytes()
    {
        return Ok(());
    }
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&file, rest).map_err(failed)?..];
    }
    match size > text.len() as u64 {
        true => rustix::fs::ftruncate(&file, text.len() as u64).map_err(failed),
        false => Ok(()),
    }
}

#[derive(Default)]
struct JoinedPaths {
    network: Option<String>,
    pid: Option<String>,
    ipc: Option<String>,
    shm: Option<String>,
    /// Whose they are.
    targets: Vec<Target>,
}

pub(crate) struct WrittenFiles {
    hostname: Option<String>,
    hosts: Option<String>,
    resolv_conf: Option<String>,
}

/// The profile of `--security-opt seccomp=`, when it is JSON: doors have read the file.
fn custom_seccomp(options: &[String]) -> Result<Option<DockerProfile>, EngineError> {
    let given = options.iter().rev().find_map(|option| {
        option.strip_prefix("seccomp=").or_else(|| option.strip_prefix("seccomp:"))
    });
    match given {
        Some(text) if text.trim_start().starts_with('{') => Ok(Some(DockerProfile::parse(text)?)),
        _ => Ok(None),
    }
}

/// Puts the user's profile into the spec, its conditions decided by the capabilities there.
fn decide_conditions(profile: Option<DockerProfile>, spec: &mut Spec) -> Result<(), EngineError> {
    let (Some(profile), Some(linux)) = (profile, spec.linux.as_mut()) else { return Ok(()) };
    let sets = spec.process.as_ref().and_then(|process| process.capabilities.as_ref());
    let bounding = seccomp::Capabilities::from_names(sets.map_or(&[][..], |sets| &sets.bounding));
    linux.seccomp = Some(profile.filter(bounding, seccomp::Arch::NATIVE, kernel_version())?);
    Ok(())
}

/// Where this program is: as `docker-init` it is a container's first process.
fn own_path() -> Result<String, EngineError> {
    let path = std::env::current_exe().map_err(EngineError::io("find", "/proc/self/exe"))?;
    Ok(path.to_string_lossy().into_owned())
}

fn own_hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the user's own systemd lets us do, where the session's group is not the user's: it puts
/// this process into a scope below itself, beside which there is a place for groups. `None` where
/// there is no such systemd, or it does not want to.
pub(crate) fn delegated_by_systemd(hierarchy: &Hierarchy) -> Option<Delegation> {
    if hierarchy.mode() != cgroups::Mode::V2 {
        return None;
    }
    let own = rustix::process::getpid();
    let name = format!("{}-{}", own.as_raw_nonzero(), sys::names::random_hex::<4>());
    let unit = Unit::new(None, &name).ok()?;
    Systemd::connect(Instance::User).ok()?.enclose(&unit, own).ok()?;
    // Where we are is asked once.
    let found = Hierarchy::detect().ok()?.delegation().ok()?;
    matches!(found, Delegation::Below { .. }).then_some(found)
}

/// What this host is and can do. A few dozen cheap questions to the kernel.
pub(crate) fn host_facts(
    hierarchy: &Hierarchy,
    delegation: &Delegation,
    rootless: bool,
) -> HostFacts {
    let mount_of = |controller| {
        let may = match delegation {
            Delegation::Whole => true,
            Delegation::Below { controllers, .. } => controllers.contains(controller),
            Delegation::Nothing { .. } => false,
        };
        hierarchy.mount_of(controller).filter(|_| may)
    };
    let has = |controller| mount_of(controller).is_some();
    let v1 = |controller| {
        mount_of(controller).is_some_and(|mount| mount.version == cgroups::Version::V1)
    };
    let file = |controller: Controller, name: &str| {
        mount_of(controller).is_some_and(|mount| mount.path.join(name).exists())
    };
    let swap = !v1(Controller::Memory) || file(Controller::Memory, "memory.memsw.limit_in_bytes");
    let weight = !v1(Controller::Io)
        || file(Controller::Io, "blkio.weight")
        || file(Controller::Io, "blkio.bfq.weight");
    let exists = |path: &str| Path::new(path).exists();
    HostFacts {
        hostname: own_hostname(),
        cpu_count: rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count()),
        cpus: || text("/sys/devices/system/cpu/online"),
        mems: || text("/sys/devices/system/node/online"),
        thermal_cpus: thermal_cpus(),
        cgroup: match hierarchy.mode() {
            cgroups::Mode::V1 => CgroupMode::V1,
            cgroups::Mode::V2 => CgroupMode::V2,
            cgroups::Mode::Hybrid => CgroupMode::Hybrid,
        },
        limits: LimitFacts {
            memory: has(Controller::Memory),
            swap: has(Controller::Memory) && swap,
            memory_reservation: has(Controller::Memory),
            swappiness: v1(Controller::Memory),
            oom_kill_disable: v1(Controller::Memory),
            cpu_shares: has(Controller::Cpu),
            cpu_quota: has(Controller::Cpu),
            cpu_realtime: v1(Controller::Cpu) && file(Controller::Cpu, "cpu.rt_runtime_us"),
            cpuset: has(Controller::Cpuset),
            blkio_weight: has(Controller::Io) && weight,
            blkio_weight_device: has(Controller::Io) && weight,
            blkio_throttle: has(Controller::Io),
            pids: has(Controller::Pids),
        },
        capabilities: rustix::thread::capabilities(None).map_or(0, |sets| sets.permitted.bits()),
        rlimits: rlimits(),
        may_raise_rlimits: rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE)),
        recursive_read_only: kernel_at_least(5, 12),
        time_namespaces: exists("/proc/self/ns/time"),
        cgroup_namespaces: exists("/proc/self/ns/cgroup"),
        seccomp: exists("/proc/sys/kernel/seccomp/actions_avail"),
        apparmor: text("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
        selinux: exists("/sys/fs/selinux/enforce"),
        ipv4_sysctls: exists("/proc/sys/net/ipv4/ping_group_range"),
        rootless,
        ids: match rootless {
            true => (ids_in("/proc/self/uid_map"), ids_in("/proc/self/gid_map")),
            false => (u32::MAX, u32::MAX),
        },
    }
}

/// How many ids there are from 0 on, by a map of our namespace. user_namespaces(7).
fn ids_in(map: &str) -> u32 {
    let text = std::fs::read_to_string(map).unwrap_or_default();
    let mut rows: Vec<(u32, u32)> = text
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let (first, size) = (numbers.next()?.ok()?, numbers.nth(1)?.ok()?);
            Some((first, size))
        })
        .collect();
    rows.sort_unstable();
    rows.into_iter().fold(0, |end, (first, size)| match first <= end {
        true => end.max(first.saturating_add(size)),
        false => end,
    })
}

/// Whether the kernel is of this version or later.
fn kernel_at_least(major: u32, minor: u32) -> bool {
    kernel_version() >= (major, minor)
}

pub(crate) fn kernel_version() -> (u32, u32) {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|word| word.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Processors are of one kind: virtual ones, which the first tells, have no thermometer.
fn thermal_cpus() -> Vec<u32> {
    let folder = |cpu: &u32| format!("/sys/devices/system/cpu/cpu{cpu}");
    let has = |cpu: &u32| Path::new(&folder(cpu)).join("thermal_throttle").exists();
    if !has(&0) {
        return Vec::new();
    }
    (0..).take_while(|cpu| Path::new(&folder(cpu)).exists()).filter(has).collect()
}

fn rlimits() -> Vec<(String, u64)> {
    runtime::RESOURCES
        .into_iter()
        .map(|(name, resource)| (name.to_owned(), getrlimit(resource).maximum.unwrap_or(u64::MAX)))
        .collect()
}

/// Looks at a device node of the host, or at all below a directory, without crossing mounts.
pub(crate) fn host_devices(path: &str) -> io::Result<Vec<HostDevice>> {
    let top = std::fs::metadata(path)?;
    if !top.is_dir() {
        return Ok(device(path, &top).into_iter().collect());
    }
    let mut found = Vec::new();
    let mut pending = vec![path.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let Ok(facts) = entry.metadata() else { continue };
            let Ok(name) = entry.path().into_os_string().into_string() else { continue };
            if facts.is_dir() && facts.dev() == top.dev() {
                pending.push(name);
            } else {
                found.extend(device(&name, &facts));
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

fn device(path: &str, facts: &std::fs::Metadata) -> Option<HostDevice> {
    let kind = match facts.file_type() {
        kind if kind.is_char_device() => 'c',
        kind if kind.is_block_device() => 'b',
        _ => return None,
    };
    let number = facts.rdev();
    Some(HostDevice {
        path: path.to_owned(),
        kind,
        major: rustix::fs::major(number),
        minor: rustix::fs::minor(number),
        mode: facts.mode() & 0o7777,
        uid: facts.uid(),
        gid: facts.gid(),
    })
}

/// The first size of a terminal, as Docker's rows and columns.
pub(crate) fn console_size(size: Option<(u16, u16)>) -> Option<ConsoleSize> {
    size.filter(|(rows, columns)| *rows > 0 && *columns > 0)
        .map(|(height, width)| ConsoleSize { height, width })
}
