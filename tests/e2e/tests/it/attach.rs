//! `attach`: seeing and talking to a container that runs already.

use std::io::{BufRead, BufReader, Write};

use testkit::{Kista, needs, wait_until};

#[test]
fn any_number_of_clients_see_the_same() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "-i", "--name", "c", "busybox", "cat"]);
    let mut clients: Vec<_> = (0..3).map(|_| kista.command(&["attach", "c"]).spawn()).collect();
    let mut outputs: Vec<_> =
        clients.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap())).collect();
    // Until a client is connected what comes is not for it: talk until each has heard.
    let mut input = clients[0].stdin.take().unwrap();
    let last = kista.command(&["attach", "c"]).spawn();
    let mut heard = String::new();
    input.write_all(b"hello\n").unwrap();
    outputs[0].read_line(&mut heard).unwrap();
    assert_eq!(heard, "hello\n");
    for output in &mut outputs[1..] {
        let mut line = String::new();
        input.write_all(b"again\n").unwrap();
        while line != "again\n" {
            line.clear();
            output.read_line(&mut line).unwrap();
        }
    }
    kista.ok(&["kill", "c"]);
    drop(input);
    for mut child in clients.into_iter().chain([last]) {
        let status = wait_until("the end of attach", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(137));
    }
}

#[test]
fn the_exit_code_is_the_containers() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "-i", "--name", "c", "busybox", "sh", "-c", "read x; exit $x"]);
    let out = kista.command(&["attach", "c"]).stdin("6\n").run();
    assert_eq!(out.code, 6, "{}", out.stderr);
}

#[test]
fn only_what_runs_can_be_attached_to() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "--name", "c", "busybox"]);
    kista.run(&["attach", "c"]).fails(1, "cannot attach to a stopped container, start it first");
    kista.run(&["attach", "nope"]).fails(1, "No such container: nope");
}

#[test]
fn start_attaches_when_asked() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "-i", "--name", "c", "busybox", "sh", "-c", "echo got $(cat); exit 3"]);
    let out = kista.command(&["start", "-a", "-i", "c"]).stdin("this").run();
    assert_eq!((out.code, &*out.stdout), (3, "got this\n"), "{}", out.stderr);
    kista.ok(&["rm", "c"]);
    kista.ok(&["create", "--name", "c", "busybox", "echo", "again"]);
    assert_eq!(kista.ok(&["start", "-a", "c"]), "again");
    assert_eq!(kista.ok(&["start", "-a", "c"]), "again");
}
