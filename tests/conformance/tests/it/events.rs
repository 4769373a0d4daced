//! `events`, as runc has it.

use serde_json::Value;
use testkit::oci::{Bundle, Runtime};

#[test]
fn statistics_of_a_running_container() {
    needs!(Root);
    let bundle = Bundle::script(
        "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; sleep 1000 & echo ready; wait",
    )
    .set("linux.resources.pids.limit", 40)
    .set("linux.resources.memory.limit", 104_857_600);
    let container = Runtime::under_test().create(&bundle);
    container.start();
    container.wait_for_output("ready");

    let text = container.runtime(&["events", "--stats", container.id()]).ok();

    let event: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], container.id());
    let data = &event["data"];
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{data}");
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{data}");
    assert_eq!(data["memory"]["usage"]["limit"], 104_857_600, "{data}");
    assert_eq!(data["pids"]["current"], 2, "{data}");
    assert_eq!(data["pids"]["limit"], 40, "{data}");
}

#[test]
fn events_of_a_container_that_does_not_run_are_an_error() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::running(&["true"]));
    container.finish();
    assert_ne!(container.runtime(&["events", "--stats", container.id()]).code, 0);
    assert_ne!(container.runtime(&["events", "--stats", "nobody"]).code, 0);
}
