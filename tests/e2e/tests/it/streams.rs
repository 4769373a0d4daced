//! Standard input, output and error of a container.

use std::io::{Read, Write};

use testkit::{Kista, needs};

#[test]
fn stdout_and_stderr_stay_apart() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.run(&["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((&*out.stdout, &*out.stderr), ("out\n", "err\n"));
}

#[test]
fn piped_input_arrives_and_ends() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.command(&["run", "-i", "--rm", "busybox", "cat"]).stdin("a\nb").run();
    assert_eq!(out.ok(), "a\nb");
    // Without -i the container reads nothing.
    let out = kista.command(&["run", "--rm", "busybox", "cat"]).stdin("lost").run();
    assert_eq!(out.ok(), "");
}

#[test]
fn bytes_pass_unchanged_in_both_directions() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mut bytes = Vec::new();
    let mut state = 1_u32;
    while bytes.len() < 3 << 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let out = kista.command(&["run", "-i", "--rm", "busybox", "cat"]).stdin(bytes.clone()).run();
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.bytes == bytes, "{} of {} bytes", out.bytes.len(), bytes.len());
}

#[test]
fn much_output_is_not_lost_at_the_end() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.run(&["run", "--rm", "busybox", "seq", "200000"]);
    assert_eq!(out.stdout.lines().count(), 200_000);
    assert_eq!(out.stdout.lines().last(), Some("200000"));
}

#[test]
fn output_comes_while_the_command_runs() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "echo first; read answer; echo got $answer";
    let mut child = kista.command(&["run", "-i", "--rm", "busybox", "sh", "-c", script]).spawn();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 6];
    stdout.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first\n");
    child.stdin.take().unwrap().write_all(b"it\n").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "got it\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn only_the_streams_asked_for_are_attached() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "echo out; echo err >&2";
    let out = kista.run(&["run", "--rm", "-a", "stderr", "busybox", "sh", "-c", script]);
    assert_eq!((&*out.stdout, &*out.stderr), ("", "err\n"));
}

#[test]
fn signals_to_the_command_reach_the_container() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.1; done";
    let mut child = kista.command(&["run", "--rm", "busybox", "sh", "-c", script]).spawn();
    let mut stdout = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "caught\n");
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn a_reader_that_goes_away_does_not_hang_the_command() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mut child = kista.command(&["run", "--rm", "--name", "yes", "busybox", "yes"]).spawn();
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let status = testkit::wait_until("the end of run", || child.try_wait().unwrap());
    assert!(!status.success());
}
