use serde_json::json;

use super::*;
use crate::LimitFacts;
use crate::test_support::{devices, facts};

fn with(facts: &HostFacts, host: serde_json::Value) -> Result<(Resources, Vec<String>), String> {
    let host: HostConfig = serde_json::from_value(host).unwrap();
    let mut warnings = Vec::new();
    let profile = Profile::of(&host).unwrap();
    let mut resources =
        limits(&host, profile, facts, &mut warnings).map_err(|err| err.to_string())?;
    add_block_devices(&mut resources, &host, facts, &devices, &mut warnings)
        .map_err(|err| err.to_string())?;
    Ok((resources, warnings))
}

fn check(host: serde_json::Value) -> Result<serde_json::Value, String> {
    let (resources, warnings) = with(&facts(), host)?;
    assert!(warnings.is_empty(), "{warnings:?}");
    Ok(serde_json::to_value(resources).unwrap())
}

const MB: i64 = 1 << 20;

#[test]
fn wishes_as_the_controllers_hear_them() {
    let rows = [
        (json!({}), json!({"pids": {"limit": 2048}})),
        (json!({"Profile": "docker"}), json!({})),
        (json!({"PidsLimit": 0}), json!({"pids": {"limit": -1}})),
        (json!({"PidsLimit": -1}), json!({"pids": {"limit": -1}})),
        (json!({"Privileged": true}), json!({})),
        (
            json!({"Profile": "docker", "PidsLimit": 7, "Memory": 64 * MB}),
            json!({"memory": {"limit": 64 * MB, "swap": 128 * MB}, "pids": {"limit": 7}}),
        ),
        (
            json!({"Profile": "strict", "Memory": 64 * MB}),
            json!({"memory": {"limit": 64 * MB, "swap": 64 * MB}, "pids": {"limit": 2048}}),
        ),
        (
            json!({"Profile": "docker", "Memory": 64 * MB, "MemorySwap": -1,
                "MemoryReservation": 32 * MB, "MemorySwappiness": 10, "OomKillDisable": true}),
            json!({"memory": {"limit": 64 * MB, "reservation": 32 * MB, "swappiness": 10,
                "disableOOMKiller": true}}),
        ),
        (json!({"Profile": "docker", "MemorySwappiness": -1, "OomKillDisable": false}), json!({})),
        (
            json!({"Profile": "docker", "NanoCpus": 1_500_000_000}),
            json!({"cpu": {"quota": 150_000, "period": 100_000}}),
        ),
        (
            json!({"Profile": "docker", "CpuPeriod": 100_000, "CpuQuota": 20_000, "CpuShares": 512,
                "CpusetCpus": "0,2-3", "CpusetMems": "0"}),
            json!({"cpu": {"shares": 512, "quota": 20_000, "period": 100_000, "cpus": "0,2-3",
                "mems": "0"}}),
        ),
        (
            json!({"Profile": "docker", "CpuRealtimePeriod": 1000, "CpuRealtimeRuntime": 500}),
            json!({"cpu": {"realtimePeriod": 1000, "realtimeRuntime": 500}}),
        ),
        (
            json!({"Profile": "docker", "BlkioWeight": 500,
                "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 20}],
                "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}],
                "BlkioDeviceWriteBps": [{"Path": "/dev/sda", "Rate": 2}],
                "BlkioDeviceReadIOps": [{"Path": "/dev/sda", "Rate": 3}],
                "BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 4}]}),
            json!({"blockIO": {"weight": 500,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 20}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 4}]}}),
        ),
    ];
    for (host, expected) in rows {
        assert_eq!(check(host.clone()).unwrap(), expected, "{host}");
    }
}

