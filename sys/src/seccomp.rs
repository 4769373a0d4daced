//! Loading a system call filter.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: the call answers with the notification descriptor.
pub const NEW_LISTENER: u64 = 1 << 3;

/// Puts a filter in force for the calling thread and all that it starts, for good.
///
/// `instructions` are `struct sock_filter`s in the machine's byte order; the kernel checks them.
/// `flags` are `SECCOMP_FILTER_FLAG_` bits; with [`NEW_LISTENER`] the answer is the descriptor on
/// which notifications come. `EACCES` without no_new_privs or CAP_SYS_ADMIN.
///
/// seccomp(2), `SECCOMP_SET_MODE_FILTER`.
pub fn install(instructions: &[[u8; 8]], flags: u64) -> io::Result<Option<OwnedFd>> {
    let length = u16::try_from(instructions.len())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog {
        len: length,
        // The kernel only copies from it, whatever the pointer's type says.
        filter: instructions.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `program` names `length` instructions of 8 bytes each, the size of a sock_filter,
    // and both outlive the call, which copies them by bytes and so needs no alignment.
    let ret = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    match ret {
        0 => Ok(None),
        fd if fd > 0 && flags & NEW_LISTENER != 0 => {
            // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }))
        }
        // With SECCOMP_FILTER_FLAG_TSYNC: the thread that could not be synchronised.
        thread if thread > 0 => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_filter_holds_in_the_process_that_loads_it() {
        // if (nr == uname) return EBUSY; return ALLOW
        let number = u32::try_from(libc::SYS_uname).unwrap();
        let instruction = |code: u16, jt: u8, jf: u8, k: u32| {
            let (code, k) = (code.to_ne_bytes(), k.to_ne_bytes());
            [code[0], code[1], jt, jf, k[0], k[1], k[2], k[3]]
        };
        let filter = [
            instruction(0x20, 0, 0, 0),
            instruction(0x15, 0, 1, number),
            instruction(0x06, 0, 0, 0x0005_0000 | 16),
            instruction(0x06, 0, 0, 0x7fff_0000),
        ];
        let child = crate::process::fork(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            install(&filter, 0).unwrap();
            // SAFETY: the pointer is to memory of at least the size of a utsname.
            let ret = unsafe { libc::syscall(libc::SYS_uname, [0_u8; 512].as_mut_ptr()) };
            i32::from(!(ret == -1 && io::Error::last_os_error().raw_os_error() == Some(16)))
        })
        .unwrap();
        let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
        let status = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
        assert_eq!(status.unwrap().unwrap().exit_status(), Some(0));
    }
}
