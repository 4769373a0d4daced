//! Reading the limits in force back, in the words of the runtime-spec.

use std::path::Path;

use oci::runtime::{BlockIo, Cpu, HugepageLimit, Memory, Pids, Resources, ThrottleDevice};

use crate::hierarchy::Version;
use crate::stats::parse::{limit, value_of};
use crate::{Cgroup, CgroupError, Controller, file};

impl Cgroup {
    /// Reads the limits that are in force; what is not limited is absent.
    ///
    /// Device rules, RDMA, network classes and weights of single devices are not read back. In
    /// version 2 shares are the weight, as the kernel has it, turned back into the nearest shares.
    pub fn limits(&self) -> Result<Resources, CgroupError> {
        Ok(Resources {
            memory: self.read_memory()?,
            cpu: self.read_cpu()?,
            pids: match self.group_of(Controller::Pids) {
                Some(group) => {
                    limit_in(&group.dir, "pids.max")?.map(|limit| Pids { limit: Some(limit) })
                }
                None => None,
            },
            block_io: self.read_io()?,
            hugepage_limits: self.read_hugepages()?,
            ..Resources::default()
        })
    }

    fn read_memory(&self) -> Result<Option<Memory>, CgroupError> {
        let Some(group) = self.group_of(Controller::Memory) else { return Ok(None) };
        let dir = &group.dir;
        let memory = match group.version {
            Version::V1 => {
                let control = file::read_optional(dir, "memory.oom_control")?.unwrap_or_default();
                let disabled = value_of(&control, "oom_kill_disable") == Some(1);
                Memory {
                    limit: limit_in(dir, "memory.limit_in_bytes")?,
                    reservation: limit_in(dir, "memory.soft_limit_in_bytes")?,
                    swap: limit_in(dir, "memory.memsw.limit_in_bytes")?,
                    swappiness: number(dir, "memory.swappiness")?,
                    disable_oom_killer: disabled.then_some(true),
                    ..Memory::default()
                }
            }
            Version::V2 => {
                let memory = limit_in(dir, "memory.max")?;
                let swap = limit_in(dir, "memory.swap.max")?;
                Memory {
                    limit: memory,
                    reservation: limit_in(dir, "memory.low")?.filter(|bytes| *bytes != 0),
                    swap: memory.zip(swap).map(|(memory, swap)| memory.saturating_add(swap)),
                    ..Memory::default()
                }
            }
        };
        Ok(Some(memory))
    }

    fn read_cpu(&self) -> Result<Option<Cpu>, CgroupError> {
        let mut cpu = Cpu::default();
        if let Some(group) = self.group_of(Controller::Cpu) {
            let dir = &group.dir;
            match group.version {
                Version::V1 => {
                    cpu.shares = number(dir, "cpu.shares")?;
                    cpu.period = number(dir, "cpu.cfs_period_us")?;
                    cpu.quota = limit_in(dir, "cpu.cfs_quota_us")?.filter(|quota| *quota > 0);
                    cpu.burst = number(dir, "cpu.cfs_burst_us")?.filter(|burst| *burst != 0);
                    cpu.realtime_period = number(dir, "cpu.rt_period_us")?;
                    cpu.realtime_runtime = limit_in(dir, "cpu.rt_runtime_us")?;
                }
                Version::V2 => {
                    cpu.shares = number(dir, "cpu.weight")?.map(shares);
                    let max = file::read_optional(dir, "cpu.max")?.unwrap_or_default();
                    let mut max = max.split_ascii_whitespace();
                    cpu.quota = max.next().and_then(|quota| quota.parse().ok());
                    cpu.period = max.next().and_then(|period| period.parse().ok());
                    cpu.burst = number(dir, "cpu.max.burst")?.filter(|burst| *burst != 0);
                }
            }
            cpu.idle = limit_in(dir, "cpu.idle")?.filter(|idle| *idle != 0);
        }
        if let Some(group) = self.group_of(Controller::Cpuset) {
            let list = |name| -> Result<Option<String>, CgroupError> {
                let text = file::read_optional(&group.dir, name)?;
                Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
            };
            cpu.cpus = list("cpuset.cpus")?;
            cpu.mems = list("cpuset.mems")?;
        }
        Ok((cpu != Cpu::default()).then_some(cpu))
    }

