//! The spec, checked whole before anything happens, in the form in which it is carried out.
//!
//! Pure, but for the lengths of texts: nothing is opened here.

use std::collections::BTreeSet;
use std::path::Path;

use oci::runtime::{IdMapping, Linux, NamespaceKind, Spec};
use sys::mount::{Propagation, READ_ONLY};
use sys::process::CloneFlags;

use crate::error::spec_error;
use crate::memory::NodePolicy;
use crate::options::{self, Bind, MountOptions};
use crate::process::ProcessPlan;
use crate::{Container, Rootfs, RuntimeError, hooks, sysctl};

/// A container, ready to be made.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) container: &'a Container<'a>,
    /// Where its config.json is, for hooks.
    pub(crate) bundle: Option<&'a Path>,
    pub(crate) linux: &'a Linux,
    pub(crate) namespaces: Namespaces<'a>,
    /// What makes the root, when it is not a directory.
    pub(crate) rootfs: Vec<MountPlan<'a>>,
    pub(crate) mounts: Vec<MountPlan<'a>>,
    /// What mounts without a word about it get, and the root in the end.
    pub(crate) propagation: (Propagation, bool),
    pub(crate) memory: Option<NodePolicy>,
    /// Whether the caller makes the sysfs: see [`crate::source::lends`].
    pub(crate) lends_sysfs: bool,
    pub(crate) process: ProcessPlan<'a>,
}

/// Which namespaces are made and which are joined.
#[derive(Debug, Default)]
pub(crate) struct Namespaces<'a> {
    /// Made.
    pub(crate) new: CloneFlags,
    /// Joined, by their files.
    pub(crate) joined: Vec<(NamespaceKind, &'a str)>,
}

impl Namespaces<'_> {
    pub(crate) fn makes(&self, kind: NamespaceKind) -> bool {
        self.new.contains(flag(kind))
    }

    pub(crate) fn joins(&self, kind: NamespaceKind) -> bool {
        self.joined.iter().any(|(joined, _)| *joined == kind)
    }

    /// Whether the container has one that is not the caller's.
    pub(crate) fn has(&self, kind: NamespaceKind) -> bool {
        self.makes(kind) || self.joins(kind)
    }
}

/// One mount, to be performed.
#[derive(Debug, Clone)]
pub(crate) struct MountPlan<'a> {
    /// For messages: `mounts[3]`.
    pub(crate) field: String,
    /// Absolute, without `.`, `..` and doubled slashes.
    pub(crate) destination: String,
    pub(crate) kind: MountKind<'a>,
    pub(crate) options: MountOptions,
    /// The path below the root at which the source of a bind mount is, where an earlier mount is
    /// part of what is there: then it is found when that is attached.
    pub(crate) inner: Option<String>,
    pub(crate) uid_mappings: &'a [IdMapping],
    pub(crate) gid_mappings: &'a [IdMapping],
    /// The SELinux context of all files in it.
    pub(crate) label: Option<&'a str>,
}

