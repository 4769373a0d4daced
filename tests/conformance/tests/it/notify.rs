//! `SCMP_ACT_NOTIFY`. runtime-spec 1.3.0, config-linux.md, "Seccomp" and "The Container Process
//! State"; seccomp_unotify(2).

use serde_json::{Value, json};
use sys::notify::Notifications;
use testkit::oci::{Bundle, Console, Runtime, Status};

/// A filter that asks about mkdir.
fn asking(listener: &Console, metadata: Option<&str>) -> Value {
    let mut seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": listener.path().to_str().unwrap(),
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    });
    if let Some(metadata) = metadata {
        seccomp["listenerMetadata"] = metadata.into();
    }
    seccomp
}

#[test]
fn the_listener_gets_the_state_and_answers() {
    needs!(Root);
    let listener = Console::new();
    let script = "mkdir /tmp/refused; mkdir /tmp/lie && ls /tmp; mkdir /tmp/made; ls /tmp";
    let bundle = Bundle::script(script)
        .set("linux.seccomp", asking(&listener, Some("some metadata")))
        .set("annotations", json!({"key": "value"}));
    let (state, calls, container) = std::thread::scope(|scope| {
        let agent = scope.spawn(|| {
            let mut connection = listener.accept();
            let state = connection.json();
            assert_eq!(connection.fds.len(), 1);
            let notifications = Notifications::new(connection.fds.pop().unwrap());
            let mut calls = Vec::new();
            for answer in [Some(28), Some(0), None] {
                let call = notifications.receive().unwrap();
                calls.push((call.number, call.pid));
                match answer {
                    Some(errno) => notifications.answer(&call, errno).unwrap(),
                    None => notifications.proceed(&call).unwrap(),
                }
            }
            (state, calls)
        });
        let container = Runtime::under_test().create(&bundle);
        container.start();
        let (state, calls) = agent.join().unwrap();
        (state, calls, container)
    });
    container.wait_until(Status::Stopped);
    assert!(container.stderr().contains("No space left"), "{}", container.stderr());
    assert_eq!(container.stdout(), "made");
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "some metadata");
    assert_eq!(state["state"]["id"], container.id());
    assert_eq!(state["state"]["bundle"], bundle.path().to_str().unwrap());
    assert_eq!(state["state"]["annotations"]["key"], "value");
    assert!(state["ociVersion"].is_string() && state["pid"].as_i64().unwrap() > 1, "{state}");
    assert!(calls.iter().all(|(number, pid)| *number >= 0 && *pid > 1), "{calls:?}");
}

#[test]
fn an_exec_is_told_to_the_listener_too() {
    needs!(Root);
    let listener = Console::new();
    let bundle = Bundle::idle().set("linux.seccomp", asking(&listener, None));
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let (mut first, pid) = (listener.accept(), container.pid());
    assert_eq!(first.json()["pid"], pid);
    let (state, out) = std::thread::scope(|scope| {
        let exec = scope.spawn(|| container.exec(&["mkdir", "/tmp/x"]));
        let mut second = listener.accept();
        let state = second.json();
        let notifications = Notifications::new(second.fds.pop().unwrap());
        let call = notifications.receive().unwrap();
        notifications.answer(&call, 28).unwrap();
        (state, exec.join().unwrap())
    });
    assert!(out.stderr.contains("No space left"), "{out:?}");
    assert_ne!(state["pid"], pid);
    assert_eq!(state["state"]["id"], container.id());
}

/// "The connection MUST NOT be reused and it MUST be closed after sending a seccomp state."
#[test]
fn the_connection_is_closed_after_the_state() {
    needs!(Root);
    let listener = Console::new();
    let bundle = Bundle::idle().set("linux.seccomp", asking(&listener, None));
    let container = Runtime::under_test().create(&bundle);
    container.start();
    listener.accept().json();
    let closed = std::thread::scope(|scope| {
        let exec = scope.spawn(|| container.exec(&["sleep", "1000"]));
        let mut connection = listener.accept();
        connection.json();
        let pause = rustix::event::Timespec { tv_sec: 2, tv_nsec: 0 };
        let mut end = [rustix::event::PollFd::new(&connection, rustix::event::PollFlags::IN)];
        let closed = rustix::event::poll(&mut end, Some(&pause)).unwrap() == 1;
        container.kill("KILL");
        exec.join().unwrap();
        closed
    });
    assert!(closed);
}

#[test]
fn a_listener_that_is_not_there_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/nonexistent/socket",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let bundle = Bundle::running(&["true"]).set("linux.seccomp", seccomp);
    let failed = match runtime.try_create(&bundle) {
        Err(_) => true,
        Ok(container) => container.runtime(&["start", container.id()]).code != 0,
    };
    assert!(failed);
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn notify_without_a_listener_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let bundle = Bundle::running(&["true"]).set("linux.seccomp", seccomp);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

/// "This field MUST NOT be set if `listenerPath` is not set."
#[test]
fn metadata_without_a_listener_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"});
    let bundle = Bundle::running(&["true"]).set("linux.seccomp", seccomp);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

/// "If the `SCMP_ACT_NOTIFY` action is not used this value is ignored."
#[test]
fn a_listener_without_notify_is_ignored() {
    needs!(Root);
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nonexistent/socket"});
    let bundle = Bundle::running(&["echo", "fine"]).set("linux.seccomp", seccomp);
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "fine");
}
