//! Memory and swap.

use std::path::Path;

use oci::runtime::{Memory, Resources};

use super::{only_v1, or_max};
use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, Controller, file};

impl Cgroup {
    pub(super) fn apply_memory(&self, memory: &Memory) -> Result<(), CgroupError> {
        let given = |value: Option<i64>| value.filter(|value| *value != 0);
        let (limit, swap) = (given(memory.limit), given(memory.swap));
        let reservation = given(memory.reservation);
        let killer = memory.disable_oom_killer;
        let nothing = limit.is_none()
            && swap.is_none()
            && reservation.is_none()
            && memory.kernel_tcp.is_none()
            && memory.swappiness.is_none()
            && killer.is_none();
        // `kernel` and `useHierarchy` are deprecated: kernels from 5.16 on have neither.
        if nothing || (self.group_of(Controller::Memory).is_none() && killer == Some(false)) {
            return Ok(());
        }
        let (dir, version) = self.place(Controller::Memory, "memory.limit")?;
        self.check_memory(memory)?;
        match version {
            Version::V1 => {
                limits_v1(dir, limit, swap)?;
                if let Some(bytes) = reservation {
                    file::set(dir, "memory.soft_limit_in_bytes", "memory.reservation", bytes)?;
                }
                if let Some(bytes) = memory.kernel_tcp {
                    file::set(dir, "memory.kmem.tcp.limit_in_bytes", "memory.kernelTCP", bytes)?;
                }
                if let Some(percent) = memory.swappiness {
                    swappiness(dir, percent)?;
                }
                match killer {
                    // Off for a new group: nothing to write.
                    Some(false) if file::read(dir, "memory.oom_control")?.contains("disable 0") => {
                    }
                    Some(disable) => {
                        let value = u8::from(disable);
                        file::set(dir, "memory.oom_control", "memory.disableOOMKiller", value)?;
                    }
                    None => {}
                }
            }
            Version::V2 => {
                limits_v2(dir, limit, swap)?;
                if let Some(bytes) = reservation {
                    file::set(dir, "memory.low", "memory.reservation", or_max(bytes))?;
                }
                if memory.kernel_tcp.is_some() {
                    return Err(only_v1("memory.kernelTCP"));
                }
                if memory.swappiness.is_some() {
                    return Err(only_v1("memory.swappiness"));
                }
                if killer == Some(true) {
                    return Err(only_v1("memory.disableOOMKiller"));
                }
            }
        }
        Ok(())
    }
}

impl Cgroup {
    /// Refuses a limit below what is in use, if `checkBeforeUpdate` asks for that.
    pub(crate) fn check_memory_use(&self, resources: &Resources) -> Result<(), CgroupError> {
        resources.memory.as_ref().map_or(Ok(()), |memory| self.check_memory(memory))
    }

    fn check_memory(&self, memory: &Memory) -> Result<(), CgroupError> {
        match (memory.limit, memory.check_before_update) {
            (Some(limit @ 1..), Some(true)) => {
                let (dir, version) = self.place(Controller::Memory, "memory.limit")?;
                check_usage(dir, version, limit)
            }
            _ => Ok(()),
        }
    }
}

/// The kernel kills on version 2, or refuses on version 1, when a limit goes below what is used.
fn check_usage(dir: &Path, version: Version, limit: i64) -> Result<(), CgroupError> {
    let name = match version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    };
    let usage = file::number(&file::read(dir, name)?).unwrap_or(0);
    match usage > limit.unsigned_abs() {
        true => Err(CgroupError::Value {
            setting: "memory.limit".to_owned(),
            value: limit.to_string(),
            reason: "more is in use",
        }),
        false => Ok(()),
    }
}

fn swappiness(dir: &Path, percent: u64) -> Result<(), CgroupError> {
    if percent > 100 {
        return Err(CgroupError::Value {
            setting: "memory.swappiness".to_owned(),
            value: percent.to_string(),
            reason: "it goes from 0 to 100",
        });
    }
    file::set(dir, "memory.swappiness", "memory.swappiness", percent)
}

const LIMIT: &str = "memory.limit_in_bytes";
/// Memory and swap together, in version 1.
const BOTH: &str = "memory.memsw.limit_in_bytes";

/// At every moment the kernel wants memory <= memory + swap: what comes first depends on where the
/// limits are now.
fn limits_v1(dir: &Path, limit: Option<i64>, swap: Option<i64>) -> Result<(), CgroupError> {
    // Without any limit on memory there can be none on the sum.
    let swap = match (limit, swap) {
        (Some(-1), None) if dir.join(BOTH).exists() => Some(-1),
        _ => swap,
    };
    let set_limit = |bytes| file::set(dir, LIMIT, "memory.limit", bytes);
    let set_swap = |bytes| file::set(dir, BOTH, "memory.swap", bytes);
    match (limit, swap) {
        (Some(limit), Some(swap)) => {
            let now = file::number(&file::read(dir, LIMIT)?).unwrap_or(u64::MAX);
            let raised = swap < 0 || now < swap.unsigned_abs();
            if raised {
                set_swap(swap)?;
                set_limit(limit)
            } else {
                set_limit(limit)?;
                set_swap(swap)
            }
        }
        (Some(limit), None) => set_limit(limit),
        (None, Some(swap)) => set_swap(swap),
        (None, None) => Ok(()),
    }
}

/// Version 2 counts swap by itself: the runtime-spec's sum is taken apart.
fn limits_v2(dir: &Path, limit: Option<i64>, swap: Option<i64>) -> Result<(), CgroupError> {
    const SWAP_MAX: &str = "memory.swap.max";
    if let Some(bytes) = swap_alone(limit, swap)? {
        // Without swap accounting in the kernel there is no file, and no limit is what there is.
        if bytes >= 0 || dir.join(SWAP_MAX).exists() {
            file::set(dir, SWAP_MAX, "memory.swap", or_max(bytes))?;
        }
    }
    match limit {
        Some(limit) => file::set(dir, "memory.max", "memory.limit", or_max(limit)),
        None => Ok(()),
    }
}

/// The limit on swap alone, for limits on memory and on both together; -1 is no limit.
///
/// `None` for those that are not set.
pub(crate) fn swap_alone(
    limit: Option<i64>,
    swap: Option<i64>,
) -> Result<Option<i64>, CgroupError> {
    let bad = |value: i64, reason| CgroupError::Value {
        setting: "memory.swap".to_owned(),
        value: value.to_string(),
        reason,
    };
    match (limit, swap) {
        (Some(-1), None) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(-1)) => Ok(Some(-1)),
        (Some(limit), Some(sum)) if limit > 0 && sum >= limit => Ok(Some(sum - limit)),
        (Some(limit), Some(sum)) if limit > 0 => {
            Err(bad(sum, "it counts memory too, and is below the limit on memory"))
        }
        (_, Some(sum)) => Err(bad(sum, "it counts memory too, and memory has no limit here")),
    }
}
