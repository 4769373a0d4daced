//! Containers of ordinary users.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use testkit::tar::{Entry, Kind, Writer};
use testkit::{Image, Kista, User, audit, needs, wait_until};

mod images;
mod network;

fn kista() -> Kista {
    let kista = Kista::of(User::new());
    kista.load(&Image::busybox("busybox"));
    kista
}

/// The processes of the data directory that go by this name.
fn named(kista: &Kista, name: &str) -> Vec<i32> {
    let is_it = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(name.as_bytes()))
    };
    audit::processes(&kista.owner()).into_iter().filter(is_it).collect()
}

fn user_namespace(pid: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/user")).unwrap()
}

#[test]
fn root_inside_is_the_user_and_further_ids_are_subordinate() {
    needs!(Root, Busybox, Uidmap);
    let kista = kista();
    let script = "tr -s ' ' < /proc/self/uid_map; id -u; touch /d/root; touch /d/web; \
        chown 33:34 /d/web; stat -c %u:%g /d/web /bin/busybox; cat /proc/self/setgroups; \
        echo x > /dev/null && echo null";
    let out = kista.ok(&["run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", script]);
    let map = format!(" 0 {} 1\n 1 {} {}", User::ID, User::FIRST, User::COUNT);
    assert_eq!(out, format!("{map}\n0\n33:34\n0:0\nallow\nnull"));
    let volume = kista.root().join("volumes/data/_data");
    let owner = |name: &str| {
        let facts = fs::metadata(volume.join(name)).unwrap();
        (facts.uid(), facts.gid())
    };
    assert_eq!(owner("root"), (User::ID, User::ID));
    assert_eq!(owner("web"), (User::FIRST + 32, User::FIRST + 33));
    assert!(kista.ok(&["info"]).contains("rootless"));
    assert_eq!(kista.ok(&["run", "--rm", "--user", "33", "busybox", "id", "-u"]), "33");
    kista.ok(&["volume", "rm", "data"]);
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
}

#[test]
fn a_container_lives_as_anybodys() {
    needs!(Root, Busybox, Uidmap);
    let kista = kista();
    let run = ["run", "-d", "--name", "one", "-v", "vol:/vol", "busybox", "sh", "-c"];
    kista
        .ok(&[&run[..], &["echo hello; trap 'exit 3' TERM; while :; do sleep 0.1; done"]].concat());
    assert_eq!(kista.ok(&["ps", "--format", "{{.Names}} {{.State}}"]), "one running");
    wait_until("the first line", || (kista.ok(&["logs", "one"]) == "hello").then_some(()));
    assert_eq!(kista.ok(&["exec", "-u", "7:8", "one", "id", "-u"]), "7");
    let top = kista.ok(&["top", "one"]);
    assert!(top.contains("hello"), "{top}");
    kista.ok(&["exec", "one", "sh", "-c", "echo kept > /kept; echo kept > /vol/kept"]);
    kista.ok(&["stop", "-t", "30", "one"]);
    assert_eq!(kista.format("{{.State.ExitCode}}", "one"), "3");
    kista.ok(&["start", "one"]);
    assert_eq!(kista.ok(&["exec", "one", "cat", "/kept", "/vol/kept"]), "kept\nkept");
    // What needs a control group says so; none is there to be given where this runs as in CI.
    let paused = kista.run(&["pause", "one"]);
    assert!(paused.code == 0 || paused.stderr.contains("control group"), "{}", paused.stderr);
    kista.ok(&["rm", "-f", "one"]);
    kista.ok(&["volume", "rm", "vol"]);
    let limited = kista.run(&["run", "--rm", "--memory", "64m", "busybox", "true"]);
    let is_told = limited.stderr.contains("no control groups");
    assert!(limited.code == 0 && is_told == (paused.code != 0), "{}", limited.stderr);
}

