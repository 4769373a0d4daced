//! Kills at random times what belongs to an ordinary user: commands, shims, and those that hold its
//! namespaces.

use std::process::Child;
use std::time::Duration;

use testkit::{Host, Image, Kista, User, audit, needs};

use super::random::{Dice, number, spawn, wait};

/// A quarter of `CRASH_LIFECYCLES` (12 if unset); `CRASH_SEED` repeats the choices of a run.
#[test]
fn killed_at_random_points_as_a_user() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let lifecycles = number("CRASH_LIFECYCLES").map_or(12, |count| count / 4);
    let seed = number("CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("CRASH_SEED={seed}");
    let mut dice = Dice(seed);
    let kista = Kista::of(User::new());
    let outside = Host::new().unwrap();
    kista.host().wire(&outside, "out0", &["10.9.0.1/24"], &["10.9.0.2/24"]);
    kista.host().output(&["ip", "route", "add", "default", "via", "10.9.0.2"]);
    kista.load(&Image::busybox("busybox"));
    kista.ok(&["network", "create", "front"]);
    let mut killed = 0;
    for round in 0..lifecycles {
        let name = format!("life{round}");
        for step in steps(&mut dice, &name) {
            let words: Vec<&str> = step.iter().map(String::as_str).collect();
            let mut child = spawn(&kista, &words, &[]);
            if dice.below(3) > 0 {
                // What enters the user's namespace first takes longer than root's commands.
                let scale = 10 + dice.below(9);
                std::thread::sleep(Duration::from_micros(dice.below(1 << scale)));
                killed += u64::from(strike(&kista, &child, &mut dice));
            }
            wait(&mut child, &words);
        }
    }
    println!("{killed} processes killed in {lifecycles} lifecycles");
    assert!(killed > lifecycles / 4, "only {killed} kills in {lifecycles} lifecycles");
    kista.ok(&["system", "check", "--repair"]);
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
    // Everything can be had as before.
    kista.ok(&["run", "--rm", "--network", "pasta", "busybox", "true"]);
    kista.ok(&["run", "--rm", "--network", "front", "busybox", "true"]);
    assert_eq!(kista.remove_all().code, 0);
    kista.ok(&["network", "rm", "front"]);
}

/// The commands of one lifecycle.
fn steps(dice: &mut Dice, name: &str) -> Vec<Vec<String>> {
    let lifecycles: [&[&str]; 4] = [
        &["run --rm --name NAME busybox true"],
        &[
            "run -d --name NAME --user 33 -v NAME:/v busybox sleep 50",
            "exec NAME true",
            "rm -fv NAME",
        ],
        &[
            "run -d --name NAME --network pasta -p 127.0.0.1:8080:80 busybox sleep 50",
            "restart -t 0 NAME",
            "rm -f NAME",
        ],
        &[
            "run -d --name NAME --network front -p 127.0.0.1:8081:80 busybox sleep 50",
            "stop -t 0 NAME",
            "start NAME",
            "rm -f NAME",
        ],
    ];
    let lifecycle = lifecycles[usize::try_from(dice.below(4)).unwrap()];
    let words = |line: &&str| line.replace("NAME", name).split(' ').map(str::to_owned).collect();
    lifecycle.iter().map(words).collect()
}

/// Kills the command, or one of the processes that stay; says whether it was alive.
fn strike(kista: &Kista, child: &Child, dice: &mut Dice) -> bool {
    let mut all = audit::processes(&kista.owner());
    all.push(i32::try_from(child.id()).unwrap());
    let count = u64::try_from(all.len()).unwrap();
    let victim = all[usize::try_from(dice.below(count)).unwrap()];
    let alive = std::fs::read_link(format!("/proc/{victim}/exe")).is_ok();
    audit::kill(victim);
    alive
}
