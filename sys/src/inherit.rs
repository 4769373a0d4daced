//! Descriptors that a process finds open when it starts.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;

/// Takes over a descriptor by its number, as agreed with whoever started this program.
///
/// It is closed on exec from then on. `EBADF` if it is not open, or was taken before: what is
/// closed on exec cannot have come from another program.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: only used for the two calls below, which report EBADF for a number that is not
    // open; it is never -1.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if rustix::io::fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC) {
        return Err(rustix::io::Errno::BADF.into());
    }
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    // SAFETY: the descriptor is open. Everything that this program opens is closed on exec, and
    // this one was not, so it was inherited and no other value owns it; from now on it is
    // closed on exec, and a second call refuses.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn a_descriptor_is_taken_once() {
        // Not closed on exec, as if inherited; high enough that no other test gets the number.
        let file = tempfile::tempfile().unwrap();
        let number = rustix::io::fcntl_dupfd_cloexec(&file, 500).unwrap();
        rustix::io::fcntl_setfd(&number, FdFlags::empty()).unwrap();
        let number = number.into_raw_fd();
        let taken = take(number).unwrap();
        assert_eq!(take(number).unwrap_err().raw_os_error(), Some(libc::EBADF));
        drop(taken);
        assert_eq!(take(number).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
