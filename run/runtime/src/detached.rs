//! A root file system for somebody who only wants to look into it.

use std::os::fd::OwnedFd;

use oci::Mount;

use crate::error::spec_error;
use crate::plan::{MountKind, root_mounts};
use crate::{RuntimeError, overlay};

/// Makes the root file system that `mounts` describe (as [`crate::Rootfs::Mounts`] has them, a
/// single one) and attaches it nowhere: it is there for the holder of the descriptor, and gone
/// with it. Needs CAP_SYS_ADMIN.
pub fn mount_detached(mounts: &[Mount]) -> Result<OwnedFd, RuntimeError> {
    let plans = root_mounts(mounts)?;
    match &plans[..] {
        [plan] => match plan.kind {
            MountKind::New { kind, source } => {
                overlay::new_instance(kind, source, plan, None, None)
            }
            MountKind::Bind { .. } | MountKind::Cgroup | MountKind::Remount => {
                Err(spec_error("rootfs", "is no new file system"))
            }
        },
        _ => Err(spec_error("rootfs", "has not exactly one mount")),
    }
}
