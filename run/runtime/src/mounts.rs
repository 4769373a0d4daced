//! The container's tree, put together from mounts that are attached nowhere yet.
//!
//! The child's half. Every place is an `O_PATH` descriptor from [`target`], every mount is attached
//! to one by move_mount(2): no path is given to mount(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime::NamespaceKind;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, fspick, move_mount, open_tree, unmount,
};
use sys::mount::{MountAttr, Propagation, READ_ONLY, set_attr};

use crate::error::Step;
use crate::options::Attributes;
use crate::plan::{MountKind, MountPlan, Plan};
use crate::target::{self, Want};
use crate::{Rootfs, RuntimeError, copyup, devices, overlay, procfs, source};

/// File systems that only the child can make, since they belong to its namespaces.
pub(crate) struct OwnMounts {
    /// In the order of the plan; `None` for what comes from the host.
    instances: Vec<Option<OwnedFd>>,
    /// A procfs, if something has to be written to one.
    private_proc: Option<OwnedFd>,
}

impl OwnMounts {
    /// Makes them, attached nowhere. Needs all namespaces to be there.
    ///
    /// `pids` is the pid namespace, if this process is not in it.
    pub(crate) fn make(
        plan: &Plan<'_>,
        needs_proc: bool,
        pids: Option<BorrowedFd<'_>>,
    ) -> Result<Self, RuntimeError> {
        let mut instances = Vec::with_capacity(plan.mounts.len());
        let mut has_proc = false;
        for mount in &plan.mounts {
            instances.push(match mount.kind {
                MountKind::Bind { .. } | MountKind::Remount => None,
                MountKind::New { .. } if source::lends(plan, mount) || mount.takes_mode() => None,
                MountKind::Cgroup => Some(cgroup_top(mount).map_err(|e| e.mounting(mount))?),
                MountKind::New { kind, source } => {
                    let whole = mount.options.data.iter().all(|(key, _)| key != "subset");
                    let own = whole && pids.is_none(); // has a `self` that is this process
                    has_proc |= kind == "proc" && own && mount.destination == "/proc";
                    let new = overlay::new_instance(kind, source, mount, None, pids);
                    Some(new.map_err(|error| error.mounting(mount))?)
                }
            });
        }
        let private_proc = match needs_proc && !has_proc {
            true => Some(
                procfs::for_own_use(plan.linux.sysctl.is_empty())
                    .inside(|| "make a procfs for the runtime's own use".into())?,
            ),
            false => None,
        };
        Ok(Self { instances, private_proc })
    }

