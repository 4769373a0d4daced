//! `update`, as runc has it.

use serde_json::json;
use testkit::oci::{Bundle, Container, Runtime, cgroup_v2};

fn running() -> Container {
    let bundle = Bundle::idle().set(
        "linux.resources",
        json!({"memory": {"limit": 209_715_200}, "pids": {"limit": 50}, "cpu": {"shares": 512, "quota": 30_000, "period": 60_000}}),
    );
    let container = Runtime::under_test().create(&bundle);
    container.start();
    container
}

#[track_caller]
fn shows(container: &Container, controller: &str, v1: (&str, &str), v2: (&str, &str)) {
    let (file, value) = if cgroup_v2() { v2 } else { v1 };
    assert_eq!(container.cgroup().read(controller, file), value, "{file}");
}

#[track_caller]
fn update(container: &Container, flags: &[&str]) {
    container.runtime(&[&["update"], flags, &[container.id()]].concat()).ok();
}

#[test]
fn limits_change_by_flags() {
    needs!(Root);
    let container = running();
    update(&container, &["--pids-limit", "33"]);
    shows(&container, "pids", ("pids.max", "33"), ("pids.max", "33"));
    update(&container, &["--memory", "104857600"]);
    shows(
        &container,
        "memory",
        ("memory.limit_in_bytes", "104857600"),
        ("memory.max", "104857600"),
    );
    update(&container, &["--cpu-quota", "20000", "--cpu-period", "40000"]);
    shows(&container, "cpu", ("cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 40000"));
    update(&container, &["--cpuset-cpus", "0"]);
    shows(&container, "cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0"));
    update(&container, &["--memory-reservation", "52428800"]);
    shows(
        &container,
        "memory",
        ("memory.soft_limit_in_bytes", "52428800"),
        ("memory.low", "52428800"),
    );
}

#[test]
fn what_is_not_named_stays() {
    needs!(Root);
    let container = running();
    update(&container, &["--pids-limit", "20"]);
    shows(
        &container,
        "memory",
        ("memory.limit_in_bytes", "209715200"),
        ("memory.max", "209715200"),
    );
    shows(&container, "cpu", ("cpu.cfs_quota_us", "30000"), ("cpu.max", "30000 60000"));
}

#[test]
fn limits_change_by_a_document() {
    needs!(Root);
    let container = running();
    let document =
        json!({"memory": {"limit": 157_286_400}, "pids": {"limit": 11}, "cpu": {"shares": 300}})
            .to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    std::fs::write(&path, &document).unwrap();
    update(&container, &["--resources", path.to_str().unwrap()]);
    shows(&container, "pids", ("pids.max", "11"), ("pids.max", "11"));
    shows(
        &container,
        "memory",
        ("memory.limit_in_bytes", "157286400"),
        ("memory.max", "157286400"),
    );

    let document = document.replace("11", "12");
    let out = container.of().call_with(&["update", "--resources", "-", container.id()], document);
    assert_eq!(out.code, 0, "{out:?}");
    shows(&container, "pids", ("pids.max", "12"), ("pids.max", "12"));
}

#[test]
fn an_update_that_is_not_valid_is_an_error() {
    needs!(Root);
    let container = running();
    for flags in [&["--memory", "words"][..], &["--cpuset-cpus", "4000"], &["--cpu-period", "1"]] {
        let out = container.runtime(&[&["update"], flags, &[container.id()]].concat());
        assert_ne!(out.code, 0, "{flags:?}");
    }
    shows(
        &container,
        "memory",
        ("memory.limit_in_bytes", "209715200"),
        ("memory.max", "209715200"),
    );
}

#[test]
fn update_of_nothing_is_an_error() {
    needs!(Root);
    assert_ne!(Runtime::under_test().call(&["update", "--pids-limit", "5", "nobody"]).code, 0);
}
