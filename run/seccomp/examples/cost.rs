//! What a filter costs: `cargo run --release -p seccomp --example cost [ROUNDS]`.
//!
//! Prints the tenth percentile and the median of each way to a program, in microseconds, and what
//! the kernel takes to load it in a child.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool, not the product")]

use std::hint::black_box;
use std::time::Instant;

use seccomp::{Arch, Cache, Capabilities, Profile, compile};

fn main() {
    let rounds = std::env::args().nth(1).map_or(2000, |rounds| rounds.parse().unwrap());
    let dir = std::env::temp_dir().join(format!("kista-seccomp-cost-{}", std::process::id()));
    let cache = Cache::open(&dir);
    for profile in Profile::ALL {
        let native = Arch::NATIVE;
        let filter = profile.filter(Capabilities::NONE, native);
        let program = profile.program(Capabilities::NONE, native);
        println!("{}: {} instructions", profile.name(), program.instructions().len());
        measure("from tables", rounds, || profile.program(Capabilities::NONE, native));
        measure("compile the OCI form", rounds, || compile(&filter, native).unwrap());
        measure("from the cache", rounds, || cache.get_or_compile(&filter, native).unwrap());
        let load = || {
            // The child tells how long it took by its exit code, in units of 2 us.
            let child = sys::process::fork(|| {
                rustix::thread::set_no_new_privs(true).unwrap();
                let start = Instant::now();
                program.load().unwrap();
                (start.elapsed().as_micros() / 2).min(255) as i32
            });
            let options = rustix::process::WaitOptions::empty();
            let status = rustix::process::waitpid(Some(child.unwrap().pid), options);
            status.unwrap().unwrap().1.exit_status().unwrap_or(255) * 2
        };
        let mut times: Vec<i32> = (0..rounds.min(300)).map(|_| load()).collect();
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 100];
        println!("  {:22} {:7} {:7}", "load into the kernel", at(10), at(50));
    }
    std::fs::remove_dir_all(dir).unwrap();
}

fn measure<T>(name: &str, rounds: usize, mut run: impl FnMut() -> T) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[times.len() * part / 100];
    println!("  {name:22} {:7.1} {:7.1}", at(10), at(50));
}
