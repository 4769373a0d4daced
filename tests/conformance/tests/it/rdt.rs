//! `linux.intelRdt`. runtime-spec 1.3.0, config-linux.md, "IntelRdt".
//!
//! The machine must have such a processor for most of it; what is written where is tested with a
//! stand-in in `run/resctrl`.

use std::fs;
use std::path::Path;

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

const TOP: &str = "/sys/fs/resctrl";

#[test]
fn without_resctrl_it_is_an_error_and_nothing_is_made() {
    needs!(Root, NoResctrl);
    let runtime = Runtime::under_test();
    for wanted in [
        json!({}),
        json!({"closID": "/"}),
        json!({"schemata": ["L3:0=f"]}),
        json!({"enableMonitoring": true}),
    ] {
        let bundle = Bundle::running(&["true"]).set("linux.intelRdt", wanted);
        assert!(runtime.try_create(&bundle).is_err());
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn a_class_of_its_own_goes_with_the_container() {
    needs!(Root, Resctrl);
    let bundle = Bundle::idle().set("linux.intelRdt", json!({"enableMonitoring": true}));
    let container = Runtime::under_test().create(&bundle);
    let class = Path::new(TOP).join(container.id());
    let tasks = |group: &Path| fs::read_to_string(group.join("tasks")).unwrap();
    let pid = container.pid().to_string();
    for group in [class.clone(), class.join("mon_groups").join(container.id())] {
        assert!(tasks(&group).lines().any(|task| task == pid), "{}", group.display());
    }
    container.start();
    container.kill("KILL");
    container.wait_until(testkit::oci::Status::Stopped);
    container.delete();
    assert!(!class.exists());
}

#[test]
fn the_default_class_is_the_root() {
    needs!(Root, Resctrl);
    let bundle = Bundle::idle().set("linux.intelRdt", json!({"closID": "/"}));
    let container = Runtime::under_test().create(&bundle);
    let tasks = fs::read_to_string(Path::new(TOP).join("tasks")).unwrap();
    assert!(tasks.lines().any(|task| task == container.pid().to_string()));
}

#[test]
fn a_class_that_nobody_made_is_an_error() {
    needs!(Root, Resctrl);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).set("linux.intelRdt", json!({"closID": "no-such"}));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}
