//! Hooks. runtime-spec 1.3.0, config.md, "POSIX-platform Hooks"; runtime.md, "Lifecycle".

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::oci::{Bundle, Container, Runtime, Status};

const ALL: &[&str] =
    &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Where hooks write; the container has it at `/log`.
fn log(bundle: &Bundle) -> PathBuf {
    bundle.path().join("log")
}

/// A hook that appends a line to the log. Those of the runtime find it on the host, and those
/// of the container at `/log`; both have the shell in `/bin`.
fn hook(bundle: &Bundle, name: &str, script: &str) -> Value {
    let folder = if name == "startContainer" { "/log".into() } else { log(bundle) };
    let read =
        if script.contains("cat >") || script.contains("$(") { "" } else { "cat >/dev/null;" };
    let text = format!("cd {} && {read} {script}", folder.display());
    json!({"path": "/bin/sh", "args": ["sh", "-c", text], "env": ["PATH=/bin:/usr/bin", "HOOK=1"]})
}

fn with_log(bundle: Bundle) -> Bundle {
    let folder = bundle.directory("log");
    bundle.bind(&folder, "/log", &[])
}

fn add(bundle: Bundle, name: &str, script: &str) -> Bundle {
    let hook = hook(&bundle, name, script);
    bundle.push(&format!("hooks.{name}"), hook)
}

