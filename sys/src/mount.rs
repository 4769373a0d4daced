//! Mounts that are not attached anywhere yet: attributes, id mappings, propagation.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Changes to the attributes of a mount, or of a whole tree of mounts.
///
/// mount_setattr(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountAttr<'a> {
    /// `MOUNT_ATTR_` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_` bits to clear; [`ATIME`] must be here for a change of access times.
    pub clear: u64,
    /// The new propagation.
    pub propagation: Option<Propagation>,
    /// The user namespace by which ids are mapped; the mount must not be attached yet.
    pub id_map: Option<IdMapFd<'a>>,
}

/// A user namespace's descriptor.
#[derive(Debug, Clone, Copy)]
pub struct IdMapFd<'a>(pub BorrowedFd<'a>);

impl PartialEq for IdMapFd<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_raw_fd() == other.0.as_raw_fd()
    }
}

impl Eq for IdMapFd<'_> {}

/// How mounts below a mount spread. mount_namespaces(7), "Shared subtrees".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// Inwards only.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and the mount cannot be bound elsewhere.
    Unbindable,
}

/// `MOUNT_ATTR_RDONLY`
pub const READ_ONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`
pub const NO_SUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`
pub const NO_DEV: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC`
pub const NO_EXEC: u64 = 0x8;
/// `MOUNT_ATTR__ATIME`: the mask of the three that follow.
pub const ATIME: u64 = 0x70;
/// `MOUNT_ATTR_RELATIME`: the absence of the others.
pub const RELATIME: u64 = 0x0;
/// `MOUNT_ATTR_NOATIME`
pub const NO_ATIME: u64 = 0x10;
/// `MOUNT_ATTR_STRICTATIME`
pub const STRICT_ATIME: u64 = 0x20;
/// `MOUNT_ATTR_NODIRATIME`
pub const NO_DIR_ATIME: u64 = 0x80;
/// `MOUNT_ATTR_NOSYMFOLLOW`
pub const NO_SYMFOLLOW: u64 = 0x20_0000;
const ID_MAP: u64 = 0x10_0000;

impl MountAttr<'_> {
    /// Nothing but read-only.
    pub const fn read_only() -> Self {
        Self { set: READ_ONLY, clear: 0, propagation: None, id_map: None }
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `struct mount_attr`
#[repr(C)]
struct RawAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes a mount, or with `recursive` the mount and all below it, in one step.
///
/// `tree` is the mount's root, from open_tree(2), fsmount(2) or an `O_PATH` open. Needs
/// CAP_SYS_ADMIN in the user namespace that owns the mount namespace. With an id mapping the
/// caller must be privileged over the file system too, and `EINVAL` means that the file system
/// cannot do it.
///
/// mount_setattr(2), Linux 5.12.
pub fn set_attr(tree: BorrowedFd<'_>, recursive: bool, attr: &MountAttr<'_>) -> io::Result<()> {
    let raw = RawAttr {
        set: attr.set | if attr.id_map.is_some() { ID_MAP } else { 0 },
        clear: attr.clear,
        propagation: match attr.propagation {
            None => 0, // leave as is
            Some(Propagation::Shared) => libc::MS_SHARED,
            Some(Propagation::Slave) => libc::MS_SLAVE,
            Some(Propagation::Private) => libc::MS_PRIVATE,
            Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
        },
        userns_fd: attr.id_map.map_or(0, |IdMapFd(fd)| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated literal and `raw` outlives the call, with its true
    // size given; the kernel copies from both and keeps neither. `tree` and the namespace stay
    // open for the call because they are borrowed.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const raw,
            size_of::<RawAttr>(),
        )
    };
    match ret {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
