//! What the host gives: the root file system, parts of its tree, the cgroup.
//!
//! The caller's half of the mounting. Each thing is opened or cloned here, in the host's mount
//! namespace and with the host's rights, while the child makes its namespaces; the child gets
//! mounts that are attached nowhere, by descriptor, in the order of [`Sources`], and attaches
//! them. So no path of the host is looked up by anyone inside. (A caller that has no rights over
//! mounts has its child do this as well, before it leaves the host's tree.)

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::runtime::NamespaceKind;
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::mount::{OpenTreeFlags, open_tree};
use sys::mount::{IdMapFd, MountAttr, Propagation, set_attr};

use crate::error::{Step, spec_error};
use crate::idmap::IdMap;
use crate::joined::Joined;
use crate::options::Bind;
use crate::plan::{MountKind, MountPlan, Plan};
use crate::{Rootfs, RuntimeError, bindflags, overlay};

/// Mounts that are attached nowhere yet.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The root first; then for each planned mount, in order, what [`count`] says.
    fds: Vec<OwnedFd>,
}

/// How many descriptors a mount brings from the host.
pub(crate) fn count(plan: &Plan<'_>, mount: &MountPlan<'_>, cgroup: usize) -> usize {
    match mount.kind {
        MountKind::Bind { .. } => usize::from(mount.inner.is_none()),
        MountKind::Cgroup => cgroup,
        MountKind::Remount => 0,
        MountKind::New { .. } => usize::from(lends(plan, mount)),
    }
}

/// Whether a new file system is made by the caller: a sysfs shows a network, and only those who
/// have rights over that may make one, which a container with ids of its own has not over the
/// network of another.
pub(crate) fn lends(plan: &Plan<'_>, mount: &MountPlan<'_>) -> bool {
    plan.lends_sysfs && matches!(mount.kind, MountKind::New { kind: "sysfs", .. })
}

/// Makes what [`lends`] says, in the order of the plan. The caller must be in the network.
pub(crate) fn lent(plan: &Plan<'_>) -> Result<Vec<OwnedFd>, RuntimeError> {
    let lent = plan.mounts.iter().filter(|mount| lends(plan, mount));
    lent.map(|mount| {
        overlay::new_instance("sysfs", Some("sysfs"), mount, None, None).map_err(as_host)
    })
    .collect()
}

/// The name of each directory of the container's cgroup below /sys/fs/cgroup; empty for a
/// unified hierarchy.
pub(crate) fn cgroup_names(plan: &Plan<'_>) -> Vec<String> {
    let Some(cgroup) = plan.container.cgroup else { return Vec::new() };
    let own = cgroup.path().as_str();
    let directories: Vec<_> = cgroup.directories().collect();
    if let [(_, cgroups::Version::V2)] = directories.as_slice() {
        return vec![String::new()];
    }
    directories
        .iter()
        .map(|(directory, _)| {
            let top = directory.to_str().and_then(|path| path.strip_suffix(own)).unwrap_or("");
            let name = top.trim_end_matches('/').rsplit('/').next().unwrap_or("");
            name.to_owned()
        })
        .collect()
}

impl Sources {
    /// Opens everything. `user` is the container's user namespace, for id-mapped mounts; `lent` is
    /// what [`lent`] made.
    pub(crate) fn open(
        plan: &Plan<'_>,
        user: Option<&IdMap>,
        lent: Vec<OwnedFd>,
    ) -> Result<Self, RuntimeError> {
        let mut sources = Self::default();
        let mut lent = lent.into_iter();
        sources.fds.push(root(plan, user)?);
        for mount in &plan.mounts {
            let named = |error: RuntimeError| error.mounting(mount);
            match mount.kind {
                MountKind::Bind { .. } if mount.inner.is_some() => {}
                MountKind::Bind { source, what } => {
                    let tree = bind(plan, mount, (source, what), plan.propagation.0, user);
                    let tree = tree.map_err(named)?;
                    check_system(tree.as_fd(), mount)?;
                    sources.fds.push(tree);
                }
                MountKind::Cgroup => sources.open_cgroup(plan, mount).map_err(named)?,
                MountKind::New { .. } if lends(plan, mount) => sources.fds.extend(lent.next()),
                MountKind::New { .. } | MountKind::Remount => {}
            }
        }
        Ok(sources)
    }

    pub(crate) fn into_fds(self) -> Vec<OwnedFd> {
        self.fds
    }

