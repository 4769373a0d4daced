//! What the child does, from clone3 to its own program. The drawing is in [`crate::message`].

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime::{NamespaceKind, State};
use rustix::fs::{Gid, Mode, Uid};
use rustix::process::DumpableBehavior;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use sys::process::CloneFlags;

use crate::console;
use crate::error::Step;
use crate::hooks::{self, HookPoint};
use crate::message::{self, Due, FromCaller};
use crate::mounts::{self, OwnMounts};
use crate::plan::Plan;
use crate::process::Failed;
use crate::{Container, RuntimeError, devices, limits, source, sysctl};

/// What the child has.
pub(crate) struct Init<'a, 'b> {
    pub(crate) plan: &'a mut Plan<'b>,
    pub(crate) socket: OwnedFd,
    pub(crate) cgroup: Option<cgroups::JoinHandle>,
    /// A user namespace to join.
    pub(crate) user: Option<OwnedFd>,
    /// A pid namespace to join for the process to be: this one is never seen there.
    pub(crate) pids: Option<OwnedFd>,
    /// Further namespaces to join, where the caller cannot.
    pub(crate) joins: Vec<(OwnedFd, LinkNameSpaceType)>,
    /// Whether the caller needs the child dumpable until the maps are written.
    pub(crate) unprivileged: bool,
}

/// Runs in the child; its exit code, if it comes to that.
pub(crate) fn run(init: Init<'_, '_>) -> i32 {
    let (error, socket) = match init.live() {
        Ok(never) => match never {},
        Err(failed) => failed,
    };
    message::report(socket.as_fd(), &error)
}

/// Runs in a child that joins a user namespace and makes the one that lives on in it, with `flags`.
pub(crate) fn relay(init: Init<'_, '_>, flags: CloneFlags) -> i32 {
    let mut init = Some(init);
    let outcome = relay_on(&mut init, flags);
    match (outcome, &init) {
        (Err(error), Some(init)) => message::report(init.socket.as_fd(), &error),
        (outcome, _) => i32::from(outcome.is_err()),
    }
}

fn relay_on(own: &mut Option<Init<'_, '_>>, flags: CloneFlags) -> Result<(), RuntimeError> {
    let init = own.as_mut().expect("taken only in the child");
    arm(init.plan.process.death_signal)?;
    init.become_root()?;
    let child = sys::process::clone(flags, None, || own.take().map_or(1, run))
        .inside(|| "make the container's first process".into())?;
    let init = own.as_ref().expect("taken only in the child");
    message::send_born(init.socket.as_fd(), child.pid, child.pidfd.as_fd())
        .inside(|| "report a process".into())
}

impl Init<'_, '_> {
    fn live(mut self) -> Result<Infallible, Failed> {
        let (root, terminal) = match self.make() {
            Ok(made) => made,
            Err(error) => return Err((error, self.socket)),
        };
        // What follows closes all but what the program gets: nothing may own a descriptor then.
        drop((self.user.take(), self.pids.take()));
        let (container, bundle) = (self.plan.container, self.plan.bundle);
        let hooks = || {
            let state = || container_state(container, bundle, "created");
            run_hooks(container, HookPoint::StartContainer, state)
        };
        self.plan.process.become_it(root, self.socket, terminal, hooks)
    }

