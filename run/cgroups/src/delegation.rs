//! Groups for those who do not own the tree: ordinary users.
//!
//! The kernel lets a user make groups in a directory that was given to them, and move a process
//! between two groups if they may write to `cgroup.procs` of the one that is above both. A
//! process may therefore only enter groups in the part of the tree in which it is already.
//! Version 1 has nothing of the kind that is safe to give away, and systemd gives none.
//!
//! cgroups(7), "Cgroups delegation"; kernel documentation, cgroup-v2.rst, "Delegation".

use std::path::Path;

use oci::runtime::Resources;
use rustix::fs::{Access, AtFlags, CWD};

use crate::hierarchy::available;
use crate::{CgroupError, CgroupPath, Controllers, Hierarchy, Mode, need};

/// What the caller may do with the tree of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delegation {
    /// Anything.
    Whole,
    /// Make groups below this one, and enter them from where it is.
    Below {
        /// The group.
        parent: CgroupPath,
        /// What groups below can limit and count.
        controllers: Controllers,
    },
    /// Nothing: a container has no group of its own then.
    Nothing {
        /// Why not, and what would help.
        reason: &'static str,
    },
}

impl Hierarchy {
    /// What the caller may do, by what the kernel says about the group that it is in.
    pub fn delegation(&self) -> Result<Delegation, CgroupError> {
        if self.mounts().iter().all(|mount| may_make_groups(&mount.path)) {
            return Ok(Delegation::Whole);
        }
        let nothing = |reason| Ok(Delegation::Nothing { reason });
        let mount = match self.mode() {
            Mode::V2 => &self.mounts()[0],
            Mode::V1 | Mode::Hybrid => {
                return nothing("cgroup version 1 cannot be delegated to users");
            }
        };
        let own = self.own_group(mount)?.unwrap_or_default();
        // Our own has processes in it, us, and cannot pass controllers on: the one above can.
        let above = match own.rsplit_once('/') {
            Some((above, _)) => CgroupPath::new(above)?,
            None => return nothing(NOT_DELEGATED),
        };
        let dir = mount.path.join(above.as_str());
        match may_make_groups(&dir) {
            true => Ok(Delegation::Below { controllers: available(&dir)?, parent: above }),
            false if may_make_groups(&mount.path.join(own)) => nothing(
                "the group that was delegated has processes in it; start them in a group below it",
            ),
            false => nothing(NOT_DELEGATED),
        }
    }

    /// Refuses limits for a container that has no group, naming the first one.
    ///
    /// Rules about devices are none here: a user may use no device that they may not open.
    /// [`CgroupError::NotDelegated`].
    pub fn refuse_limits(&self, resources: &Resources, reason: &str) -> Result<(), CgroupError> {
        let resources = Resources { devices: Vec::new(), ..resources.clone() };
        let unified = || resources.unified.keys().next().map(|name| format!("unified.{name}"));
        let mut needs =
            need::needs(&resources, self.mode()).into_iter().map(|(_, setting)| setting);
        match needs.next().or_else(unified) {
            None => Ok(()),
            Some(setting) => Err(CgroupError::NotDelegated { setting, reason: reason.to_owned() }),
        }
    }
}

const NOT_DELEGATED: &str = "the group of this session is not delegated to its user; start it with \
     `systemd-run --user --scope`, or let systemd make the groups";

/// Whether the caller may make groups in a directory and move processes between them: by the
/// rights of the effective user, capabilities included.
fn may_make_groups(dir: &Path) -> bool {
    let may = |path: &Path| {
        let write = Access::WRITE_OK;
        rustix::fs::accessat(CWD, path, write, AtFlags::EACCESS).is_ok()
    };
    let file = if dir.join("cgroup.procs").exists() { "cgroup.procs" } else { "tasks" };
    may(dir) && may(&dir.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::{DeviceRule, Memory};

    #[test]
    fn limits_without_a_group_are_named() {
        let hierarchy = Hierarchy::detect().unwrap();
        let refuse = |resources: &Resources| hierarchy.refuse_limits(resources, "of a reason");
        let rule = DeviceRule { allow: false, kind: None, major: None, minor: None, access: None };
        refuse(&Resources { devices: vec![rule], ..Resources::default() }).unwrap();
        let memory = Memory { limit: Some(1 << 20), ..Memory::default() };
        let error =
            refuse(&Resources { memory: Some(memory), ..Resources::default() }).unwrap_err();
        assert_eq!(error.to_string(), "memory.limit cannot be set by this user: of a reason");
        assert_eq!(error.flag(), Some("--memory"));
        let unified = [("memory.high".to_owned(), "1".to_owned())].into();
        let error = refuse(&Resources { unified, ..Resources::default() }).unwrap_err();
        assert!(error.to_string().contains("unified.memory.high"), "{error}");
    }
}
