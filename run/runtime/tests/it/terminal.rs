//! The container's own terminal.

use oci::runtime::ConsoleSize;

use crate::driver::Run;

const LOOK: &str = "tty; stty size; stat -c '%t' /dev/console; test -t 0 && test -t 1 && test -t 2 && echo all; \
    stat -c %u $(tty); echo > /dev/tty && echo controlling";

#[test]
fn it_is_on_its_own_devpts_with_a_size_and_controls_the_session() {
    let out = Run::shell(LOOK)
        .process(|process| {
            process.terminal = true;
            process.console_size = Some(ConsoleSize { height: 33, width: 99 });
            process.user.uid = 1000;
        })
        .run();
    let text = out.ok().replace('\r', "");
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["/dev/pts/0", "33 99", "88", "all", "1000", "controlling"], "{text}");
}

#[test]
fn a_terminal_without_devpts_is_an_error() {
    let out = Run::new(&["true"])
        .process(|process| process.terminal = true)
        .edit(|spec| spec.mounts.retain(|mount| mount.destination != "/dev/pts"))
        .run();
    assert!(out.refused().contains("process.terminal"), "{out:?}");
}
