//! `list` and `ps`, as runc has them.

use serde_json::Value;
use testkit::oci::{Bundle, Runtime};

#[test]
fn list_knows_every_container_and_its_state() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let (first, second) = (Bundle::idle(), Bundle::idle());
    let (created, running) = (runtime.create(&first), runtime.create(&second));
    running.start();

    let text = runtime.call(&["list", "--format", "json"]).ok();

    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |id: &str| all.iter().find(|one| one["id"] == id).unwrap();
    assert_eq!(all.len(), 2, "{text}");
    for (container, bundle, status) in
        [(&created, &first, "created"), (&running, &second, "running")]
    {
        let one = of(container.id());
        assert_eq!(one["status"], status);
        assert_eq!(one["pid"], container.pid());
        assert_eq!(one["bundle"], bundle.path().to_str().unwrap());
        assert!(one["created"].as_str().unwrap().starts_with("20"), "{one}");
    }
}

#[test]
fn list_is_a_table_unless_told_otherwise() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let container = runtime.create(&Bundle::idle());
    let text = runtime.call(&["list"]).ok();
    let mut lines = text.lines();
    let words: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(words[..4], ["ID", "PID", "STATUS", "BUNDLE"], "{text}");
    let line = lines.next().unwrap();
    assert!(line.starts_with(container.id()) && line.contains("created"), "{text}");
}

#[test]
fn ps_lists_the_processes() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::script("sleep 1000 & echo go; wait"));
    container.start();
    container.wait_for_output("go");

    let text = container.runtime(&["ps", "--format", "json", container.id()]).ok();

    let pids: Vec<i32> = serde_json::from_str(&text).unwrap();
    assert_eq!(pids.len(), 2, "{text}");
    assert!(pids.contains(&container.pid()), "{text}");
    let table = container.runtime(&["ps", container.id()]).ok();
    assert!(table.lines().next().unwrap().contains("PID"), "{table}");
    for pid in pids {
        assert!(table.contains(&pid.to_string()), "{table}");
    }
}
