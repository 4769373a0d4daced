//! Processor time, and which processors.

use dockerapi::HostConfig;
use oci::runtime::Cpu;

use crate::number_list::NumberList;
use crate::{BundleError, HostFacts};

/// The period that `--cpus` is measured in, microseconds.
const CPU_PERIOD: u64 = 100_000;

/// Shares, quota, real time and the set of processors; `None` if nothing is asked for.
pub(super) fn cpu(
    host: &HostConfig,
    facts: &HostFacts,
    warnings: &mut Vec<String>,
) -> Result<Option<Cpu>, BundleError> {
    let invalid = |text: String| Err(BundleError::invalid(text));
    let conflict = |what: &str| {
        Err(BundleError::conflict(format!(
            "Conflicting options: Nano CPUs and CPU {what} cannot both be set"
        )))
    };
    let limits = facts.limits;
    let mut cpu = Cpu::default();
    if host.nano_cpus > 0 && host.cpu_period > 0 {
        return conflict("Period");
    }
    if host.nano_cpus > 0 && host.cpu_quota > 0 {
        return conflict("Quota");
    }
    if host.nano_cpus != 0 {
        if !limits.cpu_quota {
            return invalid(
                "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the \
                 cgroup is not mounted"
                    .into(),
            );
        }
        let count = facts.cpu_count;
        if host.nano_cpus < 0 || host.nano_cpus > i64::from(count) * 1_000_000_000 {
            return invalid(format!(
                "range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
            ));
        }
        cpu.period = Some(CPU_PERIOD);
        // A billionth of a processor in a period of 100 ms is a ten-thousandth of a microsecond.
        cpu.quota = Some(host.nano_cpus / 10_000);
        if cpu.quota < Some(1000) {
            return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
        }
    }
    if host.cpu_shares < 0 {
        return invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares
        ));
    }
    if host.cpu_shares > 0 && !limits.cpu_shares {
        warnings.push(
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded."
                .into(),
        );
    } else {
        cpu.shares = u64::try_from(host.cpu_shares).ok().filter(|shares| *shares > 0);
    }
    if (host.cpu_period != 0 || host.cpu_quota != 0) && !limits.cpu_quota {
        warnings.push(
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.".into(),
        );
    } else {
        if host.cpu_period != 0 && !(1000..=1_000_000).contains(&host.cpu_period) {
            return invalid(
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. \
                 1000000)"
                    .into(),
            );
        }
        if host.cpu_quota > 0 && host.cpu_quota < 1000 {
            return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
        }
        if host.cpu_period != 0 {
            cpu.period = u64::try_from(host.cpu_period).ok();
        }
        if host.cpu_quota != 0 {
            // Any negative number is no limit.
            cpu.quota = Some(host.cpu_quota.max(-1));
        }
    }
    realtime(host, facts, &mut cpu)?;
    cpuset(host, facts, &mut cpu, warnings)?;
    Ok(Some(cpu).filter(|cpu| *cpu != Cpu::default()))
}

fn realtime(host: &HostConfig, facts: &HostFacts, cpu: &mut Cpu) -> Result<(), BundleError> {
    let (period, runtime) = (host.cpu_realtime_period, host.cpu_realtime_runtime);
    if period == 0 && runtime == 0 {
        return Ok(());
    }
    if !facts.limits.cpu_realtime {
        return Err(BundleError::invalid("kernel does not support CPU real-time scheduler"));
    }
    if period != 0 && runtime > period {
        return Err(BundleError::invalid(
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ));
    }
    cpu.realtime_period = u64::try_from(period).ok().filter(|period| *period > 0);
    cpu.realtime_runtime = Some(runtime).filter(|runtime| *runtime != 0);
    Ok(())
}

fn cpuset(
    host: &HostConfig,
    facts: &HostFacts,
    cpu: &mut Cpu,
    warnings: &mut Vec<String>,
) -> Result<(), BundleError> {
    if host.cpuset_cpus.is_empty() && host.cpuset_mems.is_empty() {
        return Ok(());
    }
    if !facts.limits.cpuset {
        warnings.push(
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded."
                .into(),
        );
        return Ok(());
    }
    let rows = [
        (&host.cpuset_cpus, facts.cpus, "cpuset cpus", "CPUs", &mut cpu.cpus),
        (&host.cpuset_mems, facts.mems, "cpuset mems", "memory nodes", &mut cpu.mems),
    ];
    for (requested, available, name, what, out) in rows {
        if requested.is_empty() {
            continue;
        }
        let list = NumberList::parse(requested).map_err(|reason| {
            BundleError::invalid(format!("Invalid value {requested} for {name}: {reason}"))
        })?;
        let available = available();
        // If the host's own list cannot be read, the kernel decides.
        let there = NumberList::parse(&available).map_or(true, |all| list.is_subset(&all));
        if !there {
            return Err(BundleError::invalid(format!(
                "Requested {what} are not available - requested {requested}, available: {available}"
            )));
        }
        *out = Some(requested.clone());
    }
    Ok(())
}
