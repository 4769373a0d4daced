//! Capabilities that a program could bring to life.

use testkit::oci::{Bundle, Runtime};

fn set(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
}

/// CVE-2022-29162 (runc), CVE-2022-27650 (crun), CVE-2025-27612 (youki): `exec` with added
/// capabilities makes them inheritable, so that a program with file capabilities of the same
/// names gets them, whoever runs it.
///
/// Seen to bite on runc 1.1.1.
#[test]
fn capabilities_added_by_exec_are_not_inheritable() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    let flags = ["--cap", "CAP_SYS_TIME", "--cap", "CAP_NET_RAW"];
    let added = 1 << 25 | 1 << 13;
    let status = ["cat", "/proc/self/status"];
    let out = container.exec_with(&flags, &status).ok();
    assert_eq!(set(&out, "CapEff") & added, added, "{out}");
    assert_eq!((set(&out, "CapInh"), set(&out, "CapAmb")), (0, 0), "{out}");
    for user in ["1000", "1000:1000"] {
        let out = container.exec_with(&[&["--user", user], &flags[..]].concat(), &status).ok();
        assert_eq!(set(&out, "CapInh"), 0, "{user}: {out}");
    }
    let out = container.exec(&status).ok();
    assert_eq!((set(&out, "CapInh"), set(&out, "CapAmb")), (0, 0), "{out}");
}

/// CVE-2016-8867, CVE-2018-10856, CVE-2021-20188: another user than root keeps none.
///
/// Seen to bite with `ambient` set, which is how they are kept on purpose
/// (`capabilities::all_five_sets_are_as_configured`).
#[test]
fn a_user_keeps_none() {
    needs!(Root);
    let bundle = Bundle::running(&["cat", "/proc/self/status"]).set("process.user.uid", 1000);
    let out = Runtime::under_test().run(&bundle).ok();
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(set(&out, name), 0, "{out}");
    }
}
