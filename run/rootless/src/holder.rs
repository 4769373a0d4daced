//! The process by which commands find their user's namespace, and the way in.
//!
//! Members of `<root>/rootless.lock` ([`crate::door`]) are all commands and shims that are in the
//! namespace.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Signal, WaitId, WaitIdOptions};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags};
use sys::fs::Lock;
use sys::process::{Child, CloneFlags};

use crate::door::{Found, HOLDER_LIFE, MAKING, MEMBERS, find, io_error, lock, open, write_pid};
use crate::{Ids, RootlessError, User};

/// `argv[0]` under which the program is a holder.
pub const HOLDER: &str = "kista-holder";

const FILE: &str = "rootless.lock";

/// Keeps the namespace findable for others. Held for as long as somebody is in it.
#[derive(Debug)]
pub struct Member {
    _file: OwnedFd,
}

/// Becomes a member of the namespace that the caller is in: for a shim, which outlives the command
/// that started it.
pub fn member(root: &Path) -> Result<Member, RootlessError> {
    let path = root.join(FILE);
    let file = open(&path)?;
    lock(&path, file.as_fd(), MEMBERS, Lock::Shared)?;
    Ok(Member { _file: file })
}

/// Enters the namespace that the user's commands on the data directory `root` share, and makes it
/// if there is none. The directory is made as well (mode 0700).
///
/// Afterwards the caller is root in that namespace, with all capabilities there, in a mount
/// namespace of its own that follows the host's. It must have one thread. `survivor` finds a
/// process that is in the namespace, for the case that its holder was killed.
///
/// user_namespaces(7); setns(2), by pidfd.
pub fn enter(
    root: &Path,
    user: &User,
    survivor: &dyn Fn() -> Option<OwnedFd>,
) -> Result<Member, RootlessError> {
    make_root(root)?;
    let member = member(root)?;
    let path = root.join(FILE);
    match find(&path)? {
        Found::Holder(_, holder) => join(holder.as_fd())?,
        Found::Nothing | Found::Dead(_) => make(&path, user, survivor)?,
    }
    settle()?;
    Ok(member)
}

/// The whole of a process that was called as [`HOLDER`]: descriptor 3 is the file, with the lock on
/// byte 0.
pub fn hold() -> ExitCode {
    let Ok(file) = sys::inherit::take(3) else { return ExitCode::FAILURE };
    let _ = rustix::thread::set_name(c"kista-holder");
    match sys::fs::lock_range(file.as_fd(), MEMBERS, Lock::Exclusive, true) {
        Ok(true) => {
            // Nobody is left, so that nobody need be looked for.
            let _ = rustix::fs::ftruncate(&file, 0);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

/// Makes a holder, and is in its namespace afterwards.
fn make(
    path: &Path,
    user: &User,
    survivor: &dyn Fn() -> Option<OwnedFd>,
) -> Result<(), RootlessError> {
    let maker = open(path)?;
    lock(path, maker.as_fd(), MAKING, Lock::Exclusive)?;
    let is_new = match find(path)? {
        // Somebody was faster.
        Found::Holder(_, holder) => return join(holder.as_fd()),
        Found::Nothing => true,
        Found::Dead(_) => match survivor() {
            Some(survivor) => {
                join(survivor.as_fd())?;
                false
            }
            None => true,
        },
    };
    let ids = if is_new { Some(Ids::of(user)?) } else { None };
    let file = open(path)?;
    lock(path, file.as_fd(), HOLDER_LIFE, Lock::Exclusive)?;
    let flags = if is_new { CloneFlags::NEWUSER } else { CloneFlags::empty() };
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| io_error("start", path)(errno.into()))?;
    let exe = open_plain(c"/proc/self/exe", OFlags::PATH).map_err(io_error("start", path))?;
    let null = open_plain(c"/dev/null", OFlags::RDWR).map_err(io_error("start", path))?;
    let mut writer = Some(writer);
    let child = sys::process::clone(flags, None, || {
        drop(writer.take());
        become_holder(&file, &reader, &exe, &null)
    })
    .map_err(no_namespace)?;
    let mapped = match &ids {
        None => Ok(()),
        Some(ids) => {
            runtime::write_id_maps(child.pid, &ids.uids, &ids.gids).map_err(RootlessError::Map)
        }
    };
    let joined = mapped
        .and_then(|()| write_pid(&file, child.pid, 0).map_err(io_error("write", path)))
        .and_then(|()| if is_new { join(child.pidfd.as_fd()) } else { Ok(()) });
    if let Err(error) = joined {
        end(&child);
        return Err(error);
    }
    // It ends if nothing comes: a holder whose maker died half-way is none.
    let writer = writer.expect("taken only in the child");
    rustix::io::write(&writer, b"+").map_err(|errno| io_error("start", path)(errno.into()))?;
    Ok(())
}

/// The holder's way to its own program. Only a byte from its maker lets it live.
fn become_holder(file: &OwnedFd, reader: &OwnedFd, exe: &OwnedFd, null: &OwnedFd) -> i32 {
    let keep = [file.as_fd(), reader.as_fd(), exe.as_fd(), null.as_fd()];
    if sys::process::close_all_but(&keep).is_err()
        || rustix::io::read(reader, &mut [0]) != Ok(1)
        || rustix::process::chdir(c"/").is_err()
    {
        return 1;
    }
    // Out of the session of whoever needed it first.
    let _ = rustix::process::setsid();
    sys::process::reset_signals();
    let null = null.as_fd();
    let fds = [(null, 0), (null, 1), (null, 2), (file.as_fd(), 3)];
    let Ok(kept) = sys::process::arrange_fds(&fds, &[exe.as_fd()]) else { return 1 };
    let error = sys::process::exec_fd(kept[0].as_fd(), &[c"kista-holder"], &[]);
    std::mem::forget(kept);
    error.raw_os_error().unwrap_or(1)
}

fn end(child: &Child) {
    let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
    let _ = rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
}

fn join(process: BorrowedFd<'_>) -> Result<(), RootlessError> {
    sys::namespace::join(process, ThreadNameSpaceType::USER).map_err(no_namespace)
}

/// What a process needs besides the user namespace.
fn settle() -> Result<(), RootlessError> {
    // Only in one that belongs to this user namespace may anything be mounted. It shows what is
    // mounted on the host later, too, and nothing of what is mounted in it shows there.
    sys::namespace::unshare(UnshareFlags::NEWNS).map_err(no_namespace)?;
    // The kernel takes new rights for a reason to hide the process, from itself as well: its own
    // files in /proc would belong to the host's root. They are rights over what is its own.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
        .map_err(|errno| no_namespace(errno.into()))
}

fn no_namespace(source: io::Error) -> RootlessError {
    let says = |path: &str, value: &str| {
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
    };
    let is = |errno: Errno| source.raw_os_error() == Some(errno.raw_os_error());
    let hint = if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        ": this host does not let users make any (sysctl kernel.unprivileged_userns_clone=1)"
    } else if says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        ": AppArmor keeps programs without a profile from it (sysctl \
         kernel.apparmor_restrict_unprivileged_userns=0, or a profile with `userns,` for kista)"
    } else if is(Errno::NOSPC) {
        ": there are too many (sysctl user.max_user_namespaces)"
    } else {
        ""
    };
    RootlessError::Namespace { hint, source }
}

fn make_root(root: &Path) -> Result<(), RootlessError> {
    match root.is_dir() {
        true => Ok(()),
        false => {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|source| {
                RootlessError::Io { action: "make", path: root.to_owned(), source }
            })
        }
    }
}

pub(crate) fn open_plain(path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())?)
}
