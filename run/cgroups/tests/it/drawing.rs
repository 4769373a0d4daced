//! Version 2 as a drawing: a directory of plain files stands for the hierarchy, so that what is
//! written where can be seen on any machine. What a kernel makes of it is for the guest tests.

use std::fs;
use std::path::Path;

use cgroups::{CgroupPath, Hierarchy, Mode};
use oci::runtime::{
    BlockIo, Cpu, HugepageLimit, Memory, NetworkLimits, Pids, Rdma, Resources, ThrottleDevice,
    WeightDevice,
};

const FILES: [&str; 24] = [
    "cgroup.procs",
    "cgroup.freeze",
    "cgroup.events",
    "cgroup.kill",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpu.idle",
    "cpu.stat",
    "cpuset.cpus",
    "cpuset.mems",
    "io.max",
    "io.weight",
    "io.stat",
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "memory.high",
    "memory.current",
    "memory.events",
    "pids.max",
    "pids.current",
    "hugetlb.2MB.max",
    "rdma.max",
];

/// A group `kista/x` with empty files.
fn drawing() -> (tempfile::TempDir, Hierarchy, cgroups::Cgroup) {
    let top = tempfile::tempdir().unwrap();
    fs::write(
        top.path().join("cgroup.controllers"),
        "cpuset cpu io memory hugetlb pids rdma misc\n",
    )
    .unwrap();
    let group = top.path().join("kista/x");
    fs::create_dir_all(&group).unwrap();
    for name in FILES {
        fs::write(group.join(name), "").unwrap();
    }
    let hierarchy = Hierarchy::unified(top.path()).unwrap();
    let path = CgroupPath::new("/kista/x").unwrap();
    let group = hierarchy.open(&path).unwrap();
    (top, hierarchy, group)
}

