//! Device nodes and the links beside them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::runtime::Device;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use sys::mount::{MountAttr, NO_EXEC, NO_SUID, READ_ONLY, set_attr};

use crate::RuntimeError;
use crate::error::{Step, spec_error};
use crate::plan::clean;
use crate::target::{self, Want};

/// What every container has. runtime-spec 1.3.0, config-linux.md, "Default Devices".
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Leads to the container's own terminals, whatever was asked for.
const PTMX: &str = "/dev/ptmx";

/// Refuses a device that cannot be made.
pub(crate) fn check(device: &Device, index: usize) -> Result<(), RuntimeError> {
    let field = |name: &str| format!("linux.devices[{index}].{name}");
    if !device.path.starts_with('/') || clean(&device.path) == "/" {
        return Err(spec_error(field("path"), "is not an absolute path"));
    }
    if device.path.contains('\0') {
        return Err(spec_error(field("path"), "has a zero byte in it"));
    }
    let number = |value: i64| u32::try_from(value).is_ok();
    match device.kind.as_str() {
        "c" | "b" | "u" if number(device.major) && number(device.minor) => Ok(()),
        "p" => Ok(()),
        "c" | "b" | "u" => Err(spec_error(field("major"), "is not a device's number")),
        kind => Err(spec_error(field("type"), format!("no type \"{kind}\""))),
    }
}

/// How nodes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// mknod(2).
    Make,
    /// The host's own node, bound: in a user namespace nobody may make one, and a device cgroup
    /// may forbid it.
    Bind,
}

/// Makes the default devices, those of the spec, and the links.
///
/// Must come before the old root is left: that is where nodes to bind come from.
pub(crate) fn make_all(
    root: BorrowedFd<'_>,
    devices: &[Device],
    may_make: bool,
) -> Result<(), RuntimeError> {
    let mut how = if may_make { How::Make } else { How::Bind };
    let dev = target::ensure(root, "/dev", Want::Directory)?;
    for (name, major, minor) in DEFAULTS {
        let path = format!("/dev/{name}");
        if devices.iter().any(|device| clean(&device.path) == path) {
            continue;
        }
        let node = Node {
            path: &path,
            kind: FileType::CharacterDevice,
            number: makedev(major, minor),
            mode: 0o666,
            owner: (0, 0),
        };
        node.put(dev.as_fd(), name, &mut how)?;
    }
    for device in devices {
        let path = clean(&device.path);
        if path == PTMX {
            continue; // a link in its place comes last, which could not replace one that is bound
        }
        let (parent, name) = path.rsplit_once('/').expect("a clean path begins with a slash");
        let other = match parent {
            "/dev" => None,
            "" => Some(root.try_clone_to_owned().inside(|| "open the root".into())?),
            parent => Some(target::ensure(root, parent, Want::Directory)?),
        };
        let node = Node {
            path: &path,
            kind: match device.kind.as_str() {
                "b" => FileType::BlockDevice,
                "p" => FileType::Fifo,
                _ => FileType::CharacterDevice,
            },
            number: match device.kind.as_str() {
                "p" => 0,
                // `check` has seen that both fit.
                _ => makedev(device.major as u32, device.minor as u32),
            },
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
        };
        node.put(other.as_ref().unwrap_or(&dev).as_fd(), name, &mut how)?;
    }
    for (name, target) in LINKS {
        link(dev.as_fd(), name, target)?;
    }
    if target::find(root, "/proc/kcore", true).is_ok() {
        link(dev.as_fd(), "core", "/proc/kcore")?;
    }
    ptmx(dev.as_fd())
}

struct Node<'a> {
    path: &'a str,
    kind: FileType,
    number: u64,
    mode: u32,
    owner: (u32, u32),
}

