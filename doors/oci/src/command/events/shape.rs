//! Statistics in runc's form: `types/events.go` there.

use std::path::Path;

use cgroups::{
    BlkioEntry, BlkioStats, Cgroup, Controller, CpuStats, HugetlbStats, MemoryStats, PidsStats,
    Pressure, PressureLine, Stats,
};
use resctrl::Traffic;
use serde_json::{Map, Value, json};

/// No limit, as Go's largest number.
const NO_LIMIT: u64 = u64::MAX;

/// The `data` of an event.
pub(super) fn stats(stats: &Stats, group: &Cgroup, rdt: Option<&resctrl::Stats>) -> Value {
    let cpuacct = group.directory(Controller::Cpuacct);
    let hugetlb: Map<String, Value> =
        stats.hugetlb.iter().map(|(size, one)| (size.clone(), hugetlb(one))).collect();
    json!({
        "cpu": stats.cpu.as_ref().map_or_else(|| json!({}), |stats| cpu(stats, cpuacct)),
        "cpuset": group.directory(Controller::Cpuset).map_or_else(|| json!({}), cpuset),
        "memory": stats.memory.as_ref().map_or_else(|| json!({}), memory),
        "pids": stats.pids.as_ref().map_or_else(|| json!({}), pids),
        "blkio": stats.blkio.as_ref().map_or_else(|| json!({}), blkio),
        "hugetlb": hugetlb,
        "intel_rdt": rdt.map_or_else(|| json!({}), intel_rdt),
        "network_interfaces": null,
    })
}

fn cpu(stats: &CpuStats, cpuacct: Option<&Path>) -> Value {
    let by_mode = cpuacct.map(usage_all).unwrap_or_default();
    let column = |index: usize| by_mode.iter().map(|one| one[index]).collect::<Vec<_>>();
    let mut value = json!({
        "usage": {
            "total": stats.usage_ns,
            "percpu": stats.per_cpu_ns,
            "percpu_kernel": column(1),
            "percpu_user": column(0),
            "kernel": stats.system_ns,
            "user": stats.user_ns,
        },
        "throttling": {
            "periods": stats.periods,
            "throttledPeriods": stats.throttled_periods,
            "throttledTime": stats.throttled_ns,
        },
    });
    add_pressure(&mut value, stats.pressure.as_ref());
    value
}

/// `cpuacct.usage_all`: user and kernel nanoseconds by processor. Version 1.
fn usage_all(dir: &Path) -> Vec<[u64; 2]> {
    let text = std::fs::read_to_string(dir.join("cpuacct.usage_all")).unwrap_or_default();
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|word| word.parse().ok());
        numbers.next()?;
        Some([numbers.next()??, numbers.next()??])
    };
    // The first line is a heading.
    text.lines().skip(1).filter_map(line).collect()
}

/// What version 1 has in files of `cpuset.`; version 2 has only the first two.
fn cpuset(dir: &Path) -> Value {
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    let number = |name: &str| text(name).trim().parse::<i64>().unwrap_or(0);
    json!({
        "cpus": list(&text("cpuset.cpus")),
        "cpu_exclusive": number("cpuset.cpu_exclusive"),
        "mems": list(&text("cpuset.mems")),
        "mem_hardwall": number("cpuset.mem_hardwall"),
        "mem_exclusive": number("cpuset.mem_exclusive"),
        "memory_migrate": number("cpuset.memory_migrate"),
        "memory_spread_page": number("cpuset.memory_spread_page"),
        "memory_spread_slab": number("cpuset.memory_spread_slab"),
        "memory_pressure": number("cpuset.memory_pressure"),
        "sched_load_balance": number("cpuset.sched_load_balance"),
        "sched_relax_domain_level": number("cpuset.sched_relax_domain_level"),
    })
}

/// The numbers of a list such as `0-3,7`.
fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn memory(stats: &MemoryStats) -> Value {
    let entry = |usage: u64, max: Option<u64>, limit: Option<u64>, failures: u64| {
        json!({
            "limit": limit.unwrap_or(NO_LIMIT),
            "usage": usage,
            "max": max.unwrap_or(0),
            "failcnt": failures,
        })
    };
    let of = |name: &str| stats.stat.get(name).copied();
    let mut value = json!({
        "cache": of("cache").or_else(|| of("file")).unwrap_or(0),
        "usage": entry(stats.usage, stats.max_usage, stats.limit, stats.failures),
        "raw": stats.stat,
    });
    if let Some(usage) = stats.swap_usage {
        value["swap"] = entry(usage, None, stats.swap_limit, 0);
    }
    if let Some(usage) = stats.kernel_usage {
        value["kernel"] = entry(usage, None, None, 0);
    }
    if let Some(usage) = stats.kernel_tcp_usage {
        value["kernelTCP"] = entry(usage, None, None, 0);
    }
    add_pressure(&mut value, stats.pressure.as_ref());
    value
}

fn pids(stats: &PidsStats) -> Value {
    json!({"current": stats.current, "limit": stats.limit.unwrap_or(0)})
}

