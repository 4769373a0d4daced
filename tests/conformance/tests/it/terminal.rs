//! `terminal`, `consoleSize` and `--console-socket`. runtime-spec 1.3.0, config.md, "Process".

use testkit::oci::{Bundle, Console, Runtime};

fn at_terminal(bundle: Bundle) -> Bundle {
    bundle.set("process.terminal", true)
}

#[test]
fn the_terminal_is_sent_over_the_socket() {
    needs!(Root);
    let console = Console::new();
    let bundle = at_terminal(Bundle::script(
        "tty; stat -c %t /dev/console; echo ready; read line; echo got $line; stty size",
    ));
    let flags = ["--console-socket", &console.path().display().to_string()];
    let container = Runtime::under_test().create_with(&bundle, "conformance-tty", &flags).unwrap();
    let mut screen = console.screen();
    container.start();
    let shown = screen.expect("ready");
    assert!(shown.contains("/dev/pts/0") || shown.contains("/dev/console"), "{shown}");
    assert!(shown.contains("88"), "{shown}"); // the major number of Unix98 terminals, 136
    screen.resize(30, 100);
    screen.send("words\n");
    screen.expect("got words");
    screen.expect("30 100");
}

#[test]
fn the_size_is_as_configured_from_the_beginning() {
    needs!(Root);
    let console = Console::new();
    let bundle = at_terminal(Bundle::running(&["stty", "size"]))
        .set("process.consoleSize", serde_json::json!({"height": 25, "width": 81}));
    let flags = ["--console-socket", &console.path().display().to_string()];
    let container = Runtime::under_test().create_with(&bundle, "conformance-size", &flags).unwrap();
    let mut screen = console.screen();
    container.start();
    screen.expect("25 81");
}

#[test]
fn the_size_is_ignored_without_a_terminal() {
    needs!(Root);
    let bundle = Bundle::running(&["echo", "fine"])
        .set("process.consoleSize", serde_json::json!({"height": 25, "width": 81}));
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "fine");
}

#[test]
fn the_program_controls_its_terminal() {
    needs!(Root);
    let console = Console::new();
    let script = "trap 'echo interrupted; exit' INT; echo ready >/dev/tty; while :; do sleep 30 & wait $!; done";
    let bundle = at_terminal(Bundle::script(script));
    let flags = ["--console-socket", &console.path().display().to_string()];
    let container =
        Runtime::under_test().create_with(&bundle, "conformance-control", &flags).unwrap();
    let mut screen = console.screen();
    container.start();
    screen.expect("ready");
    screen.send("\u{3}");
    screen.expect("interrupted");
}

#[test]
fn the_terminal_belongs_to_the_user() {
    needs!(Root);
    let console = Console::new();
    let bundle = at_terminal(Bundle::script(
        "stat -c %u /dev/pts/0; echo x >/dev/pts/0; echo y >/dev/console",
    ))
    .set("process.user", serde_json::json!({"uid": 1000, "gid": 1000}))
    .capabilities(&[]);
    let flags = ["--console-socket", &console.path().display().to_string()];
    let container =
        Runtime::under_test().create_with(&bundle, "conformance-owner", &flags).unwrap();
    let mut screen = console.screen();
    container.start();
    screen.expect("1000");
    screen.expect("x");
    screen.expect("y");
}

#[test]
fn exec_gets_a_terminal_of_its_own() {
    needs!(Root);
    let container = Runtime::under_test().create(&Bundle::idle());
    container.start();
    let console = Console::new();
    let path = console.path().display().to_string();
    let (mut screen, out) = std::thread::scope(|scope| {
        let screen = scope.spawn(|| console.screen());
        let flags = ["--tty", "--detach", "--console-socket", &path];
        let out = container.exec_with(&flags, &["sh", "-c", "tty; read line; echo got $line"]);
        (screen.join().unwrap(), out)
    });
    out.ok();
    screen.expect("/dev/pts/");
    screen.send("hello\n");
    screen.expect("got hello");
}

#[test]
fn a_terminal_without_a_socket_is_an_error_for_create() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = at_terminal(Bundle::running(&["true"]));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_socket_without_a_terminal_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let console = Console::new();
    let bundle = Bundle::running(&["true"]);
    let flags = ["--console-socket", &console.path().display().to_string()];
    assert!(runtime.create_with(&bundle, "conformance-useless", &flags).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_socket_that_is_not_there_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = at_terminal(Bundle::running(&["true"]));
    let flags = ["--console-socket", "/nonexistent/socket"];
    assert!(runtime.create_with(&bundle, "conformance-nobody", &flags).is_err());
    runtime.assert_nothing_left(&bundle);
}
