//! `start`. runtime-spec 1.3.0, runtime.md, "Start".

use testkit::oci::{Bundle, Runtime, Status};

#[test]
fn start_runs_the_program() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::running(&["echo", "hello"]));
    assert_eq!(container.finish(), "hello");
}

#[test]
fn start_of_a_running_container_is_an_error_and_changes_nothing() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    let before = container.state();

    let out = container.runtime(&["start", container.id()]);

    assert_ne!(out.code, 0, "{}", out.stderr);
    assert_eq!(container.state(), before);
}

#[test]
fn start_of_a_stopped_container_is_an_error_and_changes_nothing() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::running(&["echo", "once"]));
    container.finish();

    let out = container.runtime(&["start", container.id()]);

    assert_ne!(out.code, 0, "{}", out.stderr);
    assert_eq!(container.status(), Status::Stopped);
    assert_eq!(container.stdout(), "once");
}

#[test]
fn start_of_nothing_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["start", "nobody"]).code, 0);
}

#[test]
fn start_without_an_id_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["start"]).code, 0);
}

#[test]
fn two_starts_at_once_run_the_program_once() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::script("echo ran; sleep 30"));
    let codes = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| container.runtime(&["start", container.id()]).code))
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    container.wait_for_output("ran");
    assert_eq!(container.stdout(), "ran");
    assert_eq!(container.status(), Status::Running);
}

#[test]
fn start_without_a_process_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).without("process");
    // The spec has create succeed; runtimes may refuse a bundle that they cannot start.
    match runtime.try_create(&bundle) {
        Err(_) => runtime.assert_nothing_left(&bundle),
        Ok(container) => assert_ne!(container.runtime(&["start", container.id()]).code, 0),
    }
}