    /// Everything that makes the container, up to its root being the root.
    #[allow(clippy::type_complexity, reason = "the two ends of a terminal")]
    fn make(&mut self) -> Result<(OwnedFd, Option<(OwnedFd, OwnedFd)>), RuntimeError> {
        // Modes below are meant as they are written.
        rustix::process::umask(Mode::empty());
        if !self.unprivileged {
            arm(self.plan.process.death_signal)?;
        }
        // Without a user namespace to join, the rights over it are those of the caller.
        let joins_user = self.plan.namespaces.joins(NamespaceKind::User);
        if !joins_user {
            self.join_pids()?;
        }
        self.become_root()?;
        if joins_user {
            self.join_pids()?;
        }
        for (namespace, kind) in self.joins.drain(..) {
            rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))
                .inside(|| format!("join the {kind:?} namespace").to_lowercase())?;
        }
        enter_cgroup(self.cgroup.take())?;
        limits::reset_affinity();
        self.make_late_namespaces()?;
        if !self.plan.container.options.keep_keyring {
            // Where keys are compiled out or their quota is used up there is nothing to inherit
            // that matters more than the container.
            if let Err(error) = sys::schedule::new_session_keyring() {
                self.plan.process.warnings.push(format!("no session keyring of its own: {error}"));
            }
        }
        // Fails only for a process that leads a group already, which a new one does not.
        let _ = rustix::process::setsid();
        self.set_names()?;
        if let Some(personality) = &self.plan.linux.personality {
            sys::schedule::set_personality(limits::personality(personality)?)
                .inside(|| "set linux.personality".into())?;
        }
        if let Some(memory) = &self.plan.memory {
            memory.apply()?;
        }

        mounts::detach_from_host()?;
        let null = mounts::open_null()?;
        let plan = &*self.plan;
        let needs_proc = plan.process.needs_proc() || !plan.linux.sysctl.is_empty();
        let own = OwnMounts::make(plan, needs_proc, self.pids.as_ref().map(AsFd::as_fd))?;
        let terminal = match plan.process.process.terminal {
            false => None,
            true => {
                let devpts = own.devpts(plan).ok_or_else(|| {
                    crate::error::spec_error("process.terminal", "needs a devpts on /dev/pts")
                })?;
                let size = plan.process.process.console_size;
                Some(console::open_pair(devpts, plan.process.stdio, size)?)
            }
        };
        if needs_proc {
            let proc = own.proc(plan).expect("made because it is needed");
            sysctl::set(proc, plan.linux)?;
            self.plan.process.write_proc(proc)?;
        }
        let root = self.attach(own, null.as_fd(), terminal.as_ref().map(|(far, _)| far.as_fd()))?;
        Ok((root, terminal))
    }

    /// Attaches the tree and enters it.
    fn attach(
        &mut self,
        own: OwnMounts,
        null: BorrowedFd<'_>,
        terminal: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd, RuntimeError> {
        let mut sources = self.receive_sources()?.into_iter();
        let plan = &*self.plan;
        let root = sources.next().expect("the root comes first");
        let host_views = mounts::host_views(plan)?;
        mounts::attach_root(plan, root.as_fd())?;
        let mut map = |mount: usize, tree: OwnedFd| {
            let due = Due::Map { mount: mount.try_into().unwrap_or(u32::MAX), tree };
            self.ask(&due)?;
            match due {
                Due::Map { tree, .. } => Ok(tree),
                Due::Devices | Due::Hooks => unreachable!("it is what was asked"),
            }
        };
        let open = mounts::attach_all(plan, root.as_fd(), own, &mut sources, &mut map)?;
        if !plan.has_foreign_dev() {
            devices::make_all(root.as_fd(), &plan.linux.devices, mounts::may_make_nodes(plan))?;
        }
        if let Some(far) = terminal {
            console::bind(root.as_fd(), far)?;
        }
        mounts::close(open)?;
        mounts::mask(root.as_fd(), &plan.linux.masked_paths, null)?;
        mounts::make_read_only(root.as_fd(), &plan.linux.readonly_paths)?;
        mounts::finish_root(plan, root.as_fd())?;
        if !plan.linux.net_devices.is_empty() {
            self.ask(&Due::Devices)?;
        }
        self.call_hooks(root.as_fd())?;
        mounts::enter_root(plan, root.as_fd(), &host_views)?;
        mounts::set_propagation(plan, root.as_fd())?;
        Ok(root)
    }

    /// What is due before the root is entered: the caller's hooks, then the container's.
    fn call_hooks(&self, root: BorrowedFd<'_>) -> Result<(), RuntimeError> {
        use HookPoint::{CreateContainer, CreateRuntime, Prestart};
        let container = self.plan.container;
        let has = |point: HookPoint| !point.of(container.spec.hooks.as_ref()).is_empty();
        if has(Prestart) || has(CreateRuntime) {
            self.ask(&Due::Hooks)?;
        }
        if has(CreateContainer) {
            // Hooks that touch files of the container name them from here, as runc has it.
            rustix::process::fchdir(root).inside(|| "enter the root file system".into())?;
        }
        let state = || container_state(container, self.plan.bundle, "creating");
        run_hooks(container, CreateContainer, state)
    }

    fn receive_sources(&mut self) -> Result<Vec<OwnedFd>, RuntimeError> {
        if self.unprivileged {
            let pid = message::await_sources(self.socket.as_fd(), &mut Vec::new());
            self.plan.process.own_pid = Some(pid.unwrap_or_else(|| sys::process::exit_now(0)));
            return Ok(source::Sources::open(self.plan, None, Vec::new())?.into_fds());
        }
        let names = source::cgroup_names(self.plan).len();
        let count = |mount| source::count(self.plan, mount, names);
        let wanted = 1 + self.plan.mounts.iter().map(count).sum::<usize>();
        let mut sources = Vec::with_capacity(wanted);
        while sources.len() < wanted {
            let pid = message::await_sources(self.socket.as_fd(), &mut sources);
            self.plan.process.own_pid = Some(pid.unwrap_or_else(|| sys::process::exit_now(0)));
        }
        Ok(sources)
    }

    /// Has the caller do something.
    fn ask(&self, due: &Due) -> Result<(), RuntimeError> {
        message::send_due(self.socket.as_fd(), due).inside(|| "ask the caller".into())?;
        self.await_caller(FromCaller::Continue, &mut Vec::new());
        Ok(())
    }

    /// Waits for the caller; ends if that is gone, or has no use for this process any more.
    fn await_caller(&self, expected: FromCaller, fds: &mut Vec<OwnedFd>) {
        if !message::await_caller(self.socket.as_fd(), expected, fds) {
            sys::process::exit_now(0);
        }
    }

    fn join_pids(&self) -> Result<(), RuntimeError> {
        let Some(pids) = &self.pids else { return Ok(()) };
        let kind = Some(LinkNameSpaceType::ProcessID);
        rustix::thread::move_into_link_name_space(pids.as_fd(), kind)
            .inside(|| "join the pid namespace".into())
    }

    /// In a user namespace a process is nobody until ids are mapped and it takes one.
    fn become_root(&mut self) -> Result<(), RuntimeError> {
        if let Some(namespace) = self.user.take() {
            let kind = Some(LinkNameSpaceType::User);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
                .inside(|| "join the user namespace".into())?;
        } else if self.plan.namespaces.makes(NamespaceKind::User) {
            self.await_caller(FromCaller::Mapped, &mut Vec::new());
        } else {
            return Ok(());
        }
        let (uid, gid) = (Uid::ROOT, Gid::ROOT);
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
            .inside(|| "become root in the user namespace".into())?;
        // The kernel forgot both with the old identity.
        arm(self.plan.process.death_signal)
    }

    /// What takes long (the network) or must come late (the view of the cgroup entered), while
    /// the caller opens its part.
    fn make_late_namespaces(&self) -> Result<(), RuntimeError> {
        let namespaces = &self.plan.namespaces;
        let mut flags = UnshareFlags::empty();
        for (kind, flag) in [
            (NamespaceKind::Network, UnshareFlags::NEWNET),
            (NamespaceKind::Cgroup, UnshareFlags::NEWCGROUP),
        ] {
            if namespaces.makes(kind) {
                flags |= flag;
            }
        }
        if self.plan.namespaces.joins(NamespaceKind::User) && !self.plan.relays() {
            // These must belong to the user namespace, which was joined only now.
            for (kind, flag) in [
                (NamespaceKind::Mount, UnshareFlags::NEWNS),
                (NamespaceKind::Ipc, UnshareFlags::NEWIPC),
                (NamespaceKind::Uts, UnshareFlags::NEWUTS),
            ] {
                if namespaces.makes(kind) {
                    flags |= flag;
                }
            }
        }
        if !flags.is_empty() {
            sys::namespace::unshare(flags).inside(|| "make namespaces".into())?;
        }
        if namespaces.makes(NamespaceKind::Network) {
            sys::loopback::bring_up().inside(|| "bring the loopback interface up".into())?;
        }
        Ok(())
    }

    fn set_names(&self) -> Result<(), RuntimeError> {
        let spec = self.plan.container.spec;
        if let Some(name) = spec.hostname.as_deref().filter(|name| !name.is_empty()) {
            rustix::system::sethostname(name.as_bytes())
                .inside(|| format!("set the host name {name}"))?;
        }
        if let Some(name) = spec.domainname.as_deref().filter(|name| !name.is_empty()) {
            rustix::system::setdomainname(name.as_bytes())
                .inside(|| format!("set the domain name {name}"))?;
        }
        Ok(())
    }
}

