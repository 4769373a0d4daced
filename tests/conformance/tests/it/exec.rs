//! `exec`, as runc has it.

use std::fs;

use serde_json::json;
use testkit::oci::{Bundle, Container, Runtime, Status};

fn running(bundle: &Bundle) -> Container {
    let container = Runtime::under_test().create(bundle);
    container.start();
    container
}

#[test]
fn exec_has_streams_and_an_exit_code() {
    needs!(Root);
    let container = running(&Bundle::idle());
    let out = container.exec(&["sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((out.code, out.stdout.as_str()), (42, "out\n"), "{out:?}");
    assert!(out.stderr.contains("err"), "{out:?}");
    let out = container.of().call_with(&["exec", container.id(), "cat"], "input");
    assert_eq!(out.stdout, "input");
    assert_eq!(container.exec(&["sh", "-c", "kill -9 $$"]).code, 137);
}

#[test]
fn exec_is_in_the_namespaces_and_cgroups_of_the_container() {
    needs!(Root);
    let container = running(&Bundle::idle().namespace("network").namespace("cgroup"));
    let script = "for n in pid net mnt ipc uts cgroup; do
        [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] && echo $n; done;
        cat /proc/self/cgroup | tr '\\n' ' ' >/tmp/own; cat /proc/1/cgroup | tr '\\n' ' ' >/tmp/init;
        [ \"$(cat /tmp/own)\" = \"$(cat /tmp/init)\" ] && echo cgroups";
    let out = container.exec(&["sh", "-c", script]).ok();
    assert_eq!(out, "pid\nnet\nmnt\nipc\nuts\ncgroup\ncgroups");
}

/// CVE-2019-10144, CVE-2019-10147 (rkt): an added process is confined like the first one.
#[test]
fn exec_is_confined_like_the_first_process() {
    needs!(Root);
    let bundle = Bundle::idle()
        .set("process.noNewPrivileges", true)
        .set("process.rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}]))
        .set("process.oomScoreAdj", 300)
        .set("process.user", json!({"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o77}))
        .set(
            "linux.seccomp",
            json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}],
            }),
        )
        .capabilities(&["CAP_CHOWN"]);
    let container = running(&bundle);
    let facts = |process: &str| {
        format!(
            "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask)' /proc/{process}/status;
            grep 'open files' /proc/{process}/limits; cat /proc/{process}/oom_score_adj"
        )
    };
    let own = container.exec(&["sh", "-c", &facts("self")]).ok();
    let first = container.exec(&["sh", "-c", &facts("1")]).ok();
    assert_eq!(own, first);
    assert!(own.contains("Seccomp:\t2") && own.contains("NoNewPrivs:\t1"), "{own}");
}

#[test]
fn flags_change_the_process() {
    needs!(Root);
    let container = running(&Bundle::idle().set("process.env", json!(["PATH=/bin", "A=1", "B=2"])));
    let exec =
        |flags: &[&str], script: &str| container.exec_with(flags, &["sh", "-c", script]).ok();
    assert_eq!(exec(&["--cwd", "/tmp"], "pwd"), "/tmp");
    assert_eq!(exec(&["--env", "B=3", "--env", "C=x y"], "echo $A $B $C"), "1 3 x y");
    assert_eq!(exec(&["--user", "1000"], "id -u; id -g"), "1000\n0");
    assert_eq!(exec(&["--user", "1000:1001"], "id -u; id -g"), "1000\n1001");
    let groups = exec(
        &["--additional-gids", "7", "--additional-gids", "8", "--user", "5:6"],
        "grep Groups /proc/self/status",
    );
    assert_eq!(groups.split_whitespace().collect::<Vec<_>>(), ["Groups:", "7", "8"]);
    assert_eq!(exec(&["--no-new-privs"], "grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1");
}

#[test]
fn a_process_document_is_used_whole() {
    needs!(Root);
    let container = running(&Bundle::idle());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("process.json");
    let process = json!({
        "args": ["sh", "-c", "id -u; pwd; echo $X; grep CapBnd /proc/self/status; ulimit -n; umask"],
        "cwd": "/tmp",
        "env": ["PATH=/bin", "X=y"],
        "user": {"uid": 12, "gid": 13, "umask": 0o27},
        "capabilities": {"bounding": ["CAP_KILL"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}],
    });
    fs::write(&path, process.to_string()).unwrap();
    let out =
        container.runtime(&["exec", "--process", path.to_str().unwrap(), container.id()]).ok();
    assert_eq!(out, "12\n/tmp\ny\nCapBnd:\t0000000000000020\n99\n0027");
}

#[test]
fn detached_returns_at_once_and_writes_the_pid() {
    needs!(Root);
    let container = running(&Bundle::idle());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let flags = ["--detach", "--pid-file", path.to_str().unwrap()];
    let command = container
        .of()
        .command(&[&["exec"], &flags[..], &[container.id(), "sleep", "1000"]].concat());
    let mut command = command;
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let pid = fs::read_to_string(&path).unwrap();
    testkit::wait_until("sleep", || {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        (line == "sleep\x001000\0").then_some(())
    });
    let ps = container.runtime(&["ps", "--format", "json", container.id()]).ok();
    assert!(ps.contains(&pid), "{ps}");
}

#[test]
fn exec_into_what_does_not_run_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    assert_ne!(runtime.call(&["exec", "nobody", "true"]).code, 0);
    let container = runtime.create(&Bundle::running(&["true"]));
    container.finish();
    assert_ne!(container.exec(&["true"]).code, 0);
    assert_eq!(container.status(), Status::Stopped);
}

#[test]
fn exec_of_a_created_container_works() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    assert_eq!(container.exec(&["echo", "early"]).ok(), "early");
    assert_eq!(container.status(), Status::Created);
}

#[test]
fn a_program_that_is_not_there_is_an_error_and_the_container_goes_on() {
    needs!(Root);
    let container = running(&Bundle::idle());
    let out = container.exec(&["nonexistent-program"]);
    assert!(out.code != 0 && out.stderr.contains("nonexistent-program"), "{out:?}");
    assert_eq!(container.status(), Status::Running);
}

#[test]
fn exec_without_a_program_is_an_error() {
    needs!(Root);
    let container = running(&Bundle::idle());
    assert_ne!(container.runtime(&["exec", container.id()]).code, 0);
}

#[test]
fn arguments_that_look_like_flags_are_the_programs() {
    needs!(Root);
    let container = running(&Bundle::idle());
    assert_eq!(container.exec(&["echo", "--tty", "-d", "--"]).ok(), "--tty -d --");
}

#[test]
fn many_at_once() {
    needs!(Root);
    let container = running(&Bundle::idle());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|n| {
                (
                    n,
                    scope.spawn({
                        let c = &container;
                        move || c.exec(&["echo", &n.to_string()])
                    }),
                )
            })
            .collect();
        for (n, run) in runs {
            assert_eq!(run.join().unwrap().ok(), n.to_string());
        }
    });
}

#[test]
fn the_end_of_the_container_ends_what_was_added() {
    needs!(Root);
    let bundle = Bundle::idle();
    let container = running(&bundle);
    let ready = bundle.rootfs().join("tmp/ready");
    std::thread::scope(|scope| {
        let exec =
            scope.spawn(|| container.exec(&["sh", "-c", "touch /tmp/ready; sleep 1000; true"]));
        testkit::wait_until("the exec", || ready.exists().then_some(()));
        container.kill("KILL");
        assert_eq!(exec.join().unwrap().code, 137);
    });
}