/// Applies limits to a drawing, and compares the files written.
fn check(resources: &Resources, want: &[(&str, &str)]) {
    let (top, _, group) = drawing();
    group.apply(resources).unwrap();
    let read = |name: &str| fs::read_to_string(top.path().join("kista/x").join(name)).unwrap();
    let written: Vec<_> = FILES
        .into_iter()
        .map(|name| (name, read(name)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let written: Vec<_> = written.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(written, want);
}

fn memory(limit: Option<i64>, swap: Option<i64>) -> Resources {
    Resources { memory: Some(Memory { limit, swap, ..Memory::default() }), ..Resources::default() }
}

#[test]
fn it_is_seen_as_version_2() {
    let (_top, hierarchy, group) = drawing();
    assert_eq!(hierarchy.mode(), Mode::V2);
    assert_eq!(hierarchy.children(&CgroupPath::new("kista").unwrap()).unwrap(), ["x"]);
    assert!(group.join_handle().unwrap().clone_into().is_some());
    assert!(group.processes().unwrap().is_empty());
}

#[test]
fn swap_is_what_the_sum_leaves() {
    check(&memory(Some(100), Some(300)), &[("memory.max", "100"), ("memory.swap.max", "200")]);
    check(&memory(Some(100), Some(100)), &[("memory.max", "100"), ("memory.swap.max", "0")]);
    check(&memory(Some(100), Some(-1)), &[("memory.max", "100"), ("memory.swap.max", "max")]);
    check(&memory(Some(-1), None), &[("memory.max", "max"), ("memory.swap.max", "max")]);
    check(&memory(Some(100), None), &[("memory.max", "100")]);
    check(&memory(Some(0), Some(0)), &[]);
    for (limit, swap) in [(Some(100), 50), (None, 50), (Some(-1), 50)] {
        let (_top, _, group) = drawing();
        assert!(group.apply(&memory(limit, Some(swap))).is_err(), "{limit:?} {swap}");
    }
}

#[test]
fn shares_quota_and_lists_have_their_files() {
    let cpu = Cpu {
        shares: Some(1024),
        quota: Some(20_000),
        period: Some(100_000),
        burst: Some(5_000),
        cpus: Some("0-1".to_owned()),
        mems: Some("0".to_owned()),
        ..Cpu::default()
    };
    check(
        &Resources { cpu: Some(cpu), ..Resources::default() },
        &[
            ("cpu.weight", "100"),
            ("cpu.max", "20000 100000"),
            ("cpu.max.burst", "5000"),
            ("cpuset.cpus", "0-1"),
            ("cpuset.mems", "0"),
        ],
    );
    let cpu = Cpu { quota: Some(-1), idle: Some(1), ..Cpu::default() };
    let resources = Resources { cpu: Some(cpu), ..Resources::default() };
    check(&resources, &[("cpu.max", "max"), ("cpu.idle", "1")]);
}

#[test]
fn a_period_alone_keeps_the_quota() {
    let (top, _, group) = drawing();
    let max = top.path().join("kista/x/cpu.max");
    fs::write(&max, "30000 100000\n").unwrap();
    let cpu = Cpu { period: Some(200_000), ..Cpu::default() };
    group.apply(&Resources { cpu: Some(cpu), ..Resources::default() }).unwrap();
    assert!(fs::read_to_string(&max).unwrap().starts_with("30000 200000"));
}

#[test]
fn block_devices_tasks_and_the_rest_have_their_files() {
    let device = |rate| vec![ThrottleDevice { major: 8, minor: 16, rate }];
    check(
        &Resources {
            pids: Some(Pids { limit: Some(-1) }),
            block_io: Some(BlockIo {
                weight: Some(1000),
                throttle_read_bps_device: device(1024),
                ..BlockIo::default()
            }),
            hugepage_limits: vec![HugepageLimit { page_size: "2MB".to_owned(), limit: 4 << 20 }],
            rdma: [("mlx5_1".to_owned(), Rdma { hca_handles: Some(3), hca_objects: None })].into(),
            unified: [("memory.high".to_owned(), "max".to_owned())].into(),
            ..Resources::default()
        },
        &[
            ("io.max", "8:16 rbps=1024"),
            ("io.weight", "10000"),
            ("memory.high", "max"),
            ("pids.max", "max"),
            ("hugetlb.2MB.max", "4194304"),
            ("rdma.max", "mlx5_1 hca_handle=3"),
        ],
    );
    let throttles = [
        (BlockIo { throttle_write_bps_device: device(0), ..BlockIo::default() }, "8:16 wbps=max"),
        (BlockIo { throttle_read_iops_device: device(5), ..BlockIo::default() }, "8:16 riops=5"),
        (BlockIo { throttle_write_iops_device: device(6), ..BlockIo::default() }, "8:16 wiops=6"),
    ];
    for (io, want) in throttles {
        check(&Resources { block_io: Some(io), ..Resources::default() }, &[("io.max", want)]);
    }
    let weights = vec![WeightDevice { major: 8, minor: 0, weight: Some(10), leaf_weight: None }];
    let io = BlockIo { weight_device: weights, ..BlockIo::default() };
    check(&Resources { block_io: Some(io), ..Resources::default() }, &[("io.weight", "8:0 1")]);
}

#[test]
fn what_version_2_lacks_is_an_error_and_not_ignored() {
    let with = |memory: Memory| Resources { memory: Some(memory), ..Resources::default() };
    let cpu = |cpu: Cpu| Resources { cpu: Some(cpu), ..Resources::default() };
    let network = NetworkLimits { class_id: Some(7), ..NetworkLimits::default() };
    let io = BlockIo { leaf_weight: Some(100), ..BlockIo::default() };
    for (resources, flag) in [
        (with(Memory { swappiness: Some(1), ..Memory::default() }), Some("--memory-swappiness")),
        (
            with(Memory { disable_oom_killer: Some(true), ..Memory::default() }),
            Some("--oom-kill-disable"),
        ),
        (cpu(Cpu { realtime_runtime: Some(1), ..Cpu::default() }), Some("--cpu-rt-runtime")),
        (Resources { network: Some(network), ..Resources::default() }, None),
        (Resources { block_io: Some(io), ..Resources::default() }, None),
    ] {
        let (_top, _, group) = drawing();
        let error = group.apply(&resources).unwrap_err();
        assert_eq!(error.flag(), flag, "{error}");
    }
    let rdma = [("mlx5_1".to_owned(), Rdma::default())].into();
    let (_top, _, group) = drawing();
    let error = group.apply(&Resources { rdma, ..Resources::default() }).unwrap_err();
    assert!(error.to_string().contains("mlx5_1"), "{error}");
    for name in ["memory", "../memory.max", ".max", "memory."] {
        let (_top, _, group) = drawing();
        let unified = [(name.to_owned(), "1".to_owned())].into();
        assert!(group.apply(&Resources { unified, ..Resources::default() }).is_err(), "{name}");
    }
    let (_top, _, group) = drawing();
    let unified = [("misc.max".to_owned(), "1".to_owned())].into();
    let error = group.apply(&Resources { unified, ..Resources::default() }).unwrap_err();
    assert!(error.to_string().contains("misc controller"), "{error}");
}

#[test]
fn statistics_are_read() {
    let (top, _, group) = drawing();
    let write =
        |name: &str, text: &str| fs::write(top.path().join("kista/x").join(name), text).unwrap();
    write(
        "cpu.stat",
        "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 9\nnr_bursts 3\nburst_usec 8\n",
    );
    write("memory.current", "4096\n");
    write("memory.max", "8192\n");
    write("memory.stat", "anon 100\nfile 200\n");
    write("memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\noom_group_kill 0\n");
    write(
        "memory.pressure",
        "some avg10=1.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    );
    write("pids.current", "3\n");
    write("pids.max", "max\n");
    write("io.stat", "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n");
    write("hugetlb.2MB.current", "2097152\n");
    write("rdma.current", "mlx5 hca_handle=2 hca_object=7\n");
    write("rdma.max", "mlx5 hca_handle=4 hca_object=max\n");
    write("hugetlb.2MB.rsvd.current", "4194304\n");
    write("cpuset.cpus.effective", "0-1\n");
    write("cpuset.mems.effective", "0\n");
    write("misc.current", "sev 5\n");
    write("misc.events", "sev.max 2\n");
    write("cgroup.freeze", "1\n");
    write("cgroup.events", "populated 1\nfrozen 0\n");
    let stats = group.stats().unwrap();
    let cpu = stats.cpu.unwrap();
    assert_eq!((cpu.usage_ns, cpu.user_ns, cpu.system_ns), (30_000, 20_000, 10_000));
    assert_eq!((cpu.periods, cpu.throttled_periods, cpu.throttled_ns), (4, 2, 9_000));
    assert_eq!((cpu.bursts, cpu.burst_ns), (3, 8_000));
    let cpuset = stats.cpuset.unwrap();
    assert_eq!((cpuset.cpus.as_str(), cpuset.mems.as_str()), ("0-1", "0"));
    let misc = stats.misc["sev"];
    assert_eq!((misc.usage, misc.failures), (5, 2));
    let memory = stats.memory.unwrap();
    assert_eq!((memory.usage, memory.limit, memory.failures), (4096, Some(8192), 5));
    assert_eq!((memory.oom_kills, memory.stat["file"]), (1, 200));
    assert_eq!(memory.pressure.unwrap().some.total_us, 12);
    assert_eq!(stats.pids.unwrap().limit, None);
    let io = stats.blkio.unwrap();
    let written: Vec<_> = io.service_bytes.iter().map(|one| (one.op.as_str(), one.value)).collect();
    assert_eq!(written, [("Read", 10), ("Write", 20), ("Discard", 0)]);
    assert_eq!(stats.hugetlb["2MB"].usage, 4 << 20, "what is reserved is in use");
    assert_eq!((stats.rdma["mlx5"].hca_handles, stats.rdma["mlx5"].hca_objects_limit), (2, None));
    assert_eq!(group.oom_kills().unwrap(), 1);
    assert_eq!(group.freezer_state().unwrap(), cgroups::FreezerState::Freezing);
}

#[test]
fn controllers_are_passed_on_from_the_top() {
    let (top, hierarchy, _) = drawing();
    let at = |name: &str| top.path().join(name);
    fs::write(at("cgroup.subtree_control"), "cpu\n").unwrap();
    fs::write(at("kista/cgroup.subtree_control"), "\n").unwrap();
    // Not all: what the top does not offer below is asked of nobody.
    fs::write(at("kista/cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
    let path = CgroupPath::new("kista/y").unwrap();
    let made = hierarchy.create(&path, &Resources::default(), &cgroups::Options::default());
    let group = made.unwrap();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(
        read(&at("cgroup.subtree_control")),
        "+cpuset +memory +io +pids +hugetlb +rdma +misc"
    );
    let some = "+cpu +cpuset +memory +io +pids";
    assert_eq!(read(&at("kista/cgroup.subtree_control")), some);
    assert!(at("kista/y").is_dir());
    group.remove(crate::PATIENCE).unwrap();
    assert!(at("kista").is_dir(), "parents stay");
}
