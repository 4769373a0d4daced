//! `delete`. runtime-spec 1.3.0, runtime.md, "Delete".

use testkit::oci::{Bundle, Runtime, Status};

#[test]
fn delete_of_a_running_container_is_an_error_and_changes_nothing() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    let before = container.state();

    let out = container.runtime(&["delete", container.id()]);

    assert_ne!(out.code, 0, "{}", out.stderr);
    assert_eq!(container.state(), before);
}

/// The spec knows only stopped containers here; engines delete created ones, and runc lets them.
#[test]
fn delete_of_a_created_container_ends_it_or_is_refused() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    let pid = container.pid();
    match container.runtime(&["delete", container.id()]).code {
        0 => {
            assert_ne!(container.runtime(&["state", container.id()]).code, 0);
            testkit::wait_until("the process to end", || ended(pid).then_some(()));
        }
        _ => assert_eq!(container.status(), Status::Created),
    }
}

#[test]
fn delete_of_nothing_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["delete", "nobody"]).code, 0);
}

#[test]
fn delete_of_nothing_by_force_is_none() {
    needs!(Root);
    Runtime::under_test().call(&["delete", "--force", "nobody"]).ok();
}

#[test]
fn delete_without_an_id_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["delete"]).code, 0);
}

#[test]
fn delete_takes_the_cgroups_away() {
    needs!(Root);
    let bundle = Bundle::running(&["true"]);
    let container = Runtime::under_test().create(&bundle);
    let cgroup = container.cgroup().path("memory").to_owned();
    assert!(cgroup.is_dir());
    container.finish();
    container.delete();
    assert!(!cgroup.exists());
}

#[test]
fn delete_by_force_ends_a_running_container() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::running(&["sleep", "1000"]));
    container.start();
    let pid = container.pid();
    container.runtime(&["delete", "--force", container.id()]).ok();
    testkit::wait_until("the process to end", || ended(pid).then_some(()));
    assert_ne!(container.runtime(&["state", container.id()]).code, 0);
}

#[test]
fn delete_by_force_ends_a_paused_container() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    container.runtime(&["pause", container.id()]).ok();
    container.runtime(&["delete", "--force", container.id()]).ok();
    assert_ne!(container.runtime(&["state", container.id()]).code, 0);
}

#[test]
fn delete_ends_what_the_first_process_left() {
    needs!(Root);
    let bundle = Bundle::script("sleep 1000 & echo $!").without_namespace("pid");
    let container = Runtime::under_test().create(&bundle);
    let child = container.finish().parse::<i32>().unwrap();
    container.runtime(&["delete", "--force", container.id()]).ok();
    testkit::wait_until("the process to end", || ended(child).then_some(()));
}

#[test]
fn delete_leaves_the_bundle_and_what_was_bound_alone() {
    needs!(Root);
    let bundle = Bundle::running(&["touch", "/data/new", "/made"]);
    let data = bundle.directory("data");
    let bundle = bundle.bind(&data, "/data", &[]);
    let container = Runtime::under_test().create(&bundle);
    container.finish();
    container.delete();
    assert!(data.join("new").exists() && bundle.rootfs().join("made").exists());
}

#[test]
fn a_cgroup_that_was_there_before_keeps_its_parent() {
    needs!(Root);
    let bundle = Bundle::idle();
    let parent = format!("{}-parent", bundle.cgroup());
    let bundle = bundle.set("linux.cgroupsPath", format!("{parent}/child"));
    let container = Runtime::under_test().create(&bundle);
    let path = container.cgroup().path("memory").to_owned();
    assert!(path.ends_with(format!("{}/child", &parent[1..])), "{}", path.display());
    container.runtime(&["delete", "--force", container.id()]).ok();
    assert!(!path.exists());
    for folder in testkit::oci::cgroup_directories(&parent) {
        let _ = std::fs::remove_dir(folder);
    }
}

fn ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z"))
}
