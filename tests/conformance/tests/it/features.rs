//! `features`, `spec` and `--version`. runtime-spec 1.3.0, features.md, features-linux.md.

use serde_json::Value;
use testkit::oci::{Bundle, Runtime};

fn features() -> Value {
    serde_json::from_str(&Runtime::under_test().call(&["features"]).ok()).unwrap()
}

fn has(list: &Value, names: &[&str]) {
    let list = list.as_array().unwrap();
    for name in names {
        assert!(list.iter().any(|one| one == name), "{name} in {list:?}");
    }
}

#[test]
fn features_tell_what_there_is() {
    needs!(Root);
    let features = features();
    assert!(features["ociVersionMin"].as_str().unwrap().starts_with("1."));
    assert!(features["ociVersionMax"].as_str().unwrap().starts_with("1."));
    has(
        &features["hooks"],
        &[
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ],
    );
    has(&features["mountOptions"], &["bind", "rbind", "ro", "rw", "nosuid", "rro", "tmpcopyup"]);
    let linux = &features["linux"];
    has(&linux["namespaces"], &["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
    has(&linux["capabilities"], &["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    assert_eq!(linux["cgroup"]["v1"], true);
    assert_eq!(linux["cgroup"]["v2"], true);
    has(&linux["seccomp"]["actions"], &["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL"]);
    has(&linux["seccomp"]["operators"], &["SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"]);
    let native =
        if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    has(&linux["seccomp"]["archs"], &[native]);
}

#[test]
fn spec_writes_a_configuration_that_runs() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    runtime.call(&["spec", "--bundle", path]).ok();
    let text = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let mut bundle = Bundle::running(&["true"]);
    let cgroup = bundle.cgroup().to_owned();
    bundle.config = serde_json::from_str(&text).unwrap();
    let bundle = bundle
        .set("process.terminal", false)
        .set("process.args", serde_json::json!(["echo", "it runs"]))
        .set("process.rlimits", serde_json::json!([]))
        .set("linux.cgroupsPath", cgroup);
    assert_eq!(runtime.run(&bundle).ok(), "it runs");
    // It does not write over one that is there.
    assert_ne!(runtime.call(&["spec", "--bundle", path]).code, 0);
    assert_eq!(std::fs::read_to_string(folder.path().join("config.json")).unwrap(), text);
}

#[test]
fn the_version_names_the_program_and_the_spec() {
    needs!(Root);
    let out = Runtime::under_test().call(&["--version"]).ok();
    assert!(out.contains("version") && out.contains("spec: 1."), "{out}");
}

#[test]
fn unknown_commands_and_flags_are_errors() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for arguments in
        [&["nonsense"][..], &["state", "--nonsense", "x"], &["create", "--nonsense", "x"]]
    {
        assert_ne!(runtime.call(arguments).code, 0, "{arguments:?}");
    }
}

#[test]
fn errors_are_logged_as_json() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let log = runtime.folder().join("log");
    let path = log.to_str().unwrap();
    let out = runtime.call(&["--log", path, "--log-format", "json", "start", "nobody"]);
    assert_ne!(out.code, 0);
    let text = std::fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "error", "{text}");
    assert!(!line["msg"].as_str().unwrap().is_empty() && line["time"].is_string(), "{text}");
}
