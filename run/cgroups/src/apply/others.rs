//! Tasks, huge pages, RDMA, network classes, and version 2's files by their own names.

use std::collections::BTreeMap;

use oci::runtime::{HugepageLimit, NetworkLimits, Rdma};

use super::or_max;
use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, Controller, file};

impl Cgroup {
    /// 0 is written as 1, as systemd and runc do: a group with a process in it behaves alike.
    pub(crate) fn apply_pids(&self, limit: i64) -> Result<(), CgroupError> {
        let (dir, _) = self.place(Controller::Pids, "pids.limit")?;
        let limit = if limit == 0 { 1 } else { limit };
        file::set(dir, "pids.max", "pids.limit", or_max(limit))
    }

    pub(super) fn apply_hugepages(&self, limits: &[HugepageLimit]) -> Result<(), CgroupError> {
        const SETTING: &str = "hugepageLimits";
        for HugepageLimit { page_size, limit } in limits {
            let (dir, version) = self.place(Controller::Hugetlb, SETTING)?;
            // It becomes part of a file name.
            if page_size.is_empty() || !page_size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(CgroupError::Value {
                    setting: SETTING.to_owned(),
                    value: page_size.clone(),
                    reason: "page sizes are of the form 2MB",
                });
            }
            let name = |part: &str| match version {
                Version::V1 => format!("hugetlb.{page_size}.{part}limit_in_bytes"),
                Version::V2 => format!("hugetlb.{page_size}.{part}max"),
            };
            file::set(dir, &name(""), SETTING, limit)?;
            // What is reserved but not used yet is counted apart, from Linux 5.7 on.
            let reserved = name("rsvd.");
            if dir.join(&reserved).exists() {
                file::set(dir, &reserved, SETTING, limit)?;
            }
        }
        Ok(())
    }

    pub(super) fn apply_rdma(&self, devices: &BTreeMap<String, Rdma>) -> Result<(), CgroupError> {
        for (device, limits) in devices {
            let (dir, _) = self.place(Controller::Rdma, "rdma")?;
            if limits.hca_handles.is_none() && limits.hca_objects.is_none() {
                return Err(CgroupError::Value {
                    setting: "rdma".to_owned(),
                    value: device.clone(),
                    reason: "a device needs hcaHandles, hcaObjects, or both",
                });
            }
            let part = |name: &str, limit: Option<u32>| {
                limit.map(|limit| format!(" {name}={limit}")).unwrap_or_default()
            };
            let handles = part("hca_handle", limits.hca_handles);
            let objects = part("hca_object", limits.hca_objects);
            file::set(dir, "rdma.max", "rdma", format!("{device}{handles}{objects}"))?;
        }
        Ok(())
    }

    pub(super) fn apply_network(&self, network: &NetworkLimits) -> Result<(), CgroupError> {
        if let Some(class) = network.class_id {
            let (dir, _) = self.place(Controller::NetCls, "network.classID")?;
            file::set(dir, "net_cls.classid", "network.classID", class)?;
        }
        for priority in &network.priorities {
            let (dir, _) = self.place(Controller::NetPrio, "network.priorities")?;
            let value = format!("{} {}", priority.name, priority.priority);
            file::set(dir, "net_prio.ifpriomap", "network.priorities", value)?;
        }
        Ok(())
    }

    /// Files of version 2 by their own names, each line of a value written by itself.
    pub(super) fn apply_unified(
        &self,
        files: &BTreeMap<String, String>,
    ) -> Result<(), CgroupError> {
        for (name, value) in files {
            let setting = format!("unified.{name}");
            let Some(dir) = self.unified() else {
                return Err(CgroupError::Unsupported {
                    setting,
                    reason: "this machine has no cgroup version 2",
                });
            };
            let well_formed = name.split_once('.').is_some_and(|(controller, rest)| {
                !controller.is_empty() && !rest.is_empty() && !name.contains('/')
            });
            if !well_formed {
                return Err(CgroupError::Value {
                    setting,
                    value: value.clone(),
                    reason: "names are of the form memory.high",
                });
            }
            if !dir.join(name).exists()
                && let Some((controller, _)) = name.split_once('.')
                && let Some(controller) = Controller::by_name(controller)
            {
                return Err(CgroupError::NoController { controller: controller.name(), setting });
            }
            for line in value.lines() {
                file::set(dir, name, &setting, line)?;
            }
        }
        Ok(())
    }
}