#[test]
fn nonsense_is_refused_in_dockers_words() {
    let rows = [
        (json!({"Memory": 4 * MB}), "Minimum memory limit allowed is 6MB"),
        (json!({"Memory": -1}), "Minimum memory limit allowed is 6MB"),
        (
            json!({"Memory": 64 * MB, "MemorySwap": 32 * MB}),
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            json!({"MemorySwap": 32 * MB}),
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (json!({"MemoryReservation": MB}), "Minimum memory reservation allowed is 6MB"),
        (
            json!({"Memory": 16 * MB, "MemoryReservation": 17 * MB}),
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        (
            json!({"MemorySwappiness": 101}),
            "Invalid value: 101, valid memory swappiness range is 0-100",
        ),
        (
            json!({"NanoCpus": 1_000_000_000, "CpuPeriod": 1000}),
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            json!({"NanoCpus": 1_000_000_000, "CpuQuota": 1000}),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            json!({"NanoCpus": 4_000_000_001_i64}),
            "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available",
        ),
        (
            json!({"NanoCpus": -1}),
            "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available",
        ),
        (json!({"NanoCpus": 1}), "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (json!({"CpuQuota": 999}), "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (
            json!({"CpuPeriod": 999}),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (json!({"CpuShares": -1}), "invalid CPU shares (-1): value must be a positive integer"),
        (
            json!({"CpuRealtimePeriod": 10, "CpuRealtimeRuntime": 11}),
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ),
        (
            json!({"CpusetCpus": "0-4"}),
            "Requested CPUs are not available - requested 0-4, available: 0-3",
        ),
        (
            json!({"CpusetMems": "1"}),
            "Requested memory nodes are not available - requested 1, available: 0",
        ),
        (
            json!({"CpusetCpus": "0-9223372036854775807"}),
            "Invalid value 0-9223372036854775807 for cpuset cpus: invalid format: \
             0-9223372036854775807",
        ),
        (json!({"BlkioWeight": 9}), "Range of blkio weight is from 10 to 1000"),
        (json!({"BlkioWeight": 1001}), "Range of blkio weight is from 10 to 1000"),
        (
            json!({"BlkioDeviceReadBps": [{"Path": "/dev/nope", "Rate": 1}]}),
            "error gathering device information while adding custom device \"/dev/nope\"",
        ),
    ];
    for (host, expected) in rows {
        assert_eq!(with(&facts(), host).unwrap_err(), expected);
    }
}

#[test]
fn what_the_host_cannot_limit_is_dropped_and_said() {
    let none = HostFacts {
        limits: LimitFacts {
            memory: false,
            swap: false,
            memory_reservation: false,
            swappiness: false,
            oom_kill_disable: false,
            cpu_shares: false,
            cpu_quota: false,
            cpu_realtime: false,
            cpuset: false,
            blkio_weight: false,
            blkio_weight_device: false,
            blkio_throttle: false,
            pids: false,
        },
        ..facts()
    };
    let host = json!({
        "Memory": 64 * MB, "MemoryReservation": 32 * MB, "MemorySwappiness": 1, "CpuShares": 2,
        "OomKillDisable": true, "CpuQuota": 5000, "CpusetCpus": "0", "BlkioWeight": 10,
        "PidsLimit": 5, "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 20}],
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}],
    });
    let (resources, warnings) = with(&none, host).unwrap();
    assert_eq!(resources, Resources::default());
    assert_eq!(warnings.len(), 11, "{warnings:#?}");
    // What nobody asked for is not missed.
    assert!(with(&none, json!({})).unwrap().1.is_empty());
    assert!(with(&none, json!({"NanoCpus": 1_000_000_000})).is_err());
    assert!(with(&none, json!({"CpuRealtimePeriod": 1})).is_err());

    let no_swap = HostFacts { limits: LimitFacts { swap: false, ..LimitFacts::ALL }, ..facts() };
    let (resources, warnings) = with(&no_swap, json!({"Memory": 64 * MB})).unwrap();
    assert_eq!(resources.memory.unwrap().swap, None);
    assert!(warnings[0].ends_with("Memory limited without swap."), "{warnings:?}");
}

#[test]
fn no_killer_and_no_limit_is_warned_of() {
    let (_, warnings) = with(&facts(), json!({"OomKillDisable": true})).unwrap();
    assert!(warnings[0].starts_with("OOM killer is disabled for the container"));
}
