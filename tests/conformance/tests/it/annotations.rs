//! `annotations`, `ociVersion`, and what the spec has runtimes ignore. config.md,
//! "Annotations", "Extensibility", "Valid values".

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn annotations_are_in_the_state() {
    needs!(Root);
    let bundle = Bundle::running(&["true"])
        .set("annotations", json!({"a.b": "1", "empty": "", "unicode": "ü"}));
    let state = Runtime::under_test().create(&bundle).state();
    for (key, value) in [("a.b", "1"), ("empty", ""), ("unicode", "ü")] {
        assert_eq!(state["annotations"][key], value, "{state}");
    }
}

#[test]
fn unknown_annotations_and_properties_are_ignored() {
    needs!(Root);
    let bundle = Bundle::running(&["echo", "fine"])
        .set("annotations", json!({"org.nobody.knows": "true"}))
        .set("unknown", json!({"deep": ["value"]}))
        .set("process.unknown", 1)
        .set("linux.unknown", "x")
        .set("linux.resources.unknown", json!({}));
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "fine");
}

#[test]
fn sections_of_other_platforms_are_ignored() {
    needs!(Root);
    let bundle = Bundle::running(&["echo", "fine"])
        .set("windows", json!({"layerFolders": ["C:\\x"]}))
        .set("solaris", json!({"milestone": "svc:/milestone/container:default"}))
        .set("zos", json!({}))
        .set("vm", json!({"kernel": {"path": "/kernel"}}))
        .set("freebsd", json!({}));
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "fine");
}

#[test]
fn every_version_of_the_first_major_is_taken() {
    needs!(Root);
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0"] {
        let bundle = Bundle::running(&["true"]).set("ociVersion", version);
        Runtime::under_test().run(&bundle).ok();
    }
}
