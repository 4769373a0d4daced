//! The caller's side of making a container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime::NamespaceKind;
use rustix::net::SocketType;
use sys::process::{Child, CloneFlags};

use crate::birth::{self, Hidden};
use crate::error::{Step, spec_error};
use crate::hooks::{self, HookPoint};
use crate::idmap::IdMap;
use crate::init::{self, Init};
use crate::joined::{self, Joined};
use crate::message::{self, Due, FromCaller};
use crate::notify::{Connection, Listener};
use crate::plan::{Plan, flag};
use crate::source::{self, Sources};
use crate::{Container, Created, RuntimeError, idmap, netdevices, notify, procfs};

/// Makes a container: everything but the execution of its program.
///
/// Needs root, or a user namespace in the spec. On failure nothing is left; with
/// [`crate::Parent::Sibling`] the caller's parent then still has a child to reap.
///
/// runtime-spec 1.3.0, runtime.md, "Create".
pub fn create(container: &Container<'_>) -> Result<Created, RuntimeError> {
    make(container, None)
}

/// As [`create`], for a container that has a bundle: then it may have hooks, and they are called.
pub fn create_in(container: &Container<'_>, bundle: &Path) -> Result<Created, RuntimeError> {
    make(container, Some(bundle))
}

/// Finds out whether a container can be made of its spec, as far as that alone tells. Nothing is
/// opened, and `cgroup` need not be there yet.
pub fn check(container: &Container<'_>, bundle: &Path) -> Result<(), RuntimeError> {
    Plan::new(container, Some(bundle)).map(drop)
}

fn make(container: &Container<'_>, bundle: Option<&Path>) -> Result<Created, RuntimeError> {
    let mut plan = Plan::new(container, bundle)?;
    if plan.linux.intel_rdt.is_some() && container.resctrl.is_none() {
        return Err(spec_error("linux.intelRdt", "there is no group for it"));
    }
    let filter = container.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    if let Some((path, metadata)) = notify::path_of(filter, container.seccomp)? {
        let state = &hooks::state(container, bundle, "creating", 0);
        let listener = Listener { path: &path, metadata: &metadata, state };
        plan.process.listener = Some(Connection::open(&listener)?);
    }
    let entered = container.cgroup.filter(|_| container.mover.is_none());
    let mut cgroup = birth::join_handle(entered)?;
    let born_in = birth::born_in(cgroup.as_ref())?;
    let (near, far) =
        sys::socket::pair(SocketType::SEQPACKET).host(|| "make a socket pair".into())?;
    let user = joined::open_one(&plan, NamespaceKind::User)?;
    // Older kernels show a procfs only to those inside: then the child is born there, with the
    // caller's rights and in the sight of whoever may trace there.
    let pids = joined::open_one(&plan, NamespaceKind::Pid)?;
    let pids = pids.filter(|pids| procfs::can_show(pids.as_fd()));
    plan.process.crosses = pids.is_some();
    plan.process.may_outwait = true;
    let parent = birth::parent_flag(container.parent);
    let relays = plan.relays();
    let flags = clone_flags(&plan).union(parent);
    // An unprivileged caller writes the maps of its child, which it can only while the child is
    // dumpable; in a new pid namespace nobody else sees that.
    let unprivileged =
        plan.namespaces.makes(NamespaceKind::User) && !rustix::process::geteuid().is_root();
    let hidden = if unprivileged { None } else { Some(Hidden::new()?) };
    let joins = joined::for_child(&plan)?;
    let joined = Joined::enter(&plan)?;
    let mut near = Some(near);
    let child = {
        let plan = &mut plan;
        let (near, cgroup) = (&mut near, &mut cgroup);
        let first = if relays { parent } else { flags };
        sys::process::clone(first, born_in.as_ref().map(AsFd::as_fd), move || {
            // The copy of the caller's end would keep the stream from ending with the caller.
            drop(near.take());
            let own =
                [Some(far.as_fd()), user.as_ref().map(AsFd::as_fd), pids.as_ref().map(AsFd::as_fd)];
            let own = own.into_iter().flatten().chain(joins.iter().map(|(fd, _)| fd.as_fd()));
            birth::let_go(&plan.process, own, cgroup.as_ref());
            let cgroup = cgroup.take();
            let init = Init { plan, socket: far, cgroup, user, pids, joins, unprivileged };
            match relays {
                false => init::run(init),
                true => init::relay(init, flags.union(CloneFlags::PARENT)),
            }
        })
        .host(|| "make the container's first process".into())?
    };
    let lent = source::lent(&plan);
    drop((joined, hidden));
    let near = near.expect("taken only in the child");
    let child = match relays {
        false => child,
        true => birth::await_relayed(child, near.as_fd(), container.parent)?,
    };
    let call_hooks = || {
        let pid = child.pid.as_raw_nonzero().get();
        let state = hooks::state(container, bundle, "creating", pid);
        let all = container.spec.hooks.as_ref();
        hooks::run(HookPoint::Prestart, all, &state)?;
        hooks::run(HookPoint::CreateRuntime, all, &state)
    };
    let move_devices = || {
        let kind = sys::namespace::Kind::NETWORK;
        let network = sys::namespace::open(child.pidfd.as_fd(), child.pid, kind)
            .host(|| "open the container's network".into())?;
        netdevices::move_all(&plan.linux.net_devices, network.as_fd())
    };
    let perform = |due| match due {
        Due::Devices => move_devices(),
        Due::Hooks => call_hooks(),
        Due::Map { mount, tree } => {
            let user = user_map(&plan, &child)?;
            source::map_inner(&plan, mount as usize, tree.as_fd(), user.as_ref())
        }
    };
    let outcome = birth::enter_resctrl(container.resctrl, child.pid)
        .and(lent)
        .and_then(|lent| provide(&plan, &child, near.as_fd(), lent))
        .and_then(|()| birth::await_ready(near.as_fd(), perform));
    birth::conclude(outcome, child, near, container.parent, |pid| {
        plan.process.limits.apply_scheduler(Some(pid))
    })
}

