//! Several clients at once: the same bytes for all, at the pace of the slowest.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shim::client::{self, Incoming};
use shim::frame::Frame;
use shim::{ShimError, Streams};
use testkit::needs;

use crate::support::{
    Container, Outcome, collect, converse, is_alive, parent_of, read_until, wait_readable,
    wait_until,
};

/// What `yes 0123456789 | head -c BYTES` writes.
fn yes(bytes: usize) -> Vec<u8> {
    b"0123456789\n".iter().copied().cycle().take(bytes).collect()
}

#[test]
fn a_hundred_megabytes_arrive_unharmed() {
    needs!(Root, Busybox);
    const BYTES: usize = 100 * 1024 * 1024;
    let container = Container::shell(&format!("yes 0123456789 | head -c {BYTES}"));
    let outcome = container.run();
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stdout == yes(BYTES));
}

#[test]
fn three_clients_get_the_same() {
    needs!(Root, Busybox);
    const BYTES: usize = 20_000_000;
    let script = format!("read go; yes 0123456789 | head -c {BYTES}; echo error >&2; exit 6");
    let container = Container::shell(&script).with_stdin();
    let (mut first, _) = container.started();
    let mut only_errors = container.attach(Streams { stdin: false, stdout: false, stderr: true });
    let others = [container.attach(Streams::ALL), container.attach(Streams::ALL)];
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let readers = others.map(|mut other| scope.spawn(move || collect(&mut other)));
        first.send_stdin(b"go\n").unwrap();
        let mut all = vec![collect(&mut first)];
        all.extend(readers.map(|reader| reader.join().unwrap()));
        all
    });
    let wanted = yes(BYTES);
    for outcome in outcomes {
        assert!(outcome.stdout == wanted);
        assert_eq!((outcome.stderr, outcome.code), (b"error\n".to_vec(), Some(6)));
    }
    let errors = collect(&mut only_errors);
    assert_eq!((errors.stdout.len(), errors.stderr.len(), errors.code), (0, 6, Some(6)));
}

#[test]
fn a_slow_client_slows_the_process_and_loses_nothing() {
    needs!(Root, Busybox);
    const BYTES: usize = 8_000_000;
    let container = Container::shell(&format!("read go; yes 0123456789 | head -c {BYTES}"));
    let container = container.with_stdin();
    let (mut fast, _) = container.started();
    let mut slow = container.attach(Streams { stdin: false, ..Streams::ALL });
    fast.send_stdin(b"go\n").unwrap();

    // While the slow one does not read, the fast one gets what fits into buffers and no more.
    let mut got = Vec::new();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(300) {
        match fast.try_recv().unwrap() {
            Incoming::Frame(Frame::Stdout(bytes)) => {
                got.extend_from_slice(bytes);
                last = Instant::now();
            }
            Incoming::Nothing => std::thread::sleep(Duration::from_millis(5)),
            other => panic!("{other:?}"),
        }
    }
    assert!(got.len() < 2_000_000, "{}", got.len());

    let rest = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            collect(&mut slow)
        });
        let rest = collect(&mut fast);
        assert!(reader.join().unwrap().stdout == yes(BYTES));
        rest
    });
    got.extend_from_slice(&rest.stdout);
    assert!(got == yes(BYTES));
}

