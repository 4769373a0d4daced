//! `process`: arguments, environment, working directory. runtime-spec 1.3.0, config.md, "Process".

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn arguments_arrive_as_they_are() {
    needs!(Root);
    let arguments = ["printf", "[%s]", "a b", "", "*", "$HOME", "-x", "ü\n"];
    assert_eq!(
        Runtime::under_test().run(&Bundle::running(&arguments)).stdout,
        "[a b][][*][$HOME][-x][ü\n]"
    );
}

#[test]
fn many_long_arguments_arrive() {
    needs!(Root);
    let long = "x".repeat(100_000);
    let mut arguments = vec!["sh", "-c", "echo $# ${#10}", "sh"];
    arguments.extend(std::iter::repeat_n(long.as_str(), 12));
    assert_eq!(Runtime::under_test().run(&Bundle::running(&arguments)).ok(), "12 100000");
}

#[test]
fn the_environment_is_the_configurations_alone() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["env"])
        .set("process.env", json!(["PATH=/bin", "A=1", "EMPTY=", "B=two words", "HOME=/mine"]));
    let out = runtime.run(&bundle).ok();
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1", "B=two words", "EMPTY=", "HOME=/mine", "PATH=/bin"]);
}

/// Not in the spec; engines rely on it, since runc does so.
#[test]
fn home_is_the_users_when_it_is_not_set() {
    needs!(Root);
    let bundle = Bundle::script("echo $HOME").set("process.user.uid", 1000);
    bundle
        .file("etc/passwd", "root:x:0:0::/rooted:/bin/sh\napp:x:1000:1000::/home/of/app:/bin/sh\n");
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "/home/of/app");
}

#[test]
fn programs_are_looked_up_in_the_path_of_the_configuration() {
    needs!(Root);
    let bundle = Bundle::running(&["tool"]).set("process.env", json!(["PATH=/nowhere:/opt/own"]));
    let path = bundle.file("opt/own/tool", "#!/bin/sh\necho $0\n");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "/opt/own/tool");
}

#[test]
fn a_relative_program_is_relative_to_the_working_directory() {
    needs!(Root);
    let bundle = Bundle::running(&["./busybox", "echo", "found"]).set("process.cwd", "/bin");
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "found");
}

#[test]
fn a_program_that_may_not_be_executed_is_an_error() {
    needs!(Root);
    let bundle = Bundle::running(&["/etc/passwd"]);
    let out = Runtime::under_test().run(&bundle);
    assert!(out.code != 0 && out.stderr.to_lowercase().contains("permission denied"), "{out:?}");
}

#[test]
fn the_working_directory_is_set() {
    needs!(Root);
    let bundle = Bundle::running(&["pwd"]).set("process.cwd", "/tmp");
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "/tmp");
}

/// Not in the spec; images name directories that are not in them.
#[test]
fn a_working_directory_that_is_missing_is_made() {
    needs!(Root);
    let bundle = Bundle::running(&["pwd"]).set("process.cwd", "/not/there/yet");
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "/not/there/yet");
}

#[test]
fn a_working_directory_that_only_the_user_may_enter() {
    needs!(Root);
    let bundle = Bundle::running(&["pwd"])
        .set("process.cwd", "/tmp/private")
        .set("process.user.uid", 1000)
        .capabilities(&[]);
    let path = bundle.rootfs().join("tmp/private");
    std::fs::create_dir(&path).unwrap();
    std::os::unix::fs::chown(&path, Some(1000), Some(1000)).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "/tmp/private");
}

#[test]
fn a_relative_working_directory_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["pwd"]).set("process.cwd", "tmp");
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn no_arguments_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&[]);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn no_new_privileges_is_as_configured() {
    needs!(Root);
    for (value, shown) in [(true, "1"), (false, "0")] {
        let bundle = Bundle::script("grep NoNewPrivs /proc/self/status")
            .set("process.noNewPrivileges", value);
        assert_eq!(Runtime::under_test().run(&bundle).ok(), format!("NoNewPrivs:\t{shown}"));
    }
}

#[test]
fn the_first_process_leads_a_session_of_its_own() {
    needs!(Root);
    let out = Runtime::under_test().run(&Bundle::script("cut -d' ' -f1,4,5,6 /proc/1/stat")).ok();
    assert_eq!(out, "1 0 1 1");
}

#[test]
fn no_signal_is_blocked_and_none_is_ignored_but_by_the_caller() {
    needs!(Root);
    let mask = |status: &str, name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let out = Runtime::under_test().run(&Bundle::running(&["cat", "/proc/self/status"])).ok();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!((mask(&out, "SigBlk"), mask(&out, "SigCgt")), (0, 0));
    // 32 and 33 are the C library's.
    assert_eq!(mask(&out, "SigIgn") & !mask(&own, "SigIgn") & !(3 << 31), 0);
    assert_eq!(mask(&out, "SigIgn") & 1 << 12, 0); // SIGPIPE
}
