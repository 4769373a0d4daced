//! Single commands and flags, as engines and people use them.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::{needs, wait_until};

use crate::support::{Oci, output};

const SLEEP: &[&str] = &["sleep", "1000"];

/// A container that runs.
fn running(oci: &Oci, name: &str, args: &[&str], change: impl FnOnce(&mut Value)) -> String {
    let id = oci.id(name);
    let bundle = oci.bundle(args, change);
    oci.create(&id, &bundle);
    oci.ok(&["start", &id]);
    id
}

#[test]
fn exec_adds_a_process_as_the_flags_say() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let id = &running(&oci, "a", SLEEP, |_| ());
    let run = |flags: &[&str], script: &str| {
        oci.ok(&[&["exec"], flags, &[id.as_str(), "sh", "-c", script]].concat())
    };
    assert_eq!(run(&[], "cat /proc/1/cmdline | tr '\\0' ' '; echo $HOME"), "sleep 1000 /root");
    assert_eq!(run(&["--user", "1000:7", "-g", "9"], "id -u; id -g; id -G"), "1000\n7\n7 9");
    assert_eq!(run(&["--cwd", "/tmp", "-e", "A=1", "--env", "A=2"], "pwd; echo $A"), "/tmp\n2");
    assert_eq!(oci.run(&["exec", id, "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(oci.run(&["exec", id, "sh", "-c", "kill -TERM $$"]).code, 143);
    oci.run(&["exec", id, "nosuch"]).fails(255, "executable file not found in $PATH");
    oci.run(&["exec", id]).fails(255, "exec args cannot be empty");

    let file = oci.dir().join("process.json");
    let process = json!({"args": ["sh", "-c", "echo $X; id -u"], "cwd": "/tmp",
        "env": ["PATH=/bin", "X=y"], "user": {"uid": 5, "gid": 5}});
    fs::write(&file, process.to_string()).unwrap();
    assert_eq!(oci.ok(&["exec", "--process", file.to_str().unwrap(), id]), "y\n5");

    let pid_file = oci.dir().join("exec.pid");
    oci.ok(&["exec", "-d", "--pid-file", pid_file.to_str().unwrap(), id, "sleep", "500"]);
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, "sleep\x00500\x00");
    let pids: Vec<i32> = serde_json::from_str(&oci.ok(&["ps", "-f", "json", id])).unwrap();
    assert!(pids.contains(&pid) && pids.len() == 2, "{pids:?}");
    assert_eq!(oci.ok(&["ps", id, "-o", "pid,comm"]).lines().count(), 3);
}

#[test]
fn pausing_stops_everything_until_it_is_resumed() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let id = &running(&oci, "a", SLEEP, |_| ());
    oci.run(&["resume", id]).fails(1, "container not paused");
    oci.ok(&["pause", id]);
    assert_eq!(oci.status(id), "paused");
    oci.run(&["pause", id]).fails(1, "container not running");
    oci.run(&["exec", id, "true"]).fails(255, "cannot exec in a paused container");
    oci.run(&["delete", id]).fails(1, "that is not stopped: paused");
    oci.ok(&["resume", id]);
    assert_eq!(oci.ok(&["exec", id, "echo", "on"]), "on");
    oci.ok(&["pause", id]);
    oci.ok(&["delete", "--force", id]);
}