/// Where a mount comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MountKind<'a> {
    /// A part of the host's tree. Options for its file system are ignored, as mount(2) does.
    Bind { source: &'a str, what: Bind },
    /// The container's own cgroup, however many hierarchies there are.
    Cgroup,
    /// Other options for what an earlier mount has put there.
    Remount,
    /// A new instance of a file system.
    New { kind: &'a str, source: Option<&'a str> },
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        container: &'a Container<'a>,
        bundle: Option<&'a Path>,
    ) -> Result<Self, RuntimeError> {
        let spec = container.spec;
        hooks::check(spec.hooks.as_ref(), bundle.is_some())?;
        let linux = spec.linux.as_ref().ok_or_else(|| spec_error("linux", "is missing"))?;
        let namespaces = namespaces(linux)?;
        check_namespaces(spec, linux, &namespaces, container.mover.is_some())?;
        let propagation = match linux.rootfs_propagation.as_deref() {
            None | Some("") => (Propagation::Slave, true),
            Some(word) => options::propagation(word)
                .ok_or_else(|| spec_error("linux.rootfsPropagation", format!("\"{word}\"?")))?,
        };
        let process = spec.process.as_ref().ok_or_else(|| spec_error("process", "is missing"))?;
        let rootfs = match container.rootfs {
            Rootfs::Directory(_) => Vec::new(),
            Rootfs::Mounts(mounts) => root_mounts(mounts)?,
        };
        let mut mounts = spec
            .mounts
            .iter()
            .enumerate()
            .map(|(index, mount)| MountPlan::new(mount, format!("mounts[{index}]")))
            .collect::<Result<Vec<_>, _>>()?;
        if let Rootfs::Directory(root) = container.rootfs {
            relate(&mut mounts, root);
        }
        for mount in &mounts {
            mount.check_destination()?;
        }
        for (index, device) in linux.devices.iter().enumerate() {
            crate::devices::check(device, index)?;
        }
        crate::netdevices::check(&linux.net_devices, &namespaces)?;
        if let Some(label) = linux.mount_label.as_deref().filter(|label| !label.is_empty()) {
            crate::label::need_selinux("linux.mountLabel")?;
            // Those of the kernel's own file systems are the policy's affair.
            let unlabelled = ["proc", "sysfs", "mqueue"];
            for mount in &mut mounts {
                mount.label = matches!(mount.kind, MountKind::New { kind, .. } if !unlabelled.contains(&kind))
                    .then_some(label);
            }
        }
        sysctl::check(linux, &namespaces)?;
        let process = ProcessPlan::new(
            process,
            container.stdio,
            container.seccomp,
            container.preserved,
            container.options,
            container.death_signal,
        )?;
        let lends_sysfs = namespaces.makes(NamespaceKind::User)
            && !namespaces.makes(NamespaceKind::Network)
            && rustix::process::geteuid().is_root();
        Ok(Self {
            container,
            bundle,
            linux,
            namespaces,
            rootfs,
            mounts,
            propagation,
            memory: linux.memory_policy.as_ref().map(NodePolicy::new).transpose()?,
            lends_sysfs,
            process,
        })
    }

    /// Whether a process in between joins the user namespace and makes the first one of a new pid
    /// namespace, which must belong to that.
    pub(crate) fn relays(&self) -> bool {
        self.namespaces.joins(NamespaceKind::User) && self.namespaces.makes(NamespaceKind::Pid)
    }

    /// Whether something of the host is bound over all of /dev: then it is left as it is.
    pub(crate) fn has_foreign_dev(&self) -> bool {
        self.mounts.iter().any(|mount| {
            mount.destination == "/dev" && matches!(mount.kind, MountKind::Bind { .. })
        })
    }
}

fn namespaces(linux: &Linux) -> Result<Namespaces<'_>, RuntimeError> {
    let mut found = Namespaces::default();
    let mut seen = BTreeSet::new();
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let field = || format!("linux.namespaces[{index}]");
        if !seen.insert(namespace.kind) {
            return Err(spec_error(field(), "is there twice"));
        }
        match namespace.path.as_deref() {
            None | Some("") => found.new = found.new.union(flag(namespace.kind)),
            Some(path) if !path.starts_with('/') => {
                return Err(spec_error(field() + ".path", "is not absolute"));
            }
            Some(path) => found.joined.push((namespace.kind, path)),
        }
    }
    Ok(found)
}

fn check_namespaces(
    spec: &Spec,
    linux: &Linux,
    namespaces: &Namespaces<'_>,
    has_mover: bool,
) -> Result<(), RuntimeError> {
    use NamespaceKind::{Mount, Time, User, Uts};
    let error = |field: &str, problem: &str| Err(spec_error(field, problem));
    if !namespaces.makes(Mount) {
        return error("linux.namespaces", "a mount namespace of its own is needed");
    }
    if has_mover && !namespaces.makes(User) {
        return error("linux.namespaces", "a user namespace is needed to enter this cgroup");
    }
    let maps = !linux.uid_mappings.is_empty() && !linux.gid_mappings.is_empty();
    if namespaces.makes(User) && !maps {
        return error("linux.uidMappings", "a new user namespace needs mappings of both kinds");
    }
    if !namespaces.has(User) && (!linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty()) {
        return error("linux.uidMappings", "there is no user namespace to map ids in");
    }
    if !namespaces.makes(Time) && !linux.time_offsets.is_empty() {
        return error("linux.timeOffsets", "there is no new time namespace");
    }
    if let Some(clock) =
        linux.time_offsets.keys().find(|clock| !matches!(clock.as_str(), "monotonic" | "boottime"))
    {
        return error("linux.timeOffsets", &format!("no clock \"{clock}\""));
    }
    let named = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    if named(&spec.hostname) && !namespaces.has(Uts) {
        return error("hostname", "cannot be set without a uts namespace of its own");
    }
    if named(&spec.domainname) && !namespaces.has(Uts) {
        return error("domainname", "cannot be set without a uts namespace of its own");
    }
    Ok(())
}

