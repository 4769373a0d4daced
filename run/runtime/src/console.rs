//! The container's terminal: a pair from its own devpts, never one of the host's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::Winsize;

use crate::error::Step;
use crate::target::{self, Want};
use crate::{RuntimeError, Stdio};

/// Opens a pair: the far end for the process, the near one for whoever talks to it.
///
/// `devpts` is the root of a devpts. The far end comes from the near one's own descriptor, so
/// that no name is looked up in a directory that others write to (CVE-2025-52565).
pub(crate) fn open_pair(
    devpts: BorrowedFd<'_>,
    stdio: Stdio<'_>,
    size: Option<oci::runtime::ConsoleSize>,
) -> Result<(OwnedFd, OwnedFd), RuntimeError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let near = sys::fs::open_beneath(devpts, "ptmx", flags, Mode::empty())
        .inside(|| "open a terminal in the container's devpts".into())?;
    unlockpt(&near).inside(|| "unlock the terminal".into())?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let far = ioctl_tiocgptpeer(&near, flags).inside(|| "open the terminal's far end".into())?;
    let size = match (stdio, size) {
        (Stdio::Terminal { size: Some(size) }, _) => Some((size.rows, size.columns)),
        (_, size) => size.map(|size| (size.height, size.width)),
    };
    if let Some((rows, columns)) = size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&near, size).inside(|| "size the terminal".into())?;
    }
    Ok((far, near))
}

/// Binds a terminal's far end over /dev/console.
///
/// Its devpts must be attached by now.
pub(crate) fn bind(root: BorrowedFd<'_>, far: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    let place = target::ensure(root, "/dev/console", Want::File)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(far, "", flags).inside(|| "clone the terminal".into())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree.as_fd(), "", place.as_fd(), "", flags)
        .inside(|| "bind the terminal over /dev/console".into())
}

/// Gives a terminal's far end to the process's user.
pub(crate) fn give(far: BorrowedFd<'_>, uid: u32) -> Result<(), RuntimeError> {
    match uid {
        0 => Ok(()),
        uid => rustix::fs::fchown(far, Some(rustix::fs::Uid::from_raw(uid)), None)
            .inside(|| format!("give the terminal to user {uid}")),
    }
}

/// Makes it the controlling terminal of this session.
pub(crate) fn take(far: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    rustix::process::ioctl_tiocsctty(far).inside(|| "take the terminal".into())
}