fn lines(bundle: &Bundle) -> Vec<String> {
    let text = fs::read_to_string(log(bundle).join("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn expected(names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| [1, 2].map(|round| format!("{name} {round}"))).collect()
}

#[test]
fn hooks_run_in_order_each_at_its_time() {
    needs!(Root);
    let mut bundle = with_log(Bundle::script("echo program >>/log/order"));
    for name in ALL.iter().filter(|name| **name != "poststart") {
        for round in [1, 2] {
            bundle = add(bundle, name, &format!("echo {name} {round} >>order"));
        }
    }
    let container = Runtime::under_test().create(&bundle);
    assert_eq!(lines(&bundle), expected(&ALL[..3]));
    container.finish();
    assert_eq!(lines(&bundle)[6..], ["startContainer 1", "startContainer 2", "program"]);
    container.delete();
    assert_eq!(lines(&bundle)[9..], expected(&["poststop"]));
}

/// After the program was executed, and before `start` returns.
#[test]
fn poststart_hooks_run_with_start() {
    needs!(Root);
    let mut bundle = with_log(Bundle::idle());
    for name in ["startContainer", "poststart"] {
        for round in [1, 2] {
            bundle = add(bundle, name, &format!("echo {name} {round} >>order"));
        }
    }
    let container = Runtime::under_test().create(&bundle);
    assert_eq!(lines(&bundle), Vec::<String>::new());
    container.start();
    assert_eq!(lines(&bundle), expected(&["startContainer", "poststart"]));
}

#[test]
fn hooks_get_the_state_on_their_input() {
    needs!(Root);
    let mut bundle = with_log(Bundle::idle()).set("annotations", json!({"key": "value"}));
    for name in ALL {
        bundle = add(bundle, name, &format!("cat >{name}"));
    }
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let (id, pid) = (container.id().to_owned(), container.pid());
    container.kill("KILL");
    container.wait_until(Status::Stopped);
    container.delete();
    for name in ALL {
        let text = fs::read_to_string(log(&bundle).join(name)).unwrap();
        let state: Value =
            serde_json::from_str(&text).unwrap_or_else(|err| panic!("{name}: {err}: {text}"));
        assert_eq!(state["id"], id.as_str(), "{name}");
        assert_eq!(state["bundle"], bundle.path().to_str().unwrap(), "{name}");
        assert_eq!(state["annotations"]["key"], "value", "{name}");
        assert!(state["ociVersion"].is_string(), "{name}");
        let statuses: &[&str] = match *name {
            "prestart" | "createRuntime" | "createContainer" => &["creating", "created"],
            "startContainer" => &["created"],
            "poststop" => &["stopped"],
            _ => &["running", "created"],
        };
        assert!(statuses.contains(&state["status"].as_str().unwrap()), "{name}: {state}");
        // Inside, the pid is that of the pid namespace, or the runtime's.
        if matches!(*name, "prestart" | "createRuntime" | "poststart") {
            assert_eq!(state["pid"], pid, "{name}");
        }
    }
}

#[test]
fn the_state_of_a_poststart_hook_is_running() {
    needs!(Root);
    let bundle = add(with_log(Bundle::idle()), "poststart", "cat >state");
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let text = fs::read_to_string(log(&bundle).join("state")).unwrap();
    assert!(text.contains("running"), "{text}");
}

#[test]
fn hooks_run_in_their_namespaces() {
    needs!(Root);
    let script = |name: &str| {
        format!("readlink /proc/self/ns/mnt >{name}; readlink /proc/self/ns/uts >{name}-uts")
    };
    let mut bundle = with_log(Bundle::idle());
    for name in ALL {
        bundle = add(bundle, name, &script(name));
    }
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let link = |pid: &str, name: &str| {
        fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string()
    };
    let pid = container.pid().to_string();
    let (theirs, host) = (link(&pid, "uts"), link("self", "uts"));
    container.runtime(&["delete", "--force", container.id()]).ok();
    for name in ALL {
        let seen = fs::read_to_string(log(&bundle).join(format!("{name}-uts"))).unwrap();
        let inside = matches!(*name, "createContainer" | "startContainer");
        assert_eq!(seen.trim(), if inside { &theirs } else { &host }, "{name}");
    }
}

#[test]
fn hooks_get_their_arguments_and_environment_and_no_other() {
    needs!(Root);
    let bundle = with_log(Bundle::idle());
    let folder = log(&bundle).display().to_string();
    let hook = json!({
        "path": "/bin/sh",
        "args": ["zero", "-c", format!("echo \"$0|$1|$2\" >{folder}/arguments; tr '\\0' '\\n' </proc/self/environ >{folder}/environment"), "name", "one", "two words"],
        "env": ["A=1", "B=two words"],
    });
    let bundle = bundle.push("hooks.createRuntime", hook);
    let _container = Runtime::under_test().create(&bundle);
    let read = |name: &str| fs::read_to_string(log(&bundle).join(name)).unwrap();
    assert_eq!(read("arguments"), "name|one|two words\n");
    let environment = read("environment");
    let mut lines: Vec<_> = environment.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1", "B=two words"]);
}

#[test]
fn a_network_device_given_by_a_hook_is_there() {
    needs!(Root);
    // The reason for which engines have createRuntime: the namespace is there, and empty.
    let bundle = with_log(Bundle::script("ls /sys/class/net")).namespace("network");
    let bundle = add(
        bundle,
        "createRuntime",
        "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' | tr -d '\\n') && readlink /proc/$pid/ns/net >seen",
    );
    let container = Runtime::under_test().create(&bundle);
    let seen = fs::read_to_string(log(&bundle).join("seen")).unwrap();
    let theirs = fs::read_link(format!("/proc/{}/ns/net", container.pid())).unwrap();
    assert_eq!(seen.trim(), theirs.to_str().unwrap());
}

/// A hook of `create` fails: an error, no container, and poststop runs.
#[test]
fn a_failing_hook_of_create_is_an_error_and_leaves_nothing() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for name in &ALL[..3] {
        let bundle = with_log(Bundle::idle());
        let bundle = add(bundle, name, "echo failing >>order; exit 3");
        let bundle = add(bundle, name, "echo never >>order");
        let out = runtime.try_create(&bundle);
        assert!(out.is_err(), "{name}");
        assert_eq!(lines(&bundle), ["failing"], "{name}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn poststop_hooks_run_after_a_failed_create() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = with_log(Bundle::idle());
    let bundle = add(bundle, "createRuntime", "exit 1");
    let bundle = add(bundle, "poststop", "echo poststop >>order");
    assert!(runtime.try_create(&bundle).is_err());
    assert_eq!(lines(&bundle), ["poststop"]);
}

/// A startContainer hook fails: `start` is an error and the program never runs.
#[test]
fn a_failing_start_container_hook_keeps_the_program_from_running() {
    needs!(Root);
    let bundle = with_log(Bundle::script("echo ran >>/log/order"));
    let bundle = add(bundle, "startContainer", "exit 1");
    let container = Runtime::under_test().create(&bundle);
    assert_ne!(container.runtime(&["start", container.id()]).code, 0);
    let gone = |container: &Container| {
        let out = container.runtime(&["state", container.id()]);
        out.code != 0 || out.stdout.contains("stopped")
    };
    testkit::wait_until("the container to end", || gone(&container).then_some(()));
    assert_eq!(lines(&bundle), Vec::<String>::new());
}

/// A poststart hook fails: `start` is an error and the container is ended.
#[test]
fn a_failing_poststart_hook_ends_the_container() {
    needs!(Root);
    let bundle = with_log(Bundle::idle());
    let bundle = add(bundle, "poststart", "exit 1");
    let container = Runtime::under_test().create(&bundle);
    let pid = container.pidfd();
    assert_ne!(container.runtime(&["start", container.id()]).code, 0);
    let mut fds = [rustix::event::PollFd::new(&pid, rustix::event::PollFlags::IN)];
    let second = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&second)).unwrap(), 1, "it goes on");
}

