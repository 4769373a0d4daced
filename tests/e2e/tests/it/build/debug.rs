//! `build --debug-shell`: a shell where a step failed.

use testkit::{Kista, Terminal, needs};

use super::Context;

fn debug(kista: &Kista, context: &Context, flags: &[&str]) -> Terminal {
    let path = context.path().to_str().unwrap();
    let words = [&["build", "--debug-shell"], flags, &[path]].concat();
    kista.command(&words).terminal()
}

#[test]
fn a_shell_is_opened_where_a_command_failed() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox\nENV OWN=var\nWORKDIR /work\nUSER 7:8\n\
         RUN --mount=type=tmpfs,target=/memory --mount=type=secret,id=s,uid=7 --network=none \
         touch /tmp/half && exit 6\n",
        &[("secret", "hush")],
    );
    let secret = format!("id=s,src={}", context.file("secret").display());
    let mut shell = debug(&kista, &context, &["--secret", &secret]);
    let shown = shell.expect("A shell where ");
    assert!(shown.contains(">>> RUN"), "the source comes first: {shown}");
    shell.expect("$ ");
    assert!(shell.is_raw());
    let script = "echo $OWN-$(pwd)-$(id -u):$(id -g)-$(ls /tmp)-$(ls /sys/class/net)-\
                  $(cat /run/secrets/s)-$(grep -c ' /memory ' /proc/mounts)\n";
    shell.send(script);
    shell.expect("var-/work-7:8-half-lo-hush-1");
    shell.resize(40, 120);
    shell.send("sleep 0.3; stty size\n");
    shell.expect("40 120");
    // Its exit is no success of the build.
    shell.send("exit 0\n");
    assert_eq!(shell.wait().0, 1);
    assert!(!shell.is_raw(), "the terminal is given back as it was");
    assert_eq!(kista.ok(&["system", "check"]).lines().count(), 1);
}

#[test]
fn other_steps_have_what_was_before_them() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo made > /made\nCOPY no-such-file /\n", &[]);
    let mut shell = debug(&kista, &context, &["--progress=plain"]);
    shell.expect("A shell where ");
    shell.expect("# ");
    shell.send("cat /made; exit\n");
    shell.expect("\nmade");
    assert_eq!(shell.wait().0, 1);
}

#[test]
fn the_shell_is_the_stages_own_or_the_one_asked_for() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox\nSHELL [\"/bin/ash\", \"-e\", \"-c\"]\nRUN rm /bin/sh && false\n",
        &[],
    );
    let mut shell = debug(&kista, &context, &[]);
    shell.expect("A shell where ");
    shell.expect("# ");
    shell.send("echo is $0; exit\n");
    shell.expect("is /bin/ash");
    assert_eq!(shell.wait().0, 1);
    let path = context.path().to_str().unwrap();
    let words = ["build", "--debug-shell=cat /etc/passwd", path];
    let mut shell = kista.command(&words).terminal();
    shell.expect("A shell where ");
    shell.expect("root:x:0:0");
    assert_eq!(shell.wait().0, 1);
    // What has no shell says so.
    let context = Context::new("FROM scratch\nRUN [\"/none\"]\n", &[]);
    let mut shell = debug(&kista, &context, &[]);
    shell.expect("the image has no shell (/bin/sh)");
    assert_eq!(shell.wait().0, 1);
}

#[test]
fn there_is_one_shell_when_several_stages_go_on() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox AS a\nRUN sleep 0.2; echo a > /who; exit 3\n\
         FROM busybox AS b\nRUN sleep 0.2; echo b > /who; exit 4\n\
         FROM busybox AS c\nRUN sleep 1000\n\
         FROM busybox\nCOPY --from=a / /a/\nCOPY --from=b / /b/\nCOPY --from=c / /c/\n",
        &[],
    );
    let mut shell = debug(&kista, &context, &[]);
    shell.expect("A shell where ");
    shell.expect("# ");
    shell.send("echo who-$(cat /who); exit\n");
    let (code, rest) = shell.wait();
    assert_eq!(code, 1);
    assert!(rest.contains("who-a") || rest.contains("who-b"), "{rest}");
    assert!(!rest.contains("A shell where"), "{rest}");
}

#[test]
fn a_shell_wants_a_terminal_and_a_build() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo ran > /dev/stderr; false\n", &[]);
    let path = context.path().to_str().unwrap();
    let run = kista.run(&["build", "--debug-shell", path]);
    assert!(!run.stderr.contains("ran"), "it is said before anything is done: {}", run.stderr);
    run.fails(1, "--debug-shell needs a terminal");
    let run = kista.run(&["build", "--debug-shell", "--check", path]);
    run.fails(1, "--debug-shell is for builds");
    // A build that does not fail has no use for one.
    let context = Context::new("FROM busybox\nRUN true\n", &[]);
    assert_eq!(debug(&kista, &context, &[]).wait().0, 0);
}

#[test]
fn a_killed_build_takes_its_shell_along() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN false\n", &[]);
    let mut shell = debug(&kista, &context, &[]);
    shell.expect("A shell where ");
    shell.expect("# ");
    shell.send("sleep 1000 & sleep 1000\n");
    testkit::audit::kill(shell.pid().cast_signed());
    shell.wait();
    testkit::wait_until("its processes are gone", || {
        Context::new("FROM busybox\nRUN true\n", &[]).build(&kista, &[]);
        let left = kista.ok(&["system", "check", "--repair"]);
        (left.lines().count() == 1).then_some(())
    });
}
