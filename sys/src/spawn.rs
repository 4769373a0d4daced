//! Starting another program from a process of any size: nothing is copied.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::{Pid, Signal};

use crate::process::{CLOSE_RANGE_CLOEXEC, Child, CloneFlags, pointers, reset_signals};

/// What [`spawn`] executes.
#[derive(Debug, Clone, Copy)]
pub enum Program<'a> {
    /// A file by its path; not looked up in `PATH`.
    Path(&'a CStr),
    /// An open file, such as [`crate::exe::self_exe_readonly`] gives.
    Fd(BorrowedFd<'a>),
}

/// A program to start beside the caller.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// What to execute.
    pub program: Program<'a>,
    /// Arguments, with the program's own name first.
    pub args: &'a [&'a CStr],
    /// The whole environment.
    pub env: &'a [&'a CStr],
    /// Descriptors and the numbers that they get in the program; every other is closed.
    pub fds: &'a [(BorrowedFd<'a>, RawFd)],
    /// Whether the program leads a session of its own, out of reach of the caller's terminal.
    pub new_session: bool,
    /// What the program gets when the caller's thread ends.
    pub death_signal: Option<Signal>,
}

/// Starts a program without copying the caller's page tables; returns once it executes.
///
/// The program begins with default signal dispositions and an empty signal mask. Errors are
/// those of execve(2): nothing runs then. The child sends SIGCHLD.
///
/// clone(2) with `CLONE_VM | CLONE_VFORK`, execveat(2).
pub fn spawn(request: &Spawn<'_>) -> io::Result<Child> {
    spawn_in(request, CloneFlags::empty())
}

/// As [`spawn`], in new namespaces of these kinds: `NEWPID`, `NEWNET`, `NEWIPC`, `NEWUTS`; other
/// flags are not looked at.
///
/// The child's number is the one that the caller knows it by.
pub fn spawn_in(request: &Spawn<'_>, namespaces: CloneFlags) -> io::Result<Child> {
    // Any other flag would change what is said below about memory.
    let kinds = [CloneFlags::NEWPID, CloneFlags::NEWNET, CloneFlags::NEWIPC, CloneFlags::NEWUTS];
    let all = kinds.into_iter().fold(CloneFlags::empty(), CloneFlags::union);
    let Ok(namespaces) = c_int::try_from(namespaces.bits() & all.bits()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    const STACK_BYTES: usize = 32 * 1024;
    let argv = pointers(request.args);
    let envp = pointers(request.env);
    let mut fds: Vec<(RawFd, RawFd)> =
        request.fds.iter().map(|(fd, target)| (fd.as_raw_fd(), *target)).collect();
    let mut errno: c_int = 0;
    let mut plan = Plan {
        program: match request.program {
            Program::Path(path) => (libc::AT_FDCWD, path.as_ptr(), 0),
            Program::Fd(fd) => (fd.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH),
        },
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        fds: &raw mut fds[..],
        new_session: request.new_session,
        death_signal: request.death_signal.map_or(0, Signal::as_raw),
        errno: &raw mut errno,
    };
    let mut stack = vec![std::mem::MaybeUninit::<u128>::uninit(); STACK_BYTES / 16];
    let mut pidfd: c_int = -1;
    let _blocked = BlockedSignals::all();
    // SAFETY: `run_plan` is a C function that uses only system calls and the memory of `plan`,
    // on a stack of its own whose top is aligned to 16 bytes. CLONE_VFORK holds this thread
    // until the child has executed or ended, so all that `plan` points to outlives its use, and
    // the shared errno is not used by two at a time. Signals are blocked, so that no handler of
    // this process runs in the child.
    let pid = unsafe {
        libc::clone(
            run_plan,
            stack.as_mut_ptr_range().end.cast::<c_void>(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | namespaces,
            (&raw mut plan).cast::<c_void>(),
            &raw mut pidfd,
        )
    };
    let Some(pid) =
        Pid::from_raw(pid).filter(|pid| !pid.is_init() && pid.as_raw_nonzero().get() > 0)
    else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: CLONE_PIDFD made this descriptor for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if errno != 0 {
        // It has ended already; leave no zombie.
        let _ = rustix::process::waitid(
            rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)),
            rustix::process::WaitIdOptions::EXITED,
        );
        return Err(io::Error::from_raw_os_error(errno));
    }
    Ok(Child { pid, pidfd })
}

