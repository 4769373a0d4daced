//! From create to delete. runtime-spec 1.3.0, runtime.md, "Lifecycle".

use std::fs;

use serde_json::json;
use testkit::{needs, wait_until};

use crate::support::Oci;

const SLEEP: &[&str] = &["sleep", "1000"];

#[test]
fn a_container_lives_from_create_to_delete() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let (id, bundle) = (&oci.id("a"), oci.bundle(&["sh", "-c", "echo $HOME; sleep 1000"], |_| ()));

    let out = oci.create(id, &bundle);
    let state = oci.state(id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"].as_str().unwrap(), bundle.to_str().unwrap());
    let pid = state["pid"].as_u64().unwrap();
    assert!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().contains(id.as_str()));
    assert_eq!(fs::read_to_string(&out).unwrap(), "", "nothing ran yet");
    oci.run(&["delete", &oci.id("other")]).fails(1, "container does not exist");

    oci.ok(&["start", id]);
    assert_eq!(oci.status(id), "running");
    wait_until("output", || (fs::read_to_string(&out).unwrap() == "/root\n").then_some(()));
    oci.run(&["start", id]).fails(1, "cannot start an already running container");
    oci.run(&["delete", id]).fails(1, "that is not stopped: running");
    assert_eq!(oci.status(id), "running", "what was refused changed nothing");

    oci.ok(&["kill", id, "KILL"]);
    oci.wait_for(id, "stopped");
    oci.run(&["kill", id, "TERM"]).fails(1, "container not running");
    oci.run(&["start", id]).fails(1, "cannot start a container that has stopped");
    oci.run(&["exec", id, "true"]).fails(255, "cannot exec in a stopped container");
    assert_eq!(oci.state(id)["pid"], 0);
    oci.ok(&["delete", id]);
    oci.run(&["state", id]).fails(1, "container does not exist");
    oci.ok(&["delete", "--force", id]);
}

#[test]
fn an_id_is_used_once_and_a_second_use_changes_nothing() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let (id, bundle) = (&oci.id("a"), oci.bundle(SLEEP, |_| ()));
    oci.create(id, &bundle);
    let before = oci.state(id);
    let bundle = bundle.to_str().unwrap();
    oci.run(&["create", "--bundle", bundle, id]).fails(1, "container with given ID already exists");
    oci.run(&["run", "--bundle", bundle, id]).fails(1, "container with given ID already exists");
    assert_eq!(oci.state(id), before);
}

#[test]
fn a_created_container_holds_nothing_of_its_makers() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let (id, bundle) = (&oci.id("a"), oci.bundle(SLEEP, |_| ()));
    // An engine waits for the end of a pipe that the runtime has inherited.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let bundle = bundle.to_str().unwrap();
    let mut command = oci.command(&["create", "--bundle", bundle, id]);
    let script = format!("exec 9>&1 >/dev/null 2>&1 </dev/null; exec {}", shown(&command));
    command = std::process::Command::new("sh");
    let status = command.args(["-c", &script]).stdout(writer).status().unwrap();
    drop(command);
    assert!(status.success());
    std::io::Read::read_to_end(&mut reader, &mut Vec::new()).unwrap();
    assert_eq!(oci.status(id), "created");
}

fn shown(command: &std::process::Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_program_that_cannot_be_executed_is_told_by_create() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    for (args, text) in [
        (["nosuch"], "exec: \"nosuch\": executable file not found in $PATH"),
        (["/nosuch"], "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
        (["/etc"], "exec: \"/etc\": is a directory"),
        (["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
    ] {
        let bundle = oci.bundle(&args, |_| ());
        let log = oci.dir().join("log.json");
        let words = ["--log", log.to_str().unwrap(), "--log-format", "json", "create", "--bundle"];
        let id = oci.id("a");
        let words = [&words[..], &[bundle.to_str().unwrap(), &id]].concat();
        oci.run(&words).fails(1, text);
        let log = fs::read_to_string(log).unwrap();
        let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!(last["level"], "error");
        assert!(last["msg"].as_str().unwrap().contains(text), "{last}");
        oci.run(&["state", &id]).fails(1, "container does not exist");
    }
}

#[test]
fn run_gives_the_exit_code_and_leaves_nothing() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$; sleep 5", 137)] {
        let bundle = oci.bundle(&["sh", "-c", script], |spec| {
            // In a pid namespace of its own the first process could not kill itself.
            spec["linux"]["namespaces"].as_array_mut().unwrap().remove(0);
            spec["mounts"].as_array_mut().unwrap().remove(0);
            spec["linux"]["maskedPaths"] = json!([]);
            spec["linux"]["readonlyPaths"] = json!([]);
        });
        let out = oci.run(&["run", "--bundle", bundle.to_str().unwrap(), &oci.id("a")]);
        assert_eq!(out.code, code, "{script}: {}", out.stderr);
    }
}

#[test]
fn an_invalid_configuration_is_refused_before_anything_is_made() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 9] = [
        (|spec| spec["ociVersion"] = json!("2.0.0"), "ociVersion: 2.0.0 is not supported"),
        (|spec| spec["root"]["path"] = json!("nowhere"), "root.path: "),
        (|spec| spec["process"]["args"] = json!([]), "process.args: is empty"),
        (|spec| spec["process"]["cwd"] = json!("tmp"), "process.cwd: is not absolute"),
        (|spec| spec["process"]["user"]["uid"] = json!("root"), "process.user.uid: invalid type"),
        (
            |spec| drop(spec["mounts"][1].as_object_mut().unwrap().remove("destination")),
            "mounts[1]",
        ),
        (|spec| spec["linux"]["namespaces"][0]["type"] = json!("moon"), "linux.namespaces[0].type"),
        (
            |spec| spec["linux"]["namespaces"][1] = json!({"type": "pid"}),
            "linux.namespaces[1]: is there twice",
        ),
        (
            |spec| spec["hooks"] = json!({"poststop": [{"path": "relative"}]}),
            "hooks.poststop[0].path: is not absolute",
        ),
    ];
    for (change, text) in changes {
        let bundle = oci.bundle(SLEEP, change);
        let id = oci.id("a");
        oci.run(&["create", "--bundle", bundle.to_str().unwrap(), &id]).fails(1, text);
        assert!(!oci.root().join(&id).exists(), "{text}");
        assert!(crate::support::cgroups_with(&id).is_empty(), "{text}");
    }
}
