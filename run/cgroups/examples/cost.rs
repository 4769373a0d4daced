//! What a group costs: `cargo run --release -p cgroups --example cost [ROUNDS]`, as root.
//!
//! Prints the tenth percentile and the median of each step, in microseconds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool, not the product")]

use std::time::{Duration, Instant};

use cgroups::{CgroupPath, Controllers, Hierarchy, Options, default_device_rules};
use oci::runtime::{Cpu, Memory, Pids, Resources};
use rustix::process::WaitOptions;
use sys::process::{CloneFlags, clone};

fn main() {
    let rounds = std::env::args().nth(1).map_or(300, |rounds| rounds.parse().unwrap());
    let limits = Resources {
        memory: Some(Memory { limit: Some(64 << 20), swap: Some(128 << 20), ..Memory::default() }),
        cpu: Some(Cpu { quota: Some(50_000), period: Some(100_000), ..Cpu::default() }),
        pids: Some(Pids { limit: Some(2048) }),
        ..Resources::default()
    };
    let devices = Resources { devices: default_device_rules(), ..Resources::default() };
    let all = Resources { devices: default_device_rules(), ..limits.clone() };
    for (name, resources, controllers) in [
        ("all controllers, no limits", Resources::default(), Controllers::ALL),
        ("all, memory, cpu and pids limits", limits, Controllers::ALL),
        ("all, device rules", devices, Controllers::ALL),
        ("all, limits and device rules", all.clone(), Controllers::ALL),
        ("essential ones, limits and device rules", all, Options::ESSENTIAL.controllers),
        ("essential ones alone", Resources::default(), Options::ESSENTIAL.controllers),
    ] {
        measure(name, rounds, &resources, &Options { controllers });
    }
}

fn measure(name: &str, rounds: usize, resources: &Resources, options: &Options) {
    let names = ["detect", "create", "doors", "fork", "enter", "stats", "destroy"];
    let mut times: [Vec<Duration>; 7] = Default::default();
    let parent = format!("kista-cost-{}", std::process::id());
    for round in 0..rounds {
        let path = CgroupPath::new(&format!("{parent}/{round}")).unwrap();
        let mut last = Instant::now();
        let mut note = |step: usize| {
            let now = Instant::now();
            times[step].push(now - last);
            last = now;
        };
        let hierarchy = Hierarchy::detect().unwrap();
        note(0);
        let group = hierarchy.create(&path, resources, options).unwrap();
        note(1);
        let doors = group.join_handle().unwrap();
        note(2);
        clone(CloneFlags::empty(), None, || 0)
            .map(|child| rustix::process::waitpid(Some(child.pid), WaitOptions::empty()))
            .unwrap()
            .unwrap();
        note(3);
        let child =
            clone(CloneFlags::empty(), doors.clone_into(), || i32::from(doors.join().is_err()));
        rustix::process::waitpid(Some(child.unwrap().pid), WaitOptions::empty()).unwrap();
        note(4);
        group.stats().unwrap();
        note(5);
        hierarchy.destroy(&path, Duration::from_secs(1)).unwrap();
        note(6);
    }
    let hierarchy = Hierarchy::detect().unwrap();
    hierarchy.remove_empty(&CgroupPath::new(&parent).unwrap()).unwrap();
    println!("{name}:");
    for (step, times) in names.iter().zip(&mut times) {
        times.sort();
        let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
        println!("  {step:8} {:7.1} {:7.1}", at(10), at(50));
    }
}
