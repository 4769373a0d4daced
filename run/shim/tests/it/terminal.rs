//! Processes with a terminal.

use oci::runtime::ConsoleSize;
use testkit::needs;

use crate::support::{Container, collect, read_until, wait_until};

#[test]
fn a_terminal_has_a_size_that_changes() {
    needs!(Root, Busybox);
    let mut container = Container::shell(
        "stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.1; done",
    )
    .with_terminal();
    let first = ConsoleSize { height: 31, width: 97 };
    container.spec().process.as_mut().unwrap().console_size = Some(first);
    let (mut session, _) = container.started();
    let text = read_until(&mut session, "ready");
    assert!(text.contains("31 97\r\n"), "{text:?}");
    session.resize(ConsoleSize { height: 12, width: 34 }).unwrap();
    let outcome = collect(&mut session);
    assert!(String::from_utf8(outcome.stdout).unwrap().contains("12 34\r\n"));
    assert_eq!((outcome.stderr.len(), outcome.code), (0, Some(3)));
}

#[test]
fn what_is_typed_is_echoed_and_keys_are_signals() {
    needs!(Root, Busybox);
    let script = "trap 'echo interrupted; exit 4' INT; tty; read line; echo \"got $line\"; \
                  while :; do sleep 0.1; done";
    let container = Container::shell(script).with_terminal();
    let (mut session, _) = container.started();
    read_until(&mut session, "/dev/");
    session.send_stdin(b"hello\r").unwrap();
    let text = read_until(&mut session, "got hello");
    assert!(text.contains("hello\r\n"), "{text:?}");
    session.send_stdin(b"\x03").unwrap();
    let outcome = collect(&mut session);
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("interrupted"));
    assert_eq!(outcome.code, Some(4));
}

#[test]
fn all_output_of_a_terminal_arrives() {
    needs!(Root, Busybox);
    for _ in 0..5 {
        let outcome = Container::shell("seq 1 20000").with_terminal().run();
        let text = String::from_utf8(outcome.stdout).unwrap();
        let wanted: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
        assert!(text == wanted, "{} of {} bytes", text.len(), wanted.len());
        assert_eq!(outcome.code, Some(0));
    }
}

#[test]
fn a_terminal_that_nobody_has_open_comes_back() {
    needs!(Root, Busybox);
    let script =
        "tty=$(tty); echo first; exec <&- >&- 2>&-; sleep 0.3; echo second >$tty; sleep 0.1";
    let container = Container::shell(script).with_terminal();
    let (mut session, _) = container.started();
    read_until(&mut session, "second");
    assert_eq!(collect(&mut session).code, Some(0));
}

#[test]
fn the_end_of_input_leaves_a_terminal_open() {
    needs!(Root, Busybox);
    let container =
        Container::shell("echo ready; read line; echo \"got $line\"; exit 2").with_terminal();
    let (mut session, _) = container.started();
    read_until(&mut session, "ready");
    session.send_stdin_eof().unwrap();
    session.send_stdin(b"after\r").unwrap();
    let text = read_until(&mut session, "got after");
    assert!(text.contains("after"));
    assert_eq!(collect(&mut session).code, Some(2));
    wait_until("the hooks have finished", || !container.events().is_empty());
}
