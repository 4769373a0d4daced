//! Statistics of version 2 controllers.

use std::collections::BTreeMap;
use std::path::Path;

use super::parse::{flat, limit, nested, pairs, pressure, value_of};
use super::{
    BlkioEntry, BlkioStats, CpuStats, CpusetStats, HugetlbStats, MemoryStats, MiscStats, PidsStats,
    Pressure, RdmaStats,
};
use crate::{CgroupError, file};

/// `cpu.stat` is there without the controller too, with the times alone.
pub(super) fn cpu(dir: &Path) -> Result<Option<CpuStats>, CgroupError> {
    let Some(text) = file::read_optional(dir, "cpu.stat")? else { return Ok(None) };
    let ns = |name| value_of(&text, name).unwrap_or(0).saturating_mul(1000);
    Ok(Some(CpuStats {
        usage_ns: ns("usage_usec"),
        user_ns: ns("user_usec"),
        system_ns: ns("system_usec"),
        per_cpu_ns: Vec::new(),
        per_cpu_user_ns: Vec::new(),
        per_cpu_system_ns: Vec::new(),
        periods: value_of(&text, "nr_periods").unwrap_or(0),
        throttled_periods: value_of(&text, "nr_throttled").unwrap_or(0),
        throttled_ns: ns("throttled_usec"),
        bursts: value_of(&text, "nr_bursts").unwrap_or(0),
        burst_ns: ns("burst_usec"),
        pressure: pressure_of(dir, "cpu.pressure")?,
    }))
}

pub(super) fn memory(dir: &Path) -> Result<Option<MemoryStats>, CgroupError> {
    let Some(usage) = number(dir, "memory.current")? else { return Ok(None) };
    let events = file::read_optional(dir, "memory.events")?.unwrap_or_default();
    let limit_of = |name: &str| -> Result<Option<u64>, CgroupError> {
        Ok(file::read_optional(dir, name)?.as_deref().and_then(limit))
    };
    Ok(Some(MemoryStats {
        usage,
        max_usage: number(dir, "memory.peak")?,
        limit: limit_of("memory.max")?,
        failures: value_of(&events, "max").unwrap_or(0),
        swap_usage: number(dir, "memory.swap.current")?,
        swap_limit: limit_of("memory.swap.max")?,
        kernel_usage: None,
        kernel_tcp_usage: None,
        stat: flat(&file::read_optional(dir, "memory.stat")?.unwrap_or_default()),
        oom_kills: value_of(&events, "oom_kill").unwrap_or(0),
        pressure: pressure_of(dir, "memory.pressure")?,
    }))
}

pub(super) fn pids(dir: &Path) -> Result<Option<PidsStats>, CgroupError> {
    let Some(current) = number(dir, "pids.current")? else { return Ok(None) };
    Ok(Some(PidsStats { current, limit: number(dir, "pids.max")? }))
}

/// `io.stat`, by the names that version 1 used.
pub(super) fn block_io(dir: &Path) -> Result<Option<BlkioStats>, CgroupError> {
    let Some(text) = file::read_optional(dir, "io.stat")? else { return Ok(None) };
    let mut stats =
        BlkioStats { pressure: pressure_of(dir, "io.pressure")?, ..BlkioStats::default() };
    for (major, minor, values) in nested(&text) {
        for (name, value) in values {
            let (list, op) = match name {
                "rbytes" => (&mut stats.service_bytes, "Read"),
                "wbytes" => (&mut stats.service_bytes, "Write"),
                "dbytes" => (&mut stats.service_bytes, "Discard"),
                "rios" => (&mut stats.serviced, "Read"),
                "wios" => (&mut stats.serviced, "Write"),
                "dios" => (&mut stats.serviced, "Discard"),
                _ => continue,
            };
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    Ok(Some(stats))
}

pub(super) fn hugepages(dir: &Path) -> Result<BTreeMap<String, HugetlbStats>, CgroupError> {
    let mut sizes = BTreeMap::new();
    for size in super::page_sizes(dir, ".current")? {
        let usage = super::hugepages_in_use(dir, &size, "current")?;
        let usage = file::number(&usage).unwrap_or(0);
        let events = file::read_optional(dir, &format!("hugetlb.{size}.events"))?;
        let failures = events.and_then(|text| value_of(&text, "max")).unwrap_or(0);
        sizes.insert(size, HugetlbStats { usage, max_usage: None, failures });
    }
    Ok(sizes)
}

pub(super) fn cpuset(dir: &Path) -> Result<Option<CpusetStats>, CgroupError> {
    let read = |name| -> Result<String, CgroupError> {
        Ok(file::read_optional(dir, name)?.unwrap_or_default().trim().to_owned())
    };
    let (cpus, mems) = (read("cpuset.cpus.effective")?, read("cpuset.mems.effective")?);
    let absent = cpus.is_empty() && mems.is_empty();
    Ok((!absent).then_some(CpusetStats { cpus, mems, switches: BTreeMap::new() }))
}

/// `misc.current` and `misc.events`: `sev 5`, and `sev.max 0`, a line.
pub(super) fn misc(dir: &Path) -> Result<BTreeMap<String, MiscStats>, CgroupError> {
    let current = file::read_optional(dir, "misc.current")?.unwrap_or_default();
    let events = file::read_optional(dir, "misc.events")?.unwrap_or_default();
    let of = |(name, usage): (String, u64)| {
        let failures = value_of(&events, &format!("{name}.max")).unwrap_or(0);
        (name, MiscStats { usage, failures })
    };
    Ok(flat(&current).into_iter().map(of).collect())
}

/// `rdma.current` and `rdma.max`: `mlx4_0 hca_handle=2 hca_object=max` a line. The files are the
/// same in version 1.
pub(super) fn rdma(dir: &Path) -> Result<BTreeMap<String, RdmaStats>, CgroupError> {
    let mut devices: BTreeMap<String, RdmaStats> = BTreeMap::new();
    for name in ["rdma.current", "rdma.max"] {
        let text = file::read_optional(dir, name)?.unwrap_or_default();
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let Some(device) = fields.next() else { continue };
            let stats = devices.entry(device.to_owned()).or_default();
            for (field, value) in pairs(fields) {
                let value = value.parse().ok();
                match (name, field) {
                    ("rdma.current", "hca_handle") => stats.hca_handles = value.unwrap_or(0),
                    ("rdma.current", "hca_object") => stats.hca_objects = value.unwrap_or(0),
                    ("rdma.max", "hca_handle") => stats.hca_handles_limit = value,
                    ("rdma.max", "hca_object") => stats.hca_objects_limit = value,
                    _ => {}
                }
            }
        }
    }
    Ok(devices)
}

fn pressure_of(dir: &Path, name: &str) -> Result<Option<Pressure>, CgroupError> {
    Ok(file::read_optional(dir, name)?.as_deref().map(pressure))
}

fn number(dir: &Path, name: &str) -> Result<Option<u64>, CgroupError> {
    Ok(file::read_optional(dir, name)?.as_deref().and_then(file::number))
}
