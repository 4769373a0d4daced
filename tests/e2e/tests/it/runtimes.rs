//! `--runtime`: containers that another OCI runtime makes.

use std::path::PathBuf;

use testkit::{Kista, needs, wait_until};

/// Our own as another sees it, a link to the program; and runc, as installed.
fn each(check: impl Fn(&Kista, &str)) {
    let kista = Kista::with_busybox();
    let link: PathBuf = kista.root().join("kista-oci");
    std::os::unix::fs::symlink(kista.program(), &link).unwrap();
    check(&kista, link.to_str().unwrap());
    check(&kista, "runc");
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
}

#[test]
fn output_exit_codes_and_limits() {
    needs!(Root, Busybox, Runc);
    each(|kista, runtime| {
        let run = ["run", "--rm", "--runtime", runtime, "--network", "none", "--memory", "64m"];
        let script = "echo out; echo err >&2; cat /sys/fs/cgroup/memory/memory.limit_in_bytes \
                      /sys/fs/cgroup/memory.max 2>/dev/null; hostname; exit 7";
        let words = ["--hostname", "inside", "busybox", "sh", "-c", script];
        let out = kista.run(&[&run[..], &words].concat());
        assert_eq!((out.code, &*out.stderr), (7, "err\n"), "{runtime}: {}", out.stdout);
        assert_eq!(out.stdout, "out\n67108864\ninside\n", "{runtime}");

        let out = kista.run(&[&run[..], &["busybox", "absent"]].concat());
        assert_eq!(out.code, 127, "{runtime}: {}", out.stderr);
        assert!(out.stderr.contains("absent"), "{runtime}: {}", out.stderr);
        let filter = "grep Seccomp: /proc/self/status; grep -c . /proc/net/dev";
        let out = kista.ok(&[&run[..], &["busybox", "sh", "-c", filter]].concat());
        assert_eq!(out, "Seccomp:\t2\n3", "{runtime}");
    });
}

#[test]
fn a_life_with_execs_and_signals() {
    needs!(Root, Busybox, Runc);
    each(|kista, runtime| {
        let script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done";
        let words = ["--name", "box", "--runtime", runtime, "busybox", "sh", "-c", script];
        kista.ok(&[&["run", "-d"][..], &words].concat());
        wait_until("it is up", || kista.ok(&["logs", "box"]).contains("up").then_some(()));
        assert_eq!(kista.format("{{.HostConfig.Runtime}}", "box"), runtime);
        let out = kista.run(&["exec", "box", "sh", "-c", "echo here; ls -d /proc/1; exit 4"]);
        assert_eq!((out.code, &*out.stdout), (4, "here\n/proc/1\n"), "{runtime}: {}", out.stderr);
        assert_eq!(kista.command(&["exec", "-i", "box", "cat"]).stdin("typed").run().ok(), "typed");
        kista.ok(&["pause", "box"]);
        assert_eq!(kista.format("{{.State.Status}}", "box"), "paused");
        kista.ok(&["unpause", "box"]);
        kista.ok(&["stop", "-t", "20", "box"]);
        assert_eq!(kista.format("{{.State.ExitCode}}", "box"), "3", "{runtime}");
        assert!(kista.ok(&["logs", "box"]).contains("bye"), "{runtime}");
        kista.ok(&["start", "box"]);
        kista.ok(&["kill", "box"]);
        wait_until("it has ended", || {
            (kista.format("{{.State.Running}}", "box") == "false").then_some(())
        });
        kista.ok(&["rm", "box"]);
    });
}

#[test]
fn a_terminal() {
    needs!(Root, Busybox, Runc);
    each(|kista, runtime| {
        let words = ["run", "--rm", "-it", "--runtime", runtime, "busybox", "sh"];
        let mut terminal = kista.command(&words).terminal();
        terminal.expect("#");
        terminal.send("tty; exit 5\n");
        terminal.expect("/dev/pts/0");
        assert_eq!(terminal.wait().0, 5, "{runtime}");
    });
}

#[test]
fn a_supervisor_that_is_killed_leaves_nothing_after_the_next_look() {
    needs!(Root, Busybox, Runc);
    each(|kista, runtime| {
        let words =
            ["run", "-d", "--name", "box", "--runtime", runtime, "busybox", "sleep", "1000"];
        kista.ok(&words);
        let pid = kista.format("{{.State.Pid}}", "box");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
        let parent = rustix::process::Pid::from_raw(parent.parse().unwrap()).unwrap();
        rustix::process::kill_process(parent, rustix::process::Signal::KILL).unwrap();
        wait_until("it is seen", || {
            (kista.format("{{.State.Running}}", "box") == "false").then_some(())
        });
        wait_until("it is gone", || {
            (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
        kista.ok(&["start", "box"]);
        kista.ok(&["rm", "-f", "box"]);
    });
}

#[test]
fn an_unknown_one_is_named() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.run(&["run", "--runtime", "absent-runtime", "busybox", "true"]);
    assert_eq!(out.code, 125);
    let text = "unknown or invalid runtime name: absent-runtime";
    assert!(out.stderr.contains(text), "{}", out.stderr);
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
}