    fn read_io(&self) -> Result<Option<BlockIo>, CgroupError> {
        let Some(group) = self.group_of(Controller::Io) else { return Ok(None) };
        let dir = &group.dir;
        let mut io = BlockIo::default();
        match group.version {
            Version::V1 => {
                let list = |name| -> Result<Vec<ThrottleDevice>, CgroupError> {
                    let text = file::read_optional(dir, name)?.unwrap_or_default();
                    Ok(text
                        .lines()
                        .filter_map(|line| {
                            let (device, rate) = line.split_once(' ')?;
                            throttle(device, rate)
                        })
                        .collect())
                };
                io.throttle_read_bps_device = list("blkio.throttle.read_bps_device")?;
                io.throttle_write_bps_device = list("blkio.throttle.write_bps_device")?;
                io.throttle_read_iops_device = list("blkio.throttle.read_iops_device")?;
                io.throttle_write_iops_device = list("blkio.throttle.write_iops_device")?;
                for name in ["blkio.weight", "blkio.bfq.weight"] {
                    if let Some(weight) = number(dir, name)? {
                        io.weight = u16::try_from(weight).ok();
                    }
                }
            }
            Version::V2 => {
                let text = file::read_optional(dir, "io.max")?.unwrap_or_default();
                for line in text.lines() {
                    let mut fields = line.split_ascii_whitespace();
                    let Some(device) = fields.next() else { continue };
                    for (name, rate) in fields.filter_map(|field| field.split_once('=')) {
                        let list = match name {
                            "rbps" => &mut io.throttle_read_bps_device,
                            "wbps" => &mut io.throttle_write_bps_device,
                            "riops" => &mut io.throttle_read_iops_device,
                            "wiops" => &mut io.throttle_write_iops_device,
                            _ => continue,
                        };
                        list.extend(throttle(device, rate));
                    }
                }
                let weight = file::read_optional(dir, "io.bfq.weight")?;
                io.weight = weight.and_then(|text| {
                    text.lines().next()?.trim_start_matches("default ").trim().parse().ok()
                });
            }
        }
        Ok((io != BlockIo::default()).then_some(io))
    }

    fn read_hugepages(&self) -> Result<Vec<HugepageLimit>, CgroupError> {
        let Some(group) = self.group_of(Controller::Hugetlb) else { return Ok(Vec::new()) };
        let suffix = match group.version {
            Version::V1 => "limit_in_bytes",
            Version::V2 => "max",
        };
        let mut limits = Vec::new();
        for page_size in crate::stats::page_sizes(&group.dir, &format!(".{suffix}"))? {
            let name = format!("hugetlb.{page_size}.{suffix}");
            if let Some(limit) = limit_in(&group.dir, &name)? {
                limits.push(HugepageLimit { page_size, limit: limit.unsigned_abs() });
            }
        }
        Ok(limits)
    }
}

/// `8:0` and a rate.
fn throttle(device: &str, rate: &str) -> Option<ThrottleDevice> {
    let (major, minor) = device.split_once(':')?;
    Some(ThrottleDevice {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        rate: rate.trim().parse().ok()?,
    })
}

/// The nearest shares that have this weight.
fn shares(weight: u64) -> u64 {
    let (mut low, mut high) = (2, 262_144);
    while low < high {
        let middle = low + (high - low) / 2;
        match crate::apply::weight(middle) < weight {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    // Of the shares with the usual weight the usual ones are meant.
    if weight == 100 { 1024 } else { low }
}

/// A number, and `None` for no limit.
fn limit_in(dir: &Path, name: &str) -> Result<Option<i64>, CgroupError> {
    let text = file::read_optional(dir, name)?.unwrap_or_default();
    Ok(match text.trim().parse::<i64>() {
        Ok(negative @ ..0) => Some(negative),
        _ => limit(&text).and_then(|limit| i64::try_from(limit).ok()),
    })
}

fn number(dir: &Path, name: &str) -> Result<Option<u64>, CgroupError> {
    Ok(file::read_optional(dir, name)?.as_deref().and_then(file::number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back_from_their_weight() {
        for weight in [1, 50, 100, 500, 10_000] {
            assert_eq!(crate::apply::weight(shares(weight)), weight);
        }
        assert_eq!(shares(100), 1024);
    }
}