impl Node<'_> {
    fn put(&self, dir: BorrowedFd<'_>, name: &str, how: &mut How) -> Result<(), RuntimeError> {
        let action = || format!("make device {}", self.path);
        if *how == How::Make || self.kind == FileType::Fifo {
            let mode = Mode::from_raw_mode(self.mode);
            match rustix::fs::mknodat(dir, name, self.kind, mode, self.number) {
                Ok(()) => {
                    let (uid, gid) = self.owner;
                    if self.owner != (0, 0) {
                        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                        rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                            .inside(action)?;
                    }
                    return Ok(());
                }
                Err(Errno::EXIST) => return self.check_existing(dir, name),
                Err(Errno::PERM) if self.kind != FileType::Fifo => *how = How::Bind,
                Err(errno) => return Err(errno).inside(action),
            }
        }
        self.bind(dir, name)
    }

    fn check_existing(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), RuntimeError> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .inside(|| format!("look at {}", self.path))?;
        let same = FileType::from_raw_mode(stat.st_mode) == self.kind
            && (self.kind == FileType::Fifo || stat.st_rdev == self.number);
        match same {
            true => Ok(()),
            false => Err(RuntimeError::Refused(format!(
                "{} in the root file system is something else than the device asked for",
                self.path
            ))),
        }
    }

    fn bind(&self, dir: BorrowedFd<'_>, name: &str) -> Result<(), RuntimeError> {
        let action = || format!("bind the host's device over {}", self.path);
        // Where the host has it: at the same path, or by its number.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let is_it = |fd: &OwnedFd| {
            rustix::fs::fstat(fd).is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == self.kind && stat.st_rdev == self.number
            })
        };
        let host = rustix::fs::openat(CWD, self.path, flags, Mode::empty());
        let host = match host.ok().filter(is_it) {
            Some(host) => host,
            None => {
                let kind = if self.kind == FileType::BlockDevice { "block" } else { "char" };
                let (major, minor) =
                    (rustix::fs::major(self.number), rustix::fs::minor(self.number));
                let name =
                    std::fs::read_to_string(format!("/sys/dev/{kind}/{major}:{minor}/uevent"))
                        .inside(action)?;
                let name = name.lines().find_map(|line| line.strip_prefix("DEVNAME="));
                let path = format!("/dev/{}", name.unwrap_or_default());
                let host = rustix::fs::openat(CWD, path, flags, Mode::empty()).inside(action)?;
                Some(host).filter(is_it).ok_or(Errno::NXIO).inside(action)?
            }
        };
        match rustix::fs::mknodat(dir, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0) {
            Ok(()) => {}
            Err(Errno::EXIST) if self.check_existing(dir, name).is_ok() => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).inside(action),
        }
        let place = rustix::fs::openat(dir, name, flags, Mode::empty()).inside(action)?;
        let kind = rustix::fs::fstat(&place).inside(action)?.st_mode;
        if FileType::from_raw_mode(kind) != FileType::RegularFile {
            return self.check_existing(dir, name);
        }
        bind_over(host.as_fd(), place.as_fd()).inside(action)
    }
}

/// Binds one open file over another, read-only.
///
/// A device can be read and written all the same, but the node is the host's: without this, root
/// inside could change its mode, owner and times for everybody.
pub(crate) fn bind_over(source: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, "", flags)?;
    let attr = MountAttr { set: READ_ONLY | NO_SUID | NO_EXEC, ..MountAttr::default() };
    set_attr(tree.as_fd(), false, &attr)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree.as_fd(), "", place, "", flags)
}

fn link(dev: BorrowedFd<'_>, name: &str, target: &str) -> Result<(), RuntimeError> {
    match rustix::fs::symlinkat(target, dev, name) {
        // What the image has under that name is the image's affair.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).inside(|| format!("make the link /dev/{name}")),
    }
}

/// /dev/ptmx leads to the container's own devpts, whatever was there.
fn ptmx(dev: BorrowedFd<'_>) -> Result<(), RuntimeError> {
    let action = || "make the link /dev/ptmx".to_owned();
    match rustix::fs::symlinkat("pts/ptmx", dev, "ptmx") {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(dev, "ptmx", AtFlags::empty()).inside(action)?;
            rustix::fs::symlinkat("pts/ptmx", dev, "ptmx").inside(action)
        }
        Err(errno) => Err(errno).inside(action),
    }
}
