//! `run`: exit codes, what is run and where.

use serde_json::json;
use testkit::{Image, Kista, needs};

#[test]
fn the_commands_output_and_exit_code_are_passed_on() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.run(&["run", "--rm", "busybox", "echo", "hello"]);
    assert_eq!((out.code, &*out.stdout, &*out.stderr), (0, "hello\n", ""));
    for code in [1, 42, 255] {
        let command = format!("exit {code}");
        assert_eq!(kista.run(&["run", "--rm", "busybox", "sh", "-c", &command]).code, code);
    }
}

#[test]
fn a_missing_command_is_127_and_named() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.run(&["run", "--rm", "busybox", "no-such-thing"]);
    out.fails(127, "\"no-such-thing\": executable file not found in $PATH");
    kista.run(&["run", "--rm", "busybox", "/no/such"]).fails(127, "no such file or directory");
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
}

#[test]
fn what_cannot_be_executed_is_126() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.run(&["run", "--rm", "busybox", "/etc/passwd"]).fails(126, "permission denied");
    kista.run(&["run", "--rm", "busybox", "/etc"]).fails(126, "/etc");
}

#[test]
fn a_mistake_of_the_callers_is_125() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.run(&["run", "--bogus", "busybox"]).fails(125, "unknown flag: --bogus");
    kista.run(&["run", "--memory", "lots", "busybox"]).fails(125, "lots");
    kista.run(&["run", "--rm", "no-such-image"]).fails(125, "no-such-image");
    kista.run(&["run", "-v", "relative:path:what:no", "busybox"]).fails(125, "");
    kista.run(&["run", "Busybox"]).fails(125, "must be lowercase");
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
}

#[test]
fn the_flags_end_where_the_image_stands() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    assert_eq!(kista.ok(&["run", "--rm", "busybox", "echo", "--rm", "-it"]), "--rm -it");
}

#[test]
fn the_images_command_is_run_and_can_be_replaced() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    kista.load(
        &Image::busybox("app")
            .config("Entrypoint", json!(["echo", "entry"]))
            .config("Cmd", json!(["default"])),
    );
    assert_eq!(kista.ok(&["run", "--rm", "app"]), "entry default");
    assert_eq!(kista.ok(&["run", "--rm", "app", "mine"]), "entry mine");
    // A new entrypoint drops the image's Cmd.
    assert_eq!(kista.ok(&["run", "--rm", "--entrypoint", "echo", "app"]), "");
    assert_eq!(kista.ok(&["run", "--rm", "--entrypoint", "echo", "app", "a", "b"]), "a b");
    kista.load(&Image::busybox("bare").config("Cmd", json!(null)));
    kista.run(&["run", "--rm", "bare"]).fails(125, "o command specified");
}

#[test]
fn the_environment_is_the_images_and_the_callers() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    kista.load(&Image::busybox("app").config("Env", json!(["PATH=/bin", "A=image", "B=image"])));
    let file = kista.root().join("env");
    std::fs::write(&file, "# comment\nC=file\nD=file word\nFROM_HOST\n").unwrap();
    let arguments = [
        "run",
        "--rm",
        "--env-file",
        file.to_str().unwrap(),
        "-e",
        "B=mine",
        "-e",
        "FROM_HOST",
        "-e",
        "D=flag",
        "-e",
        "NOT_THERE",
        "app",
        "env",
    ];
    let out = kista.command(&arguments).env("FROM_HOST", "host").run().ok();
    for line in
        ["A=image", "B=mine", "C=file", "D=flag", "FROM_HOST=host", "PATH=/bin", "HOME=/root"]
    {
        assert!(out.lines().any(|known| known == line), "{line} in {out}");
    }
    assert!(out.lines().any(|line| line.starts_with("HOSTNAME=")), "{out}");
    assert!(!out.contains("NOT_THERE") && !out.contains("TERM="), "{out}");
    assert!(!out.contains("KISTA"), "the caller's environment stays outside: {out}");
}

#[test]
fn the_working_directory_is_made_if_need_be() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    kista.load(&Image::busybox("app").config("WorkingDir", json!("/srv/data")));
    assert_eq!(kista.ok(&["run", "--rm", "app", "pwd"]), "/srv/data");
    assert_eq!(kista.ok(&["run", "--rm", "-w", "/new/deep", "app", "pwd"]), "/new/deep");
    kista.run(&["run", "--rm", "-w", "relative", "app", "pwd"]).fails(125, "relative");
}

