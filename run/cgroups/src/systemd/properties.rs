//! Limits in systemd's words, so that it knows them and does not undo them.
//!
//! What it has no word for is written to the group's files alone, as all is in the end.
//! systemd.resource-control(5).

use oci::runtime::{Cpu, Resources};

use super::devices;
use super::value::Value;
use crate::CgroupError;
use crate::apply::{cost_weight, swap_alone, weight};

/// What `uint64` properties have for no limit.
const INFINITY: u64 = u64::MAX;

/// The properties for `resources`, and the resources as they are to be written to files then.
///
/// `version` is systemd's. Processor quotas are rounded up to what systemd can say, so that both
/// write the same.
pub(super) fn of(
    resources: &Resources,
    unified: bool,
    version: u32,
) -> Result<(Vec<(String, Value)>, Resources), CgroupError> {
    let mut properties = Vec::new();
    let mut add = |name: &str, value: Value| properties.push((name.to_owned(), value));
    let mut resources = resources.clone();
    if !resources.devices.is_empty() {
        for (name, value) in devices::properties(&resources.devices, unified, version)? {
            add(name, value);
        }
    }
    if let Some(memory) = &resources.memory {
        let given = |value: Option<i64>| value.filter(|value| *value != 0);
        let bytes = |value: i64| Value::U64(u64::try_from(value).unwrap_or(INFINITY));
        if let Some(limit) = given(memory.limit) {
            add(if unified { "MemoryMax" } else { "MemoryLimit" }, bytes(limit));
        }
        if unified {
            if let Some(reservation) = given(memory.reservation) {
                add("MemoryLow", bytes(reservation));
            }
            if let Some(swap) = swap_alone(given(memory.limit), given(memory.swap))? {
                add("MemorySwapMax", bytes(swap));
            }
        }
    }
    if let Some(cpu) = &mut resources.cpu {
        cpu_properties(cpu, unified, version, &mut add)?;
    }
    if let Some(limit) = resources.pids.and_then(|pids| pids.limit) {
        add("TasksMax", Value::U64(tasks(limit)));
    }
    if let Some(io) = &resources.block_io
        && let Some(weight) = io.weight.filter(|weight| *weight != 0)
    {
        match unified {
            true => add("IOWeight", Value::U64(cost_weight(weight))),
            false => add("BlockIOWeight", Value::U64(weight.into())),
        }
    }
    for (name, value) in &resources.unified {
        unified_property(name, value.trim(), version, &mut add)?;
    }
    Ok((properties, resources))
}

/// systemd takes no zero.
fn tasks(limit: i64) -> u64 {
    u64::try_from(limit).map_or(INFINITY, |limit| limit.max(1))
}

fn cpu_properties(
    cpu: &mut Cpu,
    unified: bool,
    version: u32,
    add: &mut impl FnMut(&str, Value),
) -> Result<(), CgroupError> {
    let idle = unified && cpu.idle == Some(1) && version >= 252;
    let shares = cpu.shares.filter(|shares| *shares != 0);
    match shares {
        // A weight of nothing is systemd's word for idle.
        _ if idle => add("CPUWeight", Value::U64(0)),
        Some(shares) if unified => add("CPUWeight", Value::U64(weight(shares))),
        Some(shares) => add("CPUShares", Value::U64(shares)),
        None => {}
    }
    let quota = quota(cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0), version, add);
    if cpu.quota.is_some_and(|quota| quota > 0) {
        cpu.quota = Some(quota);
    }
    // Lists of processors are known from version 244 on.
    let lists =
        [("AllowedCPUs", "cpu.cpus", &cpu.cpus), ("AllowedMemoryNodes", "cpu.mems", &cpu.mems)];
    for (name, setting, list) in lists.into_iter().filter(|_| version >= 244) {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            add(name, bits(list, setting)?);
        }
    }
    Ok(())
}

