//! `kill`. runtime-spec 1.3.0, runtime.md, "Kill".

use testkit::oci::{Bundle, Runtime, Status};

#[test]
fn kill_of_a_stopped_container_is_an_error_and_changes_nothing() {
    needs!(Root);
    let bundle = Bundle::running(&["true"]);
    let container = Runtime::under_test().create(&bundle);
    container.start();
    container.wait_until(Status::Stopped);

    let out = container.runtime(&["kill", container.id(), "TERM"]);

    assert_ne!(out.code, 0, "{}", out.stderr); // the spec asks for an error, not for a text
    assert_eq!(container.status(), Status::Stopped);
}

#[test]
fn kill_of_nothing_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["kill", "nobody", "KILL"]).code, 0);
}

#[test]
fn kill_without_an_id_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["kill"]).code, 0);
}

#[test]
fn signals_are_named_in_every_way() {
    needs!(Root);
    let script = "for s in HUP USR1 USR2; do trap \"echo got $s\" $s; done
        echo ready; while :; do sleep 30 & wait $!; done";
    let container = Runtime::under_test().create(&Bundle::script(script));
    container.start();
    container.wait_for_output("ready");
    for (spelling, signal) in [
        ("HUP", "HUP"),
        ("SIGUSR1", "USR1"),
        ("12", "USR2"),
        ("1", "HUP"),
        ("usr1", "USR1"),
        ("sigusr2", "USR2"),
    ] {
        let before = container.stdout().matches(&format!("got {signal}")).count();
        container.kill(spelling);
        testkit::wait_until(spelling, || {
            let now = container.stdout().matches(&format!("got {signal}")).count();
            (now == before + 1).then_some(())
        });
    }
}

#[test]
fn term_is_the_signal_when_none_is_named() {
    needs!(Root);
    let script =
        "trap 'echo got TERM; exit' TERM; echo ready; while :; do sleep 30 & wait $!; done";
    let container = Runtime::under_test().create(&Bundle::script(script));
    container.start();
    container.wait_for_output("ready");
    container.runtime(&["kill", container.id()]).ok();
    container.wait_for_output("got TERM");
}

#[test]
fn a_signal_that_is_none_is_an_error_and_changes_nothing() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    for signal in ["NONSENSE", "-1", "99999", "9x"] {
        assert_ne!(container.runtime(&["kill", container.id(), signal]).code, 0, "{signal:?}");
    }
    assert_eq!(container.status(), Status::Running);
}

#[test]
fn a_created_container_can_be_killed() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.kill("KILL");
    container.wait_until(Status::Stopped);
}

#[test]
fn kill_all_reaches_every_process_of_the_cgroup() {
    needs!(Root);
    let bundle = Bundle::script("sleep 1000 & sleep 1000 & echo $!; wait").without_namespace("pid");
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let child = testkit::wait_until("the child's pid", || container.stdout().parse().ok());
    let pid = container.pid();
    assert_ne!(pid, child);
    container.runtime(&["kill", "--all", container.id(), "KILL"]).ok();
    for pid in [pid, child] {
        testkit::wait_until("the process to end", || gone(pid).then_some(()));
    }
    container.wait_until(Status::Stopped);
}

/// Without a pid namespace of its own the container's other processes outlive the first one.
#[test]
fn kill_all_works_after_the_first_process_has_ended() {
    needs!(Root);
    let bundle = Bundle::script("sleep 1000 & echo $!").without_namespace("pid");
    let container = Runtime::under_test().create(&bundle);
    let child = container.finish().parse::<i32>().unwrap();
    assert!(!gone(child));
    container.runtime(&["kill", "--all", container.id(), "KILL"]).ok();
    testkit::wait_until("the process to end", || gone(child).then_some(()));
}

fn gone(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z"))
}
