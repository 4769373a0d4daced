//! Processes: clone3 with namespaces, descriptors in their places, execution.
//!
//! [`clone`] copies the caller and is for small processes with one thread; [`spawn`] copies
//! nothing and is for everyone else.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::{Pid, Signal};

pub use crate::spawn::{Program, Spawn, spawn, spawn_in};

/// Namespaces and relations of a process to be, in the kernel's own 64 bits (libc's constants
/// are `c_int`, into which `CLONE_INTO_CGROUP` does not fit).
///
/// clone(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CloneFlags(u64);

#[allow(missing_docs, reason = "each is the kernel's CLONE_ constant of that name")]
impl CloneFlags {
    pub const NEWTIME: Self = Self(0x80);
    pub const PARENT: Self = Self(0x8000);
    pub const NEWNS: Self = Self(0x2_0000);
    pub const NEWCGROUP: Self = Self(0x200_0000);
    pub const NEWUTS: Self = Self(0x400_0000);
    pub const NEWIPC: Self = Self(0x800_0000);
    pub const NEWUSER: Self = Self(0x1000_0000);
    pub const NEWPID: Self = Self(0x2000_0000);
    pub const NEWNET: Self = Self(0x4000_0000);

    /// No flag.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// The flags of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kernel's number.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A process that was made.
#[derive(Debug)]
pub struct Child {
    /// Its id in the caller's pid namespace.
    pub pid: Pid,
    /// A handle that never means another process. Closed on exec.
    pub pidfd: OwnedFd,
}

/// `struct clone_args`, first published size plus `cgroup` (Linux 5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Copies the calling process; the copy runs `child` and exits with what that returns.
///
/// The caller must have one thread: locks that others hold stay locked in the copy for ever.
/// The child sends SIGCHLD when it ends. With [`CloneFlags::PARENT`] it becomes the caller's
/// sibling, so that the caller's parent waits for it. `cgroup` is a cgroup v2 directory in which
/// the child is born. `ENOSYS` falls back to clone(2) where that can do the same.
///
/// clone3(2).
pub fn clone(
    flags: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> io::Result<Child> {
    let mut pidfd: c_int = -1;
    let mut args = CloneArgs {
        flags: flags.0 | CLONE_PIDFD,
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        // With CLONE_PARENT the kernel takes the caller's own signal, and wants none given.
        exit_signal: if flags.contains(CloneFlags::PARENT) { 0 } else { libc::SIGCHLD as u64 },
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` has the layout and the size that the kernel knows by that size, and
    // outlives the call, as does `pidfd`, to which it points. Without CLONE_VM the child has its
    // own copy of this memory, and with `stack` zero it goes on here, on its copy of this stack.
    let mut pid = unsafe {
        libc::syscall(libc::SYS_clone3, (&raw const args), size_of::<CloneArgs>()) as libc::pid_t
    };
    if pid < 0 && cgroup.is_none() && !flags.contains(CloneFlags::NEWTIME) {
        // Some filters around us (an outer container's, or that of the program to be) hide clone3
        // by ENOSYS, and older ones, which do not know it, forbid it.
        let hidden = [Some(libc::ENOSYS), Some(libc::EPERM)];
        if hidden.contains(&io::Error::last_os_error().raw_os_error()) {
            // SAFETY: as above; the flags fit in the lower 32 bits, the lowest byte holds the
            // exit signal, and the third argument receives the pidfd on every architecture.
            pid = unsafe {
                libc::syscall(
                    libc::SYS_clone,
                    args.flags | args.exit_signal,
                    0_usize,
                    &raw mut pidfd,
                    0_usize,
                    0_usize,
                ) as libc::pid_t
            };
        }
    }
    match pid {
        0 => {
            // The frames above belong to the parent's story: not even a panic may return there.
            let guard = ExitOnDrop;
            let code = child();
            std::mem::forget(guard);
            exit_now(code)
        }
        pid if pid > 0 => {
            let pid = Pid::from_raw(pid).expect("the kernel gave a positive number");
            // SAFETY: CLONE_PIDFD made this descriptor for us, and nobody else knows it.
            Ok(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Copies the calling process: [`clone`] without namespaces.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<Child> {
    clone(CloneFlags::empty(), None, child)
}

struct ExitOnDrop;

impl Drop for ExitOnDrop {
    fn drop(&mut self) {
        exit_now(255)
    }
}

/// Ends the process at once: no destructor, no exit handler, no flush.
///
/// The way out for every copy made by [`clone`]. _exit(2).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}

pub(crate) const CLOSE_RANGE_CLOEXEC: c_int = 4;

/// Sets every descriptor from `first` on to be closed by execve(2).
///
/// close_range(2), Linux 5.11.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only, and marks descriptors without closing any.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives descriptors the numbers that a program shall find them under, closes every other one on
/// exec, and answers with those of `keep` under numbers out of their way.
///
/// For a process about to execute: whatever had one of those numbers is gone, so the caller must
/// not use, nor drop, other descriptors of its own afterwards.
pub fn arrange_fds(
    fds: &[(BorrowedFd<'_>, RawFd)],
    keep: &[BorrowedFd<'_>],
) -> io::Result<Vec<OwnedFd>> {
    let above = fds.iter().map(|(_, target)| *target).max().unwrap_or(2).max(2) + 1;
    let copy = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, above);
    // Out of the way of all targets first: a target may be the number of another source.
    let kept = keep.iter().map(|fd| copy(*fd)).collect::<Result<Vec<_>, _>>()?;
    let sources = fds.iter().map(|(fd, _)| copy(*fd)).collect::<Result<Vec<_>, _>>()?;
    close_on_exec_from(0)?;
    for (source, (_, target)) in sources.iter().zip(fds) {
        // SAFETY: takes two numbers, the first of an open descriptor. What the second meant
        // before is given up by the caller, as stated.
        if unsafe { libc::dup2(source.as_raw_fd(), *target) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(kept)
}

/// Closes every descriptor but those of `keep`.
///
/// For a copy made by [`clone`] that is to live on by itself: what its maker had open (a lock, a
/// pipe whose end somebody waits for) must not live on in it. Values of the maker's that own what
/// is closed are never dropped in the copy, which leaves by execve(2) or [`exit_now`]; values of
/// the copy's own must all be in `keep`.
///
/// close_range(2), Linux 5.9.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut numbers: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    numbers.sort_unstable();
    let mut next = 0;
    for number in numbers {
        if next < number {
            close_range(next, number - 1)?;
        }
        next = next.max(number + 1);
    }
    close_range(next, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only. That no value is dropped later which owns one of these
    // descriptors is what `close_all_but` asks of its caller.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes now what execve(2) would close after [`arrange_fds`], but for `keep`; `end` is one more
/// than the highest number that was given there.
///
/// As with that, what else the caller owns must not be used afterwards, nor dropped.
pub fn close_before_exec(end: RawFd, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    // SAFETY: used here only, for a call that reports EBADF for a number that is not open, and as
    // numbers.
    let numbers = (0..end).map(|number| unsafe { BorrowedFd::borrow_raw(number) });
    let stays = |fd: &BorrowedFd<'_>| {
        let flags = rustix::io::fcntl_getfd(fd);
        flags.is_ok_and(|flags| !flags.contains(rustix::io::FdFlags::CLOEXEC))
    };
    close_all_but(&numbers.filter(stays).chain(keep.iter().copied()).collect::<Vec<_>>())
}

/// Overwrites the environment that this process was started with: `/proc/PID/environ` shows it to
/// whoever may look into the process.
///
/// The caller must have one thread, and finds no variable afterwards.
pub fn wipe_environment() {
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    // SAFETY: `environ` and the strings in its list are the C library's, in writable memory: the
    // stack as the kernel left it, or the heap. With one thread nobody reads them meanwhile, and
    // each string is overwritten up to its NUL. Afterwards the list is empty.
    unsafe {
        let list = environ;
        if list.is_null() {
            return;
        }
        let mut at = 0;
        while !(*list.add(at)).is_null() {
            let text = *list.add(at);
            std::ptr::write_bytes(text, 0, libc::strlen(text));
            at += 1;
        }
        *list = std::ptr::null_mut();
    }
}

/// Gives every signal its default action and unblocks all.
///
/// Ignored signals survive execve(2) otherwise, and Rust programs ignore SIGPIPE.
pub fn reset_signals() {
    // SAFETY: `action` and `none` are plain C structures for which zero means "default action"
    // and "no signal", and outlive the calls. The default action is installed by the kernel's
    // own call because the C library hides its two internal signals.
    unsafe {
        let action = [0_u64; 8];
        for signal in 1..=64 {
            if signal != libc::SIGKILL && signal != libc::SIGSTOP {
                libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0_usize, 8_usize);
            }
        }
        let none = 0_u64;
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            0_usize,
            8_usize,
        );
    }
}

/// Becomes another program; returns only if that failed.
///
/// The lists end where the slices end. execve(2).
pub fn exec(path: &CStr, args: &[&CStr], env: &[&CStr]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: `path` ends with a NUL; both lists hold such strings, end with a null pointer and
    // outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// As [`exec`], for an open file.
///
/// execveat(2), `AT_EMPTY_PATH`.
pub fn exec_fd(file: BorrowedFd<'_>, args: &[&CStr], env: &[&CStr]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: `file` is open because it is borrowed; both lists hold strings that end with a NUL,
    // end with a null pointer and outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

pub(crate) fn pointers(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Arms the signal that the caller gets when its parent's thread ends; `None` disarms.
///
/// The kernel disarms it when credentials change and when a set-user-id program is executed, and
/// says nothing if the parent was gone already: arm it again after the former and check the
/// latter by other means (a socket that the parent holds).
///
/// prctl(2), `PR_SET_PDEATHSIG`.
pub fn set_pdeathsig(signal: Option<Signal>) -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(signal)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    fn exit_code(child: &Child) -> Option<i32> {
        let id = WaitId::PidFd(child.pidfd.as_fd());
        waitid(id, WaitIdOptions::EXITED).unwrap().unwrap().exit_status()
    }

    #[test]
    fn a_copy_lets_go_of_what_its_maker_had_open() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (kept_reader, kept_writer) = rustix::pipe::pipe().unwrap();
        let child = fork(|| {
            close_all_but(&[kept_writer.as_fd(), reader.as_fd()]).unwrap();
            // It stays until the maker has seen the end of the pipe.
            i32::from(rustix::io::read(&reader, &mut [0]).is_err())
        })
        .unwrap();
        drop((writer, kept_writer));
        assert_eq!(exit_code(&child), Some(0), "its own copy of the writer is closed");
        assert_eq!(rustix::io::read(&kept_reader, &mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_a_program_would_not_have_is_closed() {
        let file = || -> OwnedFd { tempfile::tempfile().unwrap().into() };
        let (one, two) = (file(), file());
        let child = fork(|| {
            let fds = [(one.as_fd(), 0), (one.as_fd(), 2), (one.as_fd(), 3)];
            let kept = arrange_fds(&fds, &[two.as_fd()]).unwrap().remove(0);
            close_before_exec(4, &[kept.as_fd()]).unwrap();
            // SAFETY: used for a call that reports EBADF for a number that is not open.
            let is_open =
                |at| rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(at) }).is_ok();
            // Number one is the tests' own output, closed on exec by now.
            i32::from(!(0..100).filter(|at| is_open(*at)).eq([0, 2, 3, kept.as_raw_fd()]))
        })
        .unwrap();
        assert_eq!(exit_code(&child), Some(0));
    }

    #[test]
    fn a_wiped_environment_is_nobodys() {
        let child = fork(|| {
            wipe_environment();
            let seen = std::fs::read("/proc/self/environ").unwrap();
            i32::from(seen.iter().any(|byte| *byte != 0) || std::env::var_os("PATH").is_some())
        })
        .unwrap();
        assert_eq!(exit_code(&child), Some(0));
    }

    #[test]
    fn a_copy_exits_with_what_its_function_returns() {
        assert_eq!(exit_code(&fork(|| 42).unwrap()), Some(42));
    }
}