/// Takes the paths of mounts that lead to the root file system by its name on the host for what
/// they are inside. Config files have both: runc mounts one after the other where the host's paths
/// mean the container's tree.
fn relate(mounts: &mut [MountPlan<'_>], root: &Path) {
    let Some(root) = root.to_str() else { return };
    let inside = |path: &str| match path.strip_prefix(root)? {
        "" => Some("/".to_owned()),
        rest => rest.starts_with('/').then(|| rest.to_owned()),
    };
    let is_above = |above: &str, path: &str| {
        let rest = path.strip_prefix(above.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for index in 0..mounts.len() {
        let (earlier, rest) = mounts.split_at_mut(index);
        let mount = &mut rest[0];
        if let Some(destination) = inside(&mount.destination).filter(|_| root != "/") {
            mount.destination = destination;
        }
        let MountKind::Bind { source, .. } = mount.kind else { continue };
        mount.inner = inside(&clean(source)).filter(|source| {
            let mut places = earlier.iter().map(|mount| mount.destination.as_str());
            places.any(|place| is_above(place, source) || is_above(source, place))
        });
    }
}

pub(crate) fn root_mounts(mounts: &[oci::Mount]) -> Result<Vec<MountPlan<'_>>, RuntimeError> {
    let plans = mounts
        .iter()
        .enumerate()
        .map(|(index, mount)| MountPlan::new(mount, format!("rootfs[{index}]")))
        .collect::<Result<Vec<_>, _>>()?;
    match plans.as_slice() {
        [root] if root.destination == "/" => Ok(plans),
        _ => Err(spec_error("rootfs", "is not exactly one mount on /")),
    }
}

impl<'a> MountPlan<'a> {
    fn new(mount: &'a oci::Mount, field: String) -> Result<Self, RuntimeError> {
        let destination = clean(&mount.destination);
        let options = options::parse(&mount.options);
        let source = mount.source.as_deref().filter(|source| !source.is_empty());
        let kind = match (mount.kind.as_deref().unwrap_or(""), options.bind) {
            _ if options.remount => MountKind::Remount,
            (_, Some(what)) => MountKind::Bind { source: source.unwrap_or(""), what },
            ("" | "none" | "bind", None) => {
                MountKind::Bind { source: source.unwrap_or(""), what: Bind::One }
            }
            ("rbind", None) => {
                MountKind::Bind { source: source.unwrap_or(""), what: Bind::Recursive }
            }
            ("cgroup" | "cgroup2", None) => MountKind::Cgroup,
            (kind, None) => MountKind::New { kind, source },
        };
        if mount.destination.is_empty() {
            return Err(spec_error(field + ".destination", "is missing"));
        }
        if matches!(kind, MountKind::Bind { source: "", .. }) {
            return Err(spec_error(field + ".source", "is missing"));
        }
        if mount.destination.contains('\0') || source.is_some_and(|source| source.contains('\0')) {
            return Err(spec_error(field, "a path has a zero byte in it"));
        }
        if options.copy_up && !matches!(kind, MountKind::New { kind: "tmpfs", .. }) {
            return Err(spec_error(field + ".options", "tmpcopyup is for tmpfs only"));
        }
        let mapped = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        if mapped && (mount.uid_mappings.is_empty() || mount.gid_mappings.is_empty()) {
            return Err(spec_error(field, "has mappings of one kind only"));
        }
        Ok(Self {
            field,
            destination,
            kind,
            options,
            inner: None,
            uid_mappings: &mount.uid_mappings,
            gid_mappings: &mount.gid_mappings,
            label: None,
        })
    }

    /// Whether it is a tmpfs that is read-only: in the end, when all that comes into it is there
    /// (mounts, and the devices of /dev), as with runc.
    pub(crate) fn closes(&self) -> bool {
        matches!(self.kind, MountKind::New { kind: "tmpfs", .. })
            && self.options.own.set & READ_ONLY != 0
    }

    /// The attributes that it begins with.
    pub(crate) fn first_attributes(&self) -> u64 {
        match self.closes() {
            true => self.options.own.set & !READ_ONLY,
            false => self.options.own.set,
        }
    }

    /// Whether it is a tmpfs whose mode is that of the directory which it hides, if there is one:
    /// then it is made when that is known.
    pub(crate) fn takes_mode(&self) -> bool {
        matches!(self.kind, MountKind::New { kind: "tmpfs", .. })
            && !self.options.copy_up
            && self.options.data.iter().all(|(key, _)| key != "mode")
    }

    /// What is mounted where, as runc names it.
    pub(crate) fn name(&self) -> String {
        let source = match self.kind {
            MountKind::Bind { source, .. } => source,
            MountKind::Cgroup => "cgroup",
            MountKind::Remount => "",
            MountKind::New { kind, source } => source.unwrap_or(kind),
        };
        format!("{source:?} to rootfs at {:?}", self.destination)
    }

    /// Refuses to hide what the runtime and the kernel rely on: a file system of the container's
    /// choice over /proc or /sys would make writes to labels and limits go nowhere, unnoticed.
    fn check_destination(&self) -> Result<(), RuntimeError> {
        let refuse =
            |problem: String| Err(spec_error(format!("{}.destination", self.field), problem));
        let bind = matches!(self.kind, MountKind::Bind { .. });
        let new = |wanted| matches!(self.kind, MountKind::New { kind, .. } if kind == wanted);
        match self.destination.as_str() {
            "/" => refuse("the root itself cannot be mounted over".into()),
            // A bind mount must turn out to be procfs or sysfs: see `source`.
            "/proc" if !bind && !new("proc") => refuse("only procfs can be mounted there".into()),
            "/sys" if !bind && !new("sysfs") => refuse("only sysfs can be mounted there".into()),
            path if path.starts_with("/proc/") && !PROC_FILES.contains(&path) => {
                refuse(format!("{path} is inside /proc"))
            }
            _ => Ok(()),
        }
    }
}

/// What lxcfs and the like may put over files of procfs.
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// An absolute path without `.`, `..` (which do not climb above the root) and doubled slashes.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The kernel's flag for making a namespace.
pub(crate) const fn flag(kind: NamespaceKind) -> CloneFlags {
    match kind {
        NamespaceKind::Pid => CloneFlags::NEWPID,
        NamespaceKind::Network => CloneFlags::NEWNET,
        NamespaceKind::Mount => CloneFlags::NEWNS,
        NamespaceKind::Ipc => CloneFlags::NEWIPC,
        NamespaceKind::Uts => CloneFlags::NEWUTS,
        NamespaceKind::User => CloneFlags::NEWUSER,
        NamespaceKind::Cgroup => CloneFlags::NEWCGROUP,
        NamespaceKind::Time => CloneFlags::NEWTIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_the_kernel_walks_them() {
        for (path, cleaned) in [
            ("/", "/"),
            ("", "/"),
            ("proc//x/", "/proc/x"),
            ("/tmp/../proc/.", "/proc"),
            ("/../../sys", "/sys"),
        ] {
            assert_eq!(clean(path), cleaned);
        }
    }

    #[test]
    fn names_of_the_host_that_lead_into_the_root_are_found() {
        let mount = |source: &str, destination: &str| oci::Mount {
            destination: destination.into(),
            kind: Some("bind".into()),
            source: Some(source.into()),
            ..oci::Mount::default()
        };
        let mounts = [
            mount("/b/rootfs/early", "/e"),
            mount("/src", "/mnt"),
            mount("/b/rootfs/mnt/x", "/b/rootfs/final"),
            mount("/b/rootfs", "/all"),
            mount("/b/rootfs2/mnt", "/b/rootfs2"),
            mount("/b/rootfs/elsewhere", "/mnt2"),
        ];
        let plan = |mount| MountPlan::new(mount, String::new()).unwrap();
        let mut plans: Vec<_> = mounts.iter().map(plan).collect();
        relate(&mut plans, Path::new("/b/rootfs"));
        let found: Vec<_> =
            plans.iter().map(|plan| (plan.destination.as_str(), plan.inner.as_deref())).collect();
        let wanted = [
            ("/e", None),
            ("/mnt", None),
            ("/final", Some("/mnt/x")),
            ("/all", Some("/")),
            ("/b/rootfs2", None),
            ("/mnt2", None),
        ];
        assert_eq!(found, wanted);
    }

    fn check(destination: &str, kind: &str) -> Option<String> {
        let mount = oci::Mount {
            destination: destination.into(),
            kind: Some(kind.into()),
            source: Some("/srv".into()),
            ..oci::Mount::default()
        };
        MountPlan::new(&mount, "mounts[0]".into())
            .and_then(|plan| plan.check_destination())
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn nothing_but_procfs_goes_over_proc() {
        for (destination, kind) in [
            ("/proc", "proc"),
            ("/proc", "bind"),
            ("/proc/cpuinfo", "bind"),
            ("/sys", "sysfs"),
            ("/sys/fs/cgroup", "cgroup"),
            ("/processes", "tmpfs"),
        ] {
            assert_eq!(check(destination, kind), None, "{destination} {kind}");
        }
        for (destination, kind) in [
            ("/", "tmpfs"),
            ("/proc", "tmpfs"),
            ("//proc/", "overlay"),
            ("/x/../proc/self", "bind"),
            ("/proc/self/attr", "bind"),
            ("/sys/", "tmpfs"),
        ] {
            assert!(check(destination, kind).is_some(), "{destination} {kind}");
        }
    }
}
