//! The life of a group on this machine.

use cgroups::{CgroupError, Controller, Controllers, FreezerState, Hierarchy, Options, Version};
use oci::runtime::{Cpu, DeviceRule, Memory, Pids, Resources};

use testkit::needs;

use crate::{PATIENCE, Parent, enter, eventually, sleep, wait};

fn limits() -> Resources {
    Resources {
        memory: Some(Memory {
            limit: Some(64 << 20),
            reservation: Some(32 << 20),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(512),
            quota: Some(20_000),
            period: Some(100_000),
            cpus: Some("0".to_owned()),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: Some(20) }),
        ..Resources::default()
    }
}

#[test]
fn a_child_enters_by_itself_is_counted_and_leaves_nothing() {
    needs!(Root);
    let parent = Parent::new();
    let group = parent.create("one", &limits());
    assert_eq!(parent.children(), ["one"]);
    assert!(group.processes().unwrap().is_empty());

    let handle = group.join_handle().unwrap();
    let child = enter(&handle, sleep);
    eventually("the child enters", || group.stats().unwrap().pids.is_some_and(|p| p.current == 1));
    assert_eq!(group.processes().unwrap(), [child.pid]);
    let own =
        std::fs::read_to_string(format!("/proc/{}/cgroup", child.pid.as_raw_nonzero())).unwrap();
    for (_, version) in group.directories() {
        let mark = if version == Version::V2 { "0::" } else { ":" };
        assert!(own.lines().any(|line| line.contains(mark) && line.ends_with("/one")), "{own}");
    }
    assert!(matches!(group.remove(std::time::Duration::ZERO), Err(CgroupError::Busy { .. })));

    group.kill(PATIENCE).unwrap();
    assert_eq!(wait(&child), -9);
    group.remove(PATIENCE).unwrap();
    group.remove(PATIENCE).unwrap(); // again: no error
    assert!(parent.children().is_empty());
    assert!(matches!(parent.hierarchy.open(group.path()), Err(CgroupError::NotFound { .. })));
}

#[test]
fn limits_are_in_force_and_read_back() {
    needs!(Root);
    let parent = Parent::new();
    let group = parent.create("limited", &limits());
    let read = group.limits().unwrap();
    let (memory, cpu) = (read.memory.unwrap(), read.cpu.unwrap());
    assert_eq!((memory.limit, memory.reservation), (Some(64 << 20), Some(32 << 20)));
    // In version 2 several shares have one weight, and come back as the least of them.
    assert!(matches!(cpu.shares, Some(511 | 512)), "{cpu:?}");
    assert_eq!((cpu.quota, cpu.period), (Some(20_000), Some(100_000)));
    assert_eq!(cpu.cpus.as_deref(), Some("0"));
    assert_eq!(read.pids.unwrap().limit, Some(20));
    let stats = group.stats().unwrap();
    assert_eq!(stats.memory.unwrap().limit, Some(64 << 20));
    assert_eq!(stats.pids.unwrap().limit, Some(20));

    // Raised, lowered, and lifted again.
    let memory = |limit, swap| Resources {
        memory: Some(Memory { limit: Some(limit), swap, ..Memory::default() }),
        pids: Some(Pids { limit: Some(-1) }),
        ..Resources::default()
    };
    for (limit, swap) in [
        (128 << 20, Some(256 << 20)),
        (512 << 20, Some(512 << 20)),
        (32 << 20, Some(64 << 20)),
        (64 << 20, Some(-1)),
        (-1, Some(-1)),
        (16 << 20, Some(32 << 20)),
        (-1, None),
    ] {
        group.apply(&memory(limit, swap)).unwrap();
        let read = group.limits().unwrap();
        assert_eq!(read.memory.clone().unwrap().limit, Some(limit).filter(|one| *one > 0));
        assert_eq!(read.memory.unwrap().swap, swap.filter(|one| *one > 0));
        assert_eq!(read.pids, None);
    }
    // A longer period that only fits with its quota, and no limit.
    let cpu = |quota, period| Resources {
        cpu: Some(Cpu { quota: Some(quota), period: Some(period), ..Cpu::default() }),
        ..Resources::default()
    };
    for (quota, period) in [(500_000, 1_000_000), (1_000, 1_000), (-1, 100_000)] {
        group.apply(&cpu(quota, period)).unwrap();
        let read = group.limits().unwrap().cpu.unwrap();
        assert_eq!((read.quota, read.period), (Some(quota).filter(|one| *one > 0), Some(period)));
    }
    let burst = Cpu { quota: Some(50_000), burst: Some(20_000), ..Cpu::default() };
    group.apply(&Resources { cpu: Some(burst), ..Resources::default() }).unwrap();
    let burst = Cpu { quota: Some(10_000), burst: Some(5_000), ..Cpu::default() };
    group.apply(&Resources { cpu: Some(burst), ..Resources::default() }).unwrap();
    assert_eq!(group.limits().unwrap().cpu.unwrap().burst, Some(5_000));
    let idle = Cpu { idle: Some(1), shares: Some(100), ..Cpu::default() };
    group.apply(&Resources { cpu: Some(idle), ..Resources::default() }).unwrap();
    let busy = Cpu { idle: Some(0), shares: Some(2048), ..Cpu::default() };
    group.apply(&Resources { cpu: Some(busy), ..Resources::default() }).unwrap();
    let shares = group.limits().unwrap().cpu.unwrap().shares;
    assert!(matches!(shares, Some(2030..=2048)), "{shares:?}");
}

