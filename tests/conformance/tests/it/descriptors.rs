//! Descriptors of the caller: none arrives but those asked for. runtime-spec 1.3.0,
//! runtime-linux.md, "File descriptors"; `--preserve-fds`, `LISTEN_FDS`, as runc has them.

use std::process::Command;

use testkit::Output;
use testkit::oci::{Bundle, Container, Runtime};

/// A command of the runtime, run by a shell that opens descriptors first.
fn with_descriptors(open: &str, line: &Command) -> Output {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("{open} exec \"$0\" \"$@\"")]);
    shell.arg(line.get_program()).args(line.get_args());
    let output = shell.output().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

/// What a container that lists its descriptors, and reads 3 and 4, shows.
fn run(open: &str, flags: &[&str], script: &str) -> Output {
    let bundle = Bundle::script(script);
    bundle.write();
    let path = bundle.path().to_str().unwrap();
    let runtime = Runtime::under_test();
    let line = runtime.command(&[&["run", "--bundle", path], flags, &["conformance-fds"]].concat());
    with_descriptors(open, &line)
}

/// Not in a pipe, whose ends the shell would hold for a moment.
const LIST: &str = "ls /proc/$$/fd; true";

#[test]
fn nothing_but_the_standard_streams_arrives() {
    needs!(Root);
    let open = "exec 3</etc/passwd 4</ 9</proc 77</etc/passwd;";
    assert_eq!(run(open, &[], LIST).stdout, "0\n1\n2\n");
}

#[test]
fn preserved_descriptors_arrive_in_their_places() {
    needs!(Root);
    let open = "exec 3<<<three 4<<<four 5</etc/passwd;";
    let out = run(open, &["--preserve-fds", "2"], &format!("cat <&3; cat <&4; {LIST}"));
    assert_eq!(out.stdout.trim(), "three\nfour\n0\n1\n2\n3\n4", "{out:?}");
}

#[test]
fn descriptors_of_socket_activation_arrive() {
    needs!(Root);
    let open = "exec 3<<<three 4<<<four 5</etc/passwd; export LISTEN_FDS=2 LISTEN_PID=$$;";
    let out = run(open, &[], &format!("cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID; {LIST}"));
    assert_eq!(out.stdout.trim(), "three\nfour\n2 1\n0\n1\n2\n3\n4", "{out:?}");
}

fn exec(container: &Container, open: &str, flags: &[&str], script: &str) -> Output {
    let arguments = [&["exec"], flags, &[container.id(), "sh", "-c", script]].concat();
    with_descriptors(open, &container.of().command(&arguments))
}

#[test]
fn exec_passes_what_is_asked_for_and_no_more() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    let open = "exec 3<<<three 4<<<four 5</etc/passwd 50</;";
    assert_eq!(exec(&container, open, &[], LIST).stdout, "0\n1\n2\n");
    let out = exec(&container, open, &["--preserve-fds", "2"], &format!("cat <&4; {LIST}"));
    assert_eq!(out.stdout.trim(), "four\n0\n1\n2\n3\n4", "{out:?}");
}

#[test]
fn preserving_what_is_not_open_is_an_error() {
    needs!(Root);
    let out = run("exec 3<&- 4<&-;", &["--preserve-fds", "2"], "true");
    assert_ne!(out.code, 0, "{out:?}");
}
