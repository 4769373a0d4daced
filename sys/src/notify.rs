//! The listener's side of a system call filter that asks: what an agent does with the
//! descriptor that a runtime sends it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// `SECCOMP_IOCTL_NOTIF_RECV`, of a `struct seccomp_notif`.
const RECEIVE: u64 = 0xc050_2100;
/// `SECCOMP_IOCTL_NOTIF_SEND`, of a `struct seccomp_notif_resp`.
const SEND: u64 = 0xc018_2101;

/// A system call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    id: u64,
    /// The caller, in the pid namespace of the listener; 0 if it is not in it.
    pub pid: u32,
    /// The call's number.
    pub number: i32,
    /// Its arguments, as registers had them.
    pub arguments: [u64; 6],
}

/// The descriptor that a filter with a listener made.
#[derive(Debug)]
pub struct Notifications(OwnedFd);

impl Notifications {
    /// Of a descriptor that came from a runtime.
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Waits for the next call. `ENOENT` if its caller was killed meanwhile, or if no process
    /// is left under the filter.
    ///
    /// seccomp_unotify(2), `SECCOMP_IOCTL_NOTIF_RECV`.
    pub fn receive(&self) -> io::Result<Call> {
        // SAFETY: the structure is made of integers, for which zero is a value; the kernel asks
        // that it be zero.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        self.ioctl(RECEIVE, (&raw mut call).cast())?;
        Ok(Call { id: call.id, pid: call.pid, number: call.data.nr, arguments: call.data.args })
    }

    /// Lets the call return `-errno`, or 0 for 0, without being done. `ENOENT` if nobody waits.
    pub fn answer(&self, call: &Call, errno: i32) -> io::Result<()> {
        self.send(libc::seccomp_notif_resp { id: call.id, val: 0, error: -errno, flags: 0 })
    }

    /// Lets the kernel do the call. `ENOENT` if nobody waits.
    pub fn proceed(&self, call: &Call) -> io::Result<()> {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        self.send(libc::seccomp_notif_resp { id: call.id, val: 0, error: 0, flags })
    }

    fn send(&self, mut answer: libc::seccomp_notif_resp) -> io::Result<()> {
        self.ioctl(SEND, (&raw mut answer).cast())
    }

    fn ioctl(&self, request: u64, argument: *mut libc::c_void) -> io::Result<()> {
        loop {
            // SAFETY: each caller passes a live structure of the type whose size is in
            // `request`, which is all that the kernel reads and writes; the descriptor is open
            // for the call because it is owned.
            let ret = unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) };
            match (ret, io::Error::last_os_error()) {
                (0, _) => return Ok(()),
                (_, err) if err.kind() == io::ErrorKind::Interrupted => {}
                (_, err) => return Err(err),
            }
        }
    }
}
