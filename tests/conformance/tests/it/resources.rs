//! `resources`, read back on the host. runtime-spec 1.3.0, config-linux.md, "Control groups".
//!
//! Each limit is checked in the hierarchy that the machine has: cgroup v1 or v2.

use serde_json::{Value, json};
use testkit::oci::{Bundle, Container, Runtime, cgroup_v2};

fn limited(resources: Value) -> Container {
    Runtime::under_test().create(&Bundle::idle().set("linux.resources", resources))
}

/// A file of v1 or of v2, each with what it shows.
#[track_caller]
fn shows(container: &Container, controller: &str, v1: (&str, &str), v2: (&str, &str)) {
    let (file, value) = if cgroup_v2() { v2 } else { v1 };
    let found = container.cgroup().read(controller, file);
    assert!(
        found == value || found.lines().any(|line| line == value),
        "{file}: {found:?}, not {value:?}"
    );
}

#[test]
fn memory() {
    needs!(Root);
    let container = limited(json!({"memory": {
        "limit": 209_715_200, "reservation": 104_857_600, "swap": 314_572_800,
    }}));
    shows(
        &container,
        "memory",
        ("memory.limit_in_bytes", "209715200"),
        ("memory.max", "209715200"),
    );
    shows(
        &container,
        "memory",
        ("memory.soft_limit_in_bytes", "104857600"),
        ("memory.low", "104857600"),
    );
    let (v1, v2) = ("memory.memsw.limit_in_bytes", "memory.swap.max");
    if container.cgroup().has("memory", if cgroup_v2() { v2 } else { v1 }) {
        shows(&container, "memory", (v1, "314572800"), (v2, "104857600"));
    }
}

#[test]
fn memory_without_limits() {
    needs!(Root);
    let container = limited(json!({"memory": {"limit": -1}}));
    let found = container
        .cgroup()
        .read("memory", if cgroup_v2() { "memory.max" } else { "memory.limit_in_bytes" });
    assert!(found == "max" || found.parse::<u64>().unwrap() > 1 << 60, "{found}");
}

#[test]
fn memory_knobs_of_v1() {
    needs!(Root, CgroupV1);
    let container = limited(json!({"memory": {"limit": 104_857_600, "swappiness": 17}}));
    assert_eq!(container.cgroup().read("memory", "memory.swappiness"), "17");
}

#[test]
fn the_oom_killer_can_be_disabled_on_v1() {
    needs!(Root, CgroupV1);
    let container = limited(json!({"memory": {"limit": 104_857_600, "disableOOMKiller": true}}));
    let found = container.cgroup().read("memory", "memory.oom_control");
    assert!(found.contains("oom_kill_disable 1"), "{found}");
}

#[test]
fn a_program_beyond_its_memory_is_killed() {
    needs!(Root);
    let limit = json!({"memory": {"limit": 20_971_520, "swap": 20_971_520}});
    let bundle =
        Bundle::script("head -c 60000000 /dev/zero | tail -c 55000000 | wc -c; echo survived")
            .set("linux.resources", limit);
    let out = Runtime::under_test().run(&bundle);
    assert!(!out.stdout.contains("55000000"), "{out:?}");
}

#[test]
fn cpu() {
    needs!(Root);
    let container = limited(json!({"cpu": {"shares": 512, "quota": 30_000, "period": 60_000}}));
    shows(&container, "cpu", ("cpu.cfs_quota_us", "30000"), ("cpu.max", "30000 60000"));
    shows(&container, "cpu", ("cpu.cfs_period_us", "60000"), ("cpu.max", "30000 60000"));
    if !cgroup_v2() {
        assert_eq!(container.cgroup().read("cpu", "cpu.shares"), "512");
    }
}

#[test]
fn cpu_without_quota() {
    needs!(Root);
    let container = limited(json!({"cpu": {"quota": -1, "period": 50_000}}));
    shows(&container, "cpu", ("cpu.cfs_quota_us", "-1"), ("cpu.max", "max 50000"));
}

#[test]
fn cpu_burst() {
    needs!(Root);
    let container = limited(json!({"cpu": {"quota": 30_000, "period": 60_000, "burst": 10_000}}));
    shows(&container, "cpu", ("cpu.cfs_burst_us", "10000"), ("cpu.max.burst", "10000"));
}

#[test]
fn cpu_idle() {
    needs!(Root);
    let container = limited(json!({"cpu": {"idle": 1}}));
    shows(&container, "cpu", ("cpu.idle", "1"), ("cpu.idle", "1"));
}

#[test]
fn cpu_sets() {
    needs!(Root);
    let container = limited(json!({"cpu": {"cpus": "0", "mems": "0"}}));
    shows(&container, "cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0"));
    shows(&container, "cpuset", ("cpuset.mems", "0"), ("cpuset.mems", "0"));
    assert!(container.proc("status").contains("Cpus_allowed_list:\t0\n"));
}

#[test]
fn pids() {
    needs!(Root);
    shows(&limited(json!({"pids": {"limit": 77}})), "pids", ("pids.max", "77"), ("pids.max", "77"));
    shows(
        &limited(json!({"pids": {"limit": -1}})),
        "pids",
        ("pids.max", "max"),
        ("pids.max", "max"),
    );
}

#[test]
fn pids_are_limited() {
    needs!(Root);
    let bundle = Bundle::script("for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo all")
        .set("linux.resources.pids.limit", 5);
    let out = Runtime::under_test().run(&bundle);
    assert!(!out.stdout.contains("all") && out.stderr.contains("fork"), "{out:?}");
}

