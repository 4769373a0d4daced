//! Being in another network namespace for a moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::NetworkError;

/// Opens the calling thread's network namespace.
pub fn open_own() -> Result<OwnedFd, NetworkError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty())
        .map_err(|errno| NetworkError::kernel("open the network namespace")(errno.into()))
}

/// Calls `action` with the calling thread in `namespace`. Sockets that it opens stay there.
///
/// Needs CAP_SYS_ADMIN over both namespaces. A caller that could not return would be lost in a
/// container, so that this ends the process.
pub fn in_namespace<T>(
    namespace: BorrowedFd<'_>,
    action: impl FnOnce() -> Result<T, NetworkError>,
) -> Result<T, NetworkError> {
    let own = open_own()?;
    let enter = |namespace: BorrowedFd<'_>| {
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
    };
    enter(namespace)
        .map_err(|errno| NetworkError::kernel("enter the network namespace")(errno.into()))?;
    let done = action();
    if let Err(errno) = enter(own.as_fd()) {
        panic!("cannot return to the caller's own network namespace: {errno}");
    }
    done
}
