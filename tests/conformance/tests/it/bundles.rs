//! Configurations that are not valid: each is refused before anything is made.
//! runtime-spec 1.3.0, runtime.md, "Errors".

use serde_json::{Value, json};
use testkit::oci::{Bundle, Kind, Runtime};

/// Refused, nothing is left, and Kista names the property.
#[track_caller]
fn refused(property: &str, value: Value) {
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).set(property, value.clone());
    let out = match runtime.try_create(&bundle) {
        Ok(_) => panic!("{property} = {value} was taken"),
        Err(out) => out,
    };
    if runtime.kind() == Kind::Kista {
        let leaf = property.rsplit('.').find(|name| name.parse::<u32>().is_err()).unwrap();
        let named = out.stderr.contains(leaf)
            || value.as_str().is_some_and(|text| out.stderr.contains(text));
        assert!(named, "{property} = {value}: {}", out.stderr);
    }
    runtime.assert_nothing_left(&bundle);
}

macro_rules! refused {
    ($($test:ident: $property:literal = $value:tt;)+) => {
        $(
            #[test]
            fn $test() {
                needs!(Root);
                refused($property, json!($value));
            }
        )+
    };
}

refused! {
    a_root_that_is_text: "root" = "rootfs";
    a_root_path_that_is_a_number: "root.path" = 1;
    arguments_that_are_text: "process.args" = "true";
    arguments_with_a_number: "process.args" = ["true", 1];
    an_environment_that_is_an_object: "process.env" = {"A": "1"};
    a_working_directory_that_is_empty: "process.cwd" = "";
    mounts_that_are_an_object: "mounts" = {};
    a_mount_without_destination: "mounts.0" = {"type": "tmpfs", "source": "tmpfs"};
    a_namespace_that_is_none: "linux.namespaces.0.type" = "nonsense";
    a_namespace_that_is_relative: "linux.namespaces.0.path" = "proc/self/ns/pid";
    a_namespace_that_is_not_there: "linux.namespaces.0.path" = "/nonexistent/ns/pid";
    a_namespace_of_another_kind: "linux.namespaces.0.path" = "/proc/self/ns/net";
    a_namespace_that_is_no_namespace: "linux.namespaces.0.path" = "/etc/passwd";
    a_propagation_that_is_none: "linux.rootfsPropagation" = "nonsense";
    a_personality_that_is_none: "linux.personality" = {"domain": "NONSENSE"};
    a_seccomp_action_that_is_none: "linux.seccomp" = {"defaultAction": "SCMP_ACT_NONSENSE"};
    a_seccomp_architecture_that_is_none:
        "linux.seccomp" = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["NONSENSE"]};
    a_memory_limit_that_is_text: "linux.resources.memory.limit" = "1g";
    cpus_that_are_not_there: "linux.resources.cpu.cpus" = "1000-2000";
    a_hook_that_is_relative: "hooks.prestart" = [{"path": "true"}];
    a_version_that_is_text: "ociVersion" = "latest";
    a_version_of_the_next_major: "ociVersion" = "2.0.0";
    a_negative_hook_timeout: "hooks.prestart" = [{"path": "/bin/true", "timeout": -1}];
    a_hook_timeout_of_zero: "hooks.prestart" = [{"path": "/bin/true", "timeout": 0}];
    a_device_of_no_kind:
        "linux.devices" = [{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}];
    user_mappings_that_overlap: "linux.uidMappings" =
        [{"containerID": 0, "hostID": 0, "size": 10}, {"containerID": 5, "hostID": 100, "size": 10}];
}

#[test]
fn a_namespace_that_is_named_twice() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).namespace("uts");
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_configuration_that_is_no_json() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]);
    for text in ["", "{", "[]", "{\"ociVersion\": \"1.0.2\"", "null", "\u{feff}{}"] {
        std::fs::write(bundle.path().join("config.json"), text).unwrap();
        let path = bundle.path().to_str().unwrap();
        let out = runtime.call(&["create", "--bundle", path, "conformance-broken"]);
        assert_ne!(out.code, 0, "{text:?}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn a_configuration_without_a_root() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).without("root");
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_configuration_without_a_version() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).without("ociVersion");
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}