/// Quota and period: systemd counts in hundredths of a processor. Gives the quota that it takes.
fn quota(quota: i64, period: u64, version: u32, add: &mut impl FnMut(&str, Value)) -> i64 {
    const USUAL_PERIOD: u64 = 100_000;
    if period != 0 && version >= 242 {
        add("CPUQuotaPeriodUSec", Value::U64(period));
    }
    if quota == 0 && period == 0 {
        return quota;
    }
    let period = if period == 0 { USUAL_PERIOD } else { period };
    match u64::try_from(quota).ok().filter(|quota| *quota > 0) {
        None => {
            add("CPUQuotaPerSecUSec", Value::U64(INFINITY));
            quota
        }
        Some(quota) => {
            let second = u128::from(quota) * 1_000_000 / u128::from(period);
            let second = u64::try_from(second).unwrap_or(INFINITY / 2).next_multiple_of(10_000);
            add("CPUQuotaPerSecUSec", Value::U64(second));
            let rounded = u128::from(second) * u128::from(period) / 1_000_000;
            i64::try_from(rounded).unwrap_or(i64::MAX)
        }
    }
}

/// The word for a file of version 2, if systemd has one.
fn unified_property(
    name: &str,
    value: &str,
    version: u32,
    add: &mut impl FnMut(&str, Value),
) -> Result<(), CgroupError> {
    let refuse = |reason| CgroupError::Value {
        setting: format!("unified.{name}"),
        value: value.to_owned(),
        reason,
    };
    let number = |text: &str| match text {
        "max" => Ok(INFINITY),
        text => text.parse().map_err(|_| refuse("it is neither a number nor max")),
    };
    match name {
        "cpu.idle" if value == "1" && version >= 252 => add("CPUWeight", Value::U64(0)),
        "cpu.weight" => add("CPUWeight", Value::U64(number(value)?)),
        "cpu.max" => {
            let mut words = value.split_ascii_whitespace();
            let max = number(words.next().unwrap_or("max"))?;
            let period = words.next().map(&number).transpose()?.unwrap_or(100_000);
            quota(i64::try_from(max).unwrap_or(-1), period, version, add);
        }
        "cpuset.cpus" if version >= 244 => add("AllowedCPUs", bits(value, "unified.cpuset.cpus")?),
        "cpuset.mems" if version >= 244 => {
            add("AllowedMemoryNodes", bits(value, "unified.cpuset.mems")?);
        }
        "memory.high" => add("MemoryHigh", Value::U64(number(value)?)),
        "memory.low" => add("MemoryLow", Value::U64(number(value)?)),
        "memory.min" => add("MemoryMin", Value::U64(number(value)?)),
        "memory.max" => add("MemoryMax", Value::U64(number(value)?)),
        "memory.swap.max" => add("MemorySwapMax", Value::U64(number(value)?)),
        "pids.max" => add("TasksMax", Value::U64(number(value)?.max(1))),
        _ => {}
    }
    Ok(())
}

