//! What need not be done on the way: the slow parts of a container's beginning and of its end, for
//! callers who have time before the one and after the other.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::error::Step;
use crate::{Created, RuntimeError};

/// Makes a network namespace with its loopback interface up, for a container to join.
///
/// The kernel takes a third of a millisecond for it, half of all that a container costs. Whoever
/// knows early that there will be one makes it early, and gives it to [`crate::create`] as
/// `/proc/self/fd/N` in `linux.namespaces`. It ends with its last descriptor and process.
/// Not for containers with a user namespace, which must own their network.
///
/// The caller's thread is in the new namespace for an instant. Needs CAP_SYS_ADMIN.
pub fn new_network() -> Result<OwnedFd, RuntimeError> {
    if !sys::namespace::is_initial_user() {
        // Whoever is root only in a user namespace cannot come back to the host's network.
        return std::thread::scope(|scope| {
            let made = scope.spawn(make_network).join();
            made.unwrap_or_else(|_| Err(RuntimeError::Died { how: "it panicked".into() }))
        });
    }
    let own = open_network()?;
    let made = make_network();
    move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network))
        .host(|| "return to the caller's network namespace".into())?;
    made
}

/// Makes a network and stays there.
fn make_network() -> Result<OwnedFd, RuntimeError> {
    sys::namespace::unshare(UnshareFlags::NEWNET).host(|| "make a network namespace".into())?;
    sys::loopback::bring_up().host(|| "bring the loopback interface up".into())?;
    open_network()
}

fn open_network() -> Result<OwnedFd, RuntimeError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty())
        .host(|| "open the network namespace".into())
}

/// Holds a created container's mounts beyond its end, until the descriptor is closed.
///
/// When its last process ends the kernel takes all mounts apart and waits for the processors to
/// have noticed, before anybody learns of the end: 0.1 ms, and several on a busy machine.
/// With this the closing takes that time, whenever that is convenient.
pub fn hold_mounts(created: &Created) -> Result<OwnedFd, RuntimeError> {
    let path = format!("/proc/{}/ns/mnt", created.pid.as_raw_nonzero());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let held = rustix::fs::openat(CWD, &*path, flags, Mode::empty());
    let held = held.host(|| "hold the container's mounts".into())?;
    // The number may be another's by now, if it has ended and somebody has waited for it.
    let mut fds = [PollFd::new(&created.pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)).host(|| "look at the container's init".into())? {
        0 => Ok(held),
        _ => Err(RuntimeError::Died { how: "its parent knows how".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_made_and_the_caller_stays_where_it_is() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let link = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let before = link();
        let made = new_network().unwrap();
        assert_eq!(link(), before);
        let name = std::fs::read_link(sys::fs::fd_path(made.as_fd())).unwrap();
        assert!(name.to_str().unwrap().starts_with("net:[") && name != before);
    }
}
