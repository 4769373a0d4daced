//! What a caller asks for, and what it gets.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::{fmt, io};

use oci::Mount;
use oci::runtime::{MemoryPolicy, Process, Spec};
use rustix::process::{Pid, Signal};

use crate::StartHandle;

/// A container to create.
#[derive(Debug)]
pub struct Container<'a> {
    /// Its id, for hooks and messages.
    pub id: &'a str,
    /// Everything else, as the runtime-spec has it. `root.path` is not looked at: see `rootfs`.
    pub spec: &'a Spec,
    /// Where the root file system comes from.
    pub rootfs: Rootfs<'a>,
    /// The compiled form of `spec.linux.seccomp`; that section itself is not looked at.
    pub seccomp: Option<&'a seccomp::Program>,
    /// The cgroup, made and limited already. The container enters it; `linux.resources` and
    /// `linux.cgroupsPath` of the spec are not looked at.
    pub cgroup: Option<&'a cgroups::Cgroup>,
    /// The group of caches and memory bandwidth, made already: of `linux.intelRdt`, which is not
    /// looked at beyond whether it is there.
    pub resctrl: Option<&'a resctrl::Group>,
    /// Who moves init into the cgroup, where it may not enter by itself.
    pub mover: Option<Mover<'a>>,
    /// Standard input, output and error; [`Stdio::Terminal`] exactly if `process.terminal`.
    pub stdio: Stdio<'a>,
    /// Who waits for the container's init.
    pub parent: Parent,
    /// What init gets when its parent dies.
    pub death_signal: Option<Signal>,
    /// Descriptors that init has as 3, 4 and so on.
    pub preserved: &'a [BorrowedFd<'a>],
    /// The choices that the spec has no word for.
    pub options: Options,
}

/// Moves a process into the container's cgroup before it has made or done anything.
///
/// For users whose session is in another part of the tree than the groups that their systemd
/// makes: the kernel lets them enter none there. Only for containers with a new user namespace,
/// whose init waits for its ids to be mapped.
#[derive(Clone, Copy)]
pub struct Mover<'a>(pub &'a dyn Fn(Pid) -> io::Result<()>);

impl fmt::Debug for Mover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mover")
    }
}

/// A process to add to a running container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The container.
    pub target: Target<'a>,
    /// What to run.
    pub process: &'a Process,
    /// As for [`Container`].
    pub seccomp: Option<&'a seccomp::Program>,
    /// The container's cgroup; without it the process stays in the caller's.
    pub cgroup: Option<&'a cgroups::Cgroup>,
    /// The container's group of caches and memory bandwidth, likewise.
    pub resctrl: Option<&'a resctrl::Group>,
    /// `linux.memoryPolicy` of the container, which no process inherits that is not its init's
    /// child.
    pub memory_policy: Option<&'a MemoryPolicy>,
    /// As for [`Container`].
    pub stdio: Stdio<'a>,
    /// As for [`Container`].
    pub parent: Parent,
    /// As for [`Container`].
    pub death_signal: Option<Signal>,
    /// As for [`Container`].
    pub preserved: &'a [BorrowedFd<'a>],
    /// As for [`Container`].
    pub options: Options,
}

/// A running container, by its init.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The init's id in the caller's pid namespace.
    pub pid: Pid,
    /// A handle of the same process; what is joined is what this means.
    pub pidfd: BorrowedFd<'a>,
}

/// Where a root file system comes from.
#[derive(Debug, Clone, Copy)]
pub enum Rootfs<'a> {
    /// A directory of the host. What is mounted below it comes along.
    Directory(&'a Path),
    /// Mounts to perform, the first on `/`. They exist nowhere but inside the container.
    Mounts(&'a [Mount]),
}

/// Standard input, output and error.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    /// The caller's own.
    Inherit,
    /// These three.
    Fds([BorrowedFd<'a>; 3]),
    /// A new terminal from the container's own devpts, whose other end is [`Created::console`].
    Terminal {
        /// Its size; `process.consoleSize` if absent.
        size: Option<TerminalSize>,
    },
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in each.
    pub columns: u16,
}

/// Who waits for the new process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parent {
    /// The caller.
    #[default]
    Own,
    /// The caller's parent (`CLONE_PARENT`), which also reaps a process that failed to get ready;
    /// and, where others are in the pid namespace, one that made the process and has ended when
    /// that is created.
    Sibling,
}

/// The choices that the spec has no word for. The default is what an engine wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Move the root over the old one and chroot instead of pivot_root(2), for hosts that run
    /// from a ramfs. Weaker: a process with CAP_SYS_CHROOT can get out of it.
    pub no_pivot: bool,
    /// Keep the caller's session keyring instead of a new, empty one.
    pub keep_keyring: bool,
    /// Make `process.cwd` if it does not exist, owned by this user and group (as they are
    /// inside). Without it a missing one is an error.
    pub make_cwd: Option<(u32, u32)>,
    /// Set `HOME`, if `process.env` does not, to what the container's /etc/passwd says of the user.
    pub set_home: bool,
}

/// A process that has everything but its program.
#[derive(Debug)]
pub struct Created {
    /// Its id in the caller's pid namespace.
    pub pid: Pid,
    /// A handle that never means another process.
    pub pidfd: OwnedFd,
    /// The near end of its terminal, if it has one.
    pub console: Option<OwnedFd>,
    /// What starts it.
    pub start: StartHandle,
    /// What could not be had as asked, and was not worth failing for.
    pub warnings: Vec<String>,
}
