//! `state`. runtime-spec 1.3.0, runtime.md, "State" and "Query State".

use serde_json::json;
use testkit::oci::{Bundle, Runtime, Status};

#[test]
fn state_has_what_the_spec_requires() {
    needs!(Root);
    let bundle = Bundle::idle().set("annotations", json!({"org.example.key": "value"}));
    let container = Runtime::under_test().create(&bundle);

    let state = container.state();

    assert_eq!(state["id"], container.id());
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{state}");
    assert!(state["pid"].as_i64().unwrap() > 1, "{state}");
    container.start();
    assert_eq!(container.state()["status"], "running");
}

#[test]
fn bundle_is_absolute_though_it_was_given_relative() {
    needs!(Root);
    let bundle = Bundle::running(&["true"]);
    bundle.write();
    let runtime = Runtime::under_test();
    let mut command = runtime.command(&["create", "--bundle", ".", "conformance-relative"]);
    command.current_dir(bundle.path());
    let container = runtime.create_by(command, &bundle, "conformance-relative").unwrap();
    let path = container.state()["bundle"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::canonicalize(&path).unwrap(), bundle.path(), "{path}");
    assert!(path.starts_with('/'), "{path}");
}

#[test]
fn state_of_nothing_is_an_error() {
    needs!(Root);
    let out = Runtime::under_test().call(&["state", "nobody"]);
    assert_ne!(out.code, 0);
    assert_eq!(out.stdout, "");
    assert!(out.stderr.contains("not exist") || out.stderr.contains("No such"), "{out:?}");
}

#[test]
fn state_without_an_id_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["state"]).code, 0);
}

#[test]
fn a_container_that_exits_is_stopped_until_it_is_deleted() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::running(&["true"]));
    container.start();
    container.wait_until(Status::Stopped);
    assert_eq!(container.state()["id"], container.id());
    container.delete();
    assert_ne!(container.runtime(&["state", container.id()]).code, 0);
}

#[test]
fn a_container_whose_process_is_killed_from_outside_is_stopped() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    let pid = rustix::process::Pid::from_raw(container.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    container.wait_until(Status::Stopped);
}

#[test]
fn a_created_container_that_is_killed_is_stopped() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.kill("KILL");
    container.wait_until(Status::Stopped);
    assert_ne!(container.runtime(&["start", container.id()]).code, 0);
}
