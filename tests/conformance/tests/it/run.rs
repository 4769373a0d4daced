//! `run`, as runc has it: `create`, `start`, wait, `delete`.

use std::fs;
use std::time::Duration;

use testkit::oci::{Bundle, Runtime, Status};

#[test]
fn the_exit_code_is_the_programs() {
    needs!(Root);
    for code in [0, 1, 42, 255] {
        let out = Runtime::under_test().run(&Bundle::script(&format!("exit {code}")));
        assert_eq!(out.code, code, "{out:?}");
    }
}

#[test]
fn a_signal_gives_128_and_its_number() {
    needs!(Root);
    let out = Runtime::under_test().run(&Bundle::script("sh -c 'kill -9 $$'; exit $?"));
    assert_eq!(out.code, 137, "{out:?}");
}

#[test]
fn streams_are_the_callers() {
    needs!(Root);
    let bundle = Bundle::script("cat; echo error >&2");
    let out = Runtime::under_test().run_with(&bundle, &[], "some input\n");
    assert_eq!((out.stdout.as_str(), out.code), ("some input\n", 0), "{out:?}");
    assert!(out.stderr.contains("error"), "{out:?}");
}

#[test]
fn large_output_arrives_whole() {
    needs!(Root);
    let out = Runtime::under_test().run(&Bundle::running(&["seq", "1", "200000"]));
    assert_eq!(out.stdout.lines().count(), 200_000);
}

#[test]
fn detached_returns_while_the_program_runs() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::idle();
    bundle.write();
    let pid_file = bundle.path().join("pid");
    let path = bundle.path().to_str().unwrap();
    let flags = ["run", "--detach", "--pid-file", pid_file.to_str().unwrap(), "--bundle", path];
    let command = runtime.command(&[&flags[..], &["conformance-detached"]].concat());
    let container = runtime.create_by(command, &bundle, "conformance-detached").unwrap();
    assert_eq!(container.status(), Status::Running);
    assert_eq!(fs::read_to_string(pid_file).unwrap(), container.pid().to_string());
}

#[test]
fn keep_leaves_a_stopped_container() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]);
    bundle.write();
    let path = bundle.path().to_str().unwrap();
    let command = runtime.command(&["run", "--keep", "--bundle", path, "conformance-keep"]);
    let container = runtime.create_by(command, &bundle, "conformance-keep").unwrap();
    assert_eq!(container.status(), Status::Stopped);
    container.delete();
}

#[test]
fn signals_to_the_runtime_reach_the_program() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::script(
        "trap 'echo got it; exit 7' TERM; echo ready >/ready
        while :; do sleep 30 & wait $!; done",
    );
    bundle.write();
    let path = bundle.path().to_str().unwrap();
    let mut command = runtime.command(&["run", "--bundle", path, "conformance-signal"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    testkit::wait_until("the program", || bundle.rootfs().join("ready").exists().then_some(()));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = testkit::wait_until("the end of run", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(7));
}

#[test]
fn run_leaves_nothing_behind_when_the_program_is_not_there() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["nonexistent-program"]);
    let out = runtime.run(&bundle);
    assert!(out.code != 0 && out.stderr.contains("nonexistent-program"), "{out:?}");
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn the_programs_children_end_with_it() {
    needs!(Root);
    let start = std::time::Instant::now();
    let out = Runtime::under_test().run(&Bundle::script("sleep 1000 & echo done"));
    assert_eq!(out.ok(), "done");
    assert!(start.elapsed() < Duration::from_secs(20));
}
