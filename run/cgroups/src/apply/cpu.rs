//! Processor shares, quota, real time, and which processors.

use std::path::Path;

use oci::runtime::Cpu;

use super::only_v1;
use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, Controller, file};

impl Cgroup {
    pub(super) fn apply_cpu(&self, cpu: &Cpu) -> Result<(), CgroupError> {
        let cpu = &Cpu {
            shares: cpu.shares.filter(|value| *value != 0),
            quota: cpu.quota.filter(|value| *value != 0),
            period: cpu.period.filter(|value| *value != 0),
            realtime_runtime: cpu.realtime_runtime.filter(|value| *value != 0),
            realtime_period: cpu.realtime_period.filter(|value| *value != 0),
            ..cpu.clone()
        };
        let settings = [
            (cpu.shares.is_some(), "cpu.shares"),
            (cpu.quota.is_some(), "cpu.quota"),
            (cpu.period.is_some(), "cpu.period"),
            (cpu.burst.is_some(), "cpu.burst"),
            (cpu.idle.is_some(), "cpu.idle"),
            (cpu.realtime_period.is_some(), "cpu.realtimePeriod"),
            (cpu.realtime_runtime.is_some(), "cpu.realtimeRuntime"),
        ];
        if let Some((_, setting)) = settings.into_iter().find(|(given, _)| *given) {
            let (dir, version) = self.place(Controller::Cpu, setting)?;
            match version {
                Version::V1 => time_v1(dir, cpu)?,
                Version::V2 => time_v2(dir, cpu)?,
            }
        }
        let lists =
            [("cpuset.cpus", "cpu.cpus", &cpu.cpus), ("cpuset.mems", "cpu.mems", &cpu.mems)];
        for (name, setting, list) in lists {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                let (dir, _) = self.place(Controller::Cpuset, setting)?;
                file::set(dir, name, setting, list)?;
            }
        }
        Ok(())
    }
}

/// Sets a group's weight before or after `idle`: an idle group takes no weight.
fn weight_and_idle(
    dir: &Path,
    idle: Option<i64>,
    weight: impl FnOnce() -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let set_idle = |value| file::set(dir, "cpu.idle", "cpu.idle", value);
    match idle {
        Some(0) => {
            set_idle(0)?;
            weight()
        }
        Some(value) => {
            weight()?;
            set_idle(value)
        }
        None => weight(),
    }
}

fn time_v1(dir: &Path, cpu: &Cpu) -> Result<(), CgroupError> {
    weight_and_idle(dir, cpu.idle, || match cpu.shares {
        Some(shares) => file::set(dir, "cpu.shares", "cpu.shares", shares),
        None => Ok(()),
    })?;
    let period = |value| file::set(dir, "cpu.cfs_period_us", "cpu.period", value);
    let burst = |value| file::set(dir, "cpu.cfs_burst_us", "cpu.burst", value);
    // The old burst may be more than the new quota allows.
    if cpu.burst.is_some() {
        burst(0)?;
    }
    let quota = cpu.quota.map(|quota| file::set(dir, "cpu.cfs_quota_us", "cpu.quota", quota));
    // A shorter period with the old quota may be more than the group above has, and a longer
    // period may be what makes the new quota possible: what fails is tried again after the other.
    let first = quota.is_some_and(|result| result.is_ok());
    if let Some(value) = cpu.period {
        period(value)?;
    }
    if let (Some(quota), false) = (cpu.quota, first) {
        file::set(dir, "cpu.cfs_quota_us", "cpu.quota", quota)?;
    }
    if let Some(value) = cpu.burst {
        burst(value)?;
    }
    let runtime = |value| file::set(dir, "cpu.rt_runtime_us", "cpu.realtimeRuntime", value);
    let first = cpu.realtime_runtime.is_some_and(|value| runtime(value).is_ok());
    if let Some(value) = cpu.realtime_period {
        file::set(dir, "cpu.rt_period_us", "cpu.realtimePeriod", value)?;
    }
    match cpu.realtime_runtime {
        Some(value) if !first => runtime(value),
        _ => Ok(()),
    }
}

fn time_v2(dir: &Path, cpu: &Cpu) -> Result<(), CgroupError> {
    if cpu.realtime_runtime.is_some() {
        return Err(only_v1("cpu.realtimeRuntime"));
    }
    if cpu.realtime_period.is_some() {
        return Err(only_v1("cpu.realtimePeriod"));
    }
    weight_and_idle(dir, cpu.idle, || match cpu.shares {
        Some(shares) => file::set(dir, "cpu.weight", "cpu.shares", weight(shares)),
        None => Ok(()),
    })?;
    if cpu.quota.is_some() || cpu.period.is_some() {
        let setting = if cpu.quota.is_some() { "cpu.quota" } else { "cpu.period" };
        // Both stand in one file; what is not given stays.
        let now = file::read(dir, "cpu.max")?;
        let mut now = now.split_ascii_whitespace();
        let quota = match cpu.quota {
            Some(quota) if quota < 0 => "max".to_owned(),
            Some(quota) => quota.to_string(),
            None => now.next().unwrap_or("max").to_owned(),
        };
        let value = match cpu.period {
            Some(period) => format!("{quota} {period}"),
            None => quota,
        };
        // A burst must not exceed the quota, the old burst the new quota neither.
        if cpu.burst.is_some() && dir.join(BURST).exists() {
            file::set(dir, BURST, "cpu.burst", 0)?;
        }
        file::set(dir, "cpu.max", setting, value)?;
    }
    match cpu.burst {
        Some(burst) => file::set(dir, BURST, "cpu.burst", burst),
        None => Ok(()),
    }
}

const BURST: &str = "cpu.max.burst";

/// Version 2's weight (1 to 10,000, usually 100) for shares (2 to 262,144, usually 1,024).
///
/// The two ends and the usual value are met exactly, with a curve between them, so that a
/// container of 1,024 shares weighs as much as one of which nothing was said. runc does the same
/// from 1.4 on.
pub(crate) fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn the_usual_shares_weigh_as_usual() {
        for (shares, want) in [(2, 1), (1024, 100), (262_144, 10_000), (0, 1), (1 << 30, 10_000)] {
            assert_eq!(weight(shares), want, "{shares}");
        }
        assert!((2..262_144).step_by(997).all(|shares| weight(shares) <= weight(shares + 997)));
    }
}
