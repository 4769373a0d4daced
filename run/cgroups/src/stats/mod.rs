//! Statistics: what a group has used.

pub(crate) mod parse;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::path::Path;

use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, Controller, file};

/// What a group has used, all that the Docker API and runc's `events --stats` show.
///
/// A part is `None` or empty if its controller is absent or the group has no part in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Processor time.
    pub cpu: Option<CpuStats>,
    /// Which processors and memory nodes.
    pub cpuset: Option<CpusetStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Tasks.
    pub pids: Option<PidsStats>,
    /// Block devices.
    pub blkio: Option<BlkioStats>,
    /// Huge pages, by size such as `2MB`.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    /// RDMA, by device.
    pub rdma: BTreeMap<String, RdmaStats>,
    /// Countable odds and ends, by the kernel's names; v2 only.
    pub misc: BTreeMap<String, MiscStats>,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CpuStats {
    /// All of it.
    pub usage_ns: u64,
    /// In user mode.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
    /// By processor; v1 only, as are the next two.
    pub per_cpu_ns: Vec<u64>,
    /// In user mode, by processor.
    pub per_cpu_user_ns: Vec<u64>,
    /// In the kernel, by processor.
    pub per_cpu_system_ns: Vec<u64>,
    /// Periods in which the group had a quota and ran.
    pub periods: u64,
    /// Of these, periods in which it used the quota up.
    pub throttled_periods: u64,
    /// How long it was kept waiting for that.
    pub throttled_ns: u64,
    /// Periods in which it used more than its quota, out of what it had saved.
    pub bursts: u64,
    /// How much more.
    pub burst_ns: u64,
    /// Waiting for a processor; v2 only.
    pub pressure: Option<Pressure>,
}

/// Which processors and memory nodes a group may use, and version 1's switches for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpusetStats {
    /// Processors, in force: `0-3,7`.
    pub cpus: String,
    /// Memory nodes, in force.
    pub mems: String,
    /// `cpu_exclusive`, `memory_migrate` and so on, by the kernel's names; v1 only.
    pub switches: BTreeMap<&'static str, i64>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryStats {
    /// In use now, page cache included.
    pub usage: u64,
    /// The most there ever was; v2 has it from Linux 5.19 on.
    pub max_usage: Option<u64>,
    /// The limit; `None` is no limit.
    pub limit: Option<u64>,
    /// How often the limit was met.
    pub failures: u64,
    /// Swap in use (v2), memory and swap together (v1); `None` where the kernel does not count it.
    pub swap_usage: Option<u64>,
    /// The limit on `swap_usage`; `None` is no limit.
    pub swap_limit: Option<u64>,
    /// Memory that the kernel holds for the group; v1 only.
    pub kernel_usage: Option<u64>,
    /// Buffers of TCP; v1 only.
    pub kernel_tcp_usage: Option<u64>,
    /// `memory.stat`, by the kernel's names.
    pub stat: BTreeMap<String, u64>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: u64,
    /// Waiting for memory; v2 only.
    pub pressure: Option<Pressure>,
}

/// Tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; `None` is no limit.
    pub limit: Option<u64>,
}

/// Block devices, by what the API calls them; empty lists where the kernel does not count it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlkioStats {
    /// Bytes.
    pub service_bytes: Vec<BlkioEntry>,
    /// Operations.
    pub serviced: Vec<BlkioEntry>,
    /// Operations waiting.
    pub queued: Vec<BlkioEntry>,
    /// Nanoseconds that devices worked.
    pub service_time: Vec<BlkioEntry>,
    /// Nanoseconds that operations waited.
    pub wait_time: Vec<BlkioEntry>,
    /// Operations merged into others.
    pub merged: Vec<BlkioEntry>,
    /// Milliseconds of device time.
    pub time: Vec<BlkioEntry>,
    /// Sectors.
    pub sectors: Vec<BlkioEntry>,
    /// Waiting for devices; v2 only.
    pub pressure: Option<Pressure>,
}