#[test]
fn all_commands_are_in_one_namespace_and_nothing_stays_when_they_are_gone() {
    needs!(Root, Busybox, Uidmap);
    let kista = kista();
    let names: Vec<String> = (0..6).map(|number| format!("at-once-{number}")).collect();
    let started: Vec<_> = names
        .iter()
        .map(|name| {
            let run = super::idle(&["run", "-d", "--name", name, "busybox"]);
            kista.command(&run).spawn()
        })
        .collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let spaces: Vec<_> =
        names.iter().map(|name| user_namespace(&kista.format("{{.State.Pid}}", name))).collect();
    assert!(spaces.iter().all(|space| *space == spaces[0]), "{spaces:?}");
    assert_eq!(named(&kista, "kista-holder").len(), 1);
    kista.ok(&[&["rm", "-f"], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    wait_until("the holder's end", || named(&kista, "kista-holder").is_empty().then_some(()));
}

#[test]
fn whoever_is_killed_the_next_command_is_right() {
    needs!(Root, Busybox, Uidmap);
    let kista = kista();
    kista.ok(&super::idle(&["run", "-d", "--name", "one", "busybox"]));
    kista.ok(&super::idle(&["run", "-d", "--name", "two", "--user", "33", "busybox"]));
    let space = user_namespace(&kista.format("{{.State.Pid}}", "one"));
    for pid in named(&kista, "kista-holder") {
        audit::kill(pid);
    }
    // Another holder, in the same namespace: that of a user other than root can be signalled.
    assert_eq!(kista.ok(&["exec", "two", "id", "-u"]), "33");
    kista.ok(&["kill", "two"]);
    kista.ok(&["wait", "two"]);
    kista.ok(&super::idle(&["run", "-d", "--name", "three", "busybox"]));
    assert_eq!(user_namespace(&kista.format("{{.State.Pid}}", "three")), space);
    assert_eq!(named(&kista, "kista-holder").len(), 1);
    // Everybody at once, as at the end of a session.
    for pid in named(&kista, "kista-") {
        audit::kill(pid);
    }
    wait_until("the shims' end", || named(&kista, "kista-shim").is_empty().then_some(()));
    assert_eq!(kista.ok(&["ps", "-q"]), "");
    assert_eq!(kista.format("{{.State.ExitCode}}", "one"), "255");
    kista.ok(&["start", "one"]);
    assert_ne!(user_namespace(&kista.format("{{.State.Pid}}", "one")), PathBuf::new());
    kista.ok(&["rm", "-f", "one", "two", "three"]);
}

#[test]
fn one_id_is_enough_for_images_of_roots_files() {
    needs!(Root, Busybox, Uidmap);
    let kista = Kista::of(User::with_ids(""));
    // The machine's test image has files of others.
    let mut image = Writer::new();
    image.directory("bin", 0o755).file("bin/sh", 0o755, &fs::read("/bin/busybox").unwrap());
    for link in ["id", "sleep", "stat", "touch", "tr", "true", "tty"] {
        image.symlink(&format!("bin/{link}"), "sh");
    }
    kista.command(&["import", "-", "busybox"]).stdin(image.finish()).run().ok();
    let script = "tr -s ' ' < /proc/self/uid_map; id -u; touch /new && stat -c %u:%g /new";
    let run = ["run", "--rm", "busybox", "sh", "-c", script];
    assert_eq!(kista.ok(&run), format!(" 0 {} 1\n0\n0:0", User::ID));
    kista.ok(&["run", "--rm", "-t", "busybox", "tty"]);
    kista.ok(&super::idle(&["run", "-d", "--name", "one", "busybox"]));
    assert_eq!(kista.ok(&["exec", "one", "id", "-u"]), "0");
    let out = kista.run(&["run", "--rm", "--user", "33", "busybox", "true"]);
    out.fails(125, "/etc/subuid");
    kista.ok(&["rm", "-f", "one"]);
    let of_web = Entry { uid: 33, ..Entry::new("of-web", Kind::File) };
    let archive = Writer::new().entry(&of_web).finish();
    let out = kista.command(&["import", "-", "others"]).stdin(archive).run();
    out.fails(1, "/etc/subuid");
}

#[test]
fn the_environment_of_somebody_else_is_not_believed() {
    needs!(Root, Uidmap);
    let kista = Kista::of(User::new());
    let strange = tempfile::tempdir().unwrap();
    fs::set_permissions(strange.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let path = strange.path().to_str().unwrap();
    let info = ["info", "--format", "{{.DockerRootDir}}"];
    // As after `sudo -u USER`, which leaves the caller's; its own is in /etc/passwd.
    let own = kista.user().home().join(".local/share/kista").display().to_string();
    let out = kista.command(&info).env("KISTA_ROOT", "").env("HOME", path);
    assert_eq!(out.env("XDG_DATA_HOME", path).run().ok(), own);
    let out = kista.command(&info).env("KISTA_ROOT", "").env("HOME", "/nonexistent");
    assert_eq!(out.run().ok(), own);
    assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
    // What is named in so many words, and is another's or for others, is refused.
    kista.run(&["--root", path, "ps"]).fails(1, "belongs to user 0");
    let shared = kista.user().home().join("shared");
    fs::create_dir(&shared).unwrap();
    std::os::unix::fs::chown(&shared, Some(User::ID), Some(User::ID)).unwrap();
    fs::set_permissions(&shared, PermissionsExt::from_mode(0o775)).unwrap();
    let shared = shared.to_str().unwrap();
    kista.run(&["--root", shared, "ps"]).fails(1, "can be written to by other users");
}

#[test]
fn the_host_is_as_far_away_as_for_the_user() {
    needs!(Root, Busybox, Uidmap);
    let kista = kista();
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let bind = format!("{}:/secret", secret.path().display());
    let script = "cat /secret; echo x > /secret; mknod /dev/disk b 8 0; mount -t tmpfs x /mnt; \
        echo 1 > /proc/sys/kernel/panic; hostname x; chown 1 /secret; date -s 0; \
        echo b > /proc/sysrq-trigger; true";
    let run = ["run", "--rm", "--privileged", "-v", &bind, "busybox", "sh", "-c", script];
    let out = kista.run(&run);
    assert_eq!((out.code, out.stdout.as_str()), (0, ""), "{}", out.stderr);
    for refused in ["/secret", "/dev/disk", "kernel/panic", "sysrq-trigger"] {
        assert!(out.stderr.contains(refused), "{refused}: {}", out.stderr);
    }
    assert_eq!(fs::read_to_string(secret.path()).unwrap(), "secret");
    // Nor do ids that others have, or rights that only the host's root can give.
    kista.run(&["run", "--rm", "--userns", "auto", "busybox", "true"]).fails(125, "--userns auto");
}

#[test]
fn in_a_delegated_group_containers_have_their_own() {
    needs!(Root, Busybox, Uidmap, CgroupHybrid);
    let kista = Kista::of(User::new().with_group());
    kista.load(&Image::busybox("busybox"));
    kista.ok(&super::idle(&["run", "-d", "--name", "one", "--user", "33", "busybox"]));
    let pid = kista.format("{{.State.Pid}}", "one");
    let group = |pid: &str| {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned()
    };
    let own = group(&pid);
    assert!(own.ends_with(&kista.format("{{.Id}}", "one")), "{own}");
    kista.ok(&["pause", "one"]);
    assert_eq!(kista.format("{{.State.Status}}", "one"), "paused");
    kista.ok(&["unpause", "one"]);
    let sleep = ["exec", "-d", "one", "sleep", "1000"];
    kista.ok(&sleep);
    let added = wait_until("the added process", || {
        let top = kista.ok(&["top", "one", "-eo", "pid,args"]);
        let line = top.lines().find(|line| line.contains("sleep 1000"))?.trim().to_owned();
        Some(line.split(' ').next()?.to_owned())
    });
    assert_eq!(group(&added), own, "an added process is in the container's group");
    // One that shares the other's processes leaves none there.
    let beside = ["run", "-d", "--name", "two", "--pid", "container:one", "busybox", "sh", "-c"];
    kista.ok(&[&beside[..], &["sleep 2000 & exec sleep 3000"]].concat());
    wait_until("its child", || {
        kista.ok(&["exec", "one", "ps"]).contains("sleep 2000").then_some(())
    });
    kista.ok(&["rm", "-f", "two"]);
    let left = kista.ok(&["exec", "one", "ps"]);
    assert!(!left.contains("sleep 2000"), "{left}");
    kista.ok(&["rm", "-f", "one"]);
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
}

#[test]
fn a_user_has_settings_of_its_own() {
    needs!(Root, Busybox, Uidmap);
    let kista = kista();
    let own = kista.user().home().join(".config");
    fs::create_dir_all(own.join("kista")).unwrap();
    std::os::unix::fs::chown(&own, Some(User::ID), Some(User::ID)).unwrap();
    fs::write(own.join("kista/config.toml"), "default_network = \"host\"\n").unwrap();
    let home = kista.user().home().display().to_string();
    let mode = |name: &str, variable: &str, value: &str| {
        let create = kista.command(&["create", "--name", name, "busybox"]);
        create.env("KISTA_CONFIG", "").env("HOME", "/").env(variable, value).run().ok();
        kista.format("{{.HostConfig.NetworkMode}}", name)
    };
    assert_eq!(mode("one", "HOME", &home), "host");
    assert_eq!(mode("two", "XDG_CONFIG_HOME", own.to_str().unwrap()), "host");
    // Of somebody else's nothing is believed.
    let strange = tempfile::tempdir().unwrap();
    fs::set_permissions(strange.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir(strange.path().join("kista")).unwrap();
    let settings = strange.path().join("kista/config.toml");
    fs::write(settings, "default_network = \"host\"\n").unwrap();
    assert_eq!(mode("three", "XDG_CONFIG_HOME", strange.path().to_str().unwrap()), "pasta");
    kista.ok(&["rm", "one", "two", "three"]);
}
