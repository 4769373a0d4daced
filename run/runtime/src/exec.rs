//! Adding a process to a running container: the same hardening by another way in.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::thread::ThreadNameSpaceType;
use sys::process::CloneFlags;

use crate::birth::{self, Hidden};
use crate::error::{Step, spec_error};
use crate::init::{arm, enter_cgroup};
use crate::memory::NodePolicy;
use crate::notify::Connection;
use crate::process::{Failed, ProcessPlan};
use crate::{Created, Exec, Listener, RuntimeError, Target, console, message, procfs};

/// Adds a process to a running container: everything but the execution of its program.
///
/// Needs root over the container's namespaces. On failure nothing is left; with
/// [`crate::Parent::Sibling`] the caller's parent then still has a child to reap.
pub fn exec(request: &Exec<'_>) -> Result<Created, RuntimeError> {
    add(request, None)
}

/// As [`exec`], for a filter with notifications.
pub fn exec_notifying(
    request: &Exec<'_>,
    listener: &Listener<'_>,
) -> Result<Created, RuntimeError> {
    add(request, Some(listener))
}

fn add(request: &Exec<'_>, listener: Option<&Listener<'_>>) -> Result<Created, RuntimeError> {
    let mut plan = ProcessPlan::new(
        request.process,
        request.stdio,
        request.seccomp,
        request.preserved,
        request.options,
        request.death_signal,
    )?;
    if request.seccomp.is_some_and(seccomp::Program::has_listener) {
        let listener = listener
            .ok_or_else(|| spec_error("linux.seccomp.listenerPath", "is missing for an exec"))?;
        plan.listener = Some(Connection::open(listener)?);
    }
    let memory = request.memory_policy.map(NodePolicy::new).transpose()?;
    let mut cgroup = birth::join_handle(request.cgroup)?;
    let born_in = birth::born_in(cgroup.as_ref())?;
    let kinds = kinds_to_join(request.target)?;
    let (near, far) =
        sys::socket::pair(SocketType::SEQPACKET).host(|| "make a socket pair".into())?;
    plan.crosses = true;
    let hidden = Hidden::new()?;
    let flags = CloneFlags::empty().union(birth::parent_flag(request.parent));
    let mut near = Some(near);
    let child = {
        let plan = &mut plan;
        let (near, cgroup) = (&mut near, &mut cgroup);
        sys::process::clone(flags, born_in.as_ref().map(AsFd::as_fd), move || {
            // The copy of the caller's end would keep the stream from ending with the caller.
            drop(near.take());
            let own = [far.as_fd(), request.target.pidfd];
            birth::let_go(plan, own.into_iter(), cgroup.as_ref());
            let cgroup = cgroup.take();
            let target = request.target;
            let joiner = Joiner { plan, socket: far, cgroup, memory, target, kinds };
            joiner.run()
        })
        .host(|| "make a process for the container".into())?
    };
    drop(hidden);
    let near = near.expect("taken only in the child");
    let outcome = birth::enter_resctrl(request.resctrl, child.pid)
        .and_then(|()| birth::await_ready(near.as_fd(), |_| Err(message::out_of_turn())));
    birth::conclude(outcome, child, near, request.parent, |pid| {
        plan.limits.apply_scheduler(Some(pid))
    })
}

