//! Statistics of version 1 controllers.

use std::collections::BTreeMap;
use std::path::Path;

use super::parse::{blkio, flat, limit, value_of};
use super::{BlkioEntry, BlkioStats, CpuStats, CpusetStats, HugetlbStats, MemoryStats, PidsStats};
use crate::{CgroupError, file};

/// Kernel ticks to nanoseconds: `USER_HZ` is 100 on every architecture here.
const TICK_NS: u64 = 10_000_000;

/// Time used; from `cpuacct`.
pub(super) fn cpu_usage(dir: &Path, stats: &mut CpuStats) -> Result<(), CgroupError> {
    stats.usage_ns = number(dir, "cpuacct.usage")?.unwrap_or(0);
    let numbers = |text: &str| -> Vec<u64> {
        text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    if let Some(text) = file::read_optional(dir, "cpuacct.usage_percpu")? {
        stats.per_cpu_ns = numbers(&text);
    }
    // A header, then `number user system` a line.
    for line in file::read_optional(dir, "cpuacct.usage_all")?.unwrap_or_default().lines().skip(1) {
        if let [_, user, system] = numbers(line)[..] {
            stats.per_cpu_user_ns.push(user);
            stats.per_cpu_system_ns.push(system);
        }
    }
    // In nanoseconds from Linux 4.6 on; cpuacct.stat has ticks.
    let exact = (number(dir, "cpuacct.usage_user")?, number(dir, "cpuacct.usage_sys")?);
    match exact {
        (Some(user), Some(system)) => (stats.user_ns, stats.system_ns) = (user, system),
        _ => {
            let text = file::read_optional(dir, "cpuacct.stat")?.unwrap_or_default();
            let ticks = |name| value_of(&text, name).unwrap_or(0).saturating_mul(TICK_NS);
            (stats.user_ns, stats.system_ns) = (ticks("user"), ticks("system"));
        }
    }
    Ok(())
}

/// Time waited for a quota; from `cpu`.
pub(super) fn cpu_throttling(dir: &Path, stats: &mut CpuStats) -> Result<(), CgroupError> {
    let Some(text) = file::read_optional(dir, "cpu.stat")? else { return Ok(()) };
    stats.periods = value_of(&text, "nr_periods").unwrap_or(0);
    stats.throttled_periods = value_of(&text, "nr_throttled").unwrap_or(0);
    stats.throttled_ns = value_of(&text, "throttled_time").unwrap_or(0);
    stats.bursts = value_of(&text, "nr_bursts").unwrap_or(0);
    stats.burst_ns = value_of(&text, "burst_time").unwrap_or(0);
    Ok(())
}

pub(super) fn cpuset(dir: &Path) -> Result<Option<CpusetStats>, CgroupError> {
    const SWITCHES: [&str; 9] = [
        "cpu_exclusive",
        "mem_hardwall",
        "mem_exclusive",
        "memory_migrate",
        "memory_spread_page",
        "memory_spread_slab",
        "memory_pressure",
        "sched_load_balance",
        "sched_relax_domain_level",
    ];
    let Some(cpus) = file::read_optional(dir, "cpuset.cpus")? else { return Ok(None) };
    let mems = file::read_optional(dir, "cpuset.mems")?.unwrap_or_default();
    let mut switches = BTreeMap::new();
    for name in SWITCHES {
        let text = file::read_optional(dir, &format!("cpuset.{name}"))?;
        if let Some(value) = text.and_then(|text| text.trim().parse().ok()) {
            switches.insert(name, value);
        }
    }
    let trimmed = |text: String| text.trim().to_owned();
    Ok(Some(CpusetStats { cpus: trimmed(cpus), mems: trimmed(mems), switches }))
}

pub(super) fn memory(dir: &Path) -> Result<MemoryStats, CgroupError> {
    let limit_of = |name: &str| -> Result<Option<u64>, CgroupError> {
        Ok(file::read_optional(dir, name)?.as_deref().and_then(limit))
    };
    let control = file::read_optional(dir, "memory.oom_control")?.unwrap_or_default();
    Ok(MemoryStats {
        usage: number(dir, "memory.usage_in_bytes")?.unwrap_or(0),
        max_usage: number(dir, "memory.max_usage_in_bytes")?,
        limit: limit_of("memory.limit_in_bytes")?,
        failures: number(dir, "memory.failcnt")?.unwrap_or(0),
        swap_usage: number(dir, "memory.memsw.usage_in_bytes")?,
        swap_limit: limit_of("memory.memsw.limit_in_bytes")?,
        kernel_usage: number(dir, "memory.kmem.usage_in_bytes")?,
        kernel_tcp_usage: number(dir, "memory.kmem.tcp.usage_in_bytes")?,
        stat: flat(&file::read_optional(dir, "memory.stat")?.unwrap_or_default()),
        oom_kills: value_of(&control, "oom_kill").unwrap_or(0),
        pressure: None,
    })
}

pub(super) fn pids(dir: &Path) -> Result<PidsStats, CgroupError> {
    Ok(PidsStats {
        current: number(dir, "pids.current")?.unwrap_or(0),
        limit: number(dir, "pids.max")?,
    })
}

/// The recursive counts where the kernel has them: CFQ's, BFQ's, or those of the throttle, which
/// are there whatever the scheduler.
pub(super) fn block_io(dir: &Path) -> Result<BlkioStats, CgroupError> {
    let first = |names: &[&str]| -> Result<Vec<BlkioEntry>, CgroupError> {
        for name in names {
            if let Some(text) = file::read_optional(dir, name)? {
                let entries = blkio(&text);
                if !entries.is_empty() {
                    return Ok(entries);
                }
            }
        }
        Ok(Vec::new())
    };
    Ok(BlkioStats {
        service_bytes: first(&[
            "blkio.io_service_bytes_recursive",
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes",
        ])?,
        serviced: first(&[
            "blkio.io_serviced_recursive",
            "blkio.bfq.io_serviced_recursive",
            "blkio.throttle.io_serviced_recursive",
            "blkio.throttle.io_serviced",
        ])?,
        queued: first(&["blkio.io_queued_recursive", "blkio.bfq.io_queued_recursive"])?,
        service_time: first(&[
            "blkio.io_service_time_recursive",
            "blkio.bfq.io_service_time_recursive",
        ])?,
        wait_time: first(&["blkio.io_wait_time_recursive", "blkio.bfq.io_wait_time_recursive"])?,
        merged: first(&["blkio.io_merged_recursive", "blkio.bfq.io_merged_recursive"])?,
        time: first(&["blkio.time_recursive", "blkio.bfq.time_recursive"])?,
        sectors: first(&["blkio.sectors_recursive", "blkio.bfq.sectors_recursive"])?,
        pressure: None,
    })
}

pub(super) fn hugepages(dir: &Path) -> Result<BTreeMap<String, HugetlbStats>, CgroupError> {
    let mut sizes = BTreeMap::new();
    for size in super::page_sizes(dir, ".usage_in_bytes")? {
        let of = |what: &str| number(dir, &format!("hugetlb.{size}.{what}"));
        let usage = super::hugepages_in_use(dir, &size, "usage_in_bytes")?;
        let stats = HugetlbStats {
            usage: file::number(&usage).unwrap_or(0),
            max_usage: of("max_usage_in_bytes")?,
            failures: of("failcnt")?.unwrap_or(0),
        };
        sizes.insert(size, stats);
    }
    Ok(sizes)
}

fn number(dir: &Path, name: &str) -> Result<Option<u64>, CgroupError> {
    Ok(file::read_optional(dir, name)?.as_deref().and_then(file::number))
}
