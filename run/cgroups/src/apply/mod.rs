//! Setting limits: the settings of the runtime-spec, each written in the version at hand.
//!
//! Absent settings stay as they are, and so do zeroes where Docker and runc write zero for absent:
//! memory, processor and block device settings. A limit of no tasks is one.
//! runtime-spec 1.3.0, config-linux.md, "Control groups".

mod cpu;
mod io;
mod memory;
mod others;

pub(crate) use cpu::weight;
pub(crate) use io::cost_weight;
pub(crate) use memory::swap_alone;

use std::path::Path;

use oci::runtime::Resources;

use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, Controller};

impl Cgroup {
    /// Sets limits; what is absent in `resources` stays as it is.
    ///
    /// [`CgroupError::NoController`], [`CgroupError::Unsupported`], [`CgroupError::Value`] and
    /// [`CgroupError::Refused`] name the limit that could not be set; those before it are set.
    pub fn apply(&self, resources: &Resources) -> Result<(), CgroupError> {
        if let Some(memory) = &resources.memory {
            self.apply_memory(memory)?;
        }
        if let Some(cpu) = &resources.cpu {
            self.apply_cpu(cpu)?;
        }
        if let Some(limit) = resources.pids.and_then(|pids| pids.limit) {
            self.apply_pids(limit)?;
        }
        if let Some(block_io) = &resources.block_io {
            self.apply_io(block_io)?;
        }
        self.apply_hugepages(&resources.hugepage_limits)?;
        self.apply_rdma(&resources.rdma)?;
        if let Some(network) = &resources.network {
            self.apply_network(network)?;
        }
        self.apply_unified(&resources.unified)?;
        if !resources.devices.is_empty() {
            self.apply_devices(&resources.devices)?;
        }
        Ok(())
    }

    /// Where a controller's files are, and in which version; an error naming `setting` if the
    /// group has no part in it.
    fn place(
        &self,
        controller: Controller,
        setting: &str,
    ) -> Result<(&Path, Version), CgroupError> {
        self.group_of(controller).map(|group| (group.dir.as_path(), group.version)).ok_or_else(
            || CgroupError::NoController {
                controller: controller.name(),
                setting: setting.to_owned(),
            },
        )
    }
}

/// -1, or any other negative number, as version 2 writes it.
fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn only_v1(setting: &str) -> CgroupError {
    CgroupError::Unsupported {
        setting: setting.to_owned(),
        reason: "cgroup version 2 has nothing of the kind",
    }
}