    pub(crate) fn as_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.fds.iter().map(AsFd::as_fd).collect()
    }

    fn open_cgroup(&mut self, plan: &Plan<'_>, mount: &MountPlan<'_>) -> Result<(), RuntimeError> {
        use NamespaceKind::{Cgroup, User};
        let mut own = mount.options.own;
        if plan.namespaces.has(User) && !plan.namespaces.has(Cgroup) {
            // Somebody who is root only inside would see, and own, the host's files there
            // (CVE-2023-25809).
            own.set |= sys::mount::READ_ONLY;
            own.clear &= !sys::mount::READ_ONLY;
        }
        for (directory, _) in plan.container.cgroup.iter().flat_map(|cgroup| cgroup.directories()) {
            let action = || format!("bind {}", directory.display());
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let tree = open_tree(CWD, directory, flags).host(action)?;
            let attr = MountAttr {
                set: own.set,
                clear: own.clear,
                propagation: Some(Propagation::Private),
                id_map: None,
            };
            set_attr(tree.as_fd(), false, &attr).host(action)?;
            self.fds.push(tree);
        }
        Ok(())
    }
}

/// The propagation of the root until it is entered: one that is shared could not be pivoted to.
fn first(plan: &Plan<'_>) -> Propagation {
    match plan.propagation.0 {
        Propagation::Shared => Propagation::Slave,
        other => other,
    }
}

fn root(plan: &Plan<'_>, user: Option<&IdMap>) -> Result<OwnedFd, RuntimeError> {
    match plan.container.rootfs {
        Rootfs::Directory(path) => {
            let action = || format!("clone the root file system {}", path.display());
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let tree = open_tree(CWD, path, flags).host(action)?;
            let attr = MountAttr { propagation: Some(first(plan)), ..MountAttr::default() };
            set_attr(tree.as_fd(), true, &attr).host(action)?;
            Ok(tree)
        }
        Rootfs::Mounts(_) => {
            let mount = plan.rootfs.first().expect("the plan has checked that there is one");
            match mount.kind {
                MountKind::Bind { source, what } => {
                    bind(plan, mount, (source, what), first(plan), user)
                }
                MountKind::New { kind, source } => {
                    // An overlay cannot be mapped itself, but its layers can.
                    let map = match kind {
                        "overlay" => id_map_of(mount, user)?,
                        _ => None,
                    };
                    let layers = map.as_ref().map(|(map, _)| map);
                    let tree = overlay::new_instance(kind, source, mount, layers, None);
                    let tree = tree.map_err(as_host)?;
                    if map.is_none() {
                        id_map(tree.as_fd(), mount, user)?;
                    }
                    Ok(tree)
                }
                MountKind::Cgroup | MountKind::Remount => {
                    Err(spec_error(mount.field.clone(), "is no file system"))
                }
            }
        }
    }
}

fn as_host(error: RuntimeError) -> RuntimeError {
    match error {
        RuntimeError::Inside { action, source } => RuntimeError::Host { action, source },
        other => other,
    }
}

fn bind(
    plan: &Plan<'_>,
    mount: &MountPlan<'_>,
    (source, what): (&str, Bind),
    default: Propagation,
    user: Option<&IdMap>,
) -> Result<OwnedFd, RuntimeError> {
    let action = || format!("bind {source} to {}", mount.destination);
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if what == Bind::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = match inside_of(source) {
        Some((pid, path)) => clone_inside(pid, path, flags)?,
        None => open_tree(CWD, source, flags).host(action)?,
    };
    set_attributes(plan, mount, tree.as_fd(), default)?;
    id_map(tree.as_fd(), mount, user)?;
    Ok(tree)
}

/// Clones a part of the container's own tree, as far as it is put together: by the child.
///
/// Its ids are still to be mapped, by [`map_inner`], if the options say so.
pub(crate) fn inner(
    plan: &Plan<'_>,
    mount: &MountPlan<'_>,
    place: BorrowedFd<'_>,
) -> Result<OwnedFd, RuntimeError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if matches!(mount.kind, MountKind::Bind { what: Bind::Recursive, .. }) {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(place, "", flags).inside(|| format!("bind to {}", mount.destination))?;
    check_system(tree.as_fd(), mount)?;
    set_attributes(plan, mount, tree.as_fd(), plan.propagation.0)?;
    Ok(tree)
}

/// Whether somebody has to map the ids of what [`inner`] cloned.
pub(crate) fn is_mapped(mount: &MountPlan<'_>) -> bool {
    mount.options.id_map.is_some() || !mount.uid_mappings.is_empty()
}

/// Maps them, by the caller, which has the rights over the file system.
pub(crate) fn map_inner(
    plan: &Plan<'_>,
    index: usize,
    tree: BorrowedFd<'_>,
    user: Option<&IdMap>,
) -> Result<(), RuntimeError> {
    let mount = plan.mounts.get(index).filter(|mount| mount.inner.is_some());
    let mount = mount.ok_or_else(crate::message::out_of_turn)?;
    id_map(tree, mount, user).map_err(|error| error.mounting(mount))
}