fn blkio(stats: &BlkioStats) -> Value {
    let entries = |entries: &[BlkioEntry]| {
        let entry = |one: &BlkioEntry| json!({"major": one.major, "minor": one.minor, "op": one.op, "value": one.value});
        Value::from(entries.iter().map(entry).collect::<Vec<_>>())
    };
    let mut value = json!({
        "ioServiceBytesRecursive": entries(&stats.service_bytes),
        "ioServicedRecursive": entries(&stats.serviced),
        "ioQueueRecursive": entries(&stats.queued),
        "ioServiceTimeRecursive": entries(&stats.service_time),
        "ioWaitTimeRecursive": entries(&stats.wait_time),
        "ioMergedRecursive": entries(&stats.merged),
        "ioTimeRecursive": entries(&stats.time),
        "sectorsRecursive": entries(&stats.sectors),
    });
    add_pressure(&mut value, stats.pressure.as_ref());
    value
}

fn intel_rdt(stats: &resctrl::Stats) -> Value {
    let line = |lines: &[String], name| lines.iter().find(|line| line.starts_with(name)).cloned();
    let mut value = json!({"schemata": stats.schemata});
    let mut add = |name: &str, member: Option<Value>| {
        if let Some(member) = member {
            value[name] = member;
        }
    };
    if let Some(cache) = &stats.cache {
        let (mask, bits) = (&cache.mask, cache.least_bits);
        let info = json!({"cbm_mask": mask, "min_cbm_bits": bits, "num_closids": cache.classes});
        add("l3_cache_info", Some(info));
        add("l3_cache_schema_root", line(&stats.root_schemata, "L3").map(Value::from));
        add("l3_cache_schema", line(&stats.schemata, "L3").map(Value::from));
    }
    if let Some(info) = &stats.bandwidth {
        let info = json!({
            "bandwidth_gran": info.step, "delay_linear": info.linear, "min_bandwidth": info.least,
            "num_closids": info.classes,
        });
        add("mem_bw_info", Some(info));
        add("mem_bw_schema_root", line(&stats.root_schemata, "MB").map(Value::from));
        add("mem_bw_schema", line(&stats.schemata, "MB").map(Value::from));
    }
    let traffic = stats.traffic.as_ref().map(|domains| {
        let domain = |one: &Traffic| json!({"mbm_total_bytes": one.total_bytes, "mbm_local_bytes": one.local_bytes});
        domains.iter().map(domain).collect()
    });
    add("mbm_stats", traffic);
    let occupancy = stats
        .occupancy
        .as_ref()
        .map(|domains| domains.iter().map(|bytes| json!({"llc_occupancy": bytes})).collect());
    add("cmt_stats", occupancy);
    value
}

fn hugetlb(stats: &HugetlbStats) -> Value {
    json!({
        "usage": stats.usage,
        "max": stats.max_usage.unwrap_or(0),
        "failcnt": stats.failures,
    })
}

fn add_pressure(value: &mut Value, pressure: Option<&Pressure>) {
    if let Some(pressure) = pressure {
        let line = |line: &PressureLine| {
            json!({
                "avg10": line.avg10,
                "avg60": line.avg60,
                "avg300": line.avg300,
                "total": line.total_us,
            })
        };
        value["psi"] = json!({"some": line(&pressure.some), "full": line(&pressure.full)});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(list("\n"), [0_u16; 0]);
    }

    #[test]
    fn shares_of_caches_are_called_as_runc_calls_them() {
        let stats = resctrl::Stats {
            schemata: vec!["MB:0=20".into(), "L3:0=f".into()],
            root_schemata: vec!["MB:0=100".into(), "L3:0=fffff".into()],
            cache: Some(resctrl::CacheInfo { mask: "fffff".into(), least_bits: 1, classes: 16 }),
            bandwidth: None,
            traffic: Some(vec![Traffic { total_bytes: 9, local_bytes: 7 }]),
            occupancy: None,
        };
        let wanted = json!({
            "schemata": ["MB:0=20", "L3:0=f"],
            "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=fffff",
            "l3_cache_schema": "L3:0=f",
            "mbm_stats": [{"mbm_total_bytes": 9, "mbm_local_bytes": 7}],
        });
        assert_eq!(intel_rdt(&stats), wanted);
    }

    #[test]
    fn members_are_called_as_runc_calls_them() {
        let stats = MemoryStats {
            usage: 5,
            limit: Some(9),
            failures: 2,
            stat: [("cache".to_owned(), 3)].into(),
            swap_usage: Some(1),
            ..MemoryStats::default()
        };
        let value = memory(&stats);
        assert_eq!(value["usage"], json!({"limit": 9, "usage": 5, "max": 0, "failcnt": 2}));
        assert_eq!(value["swap"]["limit"], json!(u64::MAX));
        assert_eq!((&value["cache"], &value["raw"]["cache"]), (&json!(3), &json!(3)));
    }
}