#[test]
fn limits_are_changed_and_statistics_show_them() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let id = &running(&oci, "a", SLEEP, |_| ());
    let stats = || -> Value {
        let event: Value = serde_json::from_str(&oci.ok(&["events", "--stats", id])).unwrap();
        assert_eq!((&event["type"], event["id"].as_str()), (&json!("stats"), Some(id.as_str())));
        event["data"].clone()
    };
    assert!(stats()["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    oci.ok(&["update", "--memory", "64m", "--pids-limit", "17", "--cpu-share", "512", id]);
    let data = stats();
    assert_eq!(data["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!((&data["pids"]["limit"], &data["pids"]["current"]), (&json!(17), &json!(1)));

    let file = oci.dir().join("resources.json");
    fs::write(&file, json!({"memory": {"limit": 128 << 20}, "pids": {"limit": -1}}).to_string())
        .unwrap();
    oci.ok(&["update", "-r", file.to_str().unwrap(), id]);
    let data = stats();
    assert_eq!(
        (&data["memory"]["usage"]["limit"], &data["pids"]["limit"]),
        (&json!(128 << 20), &json!(0))
    );

    for (flags, text) in [
        (["--memory", "much"], "invalid value for memory: \\\"much"),
        (["--cpu-quota", "1x"], "invalid value for cpu-quota"),
        (["--l3-cache-schema", "L3:0=f"], "it must be made with linux.intelRdt"),
    ] {
        oci.run(&[&["update"], &flags[..], &[id.as_str()]].concat()).fails(1, text);
    }
    oci.run(&["events", "--interval", "0s", id]).fails(1, "interval must be greater than 0");
}

#[test]
fn events_tell_of_a_lack_of_memory_and_end_with_the_container() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let script = "read x; head -c 200000000 /dev/zero | tail -c 150000000 | wc -c; sleep 1000";
    let id = oci.id("a");
    let bundle = oci.bundle(&["sh", "-c", script], |spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 32 << 20, "swap": 32 << 20});
    });
    let mut command = oci.command(&["run", "--bundle", bundle.to_str().unwrap(), &id]);
    let mut container =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the container", || {
        oci.run(&["state", &id]).stdout.contains("running").then_some(())
    });
    let mut events = oci
        .command(&["events", "--interval", "100ms", &id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It watches before the first statistics come.
    let mut stdout = events.stdout.take().unwrap();
    let mut text = String::new();
    let mut byte = [0];
    let mut read_until = |text: &mut String, what: &str| {
        while !text.contains(what) && stdout.read(&mut byte).unwrap() > 0 {
            text.push(char::from(byte[0]));
        }
        assert!(text.contains(what), "{text}");
    };
    read_until(&mut text, "\"type\":\"stats\"");
    drop(container.stdin.take());
    read_until(&mut text, "\"type\":\"oom\"");
    // Which of the processes was killed is the kernel's choice: it may have been the first one.
    oci.run(&["kill", &id, "KILL"]);
    assert!(events.wait().unwrap().success(), "it ends with the container");
    assert_eq!(container.wait().unwrap().code(), Some(137));
}

#[test]
fn the_terminal_is_sent_where_the_caller_wants_it() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let socket = oci.dir().join("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let id = oci.id("a");
    let bundle = oci.bundle(&["sh", "-c", "tty; stty size; sleep 1000"], |spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    });
    let bundle = bundle.to_str().unwrap();
    oci.run(&["create", "--bundle", bundle, &id])
        .fails(1, "cannot allocate tty if runc will detach without setting console socket");
    let socket = socket.to_str().unwrap();
    let receiver = std::thread::spawn(move || {
        let stream = std::os::fd::OwnedFd::from(listener.accept().unwrap().0);
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 64];
        let mut data = [std::io::IoSliceMut::new(&mut bytes)];
        let flags = rustix::net::RecvFlags::empty();
        rustix::net::recvmsg(&stream, &mut data, &mut control, flags).unwrap();
        let mut fds = control.drain().flat_map(|part| match part {
            rustix::net::RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        fs::File::from(fds.next().unwrap())
    });
    oci.ok(&["create", "--bundle", bundle, "--console-socket", socket, &id]);
    let mut terminal = receiver.join().unwrap();
    let pid = oci.state(&id)["pid"].as_u64().unwrap();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = open.map(|fd| fs::read_link(fd.unwrap().path()).unwrap());
    let near: Vec<_> = open.filter(|file| file.ends_with("ptmx")).collect();
    assert!(near.is_empty(), "the near end is the receiver's alone: {near:?}");
    oci.ok(&["start", &id]);
    let mut text = String::new();
    let mut bytes = [0; 256];
    while !text.contains("33 77") {
        let count = terminal.read(&mut bytes).unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(text.contains("/dev/pts/0") || text.contains("/dev/console"), "{text}");
    oci.run(&["exec", "--console-socket", socket, &id, "true"])
        .fails(255, "cannot use console socket if runc will not detach or allocate tty");
}

#[test]
fn descriptors_and_sockets_are_passed_on() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let script =
        "echo $LISTEN_FDS $LISTEN_PID; read a <&3; read b <&4; echo $a $b; ls /proc/self/fd";
    let bundle = oci.bundle(&["sh", "-c", script], |_| ());
    let (one, two) = (oci.dir().join("one"), oci.dir().join("two"));
    fs::write(&one, "first").unwrap();
    fs::write(&two, "second").unwrap();
    let shell = format!(
        "exec 3<{} 4<{}; LISTEN_FDS=1 LISTEN_PID=$$ exec {} --root {} run --bundle {} --preserve-fds 1 {}",
        one.display(),
        two.display(),
        oci.program().display(),
        oci.root().display(),
        bundle.display(),
        oci.id("a"),
    );
    let out = output(Command::new("sh").args(["-c", &shell]), oci.dir()).ok();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..2], ["1 1", "first second"], "{out}");
    oci.run(&["run", "--bundle", bundle.to_str().unwrap(), "--preserve-fds", "1", &oci.id("b")])
        .fails(1, "stat preserved-fd 0 (of 1)");
}