#[test]
fn what_the_kernel_refuses_is_named_and_leaves_nothing() {
    needs!(Root);
    let parent = Parent::new();
    let cpu = Cpu { cpus: Some("4000".to_owned()), ..Cpu::default() };
    let resources = Resources { cpu: Some(cpu), ..Resources::default() };
    let create = || parent.hierarchy.create(&parent.path("bad"), &resources, &Options::default());
    let error = create().unwrap_err();
    assert_eq!(error.flag(), Some("--cpuset-cpus"), "{error}");
    assert!(
        error.to_string().starts_with("cannot set cpu.cpus to 4000 in /sys/fs/cgroup"),
        "{error}"
    );
    assert!(parent.children().is_empty());

    let group = parent.create("good", &Resources::default());
    let again = parent.hierarchy.create(group.path(), &Resources::default(), &Options::default());
    assert!(matches!(again, Err(CgroupError::Exists { .. })));
    assert_eq!(parent.children(), ["good"], "a group that was there stays");
}

#[test]
fn no_more_tasks_than_allowed() {
    needs!(Root);
    let parent = Parent::new();
    let pids = Resources { pids: Some(Pids { limit: Some(1) }), ..Resources::default() };
    let group = parent.create("alone", &pids);
    let handle = group.join_handle().unwrap();
    let child = enter(&handle, || match sys::process::fork(|| 0) {
        Err(err) if err.raw_os_error() == Some(rustix::io::Errno::AGAIN.raw_os_error()) => 7,
        _ => 0,
    });
    assert_eq!(wait(&child), 7);
}

#[test]
fn too_much_memory_is_fatal_and_told() {
    needs!(Root);
    let parent = Parent::new();
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    let group = parent.create("small", &Resources { memory: Some(memory), ..Resources::default() });
    assert_eq!(group.oom_kills().unwrap(), 0);
    let events = group.oom_events().unwrap().unwrap();
    let handle = group.join_handle().unwrap();
    let child = enter(&handle, || {
        let bytes = vec![1_u8; 64 << 20];
        i32::from(std::hint::black_box(&bytes)[12345])
    });
    assert_eq!(wait(&child), -9);
    assert_eq!(group.oom_kills().unwrap(), 1);
    let mut poll = [rustix::event::PollFd::new(&events, rustix::event::PollFlags::IN)];
    let second = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut poll, Some(&second)), Ok(1), "the event was told");
    let memory = group.stats().unwrap().memory.unwrap();
    assert_eq!((memory.oom_kills, memory.limit), (1, Some(8 << 20)));
    assert!(memory.max_usage.is_none_or(|most| most > 4 << 20));
}

