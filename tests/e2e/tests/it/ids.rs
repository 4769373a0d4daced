//! Containers with ids of their own: nobody on the host, root inside.

use std::fs;
use std::os::unix::fs::MetadataExt;

use testkit::{Kista, needs};

const OWN: [&str; 2] = ["--userns", "auto"];

/// The user on the host of a running container's first process.
fn host_user(kista: &Kista, name: &str) -> u32 {
    let pid = kista.format("{{.State.Pid}}", name);
    fs::metadata(format!("/proc/{pid}")).unwrap().uid()
}

fn started(kista: &Kista, name: &str, flags: &[&str]) -> u32 {
    let run = [&["run", "-d", "--name", name], &OWN[..], flags, &["busybox"]].concat();
    kista.ok(&super::idle(&run));
    host_user(kista, name)
}

#[test]
fn root_inside_is_nobody_outside_and_files_keep_their_ids() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let shared = tempfile::tempdir().unwrap();
    fs::write(shared.path().join("of-host"), "").unwrap();
    let bind = format!("{}:/bind", shared.path().display());
    let user = started(&kista, "one", &["-v", &bind, "-v", "vol:/vol", "--tmpfs", "/tmpfs"]);
    assert!(user >= 100_000, "{user}");
    let script = "id -u; stat -c %u:%g /bin/busybox /bind/of-host /etc/hosts /vol /tmpfs /dev/shm; \
        touch /new /bind/new /vol/new /tmpfs/new; chown 7:8 /bind/new /vol/new; \
        echo 127.0.0.9 nine >> /etc/hosts && echo hosts; echo x > /dev/null && echo null; \
        cat /sys/fs/cgroup/*/cgroup.procs > /dev/null && echo cgroup";
    let out = kista.ok(&["exec", "one", "sh", "-c", script]);
    let wanted = "0\n0:0\n0:0\n0:0\n0:0\n0:0\n0:0\nhosts\nnull\ncgroup";
    assert_eq!(out, wanted);
    let volume = kista.root().join("volumes/vol/_data/new");
    for file in [shared.path().join("new"), volume] {
        let file = fs::metadata(&file).unwrap();
        assert_eq!((file.uid(), file.gid()), (7, 8));
    }
    let upper = kista.format("{{.GraphDriver.Data.UpperDir}}", "one");
    assert_eq!(fs::metadata(format!("{upper}/new")).unwrap().uid(), 0);
    // Another one, with the ids that it had, in the same container after a restart.
    kista.ok(&["restart", "-t", "0", "one"]);
    assert_eq!(host_user(&kista, "one"), user);
    assert_eq!(kista.ok(&["exec", "one", "stat", "-c", "%u", "/new"]), "0");
}

#[test]
fn no_two_containers_have_the_same_ids_and_removed_ones_give_theirs_back() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let users = ["one", "two", "three"].map(|name| started(&kista, name, &[]));
    assert!(users.iter().all(|user| users.iter().filter(|other| *other == user).count() == 1));
    for (name, user) in ["one", "two", "three"].iter().zip(users) {
        let map = kista.format("{{index .HostConfig.IDMappings.UidMap 0}}", name);
        assert_eq!(map, format!("0:{user}:65536"));
    }
    let claim = |user: u32| format!("/var/lib/kista/ids/{user}-{user}-65536");
    let is_claimed = |user| fs::symlink_metadata(claim(user)).is_ok();
    assert!(users.into_iter().all(is_claimed));
    kista.ok(&["rm", "-f", "one", "two"]);
    assert!(!is_claimed(users[0]) && !is_claimed(users[1]) && is_claimed(users[2]));
    kista.ok(&[&["run", "--rm"], &OWN[..], &["busybox", "true"]].concat());
    // Cut off between the claim and the record.
    let stray = "/var/lib/kista/ids/4000000000-4000000000-65536";
    let never = kista.root().join("containers/never");
    std::os::unix::fs::symlink(never, stray).unwrap();
    let out = kista.run(&["system", "check"]);
    assert!(out.stdout.contains("4000000000+65536"), "{}", out.stdout);
    kista.ok(&["system", "check", "--repair"]);
    assert!(fs::symlink_metadata(stray).is_err());
    assert!(is_claimed(users[2]), "what is in use stays");
}

#[test]
fn terminals_users_devices_and_networks_work_in_it() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let run = |flags: &[&str], args: &[&str]| {
        kista.ok(&[&["run", "--rm"], &OWN[..], flags, &["busybox"], args].concat())
    };
    let script = "tty; stat -c %u $(tty); echo > /dev/tty && echo mine";
    let out = run(&["-t", "--user", "1000"], &["sh", "-c", script]).replace('\r', "");
    assert_eq!(
        out.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(),
        ["/dev/pts/0", "1000", "mine"]
    );
    let out = run(&["--device", "/dev/zero:/dev/nought"], &["head", "-c", "3", "/dev/nought"]);
    assert_eq!(out, "\0\0\0");
    assert_eq!(run(&["--read-only"], &["sh", "-c", "touch /x 2>/dev/null || echo ro"]), "ro");
    kista.ok(&super::idle(&["run", "-d", "--name", "box", "busybox"]));
    let theirs = kista.ok(&["exec", "box", "readlink", "/proc/self/ns/net"]);
    let script = "readlink /proc/self/ns/net; ls /sys/class/net";
    assert_eq!(
        run(&["--network", "container:box"], &["sh", "-c", script]),
        format!("{theirs}\neth0\nlo")
    );
    // The strictest profile has them without being asked.
    let script = "cut -c 12-30 /proc/self/uid_map";
    let out = kista.ok(&["run", "--rm", "--profile", "strict", "busybox", "sh", "-c", script]);
    assert_ne!(out.trim().split(' ').next(), Some("0"), "{out}");
    let shown =
        ["run", "--rm", "--profile", "strict", "--userns", "host", "busybox", "sh", "-c", script];
    assert_eq!(kista.ok(&shown).trim().split(' ').next(), Some("0"));
}

#[test]
fn what_cannot_be_together_is_refused() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--ipc", "shareable", "--name", "box", "busybox"]));
    for (flags, text) in [
        (&["--privileged"][..], "privileged mode is incompatible with user namespaces"),
        (&["--network", "host"], "cannot share the host's network namespace"),
        (&["--pid", "host"], "cannot share the host PID namespace"),
        (&["--ipc", "host"], "cannot share the host IPC namespace"),
        (&["--pid", "container:box"], "cannot share the PID namespace of another container"),
        (&["--ipc", "container:box"], "cannot share the IPC namespace of another container"),
    ] {
        let run = [&["run", "--rm"], &OWN[..], flags, &["busybox", "true"]].concat();
        kista.run(&run).fails(125, text);
    }
    kista
        .run(&["run", "--rm", "--userns", "me", "busybox", "true"])
        .fails(125, "invalid USER mode");
}