    /// A procfs over which nothing is mounted yet: valid until [`attach_all`].
    pub(crate) fn proc(&self, plan: &Plan<'_>) -> Option<BorrowedFd<'_>> {
        let container = || {
            plan.mounts.iter().zip(&self.instances).find_map(|(mount, instance)| {
                instance.as_ref().filter(|_| mount.destination == "/proc")
            })
        };
        self.private_proc.as_ref().or_else(container).map(AsFd::as_fd)
    }

    /// The container's devpts.
    pub(crate) fn devpts(&self, plan: &Plan<'_>) -> Option<BorrowedFd<'_>> {
        plan.mounts.iter().zip(&self.instances).find_map(|(mount, instance)| {
            let devpts = matches!(mount.kind, MountKind::New { kind: "devpts", .. });
            instance.as_ref().filter(|_| devpts && mount.destination == "/dev/pts").map(AsFd::as_fd)
        })
    }
}

/// Cuts this namespace's copy of the host's tree off, so that nothing that happens in it shows
/// on the host.
pub(crate) fn detach_from_host() -> Result<(), RuntimeError> {
    let action = || "cut the mounts off from the host's".to_owned();
    let top = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let attr = MountAttr { propagation: Some(Propagation::Slave), ..MountAttr::default() };
    set_attr(top.inside(action)?.as_fd(), true, &attr).inside(action)
}

/// Attaches the root; relative to `root` everything else follows.
///
/// Where it comes from, so that hooks that enter this namespace find it by the name that the
/// configuration gives it, as they do with runc (NVIDIA's does); otherwise over the old one.
pub(crate) fn attach_root(plan: &Plan<'_>, root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    let place = match plan.container.rootfs {
        Rootfs::Directory(path) if !plan.container.options.no_pivot => path,
        _ => Path::new("/"),
    };
    move_mount(root, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .inside(|| "attach the root file system".into())
}

/// The host's instances of procfs and sysfs, to be taken off before a root that is entered without
/// pivot_root(2): as long as they are in the namespace, covered or not, the kernel takes it that
/// nothing is hidden from whoever mounts a new one.
pub(crate) fn host_views(plan: &Plan<'_>) -> Result<Vec<OwnedFd>, RuntimeError> {
    if !plan.container.options.no_pivot {
        return Ok(Vec::new());
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .inside(|| "read the table of mounts".into())?;
    let mut views = Vec::new();
    for line in table.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let kind = back.split(' ').next();
        let Some(path) = front.split(' ').nth(4).filter(|_| matches!(kind, Some("proc" | "sysfs")))
        else {
            continue;
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(view) => views.push(view),
            // A file of it, or covered: the kernel does not count what is not a whole.
            Err(Errno::NOTDIR | Errno::NOENT) => {}
            Err(errno) => return Err(errno).inside(|| format!("open {path}")),
        }
    }
    // What is below another is taken off first.
    views.reverse();
    Ok(views)
}

/// Attaches everything in the order of the plan. `sources` come from the host.
///
/// `map` has the ids of a mount mapped. Answers with what is to be made read-only when nothing has
/// to be put into it any more.
pub(crate) fn attach_all(
    plan: &Plan<'_>,
    root: BorrowedFd<'_>,
    own: OwnMounts,
    sources: &mut impl Iterator<Item = OwnedFd>,
    map: &mut impl FnMut(usize, OwnedFd) -> Result<OwnedFd, RuntimeError>,
) -> Result<Vec<OwnedFd>, RuntimeError> {
    let mut open = Vec::new();
    for (index, (mount, instance)) in plan.mounts.iter().zip(own.instances).enumerate() {
        let instance = match &mount.inner {
            None => Ok(instance),
            Some(path) => inner(plan, root, mount, path).and_then(|tree| {
                if source::is_mapped(mount) { map(index, tree) } else { Ok(tree) }.map(Some)
            }),
        };
        let attached =
            instance.and_then(|instance| attach_one(plan, root, mount, instance, sources));
        let attached = attached.map_err(|error| error.mounting(mount))?;
        open.extend(attached.filter(|_| mount.closes()));
    }
    Ok(open)
}

/// Makes mounts read-only.
pub(crate) fn close(open: Vec<OwnedFd>) -> Result<(), RuntimeError> {
    let mut open = open.iter();
    open.try_for_each(|mount| set_attr(mount.as_fd(), false, &MountAttr::read_only()))
        .inside(|| "make a tmpfs read-only".into())
}

/// A part of the container's tree as it is by now.
fn inner(
    plan: &Plan<'_>,
    root: BorrowedFd<'_>,
    mount: &MountPlan<'_>,
    path: &str,
) -> Result<OwnedFd, RuntimeError> {
    let place = target::find(root, path, false).inside(|| format!("find {path}"))?;
    source::inner(plan, mount, place.as_fd())
}

fn attach_one(
    plan: &Plan<'_>,
    root: BorrowedFd<'_>,
    mount: &MountPlan<'_>,
    instance: Option<OwnedFd>,
    sources: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Option<OwnedFd>, RuntimeError> {
    if mount.kind == MountKind::Remount {
        return remount(mount, root).map(|()| None);
    }
    let mut next =
        || sources.next().ok_or(Errno::BADMSG).inside(|| "take what the host gives".into());
    let tree = match instance {
        Some(tree) => tree,
        None if mount.takes_mode() => new_tmpfs(mount, root)?,
        None => next()?,
    };
    attach(mount, root, tree.as_fd())?;
    if mount.kind == MountKind::Cgroup {
        for name in source::cgroup_names(plan) {
            attach_cgroup(mount, tree.as_fd(), &name, &next()?)?;
        }
        finish_cgroup(mount, tree.as_fd())?;
    }
    Ok(Some(tree))
}

fn attach(
    mount: &MountPlan<'_>,
    root: BorrowedFd<'_>,
    tree: BorrowedFd<'_>,
) -> Result<(), RuntimeError> {
    let action = || format!("mount {}", mount.destination);
    let want = match mount.kind {
        MountKind::Bind { .. } => {
            let kind = rustix::fs::fstat(tree).inside(action)?.st_mode;
            match FileType::from_raw_mode(kind) {
                FileType::Directory => Want::Directory,
                _ => Want::File,
            }
        }
        _ => Want::Directory,
    };
    let place = target::ensure(root, &mount.destination, want)?;
    if mount.options.copy_up {
        copyup::copy(place.as_fd(), tree).inside(|| format!("copy up {}", mount.destination))?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", place.as_fd(), "", flags).inside(action)?;
    if matches!(mount.kind, MountKind::Bind { .. }) {
        return Ok(());
    }
    // What is new is private by itself; the host's part has been told already.
    for (propagation, recursive) in &mount.options.propagation {
        let attr = MountAttr { propagation: Some(*propagation), ..MountAttr::default() };
        set_attr(tree, *recursive, &attr).inside(action)?;
    }
    let recursive = mount.options.recursive;
    if !recursive.is_empty() {
        let attr = MountAttr { set: recursive.set, clear: recursive.clear, ..MountAttr::default() };
        set_attr(tree, true, &attr).inside(action)?;
    }
    Ok(())
}

/// A tmpfs that is not told another has the mode of the directory that it hides, as runc has it:
/// and shows that among its options.
fn new_tmpfs(mount: &MountPlan<'_>, root: BorrowedFd<'_>) -> Result<OwnedFd, RuntimeError> {
    let MountKind::New { kind, source } = mount.kind else { unreachable!("it is a tmpfs") };
    let Some(hidden) = existing(root, &mount.destination)? else {
        return overlay::new_instance(kind, source, mount, None, None);
    };
    let action = || format!("look at {}", mount.destination);
    let mode = rustix::fs::fstat(&hidden).inside(action)?.st_mode & 0o7777;
    let mut mount = mount.clone();
    mount.options.data.push(("mode".into(), Some(format!("{mode:o}"))));
    overlay::new_instance(kind, source, &mount, None, None)
}

/// Changes the attributes of what is mounted at a place, and the options of its file system.
fn remount(mount: &MountPlan<'_>, root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    let action = || format!("remount {}", mount.destination);
    let place = target::find(root, &mount.destination, false).inside(action)?;
    if !mount.options.data.is_empty() {
        let context = fspick(&place, "", FsPickFlags::FSPICK_EMPTY_PATH).inside(action)?;
        for (key, value) in &mount.options.data {
            match value {
                Some(value) => fsconfig_set_string(&context, key, value),
                None => fsconfig_set_flag(&context, key),
            }
            .inside(|| format!("set option {key} of {}", mount.destination))?;
        }
        fsconfig_reconfigure(&context).inside(action)?;
    }
    let attr = |of: Attributes| MountAttr { set: of.set, clear: of.clear, ..MountAttr::default() };
    for (of, recursive) in [(mount.options.own, false), (mount.options.recursive, true)] {
        if !of.is_empty() {
            set_attr(place.as_fd(), recursive, &attr(of)).inside(action)?;
        }
    }
    for (propagation, recursive) in &mount.options.propagation {
        let attr = MountAttr { propagation: Some(*propagation), ..MountAttr::default() };
        set_attr(place.as_fd(), *recursive, &attr).inside(action)?;
    }
    Ok(())
}

/// What goes over /sys/fs/cgroup first: an own tmpfs, in which hierarchies are directories.
fn cgroup_top(mount: &MountPlan<'_>) -> Result<OwnedFd, RuntimeError> {
    let action = || format!("make a tmpfs for {}", mount.destination);
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).inside(action)?;
    for (key, value) in [("source", "cgroup"), ("mode", "755"), ("size", "64k")] {
        fsconfig_set_string(&context, key, value).inside(action)?;
    }
    fsconfig_create(&context).inside(action)?;
    let attributes = mount.options.own.set & !READ_ONLY;
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).inside(action)
}

/// Attaches one hierarchy's part; an empty name is the whole unified hierarchy, over the tmpfs.
fn attach_cgroup(
    mount: &MountPlan<'_>,
    top: BorrowedFd<'_>,
    name: &str,
    tree: &OwnedFd,
) -> Result<(), RuntimeError> {
    let action = || format!("mount {}/{name}", mount.destination);
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    if name.is_empty() {
        return move_mount(tree, "", top, "", flags).inside(action);
    }
    rustix::fs::mkdirat(top, name, Mode::from_raw_mode(0o755)).inside(action)?;
    let flags_open = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat(top, name, flags_open, Mode::empty()).inside(action)?;
    move_mount(tree, "", place.as_fd(), "", flags).inside(action)?;
    // Controllers that share a hierarchy are found by each of their names.
    if name.contains(',') {
        for one in name.split(',') {
            rustix::fs::symlinkat(name, top, one).inside(action)?;
        }
    }
    Ok(())
}

fn finish_cgroup(mount: &MountPlan<'_>, top: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    if mount.options.own.set & READ_ONLY == 0 {
        return Ok(());
    }
    set_attr(top, false, &MountAttr::read_only())
        .inside(|| format!("make {} read-only", mount.destination))
}

/// Makes paths unreadable. A path that is not there needs no mask.
///
/// What goes over them is ours: the host's own /dev/null, opened while the host's tree is still
/// all that is visible, and an empty directory made here (CVE-2025-31133).
pub(crate) fn mask(
    root: BorrowedFd<'_>,
    paths: &[String],
    null: BorrowedFd<'_>,
) -> Result<(), RuntimeError> {
    let mut empty: Option<OwnedFd> = None;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    for (index, path) in paths.iter().enumerate() {
        if paths[..index].contains(path) {
            continue;
        }
        let action = || format!("mask {path}");
        let Some(place) = existing(root, path)? else { continue };
        let kind = rustix::fs::fstat(&place).inside(action)?.st_mode;
        if FileType::from_raw_mode(kind) != FileType::Directory {
            devices::bind_over(null, place.as_fd()).inside(action)?;
            continue;
        }
        match &empty {
            // Cloned from where it is attached by now, since older kernels clone nothing else.
            Some(empty) => devices::bind_over(empty.as_fd(), place.as_fd()).inside(action)?,
            None => {
                let new = empty_directory().inside(action)?;
                move_mount(&new, "", place.as_fd(), "", flags).inside(action)?;
                empty = Some(new);
            }
        }
    }
    Ok(())
}

fn empty_directory() -> Result<OwnedFd, Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("source", "tmpfs"), ("mode", "555"), ("nr_inodes", "2"), ("size", "4k")] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Opens the host's /dev/null, and sees to it that it is that.
pub(crate) fn open_null() -> Result<OwnedFd, RuntimeError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty());
    let null = null.inside(|| "open /dev/null".into())?;
    let stat = rustix::fs::fstat(&null).inside(|| "look at /dev/null".into())?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    match is_null {
        true => Ok(null),
        false => Err(RuntimeError::Refused("the host's /dev/null is not the null device".into())),
    }
}

