//! Working containers: `from`, `run --working`, `copy`, `config`, `commit`.

use std::fs;
use std::time::Duration;

use testkit::{Kista, needs, wait_until};

#[test]
fn a_script_makes_an_image_step_by_step() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_string_lossy().into_owned();
    fs::write(path("file"), "copied\n").unwrap();
    fs::create_dir(path("tree")).unwrap();
    fs::write(path("tree/inner"), "inner\n").unwrap();

    let name = kista.ok(&["from", "busybox"]);
    assert_eq!(name, "busybox-working-container");
    assert_eq!(kista.ok(&["from", "busybox"]), "busybox-working-container-1");
    let run = |words: &[&str]| kista.run(&[&["run", "--working", &name][..], words].concat());
    let script = "mkdir /made && echo $A > /made/env && id -u > /made/user; pwd; echo err >&2";
    let out = run(&["-e", "A=1", "-w", "/etc", "--", "sh", "-c", script]);
    assert_eq!((out.code, &*out.stdout, &*out.stderr), (0, "/etc\n", "err\n"));
    // A variable of a command is that command's.
    let out =
        run(&["-u", "7:8", "--", "sh", "-c", "cat /made/env /made/user; id -u; id -g; echo $A"]);
    assert_eq!(out.stdout, "1\n0\n7\n8\n\n");
    kista.ok(&["copy", "--chown", "3:4", "--chmod", "0600", &name, &path("file"), "/made/"]);
    kista.ok(&["copy", &name, &path("file"), &path("tree"), "/several"]);
    kista.ok(&[
        "config",
        "-e",
        "B=two words",
        "-l",
        "l=v",
        "--cmd",
        "[\"cat\", \"/made/file\"]",
        "--user",
        "3",
        "--workingdir",
        "/made",
        "-p",
        "80",
        "--author",
        "Me",
        "-a",
        "k=v",
        &name,
    ]);
    // What it says now is what the next command sees.
    assert_eq!(run(&["--", "sh", "-c", "pwd; id -u; echo $B"]).stdout, "/made\n3\ntwo words\n");
    assert_eq!(kista.format("{{.Config.WorkingDir}} {{.State.Status}}", &name), "/made created");
    let id = kista.ok(&["commit", &name, "made:1"]);
    assert_eq!(kista.format("{{.Id}}", "made:1"), id);
    assert_eq!(kista.ok(&["run", "--rm", "made:1"]), "copied");
    let script = "stat -c '%a %u:%g' file; cat /several/file /several/inner; ls /several";
    let out = kista.ok(&["run", "--rm", "-u", "0", "made:1", "sh", "-c", script]);
    assert_eq!(out, "600 3:4\ncopied\ninner\nfile\ninner");
    let image = kista.inspect("made:1");
    assert_eq!(image["Author"], "Me");
    assert_eq!(image["Config"]["Labels"]["l"], "v");
    assert_eq!(image["Config"]["ExposedPorts"]["80/tcp"], serde_json::json!({}));
    let base = kista.inspect("busybox")["RootFS"]["Layers"].as_array().unwrap().len();
    // A command that changes nothing makes no layer: one RUN, two COPY.
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), base + 3);

    assert!(kista.ok(&["ps", "-a"]).contains("(working container)"));
    kista.run(&["start", &name]).fails(1, "is a working container, which is never started");
    kista.ok(&["container", "prune", "-f"]);
    assert!(kista.ok(&["ps", "-a"]).contains(&*name), "a script may be between two commands");
    kista.ok(&["rm", &name, "busybox-working-container-1"]);
    assert_eq!(kista.ok(&["run", "--rm", "made:1"]), "copied");
    assert_eq!(kista.ok(&["system", "check"]).lines().count(), 1);
}

#[test]
fn a_command_that_fails_changes_nothing() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let name = kista.ok(&["from", "--name", "work", "busybox"]);
    let run = |words: &[&str]| kista.run(&[&["run", "--working", &name, "--"][..], words].concat());
    assert_eq!(run(&["sh", "-c", "echo half > /half; exit 3"]).code, 3);
    assert_eq!(run(&["test", "-e", "/half"]).code, 1);
    assert_eq!(run(&["no-such-program"]).code, 127);
    kista.run(&["copy", "work", "/no/such/file", "/"]).fails(125, "not found");
    kista.run(&["config", "work"]).fails(125, "nothing to change is given");
    kista.run(&["config", "--stop-signal", "NOPE", "work"]).fails(125, "NOPE");
    kista.run(&["run", "--working", "nobody", "--", "true"]).fails(125, "nobody");
    kista.ok(&["run", "--name", "other", "busybox", "true"]);
    kista.run(&["copy", "other", "/etc/passwd", "/"]).fails(125, "other is no working container");
    kista.run(&["run", "-t", "--working", "work", "x"]).fails(125, "--working comes first");
    kista.run(&["from", "--name", "work", "busybox"]).fails(1, "already in use");
    kista.run(&["from", "--pull", "never", "nothing:here"]).fails(1, "nothing:here");
}

