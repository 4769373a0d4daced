//! `process.rlimits`. runtime-spec 1.3.0, config.md, "POSIX process".

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn every_limit_is_as_configured() {
    needs!(Root);
    // Below what the caller has: raising would need CAP_SYS_RESOURCE.
    let limits = [
        ("RLIMIT_CPU", "Max cpu time", 5000_u64, 6000_u64),
        ("RLIMIT_FSIZE", "Max file size", 1 << 20, 1 << 21),
        ("RLIMIT_DATA", "Max data size", 1 << 30, 1 << 31),
        ("RLIMIT_STACK", "Max stack size", 1 << 22, 1 << 23),
        ("RLIMIT_CORE", "Max core file size", 0, 4096),
        ("RLIMIT_RSS", "Max resident set", 1 << 25, 1 << 26),
        ("RLIMIT_NPROC", "Max processes", 1000, 2000),
        ("RLIMIT_NOFILE", "Max open files", 100, 200),
        ("RLIMIT_MEMLOCK", "Max locked memory", 4096, 8192),
        ("RLIMIT_AS", "Max address space", 1 << 32, 1 << 33),
        ("RLIMIT_LOCKS", "Max file locks", 10, 20),
        ("RLIMIT_SIGPENDING", "Max pending signals", 100, 200),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", 1000, 2000),
        ("RLIMIT_NICE", "Max nice priority", 0, 0),
        ("RLIMIT_RTPRIO", "Max realtime priority", 0, 0),
        ("RLIMIT_RTTIME", "Max realtime timeout", 1000, 2000),
    ];
    let list: Vec<_> = limits
        .iter()
        .map(|(kind, _, soft, hard)| json!({"type": kind, "soft": soft, "hard": hard}))
        .collect();
    let bundle = Bundle::running(&["cat", "/proc/self/limits"]).set("process.rlimits", list);
    let out = Runtime::under_test().run(&bundle).ok();
    for (kind, name, soft, hard) in limits {
        let line = out.lines().find(|line| line.starts_with(name)).unwrap();
        let words: Vec<_> = line[name.len()..].split_whitespace().collect();
        assert_eq!(words[..2], [soft.to_string(), hard.to_string()], "{kind}: {line}");
    }
}

#[test]
fn limits_hold_for_a_user_from_the_first_instruction_on() {
    needs!(Root);
    let bundle = Bundle::script("ulimit -n; ulimit -Hn")
        .set("process.rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 12}]))
        .set("process.user.uid", 1000);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "10\n12");
}

#[test]
fn limits_that_are_none_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for limits in [
        json!([{"type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1}]),
        json!([{"type": "", "soft": 1, "hard": 1}]),
        json!([{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 10}]),
    ] {
        let bundle = Bundle::running(&["true"]).set("process.rlimits", limits.clone());
        assert!(runtime.try_create(&bundle).is_err(), "{limits}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn a_limit_that_is_named_twice_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let limit = json!({"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10});
    let bundle = Bundle::running(&["true"]).set("process.rlimits", json!([limit, limit]));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn other_limits_are_the_callers() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["cat", "/proc/self/limits"]);
    bundle.write();
    let line = runtime.command(&[
        "run",
        "--bundle",
        bundle.path().to_str().unwrap(),
        "conformance-limits",
    ]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 777; ulimit -c 3; exec \"$0\" \"$@\""]);
    let output = command.arg(line.get_program()).args(line.get_args()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for (name, value) in [("Max open files", "777"), ("Max core file size", "1536")] {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line[name.len()..].split_whitespace().next(), Some(value), "{line}");
    }
}