#[test]
fn readiness_is_passed_on_to_the_service_manager() {
    needs!(Root, Busybox, SystemdNotify);
    let oci = Oci::new();
    let path = oci.dir().join("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let notify = std::fs::canonicalize("/bin/systemd-notify").unwrap();
    let script = format!("{} --pid=parent --ready; sleep 1000", notify.display());
    // A program that speaks the protocol is the host's: its root is the container's.
    let bundle = oci.bundle(&["sh", "-c", &script], |spec| {
        spec["root"] = json!({"path": "/", "readonly": true});
        spec["process"]["env"] = json!(["PATH=/bin:/usr/bin"]);
    });
    let id = oci.id("a");
    let listener = std::thread::spawn(move || {
        let message = || {
            let mut bytes = [0; 256];
            let count = socket.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        // The last one brings a pipe, which is closed here because nobody asked for it.
        [message(), message(), message()]
    });
    let mut command = oci.command(&["run", "--detach", "--bundle", bundle.to_str().unwrap(), &id]);
    output(command.env("NOTIFY_SOCKET", &path), oci.dir()).ok();
    let pid = oci.state(&id)["pid"].as_i64().unwrap();
    let said = listener.join().unwrap();
    let main = format!("MAINPID={pid}\n");
    assert_eq!(said, ["READY=1\n", &main, "BARRIER=1"]);
}

#[test]
fn hooks_are_called_at_the_points_of_a_life() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let log = oci.dir().join("hooks.log");
    let hook = |name: &str| {
        let script = format!(
            "echo {name} $(tr -d '\\n ' | grep -o '\"status\":\"[a-z]*\"') >> {}",
            log.display()
        );
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
    };
    let names = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let bundle = oci.bundle(SLEEP, |spec| {
        for name in names {
            spec["hooks"][name] = hook(name);
        }
    });
    let id = oci.id("a");
    let said = || fs::read_to_string(&log).unwrap();
    oci.create(&id, &bundle);
    let created = "prestart \"status\":\"creating\"\ncreateRuntime \"status\":\"creating\"\n\
        createContainer \"status\":\"creating\"\n";
    assert_eq!(said(), created);
    oci.ok(&["start", &id]);
    assert_eq!(said(), format!("{created}poststart \"status\":\"running\"\n"));
    oci.ok(&["delete", "--force", &id]);
    assert!(said().ends_with("poststop \"status\":\"stopped\"\n"), "{}", said());

    let bundle = oci.bundle(SLEEP, |spec| {
        spec["hooks"] =
            json!({"createRuntime": [{"path": "/bin/false"}], "poststop": hook("after")});
    });
    oci.run(&["create", "--bundle", bundle.to_str().unwrap(), &id])
        .fails(1, "error running createRuntime hook #0: /bin/false: exit status 1");
    assert!(said().ends_with("after \"status\":\"stopped\"\n"), "{}", said());
    oci.run(&["state", &id]).fails(1, "container does not exist");
}

#[test]
fn what_it_says_of_itself_is_what_engines_read() {
    needs!(Root);
    let oci = Oci::new();
    let version = oci.ok(&["--version"]);
    assert!(
        version.starts_with("kista-oci version ") && version.contains("\nspec: 1."),
        "{version}"
    );
    let features: Value = serde_json::from_str(&oci.ok(&["features"])).unwrap();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    assert!(features["linux"]["namespaces"].as_array().unwrap().contains(&json!("time")));

    let dir = oci.dir().join("new");
    fs::create_dir(&dir).unwrap();
    let dir = dir.to_str().unwrap();
    oci.ok(&["spec", "--bundle", dir]);
    oci.run(&["spec", "--bundle", dir]).fails(1, "config.json exists");
    let text = fs::read(format!("{dir}/config.json")).unwrap();
    let spec: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(spec["process"]["args"], json!(["sh"]));

    oci.run(&["list"]).fails(1, "no such file or directory");
    fs::create_dir(oci.root()).unwrap();
    assert_eq!(oci.ok(&["list", "-f", "json"]), "null");
    oci.run(&["list", "-f", "xml"]).fails(1, "invalid format option");
    oci.run(&["state"]).fails(1, "requires exactly 1 argument(s)");
    oci.run(&["state", "a/b"]).fails(1, "invalid container ID format");
    oci.run(&["nosuch"]).fails(3, "nosuch");
    oci.run(&["--systemd-cgroup", "--nosuch", "list"]).fails(1, "flag provided but not defined");
    oci.run(&["checkpoint", "x"]).fails(1, "container does not exist");
}