#[test]
fn mounts_are_those_of_a_build() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_string_lossy().into_owned();
    fs::write(path("secret"), "hush").unwrap();
    fs::write(path("given"), "given").unwrap();
    let name = kista.ok(&["from", "busybox"]);
    let other = kista.ok(&["from", "scratch"]);
    assert_eq!(other, "scratch-working-container");
    kista.ok(&["copy", &other, &path("given"), "/deep/"]);
    let run = |words: &[&str]| kista.ok(&[&["run", "--working", &name][..], words].concat());
    let secret = format!("id=s,src={}", path("secret"));
    let out =
        run(&["--secret", &secret, "--mount", "type=secret,id=s", "--", "cat", "/run/secrets/s"]);
    assert_eq!(out, "hush");
    let bind = format!("type=bind,from={other},source=/deep,target=/mnt");
    assert_eq!(run(&["--mount", &bind, "--", "cat", "/mnt/given"]), "given");
    run(&["--mount", "type=cache,target=/c", "--", "sh", "-c", "echo kept > /c/f"]);
    assert_eq!(run(&["--mount", "type=cache,target=/c", "--", "cat", "/c/f"]), "kept");
    let folder = temp.path().to_string_lossy().into_owned();
    run(&["-v", &format!("{folder}:/host"), "--", "sh", "-c", "echo out > /host/out"]);
    assert_eq!(fs::read_to_string(path("out")).unwrap(), "out\n");
    let words =
        ["run", "--working", &name, "-v", &format!("{folder}:/host:ro"), "--", "touch", "/host/x"];
    kista.run(&words).fails(1, "Read-only file system");
    kista.ok(&["copy", "--from", &other, &name, "/deep", "/copied"]);
    assert_eq!(run(&["--", "cat", "/copied/given"]), "given");
    assert_eq!(run(&["--network", "none", "--", "ls", "/sys/class/net"]), "lo");
    // Nothing of it is in the image.
    kista.ok(&["commit", &name, "made"]);
    let out =
        kista.ok(&["run", "--rm", "made", "sh", "-c", "ls -d /mnt /c /host /run/secrets; true"]);
    assert_eq!(out, "");
}

#[test]
fn archives_are_unpacked_with_add() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("inner"), "inner\n").unwrap();
    let archive = temp.path().join("a.tar").to_string_lossy().into_owned();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C").arg(temp.path()).args(["-cf", &archive, "inner"]);
    assert!(tar.status().unwrap().success());
    let name = kista.ok(&["from", "busybox"]);
    kista.ok(&["copy", "--add", &name, &archive, "/added/"]);
    kista.ok(&["copy", &name, &archive, "/copied/"]);
    let out = kista.ok(&["run", "--working", &name, "--", "ls", "/added", "/copied"]);
    assert_eq!(out, "/added:\ninner\n\n/copied:\na.tar");
}

#[test]
fn the_same_script_gives_the_same_image() {
    needs!(Root, Busybox);
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file").to_string_lossy().into_owned();
    fs::write(&file, "same").unwrap();
    let build = |squash: bool| {
        let kista = Kista::with_busybox();
        let with = |words: &[&str]| {
            let run = kista.command(words).env("SOURCE_DATE_EPOCH", "1000000000").run();
            assert_eq!(run.code, 0, "{}", run.stderr);
            run.stdout.trim().to_owned()
        };
        let name = with(&["from", "busybox"]);
        with(&["run", "--working", &name, "--", "sh", "-c", "date > /a; rm /a; echo x > /b"]);
        with(&["copy", &name, &file, "/c"]);
        with(&["config", "--cmd", "cat /c", "--created-by", "by hand", "--comment", "note", &name]);
        let words: &[&str] = if squash { &["commit", "--squash"] } else { &["commit"] };
        let id = with(&[words, &[&name, "made"]].concat());
        let layers = kista.inspect("made")["RootFS"]["Layers"].as_array().unwrap().len();
        assert_eq!(kista.ok(&["run", "--rm", "made"]), "same");
        assert_eq!(kista.ok(&["run", "--rm", "made", "cat", "/b"]), "x");
        (id, layers)
    };
    let (one, two) = (build(false), build(false));
    assert_eq!(one, two);
    let (one, two) = (build(true), build(true));
    assert_eq!((&one, one.1), (&two, 1));
}