/// By their names below `/proc/PID/ns`. The pid namespace is entered for children only: the process
/// that joins is never seen inside.
const KINDS: [(&str, ThreadNameSpaceType); 8] = [
    ("user", ThreadNameSpaceType::USER),
    ("mnt", ThreadNameSpaceType::MOUNT),
    ("pid", ThreadNameSpaceType::PROCESS_ID),
    ("cgroup", ThreadNameSpaceType::CONTROL_GROUP),
    ("uts", ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
    ("ipc", ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
    ("net", ThreadNameSpaceType::NETWORK),
    ("time", ThreadNameSpaceType::TIME),
];

/// All kinds, but for a user namespace that the caller is in already, which the kernel refuses;
/// and for others that it shares, over which an ordinary user has no rights.
fn kinds_to_join(target: Target<'_>) -> Result<ThreadNameSpaceType, RuntimeError> {
    let gone = || RuntimeError::Refused("the container is not running".into());
    let is_root = rustix::process::geteuid().is_root() && sys::namespace::is_initial_user();
    let mut kinds = ThreadNameSpaceType::empty();
    for (name, kind) in KINDS {
        if is_root && kind != ThreadNameSpaceType::USER {
            kinds |= kind;
            continue;
        }
        let inode = |process: &str| rustix::fs::stat(format!("/proc/{process}/ns/{name}"));
        let own = inode("self").host(|| format!("look at /proc/self/ns/{name}"))?;
        let theirs =
            inode(&target.pid.as_raw_nonzero().to_string()).map_err(|errno| match errno {
                // Until its program is executed nobody looks at it without rights over the host.
                Errno::ACCESS | Errno::PERM => RuntimeError::Refused(
                    "the container was not started yet: only root may add a process to it".into(),
                ),
                _ => gone(),
            })?;
        if (own.st_dev, own.st_ino) != (theirs.st_dev, theirs.st_ino) {
            kinds |= kind;
        }
    }
    // The number may have been another process's, if this one is gone by now.
    let mut fds = [PollFd::new(&target.pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)).host(|| "look at the container's init".into())? {
        0 => Ok(kinds),
        _ => Err(gone()),
    }
}

/// What the child has.
struct Joiner<'a, 'b> {
    plan: &'a mut ProcessPlan<'b>,
    socket: OwnedFd,
    cgroup: Option<cgroups::JoinHandle>,
    memory: Option<NodePolicy>,
    target: Target<'b>,
    kinds: ThreadNameSpaceType,
}

impl Joiner<'_, '_> {
    fn run(self) -> i32 {
        let (error, socket) = match self.live() {
            Ok(never) => match never {},
            Err(failed) => failed,
        };
        message::report(socket.as_fd(), &error)
    }

    fn live(mut self) -> Result<Infallible, Failed> {
        let (root, terminal) = match self.join() {
            Ok(joined) => joined,
            Err(error) => return Err((error, self.socket)),
        };
        self.plan.become_it(root, self.socket, terminal, || Ok(()))
    }

    #[allow(clippy::type_complexity, reason = "the two ends of a terminal")]
    fn join(&mut self) -> Result<(OwnedFd, Option<(OwnedFd, OwnedFd)>), RuntimeError> {
        rustix::process::umask(Mode::empty());
        arm(self.plan.death_signal)?;
        self.plan.limits.apply_initial_affinity()?;
        enter_cgroup(self.cgroup.take())?;
        crate::limits::reset_affinity();
        self.plan.limits.apply_affinity()?;
        // In the cgroup, whose cpuset says which nodes there are.
        if let Some(memory) = &self.memory {
            memory.apply()?;
        }
        // While the host's rights are still there, and before anything of the container's is in
        // sight: its own /proc is not to be trusted with labels (CVE-2015-1334).
        if self.plan.needs_proc() {
            let proc = procfs::for_own_use(true)
                .inside(|| "make a procfs for the runtime's own use".into())?;
            self.plan.write_proc(proc.as_fd())?;
        }
        if !self.plan.options.keep_keyring {
            let _ = sys::schedule::new_session_keyring();
        }
        sys::namespace::join(self.target.pidfd, self.kinds)
            .inside(|| "join the container's namespaces".into())?;
        if self.kinds.contains(ThreadNameSpaceType::USER) {
            let (uid, gid) = (Uid::ROOT, Gid::ROOT);
            rustix::thread::set_thread_res_gid(gid, gid, gid)
                .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
                .inside(|| "become root in the container's user namespace".into())?;
            arm(self.plan.death_signal)?;
        }
        // Out of the caller's session: its terminal is nobody's here. Fails only for a process
        // that leads a group already, which a new one does not.
        let _ = rustix::process::setsid();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, "/", flags, Mode::empty())
            .inside(|| "open the container's root".into())?;
        let terminal = match self.plan.process.terminal {
            false => None,
            true => Some(self.open_terminal(&root)?),
        };
        Ok((root, terminal))
    }

    fn open_terminal(&self, root: &OwnedFd) -> Result<(OwnedFd, OwnedFd), RuntimeError> {
        const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let devpts = sys::fs::open_beneath(root.as_fd(), "dev/pts", flags, Mode::empty())
            .inside(|| "open the container's /dev/pts".into())?;
        let found = rustix::fs::fstatfs(&devpts).inside(|| "look at /dev/pts".into())?;
        if found.f_type as u64 != DEVPTS_SUPER_MAGIC {
            return Err(spec_error("process.terminal", "needs a devpts on /dev/pts"));
        }
        let size = self.plan.process.console_size;
        console::open_pair(devpts.as_fd(), self.plan.stdio, size)
    }
}
