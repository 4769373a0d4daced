//! `process.capabilities`. runtime-spec 1.3.0, config.md, "Linux Process"; capabilities(7).

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

/// Inheritable, permitted, effective, bounding, ambient, as the kernel's masks.
fn sets(bundle: &Bundle) -> [u64; 5] {
    let out = Runtime::under_test().run(bundle).ok();
    parse(&out)
}

fn parse(status: &str) -> [u64; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name}: {status}"));
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    })
}

fn status() -> Bundle {
    Bundle::running(&["cat", "/proc/self/status"])
}

const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const NET_BIND_SERVICE: u64 = 1 << 10;
const AUDIT_WRITE: u64 = 1 << 29;

#[test]
fn all_five_sets_are_as_configured() {
    needs!(Root);
    let bundle = status()
        .set(
            "process.capabilities",
            json!({
                "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"],
                "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
                "inheritable": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
                "effective": ["CAP_CHOWN"],
                "ambient": ["CAP_NET_BIND_SERVICE"],
            }),
        )
        .set("process.user", json!({"uid": 1000, "gid": 1000}));
    let [inheritable, permitted, effective, bounding, ambient] = sets(&bundle);
    assert_eq!(bounding, CHOWN | KILL | NET_BIND_SERVICE | AUDIT_WRITE);
    assert_eq!(inheritable, KILL | NET_BIND_SERVICE);
    assert_eq!(ambient, NET_BIND_SERVICE);
    // What execve leaves another user than root: capabilities(7), "Transformation ...".
    assert_eq!((permitted, effective), (NET_BIND_SERVICE, NET_BIND_SERVICE));
}

#[test]
fn root_has_what_is_bounded() {
    needs!(Root);
    let [inheritable, permitted, effective, bounding, ambient] =
        sets(&status().capabilities(&["CAP_CHOWN", "CAP_KILL"]));
    let both = CHOWN | KILL;
    assert_eq!([inheritable, permitted, effective, bounding, ambient], [0, both, both, both, 0]);
}

#[test]
fn no_capabilities_are_none() {
    needs!(Root);
    assert_eq!(sets(&status().capabilities(&[])), [0; 5]);
}

#[test]
fn another_user_has_none_without_ambient_ones() {
    needs!(Root);
    let bundle = status().set("process.user", json!({"uid": 1000, "gid": 1000}));
    let [inheritable, permitted, effective, _, ambient] = sets(&bundle);
    assert_eq!([inheritable, permitted, effective, ambient], [0; 4]);
}

#[test]
fn a_configuration_without_capabilities_gives_none() {
    needs!(Root);
    let [inheritable, permitted, effective, _, ambient] =
        sets(&status().without("process.capabilities"));
    assert_eq!((inheritable, ambient), (0, 0));
    let _ = (permitted, effective);
}

/// What cannot be granted is a warning since runtime-spec 1.0.2.
#[test]
fn unknown_capabilities_are_a_warning() {
    needs!(Root);
    let bundle = status().capabilities(&["CAP_CHOWN", "CAP_UNKNOWN"]);
    let out = Runtime::under_test().run(&bundle);
    assert_eq!(parse(&out.stdout)[3], CHOWN, "{out:?}");
}

/// CAP_SYS_RESOURCE is one that the machine's root may lack, too.
#[test]
fn capabilities_that_the_runtime_lacks_are_a_warning() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = status().capabilities(&["CAP_CHOWN", "CAP_SYS_TIME"]);
    bundle.write();
    let line =
        runtime.command(&["run", "--bundle", bundle.path().to_str().unwrap(), "conformance-lacks"]);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set", "-sys_time", "--inh-caps", "-sys_time"]);
    let output = command.arg(line.get_program()).args(line.get_args()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(parse(&String::from_utf8(output.stdout).unwrap())[3], CHOWN);
}

#[test]
fn ambient_ones_must_be_inheritable_and_permitted() {
    needs!(Root);
    let bundle = status()
        .set(
            "process.capabilities",
            json!({
                "bounding": ["CAP_CHOWN", "CAP_KILL"],
                "permitted": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_CHOWN", "CAP_KILL"],
                "inheritable": ["CAP_CHOWN"],
                "ambient": ["CAP_CHOWN", "CAP_KILL"],
            }),
        )
        .set("process.user.uid", 1000);
    let out = Runtime::under_test().run(&bundle);
    // Either an error or a warning; never more than the kernel would grant.
    if out.code == 0 {
        assert_eq!(parse(&out.stdout)[4], CHOWN, "{out:?}");
    }
}
