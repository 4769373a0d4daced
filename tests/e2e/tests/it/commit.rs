//! `commit`: an image of what a container has become.

use testkit::{Kista, needs};

#[test]
fn an_image_has_the_files_and_the_configuration() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "echo new > /new; rm -r /etc/passwd; mkdir /dir; chown 7:8 /dir; ln -s new /link; \
                  mkfifo /fifo; echo kept > /volume/inside";
    let words = ["run", "--name", "box", "-e", "A=1", "-v", "/volume", "-w", "/dir", "busybox"];
    kista.ok(&[&words[..], &["sh", "-c", script]].concat());
    let id = kista.ok(&["commit", "-a", "Me <m@x>", "-m", "a note", "box", "made:1"]);
    assert_eq!(kista.format("{{.Id}}", "made:1"), id);
    let script = "cat /new; readlink /link; stat -c '%u %g' /dir; test -p /fifo && pwd; \
                  test -e /etc/passwd; echo $? $A; ls /volume";
    let out = kista.ok(&["run", "--rm", "made:1", "sh", "-c", script]);
    assert_eq!(out, "new\nnew\n7 8\n/dir\n1 1");
    let image = kista.inspect("made:1");
    assert_eq!((&image["Author"], &image["Comment"]), (&"Me <m@x>".into(), &"a note".into()));
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    assert!(image["Config"]["Cmd"][2].as_str().unwrap().starts_with("echo new"));
    // What every container gets mounted is no part of it.
    let tar = kista.command(&["save", "made:1"]).run().bytes;
    let temp = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new("tar")
        .args(["-x", "-C"])
        .arg(temp.path())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &tar).unwrap();
    assert!(child.wait().unwrap().success());
    let layer = image["RootFS"]["Layers"][1].as_str().unwrap().replace(':', "/");
    let listed = std::process::Command::new("tar")
        .arg("-tf")
        .arg(temp.path().join("blobs").join(layer))
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!(names, ["dir/", "etc/", "etc/.wh.passwd", "fifo", "link", "new", "volume/"]);
}

#[test]
fn changes_are_instructions() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "--name", "box", "busybox", "true"]);
    let changes =
        ["-c", "ENV B=2", "-c", "CMD [\"sh\", \"-c\", \"echo $B\"]", "--change", "LABEL l=v"];
    let id = kista.ok(&[&["commit"], &changes[..], &["box"]].concat());
    assert_eq!(kista.ok(&["run", "--rm", &id]), "2");
    let image = kista.inspect(&id);
    assert_eq!(image["Config"]["Labels"]["l"], "v");
    // It has written nothing: there is no layer more than before.
    assert_eq!(image["RootFS"], kista.inspect("busybox")["RootFS"]);
    kista.run(&["commit", "-c", "RUN x", "box"]).fails(1, "run is not a valid change command");
    kista.run(&["commit", "box", "UPPER"]).fails(1, "must be lowercase");
    kista.run(&["commit", "nothing"]).fails(1, "No such container: nothing");
    kista.run(&["commit"]).fails(1, "requires at least 1 and at most 2 arguments");
}

#[test]
fn a_container_that_runs_is_paused_meanwhile() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "i=0; while true; do i=$((i+1)); echo $i > /a; echo $i > /b; done";
    kista.ok(&["run", "-d", "--name", "busy", "busybox", "sh", "-c", script]);
    testkit::wait_until("it writes", || {
        kista.run(&["exec", "busy", "cat", "/b"]).stdout.trim().parse::<u32>().ok()
    });
    kista.ok(&["commit", "busy", "still"]);
    assert_eq!(kista.format("{{.State.Status}}", "busy"), "running");
    let out = kista.ok(&["run", "--rm", "still", "sh", "-c", "cat /a; cat /b"]);
    let numbers: Vec<u32> = out.lines().map(|line| line.parse().unwrap()).collect();
    // It is stopped between two writes at most: a file may have been emptied and not written yet.
    assert!(numbers.len() < 2 || numbers[0] - numbers[1] <= 1, "{out}");
    // Files that are emptied while they are read are no failure.
    for _ in 0..10 {
        kista.ok(&["commit", "--no-pause", "busy"]);
    }
    kista.ok(&["pause", "busy"]);
    kista.ok(&["commit", "--pause=true", "busy"]);
    assert_eq!(kista.format("{{.State.Status}}", "busy"), "paused");
}

#[test]
fn a_killed_commit_leaves_nobody_paused() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    // Enough to be caught at it.
    let script = "dd if=/dev/urandom of=/big bs=1M count=300 && echo ready && \
                  while true; do echo >> /ticks; sleep 0.01; done";
    let id = kista.ok(&["run", "-d", "--name", "busy", "busybox", "sh", "-c", script]);
    let file = kista.root().join("containers").join(id).join("upper/ticks");
    let ticks = || std::fs::metadata(&file).map_or(0, |facts| facts.len());
    testkit::wait_until("it is ready", || {
        kista.ok(&["logs", "busy"]).contains("ready").then_some(())
    });
    let state = || kista.format("{{.State.Status}}", "busy");
    let mut commit = kista.command(&["commit", "busy", "never"]).spawn();
    testkit::wait_until("it is paused", || (state() == "paused").then_some(()));
    commit.kill().unwrap();
    commit.wait().unwrap();
    // Without any command that would look at it: its own supervisor sees to it.
    let before = ticks();
    testkit::wait_until("it goes on", || (ticks() > before + 3).then_some(()));
    assert_eq!(state(), "running");
    kista.ok(&["exec", "busy", "true"]);
    // Whom somebody paused stays so.
    kista.ok(&["pause", "busy"]);
    assert_eq!(state(), "paused");
    assert!(!kista.ok(&["images"]).contains("never"));
    // The layer that it had begun.
    kista.ok(&["system", "check", "--repair"]);
}

#[test]
fn ids_of_its_own_do_not_come_along() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "--name", "box", "--userns", "auto", "busybox", "touch", "/f"]);
    kista.ok(&["commit", "box", "made"]);
    assert_eq!(kista.ok(&["run", "--rm", "made", "stat", "-c", "%u:%g", "/f"]), "0:0");
}
