//! Two commands at one container at once, and a command right after the end of another.
//!
//! Each of these failed now and then, so each is done several times.

use std::thread;

use testkit::{Kista, needs, wait_until};

/// How often something that is a matter of milliseconds is tried.
const TIMES: usize = 12;

#[test]
fn a_container_can_be_removed_and_started_again_as_soon_as_its_run_has_ended() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for _ in 0..TIMES {
        kista.ok(&["run", "--name", "box", "busybox", "true"]);
        kista.ok(&["start", "-a", "box"]);
        kista.ok(&["rm", "box"]);
    }
}

#[test]
fn one_that_removes_itself_can_be_stopped_and_removed_at_once() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for _ in 0..TIMES {
        kista
            .ok(&["run", "-d", "--rm", "--name", "box", "-v", "/data", "busybox", "sleep", "1000"]);
        thread::scope(|scope| {
            for command in [["stop", "box"].as_slice(), &["rm", "-f", "box"]] {
                let kista = &kista;
                scope.spawn(move || {
                    let output = kista.run(command);
                    let late = "No such container: box";
                    assert!(output.code == 0 || output.stderr.contains(late), "{}", output.stderr);
                });
            }
        });
        wait_until("the removal", || kista.ok(&["ps", "-aq"]).is_empty().then_some(()));
    }
    assert_eq!(kista.ok(&["volume", "ls", "-q"]), "");
}

#[test]
fn rm_f_wins_over_starts() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for _ in 0..TIMES {
        kista.ok(&["create", "--name", "box", "busybox", "sleep", "1000"]);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| kista.run(&["start", "box"]));
            }
            scope.spawn(|| kista.ok(&["rm", "-f", "box"]));
        });
        assert_eq!(kista.ok(&["ps", "-aq"]), "");
    }
}

#[test]
fn one_of_two_renames_leaves_its_name_and_no_other() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for _ in 0..TIMES {
        let id = kista.ok(&["create", "--name", "box", "busybox", "true"]);
        thread::scope(|scope| {
            for name in ["left", "right"] {
                let kista = &kista;
                scope.spawn(move || kista.run(&["rename", "box", name]));
            }
        });
        kista.ok(&["rm", &id]);
        let names = std::fs::read_dir(kista.root().join("names")).unwrap();
        let names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == ".lock"), "{names:?}");
    }
}

#[test]
fn what_is_paused_while_it_is_being_stopped_dies_all_the_same() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let deaf = "trap '' TERM; echo ready; while :; do sleep 1; done";
    kista.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", deaf]);
    wait_until("the trap", || kista.ok(&["logs", "box"]).contains("ready").then_some(()));
    thread::scope(|scope| {
        let stop = scope.spawn(|| kista.run(&["stop", "-t", "2", "box"]));
        kista.ok(&["pause", "box"]);
        assert_eq!(stop.join().unwrap().code, 0);
    });
    assert_eq!(kista.format("{{.State.Status}}", "box"), "exited");
}
