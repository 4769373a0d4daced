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
/// Needs CAP_SYS_ADMIN over both namespaces; in a user namespace over `namespace` alone, and then
/// another thread is there instead. A caller that could not return would be lost in a container,
/// so that this ends the process.
pub fn in_namespace<T: Send>(
    namespace: BorrowedFd<'_>,
    action: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    let enter = |namespace: BorrowedFd<'_>| {
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
    };
    let enter_it = || {
        enter(namespace)
            .map_err(|errno| NetworkError::kernel("enter the network namespace")(errno.into()))
    };
    if !sys::namespace::is_initial_user() {
        // Whoever is root only there cannot come back to the host's network.
        let done =
            std::thread::scope(|scope| scope.spawn(|| enter_it().and_then(|()| action())).join());
        return done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    let own = open_own()?;
    enter_it()?;
    let done = action();
    if let Err(errno) = enter(own.as_fd()) {
        panic!("cannot return to the caller's own network namespace: {errno}");
    }
    done
}
