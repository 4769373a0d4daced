//! An overlay of id-mapped layers on kernels that want its layers attached somewhere.
//!
//! Before Linux 6.15 an overlay takes no layer from a mount that is attached nowhere. So a process
//! with a mount namespace of its own attaches the mapped layers to a tmpfs there, makes the
//! overlay of them, hands its mount over and ends: the overlay holds what it is made of, and the
//! host's table has not changed.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use rustix::net::{RecvFlags, SendFlags, SocketType};
use rustix::process::{WaitId, WaitIdOptions};
use sys::fsid::FsIds;
use sys::process::CloneFlags;

use crate::error::Step;
use crate::idmap::IdMap;
use crate::message::{self, FromChild};
use crate::overlay::{mapped_layer, said};
use crate::plan::MountPlan;
use crate::{RuntimeError, mounts};

/// What is said with the mount.
const MADE: u8 = b'M';

/// Makes the overlay of `plan` with its layers' ids mapped by `map`, attached nowhere.
pub(crate) fn new_overlay(plan: &MountPlan<'_>, map: &IdMap) -> Result<OwnedFd, RuntimeError> {
    let (near, far) =
        sys::socket::pair(SocketType::SEQPACKET).host(|| "make a socket pair".into())?;
    let child = sys::process::clone(CloneFlags::NEWNS, None, || match make(plan, map) {
        Ok(mount) => {
            let fds = [mount.as_fd()];
            i32::from(sys::socket::send(far.as_fd(), &[MADE], &fds, SendFlags::empty()).is_err())
        }
        Err(error) => message::report(far.as_fd(), &error),
    })
    .host(|| "make a process that mounts layers".into())?;
    drop(far);
    let mut byte = [0];
    let peeked = sys::socket::receive(near.as_fd(), &mut byte, 1, RecvFlags::PEEK);
    let outcome = match peeked {
        Ok((1, fds)) if byte == [MADE] => fds.into_iter().next().ok_or_else(message::out_of_turn),
        // The kernel says EMSGSIZE of a longer one: an error.
        _ => match message::from_child(near.as_fd())? {
            Some(FromChild::Failed(error)) => Err(error),
            _ => Err(RuntimeError::Died { how: "while it mounted layers".into() }),
        },
    };
    let id = WaitId::PidFd(child.pidfd.as_fd());
    let _ = rustix::process::waitid(id, WaitIdOptions::EXITED);
    outcome
}

/// Runs in a mount namespace of its own.
fn make(plan: &MountPlan<'_>, map: &IdMap) -> Result<OwnedFd, RuntimeError> {
    let action = || format!("make an overlay with ids mapped for {}", plan.destination);
    mounts::detach_from_host()?;
    let stage = stage().inside(action)?;
    let mut lower = 0_u32;
    let mut parent = None;
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).inside(action)?;
    let set = |key: &str, value: &str| {
        fsconfig_set_string(&context, key, value)
            .inside(|| format!("set overlay option {key} to {value}{}", said(context.as_fd())))
    };
    let attach = |name: &str, path: &str| -> Result<(), RuntimeError> {
        let action = || format!("map the ids of {path}");
        let tree = mapped_layer(path, map).inside(action)?;
        rustix::fs::mkdirat(&stage, name, Mode::RWXU).inside(action)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::openat(&stage, name, flags, Mode::empty()).inside(action)?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&tree, "", &place, "", flags).inside(action)
    };
    // Names from here: short, as all layers must fit in 255 bytes.
    rustix::process::fchdir(&stage).inside(action)?;
    for (key, value) in &plan.options.data {
        match (key.as_str(), value.as_deref()) {
            ("lowerdir+", Some(path)) => {
                attach(&lower.to_string(), path)?;
                lower += 1;
            }
            ("upperdir" | "workdir", Some(path)) => {
                let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
                if *parent.get_or_insert(above) != above {
                    return Err(RuntimeError::Refused(format!(
                        "{path} is not beside the overlay's other directory"
                    )));
                }
                if rustix::fs::statat(&stage, "up", rustix::fs::AtFlags::empty()).is_err() {
                    attach("up", above)?;
                }
                set(key, &format!("up/{name}"))?;
            }
            (key, Some(value)) => set(key, value)?,
            (key, None) => {
                fsconfig_set_flag(&context, key).inside(|| format!("set overlay option {key}"))?
            }
        }
    }
    let names: Vec<String> = (0..lower).map(|number| number.to_string()).collect();
    set("lowerdir", &names.join(":"))?;
    let _ids = FsIds::set(map.root.0, map.root.1).inside(action)?;
    fsconfig_create(&context).inside(|| format!("{}{}", action(), said(context.as_fd())))?;
    let attributes = MountAttrFlags::from_bits_retain(plan.options.own.set as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).inside(action)
}

/// A tmpfs over the root directory, where it hides nothing from absolute paths.
fn stage() -> Result<OwnedFd, rustix::io::Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", "700")?;
    fsconfig_create(&context)?;
    let stage = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(&stage, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::IdMapping;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn layers_are_mapped_and_the_hosts_table_stays() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        // One thread, as callers have.
        let child = sys::process::fork(|| {
            look();
            0
        })
        .unwrap();
        let id = WaitId::PidFd(child.pidfd.as_fd());
        let status = rustix::process::waitid(id, WaitIdOptions::EXITED);
        assert_eq!(status.unwrap().unwrap().exit_status(), Some(0));
    }

    fn look() {
        let temp = tempfile::tempdir().unwrap();
        let dir = |name: &str| {
            let path = temp.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let mut options = Vec::new();
        for name in ["one", "two", "three"] {
            let path = dir(name);
            fs::write(path.join(name), name).unwrap();
            fs::write(path.join("all"), name).unwrap();
            options.push(format!("lowerdir+={}", path.display()));
        }
        for name in ["upper", "work"] {
            options.push(format!("{name}dir={}", dir(name).display()));
        }
        let kind = Some("overlay".into());
        let mount = oci::Mount { destination: "/".into(), kind, options, ..oci::Mount::default() };
        let mounts = [mount];
        let plans = crate::plan::root_mounts(&mounts).unwrap();
        let ids = [IdMapping { container_id: 0, host_id: 300_000, size: 1000 }];
        let map = IdMap::new(&ids, &ids).unwrap();
        let table = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = table();
        let made = new_overlay(&plans[0], &map).unwrap();
        assert_eq!(table(), before);
        let root = sys::fs::fd_path(made.as_fd());
        let owner = |name: &str| fs::metadata(format!("{root}/{name}")).unwrap().uid();
        assert_eq!(fs::read_to_string(format!("{root}/all")).unwrap(), "one");
        for name in ["one", "two", "three"] {
            assert_eq!(owner(name), 300_000, "{name}");
        }
        // What root of those ids writes is root's below.
        let ids = FsIds::set(300_000, 300_000).unwrap();
        fs::write(format!("{root}/new"), "").unwrap();
        drop(ids);
        assert_eq!(fs::metadata(temp.path().join("upper/new")).unwrap().uid(), 0);
    }
}