fn set_attributes(
    plan: &Plan<'_>,
    mount: &MountPlan<'_>,
    tree: BorrowedFd<'_>,
    default: Propagation,
) -> Result<(), RuntimeError> {
    let action = || format!("set the options of {}", mount.destination);
    let options = &mount.options;
    let mut words = options.propagation.iter().copied();
    let first = words.next().unwrap_or((default, true));
    if options.about_own {
        let locked = plan.namespaces.has(NamespaceKind::User);
        bindflags::apply(tree, options.own, locked).host(action)?;
    }
    // What concerns all mounts comes after what the top is: `rro` is to hold for that too.
    let everywhere = MountAttr {
        set: options.recursive.set,
        clear: options.recursive.clear,
        propagation: first.1.then_some(first.0),
        id_map: None,
    };
    if !everywhere.is_empty() {
        set_attr(tree, true, &everywhere).host(action)?;
    }
    for (propagation, recursive) in (!first.1).then_some(first).into_iter().chain(words) {
        let attr = MountAttr { propagation: Some(propagation), ..MountAttr::default() };
        set_attr(tree, recursive, &attr).host(action)?;
    }
    Ok(())
}

/// The process and the path of `/proc/PID/root/PATH`: a place in another mount namespace, such as
/// the `/dev/shm` that a container shares.
fn inside_of(source: &str) -> Option<(&str, &str)> {
    let (pid, path) = source.strip_prefix("/proc/")?.split_once("/root/")?;
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then_some((pid, path))
}

/// Clones a mount of another mount namespace, which only somebody inside can do. The path is
/// resolved there as well, and cannot lead out.
fn clone_inside(pid: &str, path: &str, flags: OpenTreeFlags) -> Result<OwnedFd, RuntimeError> {
    let action = || format!("clone /{path} of process {pid}");
    let _there = Joined::enter_mounts_of(pid)?;
    let root = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let place =
        sys::fs::open_in_root(root.host(action)?.as_fd(), path, OFlags::PATH, Mode::empty());
    open_tree(place.host(action)?, "", flags | OpenTreeFlags::AT_EMPTY_PATH).host(action)
}

/// Maps the ids of a mount as its options say, if they do.
fn id_map(
    tree: BorrowedFd<'_>,
    mount: &MountPlan<'_>,
    user: Option<&IdMap>,
) -> Result<(), RuntimeError> {
    let Some((map, recursive)) = id_map_of(mount, user)? else { return Ok(()) };
    let attr = MountAttr { id_map: Some(IdMapFd(map.namespace.as_fd())), ..MountAttr::default() };
    set_attr(tree, recursive, &attr).host(|| format!("map the ids of {}", mount.destination))
}

/// The user namespace by which a mount's ids are mapped, if they are, and whether those of all
/// mounts below it are too.
fn id_map_of(
    mount: &MountPlan<'_>,
    user: Option<&IdMap>,
) -> Result<Option<(IdMap, bool)>, RuntimeError> {
    let own = !mount.uid_mappings.is_empty();
    let Some(recursive) = mount.options.id_map.or(own.then_some(false)) else { return Ok(None) };
    let map = match (own, user) {
        (true, _) => IdMap::new(mount.uid_mappings, mount.gid_mappings)?,
        (false, Some(user)) => user.try_clone()?,
        (false, None) => {
            let field = format!("{}.uidMappings", mount.field);
            return Err(spec_error(field, "are missing, and there is no user namespace"));
        }
    };
    Ok(Some((map, recursive)))
}

/// What is bound over /proc or /sys must be such a file system: the kernel and the runtime rely
/// on what they read and write there (CVE-2019-16884).
fn check_system(tree: BorrowedFd<'_>, mount: &MountPlan<'_>) -> Result<(), RuntimeError> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    const SYSFS_MAGIC: u64 = 0x6265_6572;
    let wanted = match mount.destination.as_str() {
        "/proc" => PROC_SUPER_MAGIC,
        "/sys" => SYSFS_MAGIC,
        _ => return Ok(()),
    };
    let found = rustix::fs::fstatfs(tree).host(|| format!("look at {}", mount.destination))?;
    match found.f_type as u64 == wanted {
        true => Ok(()),
        false => Err(spec_error(
            format!("{}.source", mount.field),
            format!("is no file system for {}", mount.destination),
        )),
    }
}

/// Whether a mount is read-only already.
pub(crate) fn is_read_only(mount: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatvfs(mount).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
}