/// A list such as `0-3,7` as bits, the lowest byte first.
fn bits(list: &str, setting: &str) -> Result<Value, CgroupError> {
    /// More than any kernel is built for.
    const MOST: usize = 1 << 16;
    let refuse =
        |reason| CgroupError::Value { setting: setting.to_owned(), value: list.to_owned(), reason };
    let number = |text: &str| match text.trim().parse() {
        Ok(number @ 0..MOST) => Ok(number),
        _ => Err(refuse("it is no list such as 0-3,7")),
    };
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        for bit in number(first)?..=number(last)? {
            if bytes.len() <= bit / 8 {
                bytes.resize(bit / 8 + 1, 0);
            }
            bytes[bit / 8] |= 1 << (bit % 8);
        }
    }
    match bytes.is_empty() {
        true => Err(refuse("it names nothing")),
        false => Ok(Value::Array("y".into(), bytes.into_iter().map(Value::Byte).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::{Memory, Pids};

    fn check(resources: &Resources, unified: bool, want: &[(&str, u64)]) -> Resources {
        let (properties, written) = of(resources, unified, 252).unwrap();
        let numbers: Vec<_> = properties
            .iter()
            .map(|(name, value)| match value {
                Value::U64(number) => (name.as_str(), *number),
                other => panic!("{name}: {other:?}"),
            })
            .collect();
        assert_eq!(numbers, want);
        written
    }

    #[test]
    fn memory_and_tasks_have_their_words() {
        let memory = Memory {
            limit: Some(100),
            swap: Some(300),
            reservation: Some(50),
            ..Memory::default()
        };
        let resources = |memory, limit| Resources {
            memory: Some(memory),
            pids: Some(Pids { limit: Some(limit) }),
            ..Resources::default()
        };
        check(
            &resources(memory.clone(), 7),
            true,
            &[("MemoryMax", 100), ("MemoryLow", 50), ("MemorySwapMax", 200), ("TasksMax", 7)],
        );
        check(&resources(memory, 0), false, &[("MemoryLimit", 100), ("TasksMax", 1)]);
        let unlimited = Memory { limit: Some(-1), ..Memory::default() };
        check(
            &resources(unlimited, -1),
            true,
            &[("MemoryMax", INFINITY), ("MemorySwapMax", INFINITY), ("TasksMax", INFINITY)],
        );
    }

    #[test]
    fn quotas_are_rounded_to_a_hundredth_of_a_processor() {
        let cpu = |cpu| Resources { cpu: Some(cpu), ..Resources::default() };
        let odd = Cpu { quota: Some(33_333), period: Some(100_000), ..Cpu::default() };
        let written = check(
            &cpu(odd),
            true,
            &[("CPUQuotaPeriodUSec", 100_000), ("CPUQuotaPerSecUSec", 340_000)],
        );
        assert_eq!(written.cpu.unwrap().quota, Some(34_000));
        let none = Cpu { quota: Some(-1), shares: Some(1024), ..Cpu::default() };
        let written = check(
            &cpu(none.clone()),
            true,
            &[("CPUWeight", 100), ("CPUQuotaPerSecUSec", INFINITY)],
        );
        assert_eq!(written.cpu.unwrap().quota, Some(-1));
        check(&cpu(none), false, &[("CPUShares", 1024), ("CPUQuotaPerSecUSec", INFINITY)]);
        let idle = Cpu { idle: Some(1), shares: Some(1024), ..Cpu::default() };
        check(&cpu(idle), true, &[("CPUWeight", 0)]);
    }

    #[test]
    fn lists_are_bits() {
        let bytes = |list: &str| match bits(list, "cpu.cpus").unwrap() {
            Value::Array(kind, values) => {
                assert_eq!(kind, "y");
                values
                    .iter()
                    .map(|value| match value {
                        Value::Byte(byte) => *byte,
                        other => panic!("{other:?}"),
                    })
                    .collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes("0-3"), [0b1111]);
        assert_eq!(bytes("1, 8,,10-11"), [0b10, 0b1101]);
        for bad in ["", "x", "-", "1-", "4294967295"] {
            assert!(bits(bad, "cpu.cpus").is_err(), "{bad}");
        }
    }

    #[test]
    fn files_of_version_2_have_words_where_there_are_any() {
        let file = |name: &str, value: &str| Resources {
            unified: [(name.to_owned(), value.to_owned())].into(),
            ..Resources::default()
        };
        for (name, value, want) in [
            ("memory.high", "max", &[("MemoryHigh", INFINITY)][..]),
            ("pids.max", "5", &[("TasksMax", 5)]),
            (
                "cpu.max",
                "50000",
                &[("CPUQuotaPeriodUSec", 100_000), ("CPUQuotaPerSecUSec", 500_000)],
            ),
            (
                "cpu.max",
                "max 5000",
                &[("CPUQuotaPeriodUSec", 5_000), ("CPUQuotaPerSecUSec", INFINITY)],
            ),
            ("misc.max", "x 5", &[]),
        ] {
            check(&file(name, value), true, want);
        }
        assert!(of(&file("memory.max", "much"), true, 252).is_err());
    }
}