/// A poststop hook fails: a warning; the others run and the container goes.
#[test]
fn a_failing_poststop_hook_is_a_warning() {
    needs!(Root);
    let bundle = with_log(Bundle::running(&["true"]));
    let bundle = add(bundle, "poststop", "exit 1");
    let bundle = add(bundle, "poststop", "echo second >>order");
    let container = Runtime::under_test().create(&bundle);
    container.finish();
    container.runtime(&["delete", container.id()]);
    assert_eq!(lines(&bundle), ["second"]);
    assert_ne!(container.runtime(&["state", container.id()]).code, 0);
}

#[test]
fn a_hook_that_takes_too_long_is_ended_and_fails() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = with_log(Bundle::idle());
    let mut slow = hook(&bundle, "prestart", "echo $$ >pid; exec sleep 1000");
    slow["timeout"] = 1.into();
    let bundle = bundle.push("hooks.prestart", slow);
    let start = Instant::now();
    assert!(runtime.try_create(&bundle).is_err());
    assert!(start.elapsed() < Duration::from_secs(10) && start.elapsed() >= Duration::from_secs(1));
    let pid = fs::read_to_string(log(&bundle).join("pid")).unwrap();
    testkit::wait_until("the hook to end", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.map_or(true, |stat| stat.contains(") Z")).then_some(())
    });
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_hook_need_not_read_its_input() {
    needs!(Root);
    let many: String = "x".repeat(200_000);
    let bundle = Bundle::idle()
        .set("annotations", json!({"more than a pipe holds": many}))
        .push("hooks.createRuntime", json!({"path": "/bin/true"}));
    Runtime::under_test().create(&bundle).start();
}

#[test]
fn a_hook_that_is_not_there_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::idle().push("hooks.createRuntime", json!({"path": "/nonexistent/hook"}));
    let out = runtime.try_create(&bundle).unwrap_err();
    assert!(out.stderr.contains("/nonexistent/hook"), "{out:?}");
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_failing_hook_is_told_with_what_it_said() {
    needs!(Root);
    let bundle = with_log(Bundle::idle());
    let bundle = add(bundle, "createRuntime", "echo the reason of it >&2; exit 1");
    let out = Runtime::under_test().try_create(&bundle).unwrap_err();
    assert!(out.stderr.contains("the reason of it"), "{out:?}");
}
