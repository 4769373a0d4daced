//! `create`. runtime-spec 1.3.0, runtime.md, "Create".

use std::fs;

use testkit::oci::{Bundle, Runtime, Status};

#[test]
fn the_program_does_not_run_before_start() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::running(&["echo", "ran"]));
    assert_eq!(container.status(), Status::Created);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(container.stdout(), "");
    assert_eq!(container.finish(), "ran");
}

#[test]
fn an_id_that_is_used_is_an_error_and_changes_nothing() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let (first, second) = (Bundle::idle(), Bundle::running(&["echo", "second"]));
    let container = runtime.create(&first);
    let before = container.state();

    let out = runtime.create_with(&second, container.id(), &[]).unwrap_err();

    assert!(out.stderr.contains("exist"), "{out:?}");
    assert_eq!(container.state(), before);
    container.start();
    assert_eq!(container.status(), Status::Running);
    runtime.create_with(&second, container.id(), &[]).unwrap_err();
    assert_eq!(container.status(), Status::Running);
    container.kill("KILL");
    container.wait_until(Status::Stopped);
    runtime.create_with(&second, container.id(), &[]).unwrap_err();
    assert_eq!(container.status(), Status::Stopped);
}

#[test]
fn an_id_can_be_used_again_after_delete() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for round in ["one", "two"] {
        let bundle = Bundle::running(&["echo", round]);
        let container = runtime.create_with(&bundle, "conformance-again", &[]).unwrap();
        assert_eq!(container.finish(), round);
        container.delete();
    }
}

#[test]
fn ids_that_are_paths_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]);
    for id in ["", "..", ".", "a/b", "../escape", "/absolute", "a\nb"] {
        assert!(runtime.create_with(&bundle, id, &[]).is_err(), "{id:?}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn ids_of_all_allowed_characters_are_taken() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let id = "conformance-Az09_.+-";
    let container = runtime.create_with(&Bundle::running(&["true"]), id, &[]).unwrap();
    assert_eq!(container.state()["id"], id);
}

#[test]
fn a_missing_bundle_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let out = runtime.call(&["create", "--bundle", "/nonexistent/bundle", "conformance-none"]);
    assert_ne!(out.code, 0);
    assert!(out.stderr.contains("/nonexistent/bundle"), "{out:?}");
}

#[test]
fn a_bundle_without_a_configuration_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]);
    let path = bundle.path().to_str().unwrap();
    let out = runtime.call(&["create", "--bundle", path, "conformance-none"]);
    assert_ne!(out.code, 0);
    assert!(out.stderr.contains("config.json"), "{out:?}");
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_bundle_without_its_root_file_system_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).set("root.path", "nowhere");
    let out = runtime.try_create(&bundle).unwrap_err();
    assert!(out.stderr.contains("nowhere"), "{out:?}");
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn create_without_an_id_is_an_error() {
    needs!(Root);
    let bundle = Bundle::running(&["true"]);
    bundle.write();
    let runtime = Runtime::under_test();
    assert_ne!(runtime.call(&["create", "--bundle", bundle.path().to_str().unwrap()]).code, 0);
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn the_working_directory_is_the_bundle_by_default() {
    needs!(Root);
    let bundle = Bundle::running(&["echo", "here"]);
    bundle.write();
    let runtime = Runtime::under_test();
    let mut command = runtime.command(&["create", "conformance-here"]);
    command.current_dir(bundle.path());
    let container = runtime.create_by(command, &bundle, "conformance-here").unwrap();
    assert_eq!(container.finish(), "here");
}

#[test]
fn changes_of_the_configuration_after_create_have_no_effect() {
    needs!(Root);
    let bundle = Bundle::running(&["echo", "first"]);
    let container = Runtime::under_test().create(&bundle);
    let text = bundle.config.to_string().replace("first", "second");
    fs::write(bundle.path().join("config.json"), text).unwrap();
    assert_eq!(container.finish(), "first");
}

#[test]
fn the_configuration_may_go_after_create() {
    needs!(Root);
    let bundle = Bundle::running(&["echo", "fine"]);
    let container = Runtime::under_test().create(&bundle);
    fs::remove_file(bundle.path().join("config.json")).unwrap();
    assert_eq!(container.finish(), "fine");
    container.delete();
}

#[test]
fn the_pid_file_holds_the_pid_alone() {
    needs!(Root);
    let bundle = Bundle::idle();
    let path = bundle.path().join("pid");
    let flags = ["--pid-file", path.to_str().unwrap()];
    let container = Runtime::under_test().create_with(&bundle, "conformance-pid", &flags).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), container.pid().to_string());
}

#[test]
fn a_program_that_is_not_there_is_an_error_and_leaves_nothing_running() {
    needs!(Root);
    let runtime = Runtime::under_test();
    // Whether create or start says so is the runtime's choice.
    let out = match runtime.try_create(&Bundle::running(&["nonexistent-program"])) {
        Err(out) => out,
        Ok(container) => {
            let out = container.runtime(&["start", container.id()]);
            container.wait_until(Status::Stopped);
            testkit::Output { stderr: out.stderr + &container.stderr(), ..out }
        }
    };
    assert_ne!(out.code, 0);
    assert!(out.stderr.contains("nonexistent-program"), "{out:?}");
}

#[test]
fn a_cgroup_that_has_processes_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let first = Bundle::idle();
    let container = runtime.create(&first);
    let second = Bundle::idle().set("linux.cgroupsPath", first.cgroup());
    let before = container.state();
    assert!(runtime.try_create(&second).is_err());
    assert_eq!(container.state(), before);
}