#[test]
fn a_client_that_goes_away_holds_nobody_up() {
    needs!(Root, Busybox);
    const BYTES: usize = 8_000_000;
    let container = Container::shell(&format!("read go; yes 0123456789 | head -c {BYTES}"));
    let container = container.with_stdin();
    let (mut first, _) = container.started();
    let stuck = container.attach(Streams { stdin: false, ..Streams::ALL });
    first.send_stdin(b"go\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(stuck);
    assert!(collect(&mut first).stdout == yes(BYTES));
}

#[test]
fn a_slow_client_gets_the_last_words_after_the_end() {
    needs!(Root, Busybox);
    let container = Container::shell("yes 0123456789 | head -c 200000; exit 4");
    let (mut session, pid) = container.started();
    wait_until("the process has ended", || !is_alive(pid));
    container.events();
    let outcome = collect(&mut session);
    assert!(outcome.stdout == yes(200_000));
    assert_eq!(outcome.code, Some(4));
}

#[test]
fn a_process_survives_its_clients_and_keeps_its_input() {
    needs!(Root, Busybox);
    let container = Container::shell("echo ready; read line; echo \"got $line\"; cat; exit 8");
    let container = container.with_stdin();
    let (mut first, pid) = container.started();
    read_until(&mut first, "ready");
    first.detach().unwrap();

    let mut second = container.attach(Streams::ALL);
    second.send_stdin(b"text\n").unwrap();
    read_until(&mut second, "got text");
    second.detach().unwrap();
    assert!(is_alive(pid));

    let mut third = container.attach(Streams::ALL);
    let outcome = converse(&mut third, b"more");
    assert_eq!((outcome.stdout, outcome.code), (b"more".to_vec(), Some(8)));
    let error = client::connect(&container.dir(), Streams::ALL).unwrap_err();
    assert!(matches!(error, ShimError::Attach { .. }), "{error}");
}

#[test]
fn with_stdin_once_a_lost_client_ends_the_input() {
    needs!(Root, Busybox);
    let container = Container::shell("echo ready; cat; echo input ended").with_stdin();
    let (mut first, _) = container.started();
    read_until(&mut first, "ready");
    let mut listener = container.attach(Streams { stdin: false, ..Streams::ALL });
    drop(first);
    assert_eq!(collect(&mut listener).stdout, b"input ended\n");
}

#[test]
fn without_stdin_once_input_outlives_everyone() {
    needs!(Root, Busybox);
    let mut container = Container::shell("echo ready; cat; echo input ended").with_stdin();
    container.launch.plan.stdin_once = false;
    let (mut first, _) = container.started();
    read_until(&mut first, "ready");
    drop(first);
    let mut second = container.attach(Streams::ALL);
    second.send_stdin_eof().unwrap();
    second.send_stdin(b"still open\n").unwrap();
    read_until(&mut second, "still open");
    second.signal(9).unwrap();
    assert_eq!(collect(&mut second).code, Some(137));
}

#[test]
fn clients_that_come_and_go_leave_nothing() {
    needs!(Root, Busybox);
    let container = Container::shell("echo ready; cat").with_stdin();
    let (mut first, pid) = container.started();
    read_until(&mut first, "ready");
    let shim = parent_of(pid);
    let fds = || std::fs::read_dir(format!("/proc/{shim}/fd")).unwrap().count();
    let before = fds();
    for round in 0..2_000 {
        let session =
            client::connect(&container.dir(), Streams { stdin: false, ..Streams::ALL }).unwrap();
        match round % 3 {
            0 => drop(session),
            1 => session.detach().unwrap(),
            _ => {
                let mut session = session;
                session.started().unwrap();
            }
        }
    }
    wait_until("all are forgotten", || fds() == before);
    assert_eq!(converse(&mut first, b"x").code, Some(0));
}

#[test]
fn a_client_that_talks_nonsense_is_dropped() {
    needs!(Root, Busybox);
    use std::io::{Read, Write};
    let container = Container::shell("echo ready; cat").with_stdin();
    let (mut first, _) = container.started();
    read_until(&mut first, "ready");
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[3, 255, 255, 255, 255], &[1, 2, 0, 0, 0]] {
        let path = container.dir().join(shim::ATTACH_SOCKET);
        let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
        socket.write_all(nonsense).unwrap();
        socket.write_all(&[0; 64]).unwrap_or_default();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
    assert_eq!(converse(&mut first, b"fine").stdout, b"fine");
}

#[test]
fn signals_come_from_any_client() {
    needs!(Root, Busybox);
    let container =
        Container::shell("trap 'exit 11' USR2; echo ready; while :; do sleep 0.1; done");
    let (mut first, _) = container.started();
    read_until(&mut first, "ready");
    let observer = container.attach(Streams::NONE);
    observer.signal(u8::try_from(Signal::USR2.as_raw()).unwrap()).unwrap();
    assert_eq!(collect(&mut first).code, Some(11));
    wait_readable(&observer, Instant::now() + Duration::from_secs(5));
}
