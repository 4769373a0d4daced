//! `inspect`: everything that is known about a container, an image, a volume.

use testkit::{Kista, needs};

#[test]
fn a_container_tells_what_was_asked_for() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.ok(&[
        "create",
        "--name",
        "box",
        "-it",
        "-e",
        "A=1",
        "-w",
        "/tmp",
        "-u",
        "app",
        "--label",
        "x=y",
        "--memory",
        "64m",
        "--cpus",
        "1.5",
        "--pids-limit",
        "50",
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "MKNOD",
        "--read-only",
        "--network",
        "none",
        "--shm-size",
        "32m",
        "--stop-timeout",
        "3",
        "--ulimit",
        "nofile=100:200",
        "busybox",
        "top",
        "-b",
    ]);
    let all = kista.inspect("box");
    for (pointer, expected) in [
        ("/Id", id.as_str()),
        ("/Name", "/box"),
        ("/Path", "top"),
        ("/Config/Image", "busybox"),
        ("/Config/User", "app"),
        ("/Config/WorkingDir", "/tmp"),
        ("/Config/Labels/x", "y"),
        ("/HostConfig/NetworkMode", "none"),
        ("/State/Status", "created"),
    ] {
        assert_eq!(all.pointer(pointer).unwrap(), expected, "{pointer}");
    }
    for (pointer, expected) in [
        ("/HostConfig/Memory", 64 << 20),
        ("/HostConfig/NanoCpus", 1_500_000_000),
        ("/HostConfig/PidsLimit", 50),
        ("/HostConfig/ShmSize", 32 << 20),
        ("/Config/StopTimeout", 3),
        ("/HostConfig/Ulimits/0/Hard", 200),
        ("/State/Pid", 0),
    ] {
        assert_eq!(all.pointer(pointer).unwrap(), expected, "{pointer}");
    }
    assert_eq!(all["Args"], serde_json::json!(["-b"]));
    assert_eq!(all["Config"]["Tty"], true);
    assert_eq!(all["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(all["HostConfig"]["CapAdd"], serde_json::json!(["CAP_NET_ADMIN"]));
    assert!(all["Config"]["Env"].as_array().unwrap().contains(&"A=1".into()));
}

#[test]
fn formats() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "--name", "box", "--label", "a=b", "-e", "A=1", "busybox", "echo", "x"]);
    for (format, expected) in [
        ("{{.Name}} {{.State.Status}}", "/box created"),
        ("{{json .Config.Cmd}}", "[\"echo\",\"x\"]"),
        ("{{index .Config.Labels \"a\"}}|{{.Config.Labels.nope}}", "b|<no value>"),
        ("{{range .Config.Cmd}}{{.}};{{end}}", "echo;x;"),
        ("{{if .State.Running}}yes{{else}}no{{end}}", "no"),
        ("{{len .Config.Cmd}} {{.HostConfig.Memory}}", "2 0"),
        ("{{.State.ExitCode}}{{println}}", "0\n"),
    ] {
        assert_eq!(
            kista.run(&["inspect", "-f", format, "box"]).stdout,
            format!("{expected}\n"),
            "{format}"
        );
    }
    kista.run(&["inspect", "-f", "{{.Foo}}", "box"]).fails(1, "Foo");
    kista
        .run(&["inspect", "-f", "{{", "box"])
        .fails(64, "template parsing error: template: :1: unclosed action");
}

#[test]
fn kinds_are_told_apart() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "--name", "busybox", "busybox"]);
    assert_eq!(kista.format("{{.State.Status}}", "busybox"), "created");
    let image = kista.ok(&["inspect", "--type", "image", "-f", "{{.Os}}", "busybox"]);
    assert_eq!(image, "linux");
    assert_eq!(kista.ok(&["image", "inspect", "-f", "{{.Architecture}}", "busybox"]).len(), 5);
    let out = kista.run(&["inspect", "busybox", "nope"]);
    out.fails(1, "No such object: nope");
    let found: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1, "what was found is shown all the same");
    kista.run(&["container", "inspect", "nope"]).fails(1, "No such container: nope");
}

#[test]
fn times_and_results_of_a_run() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.run(&["run", "--name", "box", "busybox", "sh", "-c", "exit 12"]);
    let state = kista.inspect("box")["State"].take();
    assert_eq!(state["ExitCode"], 12);
    assert_eq!(state["Status"], "exited");
    assert_eq!(state["OOMKilled"], false);
    let (start, end) =
        (state["StartedAt"].as_str().unwrap(), state["FinishedAt"].as_str().unwrap());
    assert!(start < end && start > "2025" && end.ends_with('Z'), "{start} {end}");
}
