//! `exec`: a process more in a running container.

use testkit::{Kista, needs, wait_until};

fn running() -> Kista {
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--name", "box", "-e", "FROM_RUN=1", "busybox"]));
    kista
}

#[test]
fn output_input_and_exit_code() {
    needs!(Root, Busybox);
    let kista = running();
    let out = kista.run(&["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((out.code, &*out.stdout, &*out.stderr), (3, "out\n", "err\n"));
    assert_eq!(kista.command(&["exec", "-i", "box", "cat"]).stdin("data").run().ok(), "data");
    assert_eq!(kista.command(&["exec", "box", "cat"]).stdin("lost").run().ok(), "");
}

#[test]
fn it_is_in_the_container() {
    needs!(Root, Busybox);
    let kista = running();
    let inner = kista.ok(&["exec", "box", "sh", "-c", "echo $FROM_RUN; ps -o pid,args"]);
    assert!(inner.starts_with("1\n"), "{inner}");
    assert!(inner.contains("1 sh -c trap"), "{inner}");
    for namespace in ["mnt", "pid", "ipc", "uts", "net", "cgroup"] {
        let link = format!("/proc/self/ns/{namespace}");
        let init = format!("/proc/1/ns/{namespace}");
        let script = format!("readlink {link}; readlink {init}");
        let both = kista.ok(&["exec", "box", "sh", "-c", &script]);
        let (own, of_init) = both.split_once('\n').unwrap();
        assert_eq!(own, of_init, "{namespace}");
        let host = std::fs::read_link(&link).unwrap();
        assert_ne!(own, host.to_str().unwrap(), "{namespace}");
    }
    let cgroups = |pid: &str| kista.ok(&["exec", "box", "cat", &format!("/proc/{pid}/cgroup")]);
    assert_eq!(cgroups("self"), cgroups("1"));
}

#[test]
fn user_directory_and_environment() {
    needs!(Root, Busybox);
    let kista = running();
    let script = "echo $(id -u):$(id -G) $PWD $A";
    let out =
        kista.ok(&["exec", "-u", "app", "-w", "/tmp", "-e", "A=b", "box", "sh", "-c", script]);
    assert_eq!(out, "1000:1000 2000 /tmp b");
    kista.run(&["exec", "-w", "/nowhere", "box", "pwd"]).fails(126, "/nowhere");
}

#[test]
fn limits_and_filters_hold_for_it_too() {
    needs!(Root, Busybox);
    let kista = running();
    let status = |pid: &str| {
        let path = format!("/proc/{pid}/status");
        let all = kista.ok(&["exec", "box", "cat", &path]);
        let keys = ["CapBnd", "CapEff", "Seccomp:", "NoNewPrivs"];
        let kept = all.lines().filter(|line| keys.iter().any(|key| line.starts_with(key)));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(status("self"), status("1"));
}

#[test]
fn a_missing_command_is_127() {
    needs!(Root, Busybox);
    let kista = running();
    kista.run(&["exec", "box", "no-such-thing"]).fails(127, "no-such-thing");
    kista.run(&["exec", "box", "/etc/passwd"]).fails(126, "permission denied");
}

#[test]
fn only_running_containers_take_one() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.ok(&["create", "--name", "box", "busybox"]);
    kista.run(&["exec", "box", "true"]).fails(1, &format!("{id} is not running"));
    kista.run(&["exec", "nope", "true"]).fails(1, "No such container: nope");
}

#[test]
fn a_detached_one_goes_on_alone() {
    needs!(Root, Busybox);
    let kista = running();
    let out = kista.ok(&["exec", "-d", "box", "sh", "-c", "sleep 0.3; echo done > /tmp/x"]);
    assert_eq!(out, "");
    wait_until("the detached exec", || {
        (kista.run(&["exec", "box", "cat", "/tmp/x"]).stdout == "done\n").then_some(())
    });
}

#[test]
fn it_ends_with_the_container() {
    needs!(Root, Busybox);
    let kista = running();
    let mut child = kista.command(&["exec", "box", "sleep", "1000"]).spawn();
    wait_until("the exec", || {
        kista.ok(&["exec", "box", "ps"]).contains("sleep 1000").then_some(())
    });
    kista.ok(&["kill", "box"]);
    let status = wait_until("the end of exec", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(137));
}
