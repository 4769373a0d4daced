//! Limits: the user's wishes as what the cgroup controllers are told.

use dockerapi::{HostConfig, ThrottleDevice, WeightDevice};
use oci::runtime::{self, BlockIo, Memory, Pids, Resources};

use crate::devices::Lookup;
use crate::{BundleError, HostFacts, Profile};

mod cpu;

/// Less cannot hold a process and what it takes to start one.
const MEMORY_MINIMUM: i64 = 6 << 20;

/// Checks all limits and gives those that need no device of the host. What the host's controllers
/// cannot do is left out with a warning, in Docker's words; what makes no sense is an error.
pub(crate) fn limits(
    host: &HostConfig,
    profile: Profile,
    facts: &HostFacts,
    warnings: &mut Vec<String>,
) -> Result<Resources, BundleError> {
    let memory = memory(host, profile, facts, warnings)?;
    let pids = pids(host, profile, facts, warnings);
    let cpu = cpu::cpu(host, facts, warnings)?;
    let mut block_io = BlockIo::default();
    if host.blkio_weight != 0 {
        if !(10..=1000).contains(&host.blkio_weight) {
            return Err(BundleError::invalid("Range of blkio weight is from 10 to 1000"));
        }
        if facts.limits.blkio_weight {
            block_io.weight = Some(host.blkio_weight);
        } else {
            warnings.push(
                "Your kernel does not support Block I/O weight or the cgroup is not mounted. \
                 Weight discarded."
                    .into(),
            );
        }
    }
    for device in &host.blkio_weight_device {
        if !(10..=1000).contains(&device.weight) && device.weight != 0 {
            return Err(BundleError::invalid("Range of blkio weight is from 10 to 1000"));
        }
    }
    Ok(Resources {
        memory,
        cpu,
        pids,
        block_io: Some(block_io).filter(|block_io| *block_io != BlockIo::default()),
        ..Default::default()
    })
}

/// Adds the limits of block devices, whose numbers the host has to say.
pub(crate) fn add_block_devices(
    resources: &mut Resources,
    host: &HostConfig,
    facts: &HostFacts,
    lookup: Lookup<'_>,
    warnings: &mut Vec<String>,
) -> Result<(), BundleError> {
    let mut block_io = resources.block_io.take().unwrap_or_default();
    if host.blkio_weight_device.is_empty() || facts.limits.blkio_weight_device {
        block_io.weight_device = weights(&host.blkio_weight_device, lookup)?;
    } else {
        warnings.push(
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. \
             Weight-device discarded."
                .into(),
        );
    }
    let lists = [
        (
            &host.blkio_device_read_bps,
            &mut block_io.throttle_read_bps_device,
            "BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit",
        ),
        (
            &host.blkio_device_write_bps,
            &mut block_io.throttle_write_bps_device,
            "BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit",
        ),
        (
            &host.blkio_device_read_iops,
            &mut block_io.throttle_read_iops_device,
            "IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit",
        ),
        (
            &host.blkio_device_write_iops,
            &mut block_io.throttle_write_iops_device,
            "IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit",
        ),
    ];
    for (wanted, out, what) in lists {
        if wanted.is_empty() || facts.limits.blkio_throttle {
            *out = rates(wanted, lookup)?;
        } else {
            warnings.push(format!("Your kernel does not support {what} discarded."));
        }
    }
    resources.block_io = Some(block_io).filter(|block_io| *block_io != BlockIo::default());
    Ok(())
}

