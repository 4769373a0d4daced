//! create, start, stop, kill, wait, rm: from the cradle to the grave.

use std::time::{Duration, Instant};

use testkit::{Kista, needs, wait_until};

#[test]
fn the_states_of_a_container() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.ok(&super::idle(&["create", "--name", "box", "busybox"]));
    let status = || kista.format("{{.State.Status}}", "box");
    assert_eq!(status(), "created");
    assert_eq!(kista.ok(&["start", "box"]), "box");
    assert_eq!(status(), "running");
    assert_eq!(kista.ok(&["start", "box"]), "box", "a second start changes nothing");
    let pid: u32 = kista.format("{{.State.Pid}}", "box").parse().unwrap();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(kista.ok(&["stop", &id[..10]]), id[..10]);
    assert_eq!(status(), "exited");
    assert_eq!(kista.format("{{.State.Pid}} {{.State.ExitCode}}", "box"), "0 0");
    assert_eq!(kista.ok(&["stop", "box"]), "box", "a stop of what is stopped changes nothing");
    assert_eq!(kista.ok(&["rm", "box"]), "box");
    kista.run(&["inspect", "box"]).fails(1, "No such object: box");
}

#[test]
fn stop_insists_after_the_grace() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let deaf = "trap 'echo no' TERM; echo ready; while :; do sleep 1; done";
    kista.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", deaf]);
    wait_until("the trap", || kista.ok(&["logs", "box"]).contains("ready").then_some(()));
    let start = Instant::now();
    kista.ok(&["stop", "-t", "1", "box"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(kista.format("{{.State.ExitCode}}", "box"), "137");
}

#[test]
fn stop_does_not_wait_for_one_that_has_no_handler() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let start = Instant::now();
    kista.ok(&["stop", "box"]);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn stop_without_grace_is_at_once() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let start = Instant::now();
    kista.ok(&["stop", "-t", "0", "box"]);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[test]
fn the_stop_signal_is_the_containers() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "trap 'exit 21' USR2; echo ready; while :; do sleep 0.1; done";
    kista.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--stop-signal",
        "SIGUSR2",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    wait_until("the trap", || kista.ok(&["logs", "box"]).contains("ready").then_some(()));
    kista.ok(&["stop", "box"]);
    assert_eq!(kista.format("{{.State.ExitCode}}", "box"), "21");
}

#[test]
fn kill_sends_the_signal_named() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.1; done";
    kista.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    wait_until("the trap", || kista.ok(&["logs", "box"]).contains("ready").then_some(()));
    for signal in ["HUP", "SIGHUP", "1"] {
        assert_eq!(kista.ok(&["kill", "-s", signal, "box"]), "box");
    }
    wait_until("hup", || kista.ok(&["logs", "box"]).contains("hup").then_some(()));
    kista.run(&["kill", "-s", "NONSENSE", "box"]).fails(1, "nvalid signal: NONSENSE");
    kista.ok(&["kill", "box"]);
    assert_eq!(kista.ok(&["wait", "box"]), "137");
    kista.run(&["kill", "box"]).fails(1, "is not running");
}

#[test]
fn wait_prints_the_exit_codes() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "--name", "one", "busybox", "sh", "-c", "sleep 0.3; exit 4"]);
    kista.ok(&["run", "-d", "--name", "two", "busybox", "sh", "-c", "exit 5"]);
    assert_eq!(kista.ok(&["wait", "one", "two"]), "4\n5");
    let out = kista.run(&["wait", "nope", "one"]);
    out.fails(1, "No such container: nope");
    assert_eq!(out.stdout, "4\n");
}

#[test]
fn files_live_as_long_as_the_container() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "cat /kept 2>/dev/null; echo again >> /kept; rm -rf /home /etc/group";
    kista.ok(&["create", "--name", "box", "busybox", "sh", "-c", script]);
    kista.ok(&["start", "-a", "box"]);
    assert_eq!(kista.ok(&["start", "-a", "box"]), "again");
    let other = kista.run(&["run", "--rm", "busybox", "sh", "-c", "ls /home /etc/group /kept"]);
    assert!(other.stdout.contains("app") && other.stderr.contains("/kept"), "{}", other.stdout);
}

#[test]
fn a_running_container_is_not_removed() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--name", "box", "busybox"]));
    kista.run(&["rm", "box"]).fails(1, "container is running");
    assert_eq!(kista.format("{{.State.Running}}", "box"), "true");
    let out = kista.run(&["rm", "-f", "nope", "box"]);
    assert_eq!(out.code, 0, "-f does not mind what is not there: {}", out.stderr);
    assert_eq!(out.stdout, "box\n");
    kista.run(&["rm", "box"]).fails(1, "No such container: box");
}

#[test]
fn one_failure_does_not_spare_the_rest() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "--name", "one", "busybox"]);
    kista.ok(&["create", "--name", "two", "busybox"]);
    let out = kista.run(&["rm", "one", "nope", "two"]);
    out.fails(1, "No such container: nope");
    assert_eq!(out.stdout, "one\ntwo\n");
}

#[test]
fn prefixes_of_ids_name_containers_and_may_be_ambiguous() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let ids: Vec<String> = (0..17).map(|_| kista.ok(&["create", "busybox"])).collect();
    let first = |id: &String| id.chars().next().unwrap();
    let twice = ids.iter().find(|a| ids.iter().any(|b| a != &b && first(a) == first(b))).unwrap();
    let prefix = &twice[..1];
    kista.run(&["rm", prefix]).fails(1, prefix);
    assert_eq!(kista.ok(&["ps", "-aq"]).lines().count(), 17);
    kista.ok(&["rm", &ids[0][..20], &ids[1][..20]]);
    assert_eq!(kista.ok(&["ps", "-aq"]).lines().count(), 15);
}

#[test]
fn a_container_survives_whoever_started_it() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mut child = kista.command(&super::idle(&["run", "--name", "box", "busybox"])).spawn();
    wait_until("the container", || {
        (kista.run(&["inspect", "-f", "{{.State.Running}}", "box"]).stdout == "true\n")
            .then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(kista.ok(&["exec", "box", "echo", "here"]), "here");
    kista.ok(&["stop", "box"]);
}

#[test]
fn many_at_once() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let children: Vec<_> = (0..30)
        .map(|n| {
            kista
                .command(&super::idle(&["run", "-d", "--name", &format!("c{n}"), "busybox"]))
                .spawn()
        })
        .collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    let ids = kista.ok(&["ps", "-q"]);
    assert_eq!(ids.lines().count(), 30);
    let mut remove = vec!["rm", "-f"];
    remove.extend(ids.lines());
    kista.ok(&remove);
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
}
