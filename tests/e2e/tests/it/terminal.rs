//! `run -it`, `attach` and `exec -it` in a terminal.

use testkit::{Kista, needs};

#[test]
fn a_shell_in_a_terminal() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mut terminal = kista.command(&["run", "-it", "--rm", "busybox", "sh"]).terminal();
    terminal.expect("/ # ");
    assert!(terminal.is_raw(), "keys go to the container as they are");
    terminal.send("tty; stty size; echo $TERM\n");
    terminal.expect("/dev/pts/0");
    terminal.expect("24 80");
    terminal.expect("xterm");
    terminal.resize(40, 120);
    terminal.send("sleep 0.3; stty size\n");
    terminal.expect("40 120");
    terminal.send("exit 5\n");
    assert_eq!(terminal.wait().0, 5);
    assert!(!terminal.is_raw(), "the terminal is given back as it was");
}

#[test]
fn control_c_interrupts_what_runs_in_the_terminal() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mut terminal = kista.command(&["run", "-it", "--rm", "busybox", "sh"]).terminal();
    terminal.expect("/ # ");
    terminal.send("sh -c 'echo up; exec sleep 1000'\n");
    terminal.expect("\nup");
    terminal.send("\u{3}");
    terminal.expect("/ # ");
    terminal.send("exit\n");
    assert_eq!(terminal.wait().0, 130);
}

#[test]
fn the_detach_keys_leave_it_running() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mut terminal = kista.command(&["run", "-it", "--name", "term", "busybox", "sh"]).terminal();
    terminal.expect("/ # ");
    terminal.send("kept=yes\n");
    terminal.expect("/ # ");
    terminal.send("\u{10}\u{11}");
    assert_eq!(terminal.wait().0, 0);
    assert_eq!(kista.format("{{.State.Status}}", "term"), "running");
    let mut again = kista.command(&["attach", "--detach-keys", "ctrl-x,x", "term"]).terminal();
    again.send("echo $kept\n");
    again.expect("yes");
    again.send("\u{18}x");
    assert_eq!(again.wait().0, 1);
    kista.ok(&["rm", "-f", "term"]);
}

#[test]
fn an_exec_in_a_terminal() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--name", "term", "busybox"]));
    let mut terminal = kista.command(&["exec", "-it", "term", "sh"]).terminal();
    terminal.expect("/ # ");
    terminal.send("stty size; exit 4\n");
    terminal.expect("24 80");
    assert_eq!(terminal.wait().0, 4);
}

#[test]
fn a_terminal_wants_a_terminal() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.run(&["run", "-it", "--rm", "busybox", "true"]).fails(1, "the input device is not a TTY");
    // -t alone is allowed, and joins both streams.
    let out = kista.run(&["run", "-t", "--rm", "busybox", "sh", "-c", "echo a; echo b >&2"]);
    assert_eq!((&*out.stdout, &*out.stderr), ("a\r\nb\r\n", ""));
}
