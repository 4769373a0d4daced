//! `--resource`: limits of each command, `memory=2g` and the like.

use dockerapi::HostConfig;
use engine::BuildError;

use crate::flags::{Bytes, SwapBytes, Value};

/// Puts limits where the flags for single ones have theirs; the last of one kind counts.
pub(super) fn read(given: &[String], host: &mut HostConfig) -> Result<(), BuildError> {
    for text in given {
        one(text, host)
            .map_err(|why| BuildError::Invalid(format!("invalid resource {text:?}: {why}")))?;
    }
    Ok(())
}

fn one(text: &str, host: &mut HostConfig) -> Result<(), String> {
    let (key, value) = text.split_once('=').ok_or("it must be a key=value pair")?;
    let value = value.trim();
    let number = || value.parse::<i64>().map_err(|_| format!("{value:?} is no number"));
    match key.trim() {
        "memory" => {
            let mut bytes = Bytes::default();
            bytes.set(value)?;
            host.memory = bytes.0;
        }
        "memory-swap" => {
            let mut bytes = SwapBytes::default();
            bytes.set(value)?;
            host.memory_swap = bytes.0;
        }
        "cpu-shares" => host.cpu_shares = number()?,
        "cpu-period" => host.cpu_period = number()?,
        "cpu-quota" => host.cpu_quota = number()?,
        "cpuset-cpus" => value.clone_into(&mut host.cpuset_cpus),
        "cpuset-mems" => value.clone_into(&mut host.cpuset_mems),
        _ => {
            return Err("memory, memory-swap, cpu-shares, cpu-period, cpu-quota, cpuset-cpus and \
                        cpuset-mems are there"
                .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let mut host = HostConfig { memory: 1, cpu_shares: 2, ..HostConfig::default() };
        let given = ["memory=2m", "memory-swap=-1", "cpu-quota=50000", "cpuset-cpus=0-1"];
        read(&given.map(str::to_owned), &mut host).unwrap();
        assert_eq!((host.memory, host.memory_swap), (2 << 20, -1));
        assert_eq!((host.cpu_shares, host.cpu_quota, &*host.cpuset_cpus), (2, 50_000, "0-1"));
        for text in ["memory", "memory=x", "cpu-shares=1.5", "pids=3"] {
            assert!(read(&[text.to_owned()], &mut host).is_err(), "{text}");
        }
    }
}