/// Makes paths read-only with all that is mounted below. A path that is not there needs nothing.
pub(crate) fn make_read_only(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), RuntimeError> {
    for path in paths {
        let action = || format!("make {path} read-only");
        let Some(place) = existing(root, path)? else { continue };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(&place, "", flags).inside(action)?;
        set_attr(tree.as_fd(), true, &MountAttr::read_only()).inside(action)?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&tree, "", &place, "", flags).inside(action)?;
    }
    Ok(())
}

fn existing(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>, RuntimeError> {
    match target::find(root, path, false) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).inside(|| format!("find {path}")),
    }
}

/// Makes the attached root the root of this process, and lets go of the old one.
pub(crate) fn enter_root(
    plan: &Plan<'_>,
    root: BorrowedFd<'_>,
    host_views: &[OwnedFd],
) -> Result<(), RuntimeError> {
    for view in host_views {
        rustix::process::fchdir(view)
            .and_then(|()| unmount(".", UnmountFlags::DETACH))
            .inside(|| "take the host's procfs and sysfs away".into())?;
    }
    rustix::process::fchdir(root).inside(|| "enter the root file system".into())?;
    if plan.container.options.no_pivot {
        rustix::process::chroot(".").inside(|| "change the root".into())?;
    } else {
        // The old root ends up on top of the new one, from where it is taken off: no directory
        // is needed for it. pivot_root(2), NOTES.
        rustix::process::pivot_root(".", ".").inside(|| "pivot the root".into())?;
        unmount(".", UnmountFlags::DETACH).inside(|| "let go of the old root".into())?;
    }
    rustix::process::chdir("/").inside(|| "enter the new root".into())
}

/// The root's own last attributes, when nothing has to be made in it any more.
pub(crate) fn finish_root(plan: &Plan<'_>, root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    let read_only = plan.container.spec.root.as_ref().is_some_and(|root| root.readonly);
    if read_only && !source::is_read_only(root) {
        set_attr(root, false, &MountAttr::read_only())
            .inside(|| "make the root file system read-only".into())?;
    }
    Ok(())
}

/// How mounts pass between the root and others. After it was entered: a root that is shared cannot
/// be.
pub(crate) fn set_propagation(plan: &Plan<'_>, root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    if let Some("shared" | "rshared" | "private" | "rprivate" | "unbindable" | "runbindable") =
        plan.linux.rootfs_propagation.as_deref()
    {
        let (propagation, recursive) = plan.propagation;
        let attr = MountAttr { propagation: Some(propagation), ..MountAttr::default() };
        set_attr(root, recursive, &attr).inside(|| "set linux.rootfsPropagation".into())?;
    }
    Ok(())
}

/// Whether this process may make device nodes.
pub(crate) fn may_make_nodes(plan: &Plan<'_>) -> bool {
    !plan.namespaces.has(NamespaceKind::User)
}