#[test]
fn frozen_processes_stand_still_and_can_be_killed() {
    needs!(Root);
    let parent = Parent::new();
    let group = parent.create("cold", &Resources::default());
    assert_eq!(group.freezer_state().unwrap(), FreezerState::Thawed);
    let handle = group.join_handle().unwrap();
    let child = enter(&handle, || {
        loop {
            std::hint::black_box(0); // busy
        }
    });
    eventually("it runs", || group.stats().unwrap().cpu.unwrap().usage_ns > 1_000_000);
    group.freeze().unwrap();
    assert_eq!(group.freezer_state().unwrap(), FreezerState::Frozen);
    let used = group.stats().unwrap().cpu.unwrap().usage_ns;
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert_eq!(group.stats().unwrap().cpu.unwrap().usage_ns, used);
    group.thaw().unwrap();
    eventually("it runs again", || group.stats().unwrap().cpu.unwrap().usage_ns > used);
    group.freeze().unwrap();
    group.kill(PATIENCE).unwrap();
    assert_eq!(wait(&child), -9);
    assert_eq!(group.freezer_state().unwrap(), FreezerState::Thawed);
}

#[test]
fn killing_outruns_what_forks() {
    needs!(Root);
    let parent = Parent::new();
    let pids = Resources { pids: Some(Pids { limit: Some(200) }), ..Resources::default() };
    let group = parent.create("bomb", &pids);
    let handle = group.join_handle().unwrap();
    fn bomb() -> i32 {
        loop {
            let _ = sys::process::fork(bomb);
        }
    }
    let child = enter(&handle, bomb);
    eventually("it grows", || group.stats().unwrap().pids.unwrap().current > 50);
    group.kill(PATIENCE).unwrap();
    assert_eq!(wait(&child), -9);
    assert!(group.processes().unwrap().is_empty());
    group.remove(PATIENCE).unwrap();
}

#[test]
fn groups_below_are_removed_too_and_neighbours_are_not() {
    needs!(Root);
    let parent = Parent::new();
    let group = parent.create("outer", &Resources::default());
    let neighbour = parent.create("neighbour", &Resources::default());
    for (dir, _) in group.directories() {
        std::fs::create_dir_all(dir.join("inner/most")).unwrap();
    }
    group.remove(PATIENCE).unwrap();
    assert_eq!(parent.children(), ["neighbour"]);
    parent.hierarchy.remove_empty(&parent.path("nobody")).unwrap();
    parent.hierarchy.remove_empty(&neighbour.path().parent().unwrap()).unwrap();
    assert_eq!(parent.children(), ["neighbour"], "a parent in use stays");
}

/// Twenty at once below a parent that none of them finds.
#[test]
fn parents_are_made_by_whoever_comes_first() {
    needs!(Root);
    let parent = Parent::new();
    std::thread::scope(|scope| {
        for number in 0..20 {
            let path = parent.path(&format!("deep/er/{number}"));
            scope.spawn(move || {
                let hierarchy = Hierarchy::detect().unwrap();
                let group = hierarchy.create(&path, &limits(), &Options::default()).unwrap();
                let child = enter(&group.join_handle().unwrap(), || 5);
                assert_eq!(wait(&child), 5);
                group.remove(PATIENCE).unwrap();
            });
        }
    });
    assert!(parent.hierarchy.children(&parent.path("deep/er")).unwrap().is_empty());
}