fn memory(
    host: &HostConfig,
    profile: Profile,
    facts: &HostFacts,
    warnings: &mut Vec<String>,
) -> Result<Option<Memory>, BundleError> {
    let invalid = |text: &str| Err(BundleError::invalid(text));
    let limits = facts.limits;
    let (mut limit, mut swap, mut reservation) =
        (host.memory, host.memory_swap, host.memory_reservation);
    if limit < 0 || limit != 0 && limit < MEMORY_MINIMUM {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if limit > 0 && swap == 0 {
        // As much again of swap; the strict profile gives none that nobody asked for.
        swap = if profile == Profile::Strict { limit } else { limit.saturating_mul(2) };
    }
    if limit > 0 && !limits.memory {
        warnings.push(
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. \
             Limitation discarded."
                .into(),
        );
        (limit, swap) = (0, -1);
    }
    if limit > 0 && swap != -1 && !limits.swap {
        warnings.push(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. \
             Memory limited without swap."
                .into(),
        );
        swap = -1;
    }
    if swap < -1 {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if limit > 0 && swap > 0 && swap < limit {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if limit == 0 && swap > 0 {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    // The command line's -1 is "not set".
    let mut swappiness = host.memory_swappiness.filter(|value| *value != -1);
    if let Some(value) = swappiness.filter(|value| !(0..=100).contains(value)) {
        return Err(BundleError::invalid(format!(
            "Invalid value: {value}, valid memory swappiness range is 0-100"
        )));
    }
    if swappiness.is_some() && !limits.swappiness {
        warnings.push(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not \
             mounted. Memory swappiness discarded."
                .into(),
        );
        swappiness = None;
    }
    if reservation > 0 && !limits.memory_reservation {
        warnings.push(
            "Your kernel does not support memory soft limit capabilities or the cgroup is not \
             mounted. Limitation discarded."
                .into(),
        );
        reservation = 0;
    }
    if reservation != 0 && reservation < MEMORY_MINIMUM {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if limit > 0 && reservation > limit {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    let mut no_killer = host.oom_kill_disable.unwrap_or_default();
    if no_killer && !limits.oom_kill_disable {
        warnings
            .push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
        no_killer = false;
    }
    if no_killer && limit == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result \
             in the system running out of resources."
                .into(),
        );
    }
    let positive = |value: i64| Some(value).filter(|value| *value > 0);
    let memory = Memory {
        limit: positive(limit),
        reservation: positive(reservation),
        swap: positive(swap),
        swappiness: swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: Some(true).filter(|_| no_killer),
        ..Default::default()
    };
    Ok(Some(memory).filter(|memory| *memory != Memory::default()))
}

fn pids(
    host: &HostConfig,
    profile: Profile,
    facts: &HostFacts,
    warnings: &mut Vec<String>,
) -> Option<Pids> {
    let limit = match host.pids_limit {
        None if host.privileged => None,
        None => profile.pids_limit(),
        Some(limit) if limit <= 0 => Some(-1),
        Some(limit) => Some(limit),
    };
    if facts.limits.pids {
        return limit.map(|limit| Pids { limit: Some(limit) });
    }
    if host.pids_limit.is_some_and(|limit| limit > 0) {
        warnings.push(
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. \
             PIDs limit discarded."
                .into(),
        );
    }
    None
}

fn weights(
    list: &[WeightDevice],
    lookup: Lookup<'_>,
) -> Result<Vec<runtime::WeightDevice>, BundleError> {
    let one = |device: &WeightDevice| {
        let (major, minor) = numbers(&device.path, lookup)?;
        Ok(runtime::WeightDevice { major, minor, weight: Some(device.weight), leaf_weight: None })
    };
    list.iter().map(one).collect()
}

fn rates(
    list: &[ThrottleDevice],
    lookup: Lookup<'_>,
) -> Result<Vec<runtime::ThrottleDevice>, BundleError> {
    let one = |device: &ThrottleDevice| {
        let (major, minor) = numbers(&device.path, lookup)?;
        Ok(runtime::ThrottleDevice { major, minor, rate: device.rate })
    };
    list.iter().map(one).collect()
}

fn numbers(path: &str, lookup: Lookup<'_>) -> Result<(i64, i64), BundleError> {
    let failed = |source| BundleError::Device { path: path.to_owned(), source };
    let found = lookup(path).map_err(failed)?;
    match found.iter().find(|device| device.path == path) {
        Some(device) => Ok((device.major.into(), device.minor.into())),
        None => Err(failed(std::io::Error::other("not a device node"))),
    }
}

#[cfg(test)]
mod tests;