/// One count of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlkioEntry {
    /// The major number.
    pub major: u64,
    /// The minor number.
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total`; empty if the count has no kind.
    pub op: String,
    /// The count.
    pub value: u64,
}

/// A count of a resource that has nothing but a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MiscStats {
    /// In use.
    pub usage: u64,
    /// How often the limit was met.
    pub failures: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HugetlbStats {
    /// In use, or reserved for use where the kernel counts that (Linux 5.7).
    pub usage: u64,
    /// The most there ever was; v1 only.
    pub max_usage: Option<u64>,
    /// How often the limit was met.
    pub failures: u64,
}

/// RDMA handles and objects of one device; `None` for a limit is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RdmaStats {
    /// Handles in use.
    pub hca_handles: u64,
    /// Objects in use.
    pub hca_objects: u64,
    /// The limit on handles.
    pub hca_handles_limit: Option<u64>,
    /// The limit on objects.
    pub hca_objects_limit: Option<u64>,
}

/// How long work stood still for want of something.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// At least one task stood still.
    pub some: PressureLine,
    /// All tasks stood still.
    pub full: PressureLine,
}

/// Shares of time in percent, and the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PressureLine {
    /// Over ten seconds.
    pub avg10: f64,
    /// Over a minute.
    pub avg60: f64,
    /// Over five minutes.
    pub avg300: f64,
    /// Microseconds in all.
    pub total_us: u64,
}

impl Cgroup {
    /// Reads what the group has used, with all below it.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        let group = |controller| self.group_of(controller);
        let mut stats = Stats { cpu: self.cpu_stats()?, ..Stats::default() };
        if let Some(group) = group(Controller::Memory) {
            stats.memory = match group.version {
                Version::V1 => Some(v1::memory(&group.dir)?),
                Version::V2 => v2::memory(&group.dir)?,
            };
        }
        if let Some(group) = group(Controller::Pids) {
            stats.pids = match group.version {
                Version::V1 => Some(v1::pids(&group.dir)?),
                Version::V2 => v2::pids(&group.dir)?,
            };
        }
        if let Some(group) = group(Controller::Io) {
            stats.blkio = match group.version {
                Version::V1 => Some(v1::block_io(&group.dir)?),
                Version::V2 => v2::block_io(&group.dir)?,
            };
        }
        if let Some(group) = group(Controller::Hugetlb) {
            stats.hugetlb = match group.version {
                Version::V1 => v1::hugepages(&group.dir)?,
                Version::V2 => v2::hugepages(&group.dir)?,
            };
        }
        if let Some(group) = group(Controller::Rdma) {
            stats.rdma = v2::rdma(&group.dir)?;
        }
        if let Some(group) = group(Controller::Cpuset) {
            stats.cpuset = match group.version {
                Version::V1 => v1::cpuset(&group.dir)?,
                Version::V2 => v2::cpuset(&group.dir)?,
            };
        }
        if let Some(group) = group(Controller::Misc)
            && group.version == Version::V2
        {
            stats.misc = v2::misc(&group.dir)?;
        }
        Ok(stats)
    }

    fn cpu_stats(&self) -> Result<Option<CpuStats>, CgroupError> {
        let (cpu, cpuacct) = (self.group_of(Controller::Cpu), self.group_of(Controller::Cpuacct));
        // Beside version 1, version 2 knows the times only of those that entered it.
        if cpu.is_none_or(|group| group.version == Version::V2) && cpuacct.is_none() {
            return match self.unified() {
                Some(dir) => v2::cpu(dir),
                None => Ok(None),
            };
        }
        let mut stats = CpuStats::default();
        if let Some(group) = cpuacct {
            v1::cpu_usage(&group.dir, &mut stats)?;
        }
        if let Some(group) = cpu {
            v1::cpu_throttling(&group.dir, &mut stats)?;
        }
        Ok(Some(stats))
    }

    /// How many processes the kernel killed for want of memory; 0 without a memory controller, and
    /// for a group that is gone.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        let Some(group) = self.group_of(Controller::Memory) else { return Ok(0) };
        let name = match group.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = file::read_optional(&group.dir, name)?.unwrap_or_default();
        Ok(parse::value_of(&text, "oom_kill").unwrap_or(0))
    }
}

/// The file of a page size that counts what is reserved, or else what is in use.
fn hugepages_in_use(dir: &Path, size: &str, what: &str) -> Result<String, CgroupError> {
    match file::read_optional(dir, &format!("hugetlb.{size}.rsvd.{what}"))? {
        Some(reserved) => Ok(reserved),
        None => {
            Ok(file::read_optional(dir, &format!("hugetlb.{size}.{what}"))?.unwrap_or_default())
        }
    }
}

/// The sizes of huge pages for which there are files `hugetlb.SIZE` + `suffix`.
pub(crate) fn page_sizes(dir: &Path, suffix: &str) -> Result<Vec<String>, CgroupError> {
    let failed = |source| CgroupError::Io { action: "list", path: dir.to_owned(), source };
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let size = name.to_str().and_then(|name| {
            name.strip_prefix("hugetlb.")?.strip_suffix(suffix).filter(|size| !size.contains('.'))
        });
        sizes.extend(size.map(str::to_owned));
    }
    Ok(sizes)
}