/// The first disk, as its major and minor numbers.
fn disk() -> Option<(u32, u32)> {
    let entries = std::fs::read_dir("/sys/block").ok()?.flatten();
    let disk = entries.map(|entry| entry.path()).find(|path| path.join("device").exists())?;
    let numbers = std::fs::read_to_string(disk.join("dev")).ok()?;
    let (major, minor) = numbers.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[test]
fn throttling_of_block_devices() {
    needs!(Root, Disk);
    let (major, minor) = disk().unwrap();
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let container = limited(json!({"blockIO": {
        "throttleReadBpsDevice": device(1_048_576),
        "throttleWriteBpsDevice": device(2_097_152),
        "throttleReadIOPSDevice": device(300),
        "throttleWriteIOPSDevice": device(400),
    }}));
    if cgroup_v2() {
        let found = container.cgroup().read("io", "io.max");
        for part in ["rbps=1048576", "wbps=2097152", "riops=300", "wiops=400"] {
            assert!(found.contains(part), "{found}");
        }
        return;
    }
    for (file, value) in [
        ("blkio.throttle.read_bps_device", 1_048_576),
        ("blkio.throttle.write_bps_device", 2_097_152),
        ("blkio.throttle.read_iops_device", 300),
        ("blkio.throttle.write_iops_device", 400),
    ] {
        assert_eq!(container.cgroup().read("blkio", file), format!("{major}:{minor} {value}"));
    }
}

#[test]
fn weight_of_block_devices() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::idle().set("linux.resources.blockIO.weight", 123);
    // The file is there where a scheduler with weights is: BFQ, or v2's iocost.
    match runtime.try_create(&bundle) {
        Ok(container) => {
            let cgroup = container.cgroup();
            let files = [
                ("blkio", "blkio.bfq.weight"),
                ("blkio", "blkio.weight"),
                ("io", "io.bfq.weight"),
                ("io", "io.weight"),
            ];
            let found = files.iter().filter(|(controller, file)| cgroup.has(controller, file));
            let values: Vec<_> =
                found.map(|(controller, file)| cgroup.read(controller, file)).collect();
            assert!(
                values.is_empty()
                    || values.iter().any(|value| value.contains("123") || value.contains("1131")),
                "{values:?}"
            );
        }
        Err(out) => {
            assert!(
                out.stderr.contains("weight")
                    || out.stderr.contains("blkio")
                    || out.stderr.contains("io."),
                "{out:?}"
            );
            runtime.assert_nothing_left(&bundle);
        }
    }
}

#[test]
fn huge_pages() {
    needs!(Root, HugetlbCgroup);
    let container = limited(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}));
    shows(
        &container,
        "hugetlb",
        ("hugetlb.2MB.limit_in_bytes", "4194304"),
        ("hugetlb.2MB.max", "4194304"),
    );
}

#[test]
fn unified_is_written_as_it_is_on_v2() {
    needs!(Root, CgroupV2);
    let container = limited(json!({"unified": {"memory.high": "104857600", "pids.max": "99"}}));
    assert_eq!(container.cgroup().read("memory", "memory.high"), "104857600");
    assert_eq!(container.cgroup().read("pids", "pids.max"), "99");
}

#[test]
fn unified_is_refused_on_v1() {
    needs!(Root, CgroupV1);
    let runtime = Runtime::under_test();
    let bundle = Bundle::idle().set("linux.resources.unified", json!({"memory.high": "104857600"}));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn limits_that_the_kernel_refuses_are_errors() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for resources in [
        json!({"cpu": {"quota": 1}}),
        json!({"cpu": {"period": 1}}),
        json!({"cpu": {"cpus": "nonsense"}}),
        json!({"cpu": {"mems": "77"}}),
    ] {
        let bundle = Bundle::idle().set("linux.resources", resources.clone());
        assert!(runtime.try_create(&bundle).is_err(), "{resources}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn a_relative_path_is_the_same_place_each_time() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::idle();
    let name = bundle.cgroup().trim_start_matches('/').to_owned();
    let bundle = bundle.set("linux.cgroupsPath", name.as_str());
    let place = || runtime.create(&bundle).cgroup().path("memory").to_owned();
    let first = place();
    assert!(first.to_str().unwrap().ends_with(&name), "{}", first.display());
    assert_eq!(place(), first);
}

#[test]
fn without_a_path_each_container_has_its_own() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = || Bundle::idle().without("linux.cgroupsPath");
    let (first, second) = (bundle(), bundle());
    let (first, second) = (runtime.create(&first), runtime.create(&second));
    let places = [&first, &second].map(|container| container.cgroup().path("memory").to_owned());
    assert_ne!(places[0], places[1]);
    assert!(places.iter().all(|place| place.is_dir()));
    drop((first, second));
    assert!(places.iter().all(|place| !place.exists()), "{places:?}");
}

#[test]
fn every_controller_has_the_container() {
    needs!(Root, CgroupV1);
    let bundle = Bundle::idle();
    let container = Runtime::under_test().create(&bundle);
    for controller in ["memory", "cpu", "cpuacct", "cpuset", "pids", "blkio", "freezer", "devices"]
    {
        let path = container.cgroup().path(controller).to_owned();
        assert!(path.ends_with(&bundle.cgroup()[1..]), "{controller}: {}", path.display());
        let found = container.cgroup().read(controller, "cgroup.procs");
        assert_eq!(found, container.pid().to_string(), "{controller}");
    }
}
