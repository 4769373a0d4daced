//! How a process is scheduled, and as what kind of machine it runs.
#![allow(unsafe_code)]

use std::io;

use rustix::process::Pid;

/// What sched_setattr(2) takes; times in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SchedAttr {
    size: u32,
    /// `SCHED_` number.
    pub policy: u32,
    /// `SCHED_FLAG_` bits.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// 1 to 99 for real-time policies.
    pub priority: u32,
    /// For `SCHED_DEADLINE`.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`.
    pub period: u64,
}

/// Sets how a process's first thread is scheduled; `None` is the calling thread.
/// sched_setattr(2).
pub fn set_scheduler(pid: Option<Pid>, attr: &SchedAttr) -> io::Result<()> {
    let pid = pid.map_or(0, |pid| pid.as_raw_nonzero().get());
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: `attr` has the layout of `struct sched_attr` in its first published size, which it
    // states, and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attr, 0) })
}

/// Sets the calling thread's input and output priority; `class` 1 real-time, 2 best effort,
/// 3 idle. ioprio_set(2).
pub fn set_io_priority(class: u8, level: u8) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let value = (libc::c_int::from(class) << 13) | libc::c_int::from(level);
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) })
}

/// Sets from which nodes the calling thread, and what it starts, gets its memory: `mode` is an
/// `MPOL_` number with `MPOL_F_` bits, `nodes` a bit for each node, lowest first.
/// set_mempolicy(2).
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    let (mask, bits) = match nodes {
        [] => (std::ptr::null(), 0),
        // The kernel takes one bit less than it is told.
        nodes => (nodes.as_ptr(), nodes.len() * 64 + 1),
    };
    // SAFETY: the mask is null or has as many bits as stated, one rounded down, and outlives the
    // call, which only reads it.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) })
}

/// Sets the execution domain: 0 is native, 8 makes uname(2) speak of a 32-bit machine.
/// personality(2).
pub fn set_personality(persona: u32) -> io::Result<()> {
    // SAFETY: takes a number only.
    check(unsafe { libc::syscall(libc::SYS_personality, libc::c_ulong::from(persona)) }.min(0))
}

/// Gives the caller a new, empty session keyring, so that it has none of its parent's keys.
/// keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`.
pub fn new_session_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for an anonymous keyring; nothing else is passed.
    check(
        unsafe {
            libc::syscall(
                libc::SYS_keyctl,
                libc::KEYCTL_JOIN_SESSION_KEYRING,
                std::ptr::null::<u8>(),
            )
        }
        .min(0),
    )
}

fn check(ret: libc::c_long) -> io::Result<()> {
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn each_is_accepted_by_the_kernel() {
        let child = crate::process::fork(|| {
            set_scheduler(None, &SchedAttr { policy: 3, nice: 5, ..SchedAttr::default() }).unwrap();
            set_io_priority(2, 7).unwrap();
            set_personality(8).unwrap();
            set_memory_policy(2, &[1]).unwrap();
            set_memory_policy(0, &[]).unwrap();
            set_memory_policy(2, &[]).unwrap_err();
            new_session_keyring().unwrap();
            set_io_priority(7, 0).unwrap_err();
            0
        })
        .unwrap();
        let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
        let status = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
        assert_eq!(status.unwrap().unwrap().exit_status(), Some(0));
    }
}