/// What the vfork child reads, and where it leaves its error.
struct Plan {
    program: (RawFd, *const c_char, c_int),
    argv: *const *const c_char,
    envp: *const *const c_char,
    fds: *mut [(RawFd, RawFd)],
    new_session: bool,
    death_signal: c_int,
    errno: *mut c_int,
}

/// The vfork child: arranges descriptors and executes. No allocation, no lock, no panic.
extern "C" fn run_plan(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a pointer to its `Plan`, which outlives this function's use of it,
    // because the parent's thread is held until then; nobody else touches it meanwhile. The
    // calls below get pointers that `spawn` made from live slices, each ended by a null.
    unsafe {
        let plan = &mut *plan.cast::<Plan>();
        let fds = &mut *plan.fds;
        let fail = |errno: *mut c_int| {
            *errno = (*libc::__errno_location()).max(1);
            127
        };
        // Out of the way of all targets first: a target may be the number of another source.
        let mut above = 2;
        for (_, target) in fds.iter() {
            above = above.max(*target);
        }
        if above + 1 > plan.program.0 && plan.program.0 >= 0 {
            plan.program.0 = libc::fcntl(plan.program.0, libc::F_DUPFD_CLOEXEC, above + 1);
            if plan.program.0 < 0 {
                return fail(plan.errno);
            }
        }
        for (source, _) in fds.iter_mut() {
            *source = libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, above + 1);
            if *source < 0 {
                return fail(plan.errno);
            }
        }
        if libc::syscall(libc::SYS_close_range, 0, u32::MAX, CLOSE_RANGE_CLOEXEC) < 0 {
            return fail(plan.errno);
        }
        for (source, target) in fds.iter() {
            if libc::dup2(*source, *target) < 0 {
                return fail(plan.errno);
            }
        }
        if plan.new_session {
            libc::setsid();
        }
        if plan.death_signal != 0 && libc::prctl(libc::PR_SET_PDEATHSIG, plan.death_signal) < 0 {
            return fail(plan.errno);
        }
        reset_signals();
        let (fd, path, flags) = plan.program;
        libc::syscall(libc::SYS_execveat, fd, path, plan.argv, plan.envp, flags);
        fail(plan.errno)
    }
}

/// All signals blocked until dropped.
struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    fn all() -> Self {
        // SAFETY: both sets are plain memory that the calls fill and outlive them.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set was filled by pthread_sigmask.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    #[test]
    fn a_spawned_program_has_the_given_descriptors_and_no_others() {
        let (reader, writer) = rustix::pipe::pipe().unwrap(); // inheritable, on purpose
        let child = spawn(&Spawn {
            program: Program::Path(c"/bin/sh"),
            args: &[c"sh", c"-c", c"echo /proc/self/fd/* >&7; kill -PIPE $$; exit 3"],
            env: &[c"PATH=/bin:/usr/bin"],
            fds: &[(writer.as_fd(), 7), (reader.as_fd(), 0), (writer.as_fd(), 2)],
            new_session: true,
            death_signal: None,
        })
        .unwrap();
        drop(writer);
        let text = io::read_to_string(std::fs::File::from(reader)).unwrap();
        // 3 (or so) is the shell's own, of the directory that it lists.
        let fds: Vec<_> =
            text.split_whitespace().map(|path| path.rsplit('/').next().unwrap()).collect();
        assert!(fds.len() <= 4 && ["0", "2", "7"].iter().all(|fd| fds.contains(fd)), "{text}");
        let id = WaitId::PidFd(child.pidfd.as_fd());
        let status = waitid(id, WaitIdOptions::EXITED).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(libc::SIGPIPE), "SIGPIPE is not ignored");
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_the_callers_error() {
        let request = |program| Spawn {
            program,
            args: &[c"x"],
            env: &[],
            fds: &[],
            new_session: false,
            death_signal: None,
        };
        let error = spawn(&request(Program::Path(c"/nonexistent"))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let directory = std::fs::File::open("/").unwrap();
        let error = spawn(&request(Program::Fd(directory.as_fd()))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
