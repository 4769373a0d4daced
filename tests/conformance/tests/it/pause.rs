//! `pause` and `resume`, as runc has them.

use testkit::oci::{Bundle, Container, Runtime, Status};

fn counting() -> Container {
    let script = "i=0; while :; do i=$((i + 1)); echo $i; usleep 1000; done";
    let container = Runtime::under_test().create(&Bundle::script(script));
    container.start();
    container.wait_for_output("3");
    container
}

#[test]
fn a_paused_container_does_nothing_until_it_is_resumed() {
    needs!(Root);
    let container = counting();
    container.runtime(&["pause", container.id()]).ok();
    assert_eq!(container.status(), Status::Paused);
    let before = container.stdout();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(container.stdout(), before);
    container.runtime(&["resume", container.id()]).ok();
    assert_eq!(container.status(), Status::Running);
    testkit::wait_until("it to go on", || (container.stdout() != before).then_some(()));
}

#[test]
fn pause_and_resume_in_a_wrong_state_are_errors_and_change_nothing() {
    needs!(Root);
    let container = counting();
    assert_ne!(container.runtime(&["resume", container.id()]).code, 0);
    assert_eq!(container.status(), Status::Running);
    container.kill("KILL");
    container.wait_until(Status::Stopped);
    for verb in ["pause", "resume"] {
        assert_ne!(container.runtime(&[verb, container.id()]).code, 0, "{verb}");
        assert_eq!(container.status(), Status::Stopped);
    }
}

#[test]
fn pause_and_resume_of_nothing_are_errors() {
    needs!(Root);
    for verb in ["pause", "resume"] {
        assert_ne!(Runtime::under_test().call(&[verb, "nobody"]).code, 0, "{verb}");
    }
}

#[test]
fn exec_in_a_paused_container_is_an_error() {
    needs!(Root);
    let container = counting();
    container.runtime(&["pause", container.id()]).ok();
    assert_ne!(container.exec(&["true"]).code, 0);
    assert_eq!(container.status(), Status::Paused);
}

#[test]
fn a_paused_container_can_be_killed() {
    needs!(Root);
    let container = counting();
    container.runtime(&["pause", container.id()]).ok();
    container.kill("KILL");
    let out = container.runtime(&["resume", container.id()]);
    container.wait_until(Status::Stopped);
    let _ = out;
}
