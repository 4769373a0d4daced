//! The one option of a netlink socket that we need.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has the kernel add to its refusals what exactly it did not like, as a text.
///
/// netlink(7), `NETLINK_EXT_ACK`, Linux 4.12.
pub fn extend_errors(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the socket is open because it is borrowed, and the option takes an int, which
    // outlives the call and whose true size is given.
    let ret = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_EXT_ACK,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