/// What the child is born with. Not the network, which takes long and is made by the child while
/// the caller works; not the cgroup namespace, which shows the cgroup that its maker is in.
fn clone_flags(plan: &Plan<'_>) -> CloneFlags {
    let mut late = CloneFlags::NEWNET.union(CloneFlags::NEWCGROUP);
    if plan.namespaces.joins(NamespaceKind::User) && !plan.relays() {
        for kind in [NamespaceKind::Mount, NamespaceKind::Ipc, NamespaceKind::Uts] {
            late = late.union(flag(kind));
        }
    }
    if !plan.linux.time_offsets.is_empty() {
        late = late.union(CloneFlags::NEWTIME); // entered by way of the caller
    }
    plan.namespaces.new.without(late)
}

/// Gives the child what it waits for.
fn provide(
    plan: &Plan<'_>,
    child: &Child,
    socket: BorrowedFd<'_>,
    lent: Vec<OwnedFd>,
) -> Result<(), RuntimeError> {
    if plan.namespaces.makes(NamespaceKind::User) {
        if let Some(mover) = plan.container.mover {
            (mover.0)(child.pid)
                .host(|| "move the container's first process into its cgroup".into())?;
        }
        idmap::write(child.pid, &plan.linux.uid_mappings, &plan.linux.gid_mappings)?;
        message::to_child(socket, FromCaller::Mapped, &[])?;
        if !rustix::process::geteuid().is_root() {
            // Without rights over its own mounts the caller has nothing to give: the child opens
            // everything itself, as root in its namespaces.
            return message::sources(socket, child.pid, &[]);
        }
    }
    let map = user_map(plan, child)?;
    let sources = Sources::open(plan, map.as_ref(), lent)?;
    for fds in sources.as_fds().chunks(sys::socket::MAX_FDS) {
        message::sources(socket, child.pid, fds)?;
    }
    Ok(())
}

/// The container's user namespace, if it has one of its own.
fn user_map(plan: &Plan<'_>, child: &Child) -> Result<Option<IdMap>, RuntimeError> {
    let namespace = match plan.namespaces.makes(NamespaceKind::User) {
        true => Some(idmap::open(child.pid)?),
        false => joined::open_one(plan, NamespaceKind::User)?,
    };
    let (uids, gids) = (&plan.linux.uid_mappings, &plan.linux.gid_mappings);
    Ok(namespace.map(|namespace| IdMap::of(namespace, uids, gids)))
}