#[test]
fn device_rules_hold_for_those_inside() {
    needs!(Root);
    let parent = Parent::new();
    let mut rules = cgroups::default_device_rules();
    rules.push(DeviceRule {
        allow: false,
        kind: Some("c".to_owned()),
        major: Some(1),
        minor: Some(5),
        access: Some("w".to_owned()),
    });
    let group = parent.create("devices", &Resources { devices: rules, ..Resources::default() });
    let handle = group.join_handle().unwrap();
    let child = enter(&handle, || {
        let open = |path: &str, write: bool| {
            let flags = if write { rustix::fs::OFlags::WRONLY } else { rustix::fs::OFlags::RDONLY };
            rustix::fs::open(path, flags, rustix::fs::Mode::empty()).is_ok()
        };
        let seen = [
            open("/dev/null", false),
            open("/dev/null", true),
            open("/dev/zero", false),
            open("/dev/zero", true),
            open("/dev/kmsg", false),
        ];
        seen.iter().enumerate().map(|(place, seen)| i32::from(*seen) << place).sum()
    });
    assert_eq!(wait(&child), 0b00111);
    let own = DeviceRule { allow: true, kind: None, major: None, minor: None, access: None };
    group.apply(&Resources { devices: vec![own], ..Resources::default() }).unwrap();
    let child = enter(&handle, || {
        let kmsg =
            rustix::fs::open("/dev/kmsg", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
        i32::from(kmsg.is_ok())
    });
    assert_eq!(wait(&child), 1);
}

#[test]
fn only_the_controllers_asked_for() {
    needs!(Root);
    let parent = Parent::new();
    let few = Controllers::of(&[Controller::Pids, Controller::Freezer]);
    let options = Options { controllers: few };
    let cpu = Cpu { shares: Some(100), ..Cpu::default() };
    let resources = Resources { cpu: Some(cpu), ..Resources::default() };
    let group = parent.hierarchy.create(&parent.path("few"), &resources, &options).unwrap();
    assert!(group.directory(Controller::Pids).is_some());
    assert!(group.directory(Controller::Cpu).is_some(), "its limit needs it");
    if parent.hierarchy.mounts().len() > 1 {
        assert!(group.directory(Controller::Memory).is_none());
        assert_eq!(group.oom_kills().unwrap(), 0);
        assert!(group.oom_events().unwrap().is_none());
        let memory = Memory { limit: Some(1 << 20), ..Memory::default() };
        let memory = Resources { memory: Some(memory), ..Resources::default() };
        let error = group.apply(&memory).unwrap_err();
        assert_eq!(error.flag(), Some("--memory"));
    }
}

#[test]
fn later_limits_bring_their_controllers() {
    needs!(Root);
    let parent = Parent::new();
    let path = parent.path("grows");
    let mut group =
        parent.hierarchy.create(&path, &Resources::default(), &Options::ESSENTIAL).unwrap();
    let child = enter(&group.join_handle().unwrap(), sleep);
    eventually("it enters", || group.stats().unwrap().pids.is_some_and(|p| p.current == 1));
    let cpu = Cpu { shares: Some(300), cpus: Some("0".to_owned()), ..Cpu::default() };
    let resources = Resources { cpu: Some(cpu), ..Resources::default() };
    parent.hierarchy.extend(&mut group, &resources).unwrap();
    group.apply(&resources).unwrap();
    let read = group.limits().unwrap().cpu.unwrap();
    assert!(matches!(read.shares, Some(295..=300)), "{read:?}");
    assert_eq!(read.cpus.as_deref(), Some("0"));
    let procs = group.directory(Controller::Cpu).unwrap().join("cgroup.procs");
    let inside = std::fs::read_to_string(procs).unwrap();
    assert_eq!(inside.trim(), child.pid.as_raw_nonzero().to_string());
    parent.hierarchy.destroy(&path, PATIENCE).unwrap();
    assert_eq!(wait(&child), -9);
    assert!(parent.children().is_empty());
    parent.hierarchy.destroy(&path, PATIENCE).unwrap(); // nothing there: no error
}
