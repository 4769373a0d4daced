//! Signals as data: blocked for the whole process and read from a descriptor.
//!
//! Only for processes of one thread: masks belong to threads. [`crate::process::reset_signals`]
//! is the way back, for a program to be executed.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Blocks every signal that can be blocked.
///
/// A signal of which the default action is to kill is then without effect, but stays pending.
///
/// sigprocmask(2).
pub fn block_all() -> io::Result<()> {
    let mut all = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set; sigprocmask reads it and keeps nothing. The old
    // mask is not asked for.
    let ret = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut())
    };
    check(ret)
}

/// A descriptor from which the given signals, which must be blocked, are read.
///
/// Closed on exec, never waits. `None` stands for all signals.
///
/// signalfd(2).
pub fn signal_fd(signals: Option<&[i32]>) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised by either call before signals are added and before it is
    // read; the kernel copies it. -1 asks for a new descriptor, which nobody else owns.
    unsafe {
        match signals {
            None => libc::sigfillset(set.as_mut_ptr()),
            Some(_) => libc::sigemptyset(set.as_mut_ptr()),
        };
        for signal in signals.unwrap_or_default() {
            check(libc::sigaddset(set.as_mut_ptr(), *signal))?;
        }
        let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The next signal that came to a descriptor of [`signal_fd`]; `None` if there is none.
pub fn read_signal(fd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: `fd` is open because it is borrowed, and `info` has room for `size` bytes.
    let count = unsafe { libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    if count < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        };
    }
    if usize::try_from(count).is_ok_and(|count| count == size) {
        // SAFETY: the kernel filled the whole structure, which has no invalid values.
        let info = unsafe { info.assume_init() };
        return Ok(i32::try_from(info.ssi_signo).ok());
    }
    Ok(None)
}

fn check(ret: libc::c_int) -> io::Result<()> {
    match ret {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Kills every other process of the pid namespace whose first process the caller is.
///
/// `EPERM` for anybody else, for whom the same call would mean all that it may kill; `ESRCH` if
/// there is none.
///
/// kill(2), pid -1.
pub fn kill_all_others() -> io::Result<()> {
    if !rustix::process::getpid().is_init() {
        return Err(rustix::io::Errno::PERM.into());
    }
    // SAFETY: takes two numbers, and reaches nobody outside of the caller's pid namespace.
    check(unsafe { libc::kill(-1, libc::SIGKILL) })
}

/// Sends any signal, real-time ones too, to the process that a pidfd means.
///
/// `ESRCH` if it has ended, `EINVAL` for a number that is no signal.
///
/// pidfd_send_signal(2).
pub fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: `pidfd` is open because it is borrowed; a null pointer asks for the information
    // that kill(2) would give; no flags are defined for this use.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