#[test]
fn a_container_that_ran_can_be_squashed() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "--name", "box", "busybox", "sh", "-c", "echo new > /new; rm /etc/passwd"]);
    let commit = |name: &str| {
        let words = ["commit", "--squash", "box", name];
        let run = kista.command(&words).env("SOURCE_DATE_EPOCH", "1000000000").run();
        assert_eq!(run.code, 0, "{}", run.stderr);
        kista.inspect(name)["RootFS"]["Layers"].clone()
    };
    let (one, two) = (commit("one"), commit("two"));
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(one, two);
    let out = kista.ok(&["run", "--rm", "one", "sh", "-c", "cat /new; ls /etc/passwd 2>&1; true"]);
    assert!(out.starts_with("new\n") && out.contains("No such file"), "{out}");
    let bad = kista.command(&["commit", "box"]).env("SOURCE_DATE_EPOCH", "soon").run();
    bad.fails(1, "invalid SOURCE_DATE_EPOCH");
}

#[test]
fn two_commands_on_one_container_follow_each_other() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["from", "--name", "work", "busybox"]);
    let script = "echo begun; until test -e /host/go; do sleep 0.05; done; echo 1 > /one";
    let temp = tempfile::tempdir().unwrap();
    let volume = format!("{}:/host", temp.path().display());
    let words = ["run", "--working", "work", "-v", &volume, "--", "sh", "-c", script];
    let mut first = kista.command(&words).spawn();
    let mut begun = [0; 5];
    std::io::Read::read_exact(first.stdout.as_mut().unwrap(), &mut begun).unwrap();
    let words = ["run", "--working", "work", "--", "cat", "/one"];
    let mut second = kista.command(&words).spawn();
    let mut told = [0; 27];
    std::io::Read::read_exact(second.stderr.as_mut().unwrap(), &mut told).unwrap();
    assert_eq!(&told, b"Waiting for another command");
    kista.run(&["rm", "-f", "work"]).fails(1, "another command works on it");
    fs::write(temp.path().join("go"), "").unwrap();
    assert!(first.wait().unwrap().success());
    let second = second.wait_with_output().unwrap();
    assert_eq!(second.stdout, b"1\n");
    kista.ok(&["rm", "work"]);
}

#[test]
fn a_killed_command_leaves_the_container_as_it_was() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["from", "--name", "work", "busybox"]);
    kista.ok(&["run", "--working", "work", "--", "sh", "-c", "echo 1 > /one"]);
    for wait in [0, 5, 20, 60, 150] {
        let script = "echo 2 > /two; sleep 0.1";
        let mut run =
            kista.command(&["run", "--working", "work", "--", "sh", "-c", script]).spawn();
        std::thread::sleep(Duration::from_millis(wait));
        run.kill().unwrap();
        run.wait().unwrap();
    }
    let mut run = kista.command(&["run", "--working", "work", "--", "sleep", "1000"]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    run.kill().unwrap();
    run.wait().unwrap();
    // Nothing of it goes on, and the container is nobody's.
    let out = wait_until("it is free", || {
        let out = kista.run(&["run", "--working", "work", "--", "sh", "-c", "cat /one; ls /"]);
        (out.code == 0).then_some(out.stdout)
    });
    assert!(out.starts_with("1\n"), "{out}");
    kista.ok(&["system", "check", "--repair"]);
    assert_eq!(kista.ok(&["system", "check"]).lines().count(), 1);
    kista.ok(&["commit", "work", "made"]);
    assert_eq!(kista.ok(&["run", "--rm", "made", "cat", "/one"]), "1");
}

#[test]
fn what_grew_is_kept_until_the_container_goes() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["from", "--name", "work", "busybox"]);
    kista.ok(&["run", "--working", "work", "--", "sh", "-c", "echo 1 > /one"]);
    kista.ok(&["rmi", "-f", "busybox"]);
    kista.ok(&["builder", "prune", "-af"]);
    assert_eq!(kista.ok(&["run", "--working", "work", "--", "cat", "/one"]), "1");
    let layers = || fs::read_dir(kista.root().join("layers")).unwrap().count();
    let before = layers();
    kista.ok(&["rm", "work"]);
    kista.ok(&["builder", "prune", "-af"]);
    assert!(layers() < before);
}

#[test]
fn earlier_results_are_used_when_asked_for() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "echo said; cat /proc/sys/kernel/random/uuid > /id";
    let twice = |flag: &[&str]| {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let name = kista.ok(&["from", "busybox"]);
            let words = [&["run", "--working", &name], flag, &["--", "sh", "-c", script]].concat();
            let said = kista.ok(&words);
            seen.push((said, kista.ok(&["run", "--working", &name, "--", "cat", "/id"])));
        }
        seen
    };
    let seen = twice(&[]);
    assert_eq!((&*seen[0].0, &*seen[1].0), ("said", "said"));
    assert_ne!(seen[0].1, seen[1].1);
    let seen = twice(&["--cache"]);
    assert_eq!(seen[1].0, "");
    assert_eq!(seen[0].1, seen[1].1);
    let name = kista.ok(&["from", "busybox"]);
    let words = ["run", "--working", &name, "--cache", "-v", "/tmp:/x", "--", "true"];
    kista.run(&words).fails(125, "--cache and --volume exclude each other");
}
