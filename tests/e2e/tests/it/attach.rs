//! `attach`: seeing and talking to a container that runs already.

use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::{Kista, needs, wait_until};

#[test]
fn any_number_of_clients_see_the_same() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "-i", "--name", "box", "busybox", "cat"]);
    let mut clients: Vec<_> = (0..4).map(|_| kista.command(&["attach", "box"]).spawn()).collect();
    let mut input = clients[0].stdin.take().unwrap();
    let all_heard = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // What comes before a client is connected is not for it: talk until all have heard.
            while !all_heard.load(Ordering::Relaxed) {
                input.write_all(b"hello\n").unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for client in &mut clients {
            let mut line = String::new();
            BufReader::new(client.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "hello\n");
        }
        all_heard.store(true, Ordering::Relaxed);
    });
    kista.ok(&["kill", "box"]);
    drop(input);
    for mut client in clients {
        let status = wait_until("the end of attach", || client.try_wait().unwrap());
        assert_eq!(status.code(), Some(137));
    }
}

#[test]
fn the_exit_code_is_the_containers() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", "read x; exit $x"]);
    let out = kista.command(&["attach", "box"]).stdin("6\n").run();
    assert_eq!(out.code, 6, "{}", out.stderr);
}

#[test]
fn only_what_runs_can_be_attached_to() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "--name", "box", "busybox"]);
    kista.run(&["attach", "box"]).fails(1, "cannot attach to a stopped container, start it first");
    kista.run(&["attach", "nope"]).fails(1, "No such container: nope");
}

#[test]
fn start_attaches_when_asked() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "-i", "--name", "box", "busybox", "sh", "-c", "echo got $(cat); exit 3"]);
    let out = kista.command(&["start", "-a", "-i", "box"]).stdin("this").run();
    assert_eq!((out.code, &*out.stdout), (3, "got this\n"), "{}", out.stderr);
    kista.ok(&["rm", "box"]);
    kista.ok(&["create", "--name", "box", "busybox", "echo", "again"]);
    assert_eq!(kista.ok(&["start", "-a", "box"]), "again");
    assert_eq!(kista.ok(&["start", "-a", "box"]), "again");
}