#[test]
fn names_are_the_callers_or_made_up_and_belong_to_one() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.ok(&["run", "-d", "--name", "web", "busybox", "true"]);
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(kista.format("{{.Name}}", &id[..12]), "/web");
    let again = kista.run(&["run", "--name", "web", "busybox", "true"]);
    again.fails(125, "Conflict. The container name \"/web\" is already in use by container");
    kista
        .run(&["run", "--name", "no/slash", "busybox"])
        .fails(125, "Invalid container name (no/slash)");
    let other = kista.ok(&["create", "busybox"]);
    let name = kista.format("{{.Name}}", &other);
    assert!(name.contains('_') && name.starts_with('/'), "{name}");
    kista.ok(&["rm", "web"]);
    kista.ok(&["create", "--name", "web", "busybox"]);
}

#[test]
fn the_host_name_is_the_short_id_or_the_callers() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.ok(&["run", "-d", "busybox", "hostname"]);
    kista.ok(&["wait", &id]);
    assert_eq!(kista.ok(&["logs", &id]), id[..12]);
    assert_eq!(kista.ok(&["run", "--rm", "--hostname", "box", "busybox", "hostname"]), "box");
    let hosts = kista.ok(&[
        "run",
        "--rm",
        "-h",
        "box",
        "--add-host",
        "db:10.0.0.7",
        "busybox",
        "cat",
        "/etc/hosts",
    ]);
    assert!(hosts.contains("10.0.0.7\tdb") && hosts.contains("127.0.0.1\tlocalhost"), "{hosts}");
}

#[test]
fn name_servers_are_the_callers() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.ok(&[
        "run",
        "--rm",
        "--dns",
        "10.1.1.1",
        "--dns-search",
        "example.org",
        "--dns-option",
        "ndots:2",
        "busybox",
        "cat",
        "/etc/resolv.conf",
    ]);
    for line in ["nameserver 10.1.1.1", "search example.org", "options ndots:2"] {
        assert!(out.lines().any(|known| known == line), "{line} in {out}");
    }
}

#[test]
fn the_id_is_written_to_a_file_that_must_be_new() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let file = kista.root().join("cid");
    let path = file.to_str().unwrap();
    let id = kista.ok(&["run", "-d", "--cidfile", path, "busybox", "true"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id);
    kista.run(&["run", "--cidfile", path, "busybox", "true"]).fails(125, "container ID file found");
}

#[test]
fn rm_removes_the_container_and_its_anonymous_volumes() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "--rm", "-v", "/data", "-v", "named:/named", "busybox", "touch", "/data/x"]);
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
    assert_eq!(kista.ok(&["volume", "ls", "-q"]), "named");
}

#[test]
fn an_init_reaps_and_forwards_signals() {
    needs!(Root, Busybox, StaticKista);
    let kista = Kista::with_busybox();
    let script = "sh -c 'sleep 0.2 & exit 0'; sleep 1; ps -o stat | grep -c Z";
    let out = kista.run(&["run", "--rm", "--init", "busybox", "sh", "-c", script]);
    assert_eq!(out.stdout, "0\n", "{}", out.stderr);
    let id = kista.ok(&["run", "-d", "--init", "busybox", "sleep", "1000"]);
    // Without an init, sleep would be pid 1 and deaf to SIGTERM.
    kista.ok(&["stop", "-t", "20", &id]);
    assert_eq!(kista.format("{{.State.ExitCode}}", &id), "143");
}

#[test]
fn later_things_are_refused_and_not_ignored() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for flags in [
        &["--network", "mine"][..],
        &["--gpus", "all"],
        &["--restart", "always"],
        &["--health-cmd", "true"],
        &["--volume-driver", "nfs"],
    ] {
        let out = kista.run(&[&["run"], flags, &["busybox", "true"]].concat());
        assert_eq!(out.code, 125, "{flags:?}: {}", out.stderr);
        assert!(!out.stderr.is_empty(), "{flags:?}");
    }
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
}

#[test]
fn the_embedded_image_needs_nothing() {
    needs!(Root, StaticKista);
    let kista = Kista::new();
    let out = kista.ok(&["run", "--rm", "hello"]);
    assert!(out.contains("pid"), "{out}");
}

#[test]
fn dockers_own_example_works_word_for_word() {
    needs!(Root, Busybox, Debian);
    let kista = Kista::new();
    let tar = testkit::image::debian();
    kista.command(&["import", "-", "debian"]).stdin(tar).run().ok();
    let arguments = "run -ti --cpu-period 100000 --cpu-quota 20000 debian /bin/bash";
    let words: Vec<&str> = arguments.split(' ').collect();
    let mut terminal = kista.command(&words).terminal();
    terminal.expect("#");
    terminal.send("cat /etc/debian_version; cat /sys/fs/cgroup/cpu*/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null | head -n 1\n");
    terminal.expect("12.");
    terminal.expect("20000");
    terminal.send("exit 7\n");
    assert_eq!(terminal.wait().0, 7);
}
