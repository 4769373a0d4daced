//! Kills at random times.

use std::process::Child;
use std::time::{Duration, Instant};

use testkit::{Kista, audit, needs};

use super::House;

/// `CRASH_LIFECYCLES` lifecycles (20 if unset); `CRASH_SEED` repeats the choices of a run.
#[test]
fn killed_at_random_points_of_many_lifecycles() {
    needs!(Root, Busybox);
    let lifecycles = number("CRASH_LIFECYCLES").unwrap_or(20);
    let seed = number("CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("CRASH_SEED={seed}");
    let mut dice = Dice(seed);
    let house = House::new();
    let other = House::other().docker_archive();
    let mut killed = 0;
    for round in 0..lifecycles {
        // Not of hexadecimal digits alone: a name that is not there would be taken for an id.
        let name = format!("life{round}");
        for step in steps(&mut dice, &name) {
            let input = if step[0] == "load" { other.as_slice() } else { &[] };
            let words: Vec<&str> = step.iter().map(String::as_str).collect();
            let mut child = spawn(&house.kista, &words, input);
            // Most of what happens, happens in the first milliseconds.
            let scale = 8 + dice.below(9);
            let delay = Duration::from_micros(dice.below(1 << scale));
            if dice.below(3) > 0 {
                std::thread::sleep(delay);
                killed += u64::from(strike(&house, &child, &mut dice));
            }
            wait(&mut child, &words);
        }
    }
    println!("{killed} processes killed in {lifecycles} lifecycles");
    assert!(killed > lifecycles / 4, "only {killed} kills in {lifecycles} lifecycles");
    house.settle();
    house.finish();
}

/// What a variable says, if it is a number.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The commands of one lifecycle.
fn steps(dice: &mut Dice, name: &str) -> Vec<Vec<String>> {
    let lifecycles: [&[&str]; 7] = [
        &["run --rm --name NAME busybox true"],
        &["run -d --name NAME -v NAME:/v busybox sleep 50", "exec NAME true", "rm -f -v NAME"],
        &[
            "create --name NAME -v /anonymous busybox sleep 50",
            "start NAME",
            "kill NAME",
            "rm -v NAME",
        ],
        &["run -d --rm --name NAME busybox sleep 50", "stop -t 0 NAME"],
        &["run --name NAME --memory 64m busybox sh -c exit", "start NAME", "logs NAME", "rm NAME"],
        &["load", "run --rm --name NAME other true", "rmi -f other"],
        &[
            "run -d --name NAME --init busybox sleep 50",
            "stop -t 1 NAME",
            "start NAME",
            "rm -f NAME",
        ],
    ];
    let lifecycle = lifecycles[usize::try_from(dice.below(7)).unwrap()];
    let words = |line: &&str| line.replace("NAME", name).split(' ').map(str::to_owned).collect();
    lifecycle.iter().map(words).collect()
}

pub(crate) fn spawn(kista: &Kista, words: &[&str], input: &[u8]) -> Child {
    let mut child = kista.command(words).spawn();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The command may be dead before it has read.
    std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input).is_ok());
    child
}

/// Kills the command, or one of the shims that are there; says whether it was alive.
fn strike(house: &House, child: &Child, dice: &mut Dice) -> bool {
    let command = i32::try_from(child.id()).unwrap();
    let mut victim = command;
    if dice.below(2) == 0 {
        let mut shims = audit::shims(&house.kista.owner());
        shims.retain(|pid| !house.witness.contains(pid));
        if let Some(count) = u64::try_from(shims.len()).ok().filter(|count| *count > 0) {
            victim = shims[usize::try_from(dice.below(count)).unwrap()];
        }
    }
    // The program of a process that has ended cannot be read.
    let alive = std::fs::read_link(format!("/proc/{victim}/exe")).is_ok();
    audit::kill(victim);
    alive
}

pub(crate) fn wait(child: &mut Child, words: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{words:?} hangs");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// A small generator of numbers that look random (xorshift).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit.max(1)
    }
}