fn run_hooks(
    container: &Container<'_>,
    point: HookPoint,
    state: impl FnOnce() -> State,
) -> Result<(), RuntimeError> {
    let hooks = container.spec.hooks.as_ref();
    match point.of(hooks).is_empty() {
        true => Ok(()),
        false if point == HookPoint::StartContainer => {
            // The program is the container's own: without an environment it has the process's.
            let mut hooks = hooks.cloned().unwrap_or_default();
            let process = container.spec.process.as_ref();
            for hook in hooks.start_container.iter_mut().filter(|hook| hook.env.is_empty()) {
                let Some(process) = process else { continue };
                hook.env = process.env.clone();
                if container.options.set_home {
                    crate::home::add_text(&mut hook.env, process.user.uid);
                }
            }
            hooks::run(point, Some(&hooks), &state())
        }
        false => hooks::run(point, hooks, &state()),
    }
}

/// The state as a hook inside sees it: init is itself there.
fn container_state(container: &Container<'_>, bundle: Option<&Path>, status: &str) -> State {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    hooks::state(container, bundle, status, pid)
}

/// Out of reach of whoever is in the same pid namespace, and never without a parent.
///
/// Nobody can look at the memory and the descriptors of a process that is not dumpable, or take
/// it over, without rights over the host (CVE-2016-9962). execve(2) undoes it.
pub(crate) fn arm(signal: Option<rustix::process::Signal>) -> Result<(), RuntimeError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .inside(|| "stay out of reach of others".into())?;
    if signal.is_some() {
        // A parent that is dead by now goes unnoticed here, but it held the other end of the
        // socket: the next wait on that ends this process.
        sys::process::set_pdeathsig(signal).inside(|| "arm the death signal".into())?;
    }
    Ok(())
}

/// Enters the version 1 cgroups, and closes the doors; into that of version 2 the process was born.
pub(crate) fn enter_cgroup(cgroup: Option<cgroups::JoinHandle>) -> Result<(), RuntimeError> {
    match cgroup {
        None => Ok(()),
        Some(cgroup) => cgroup.join().inside(|| "enter the cgroup".into()),
    }
}
