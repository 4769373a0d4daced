//! What commands of a build see of networks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use testkit::{Host, Kista, needs, wait_until};

use super::Context;

const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";

fn listen(host: &Host, address: &str) -> TcpListener {
    host.enter(|| TcpListener::bind(address).unwrap())
}

/// Takes one request, which stays without an answer.
fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (mut stream, client) = listener.accept().unwrap();
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    (stream, client)
}

#[test]
fn commands_reach_the_outside() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = Host::new().unwrap();
    kista.host().wire(&outside, "up0", &["192.0.2.1/24"], &["192.0.2.9/24"]);
    let listener = listen(&outside, "192.0.2.9:80");
    let context = Context::new(
        "FROM busybox\nRUN wget -qO /fetched http://web/ && cat /etc/hosts > /hosts\n",
        &[],
    );
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, client) = accept(&listener);
            stream.write_all(ANSWER).unwrap();
            client.ip().to_string()
        });
        let wanted = ["--add-host", "web=192.0.2.9", "--add-host", "up:host-gateway", "-t", "n"];
        let built = context.build(&kista, &wanted);
        assert_eq!(built.code, 0, "{}", built.stderr);
        // It goes out under the host's address.
        assert_eq!(server.join().unwrap(), "192.0.2.1");
    });
    assert_eq!(kista.ok(&["run", "--rm", "n", "cat", "/fetched"]), "hello");
    let hosts = kista.ok(&["run", "--rm", "n", "cat", "/hosts"]);
    for line in ["192.0.2.9\tweb", "172.17.0.1\tup", "172.17.0.2\tbuildkitsandbox"] {
        assert!(hosts.lines().any(|it| it == line), "{line}: {hosts}");
    }
}

#[test]
fn steps_that_run_at_once_have_addresses_of_their_own() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let listener = listen(kista.host(), "0.0.0.0:80");
    let context = Context::new(
        "FROM busybox AS a\nRUN wget -qO /a http://172.17.0.1/\n\
         FROM busybox AS b\nRUN wget -qO /b http://172.17.0.1/\n\
         FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
        &[],
    );
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            // Nobody gets an answer before both have asked.
            let mut streams = [accept(&listener), accept(&listener)];
            streams.each_mut().map(|(stream, client)| {
                stream.write_all(ANSWER).unwrap();
                client.ip().to_string()
            })
        });
        let built = context.build(&kista, &["-t", "two"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
        let mut clients = server.join().unwrap();
        clients.sort();
        assert_eq!(clients, ["172.17.0.2", "172.17.0.3"]);
    });
    assert_eq!(kista.ok(&["run", "--rm", "two", "cat", "/a", "/b"]), "hello\nhello");
    assert_eq!(leases(&kista), [""; 0]);
}

#[test]
fn the_network_of_a_command_is_chosen() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let links = |dockerfile: &str, arguments: &[&str]| {
        let context = Context::new(dockerfile, &[]);
        let built = context.build(&kista, &[&["-t", "links"], arguments].concat());
        assert_eq!(built.code, 0, "{}", built.stderr);
        kista.ok(&["run", "--rm", "links", "cat", "/links"])
    };
    let plain = "FROM busybox\nRUN ls /sys/class/net > /links\n";
    let own = "eth0\nlo";
    // A bridge of the host's, which containers do not see.
    let is_host = |links: &str| links.lines().any(|link| link.starts_with("kista"));
    assert_eq!(links(plain, &["--network", "default"]), own);
    assert_eq!(links(plain, &["--network", "none", "--no-cache"]), "lo");
    assert!(is_host(&links(plain, &["--network", "host", "--no-cache"])));
    let step = "FROM busybox\nRUN --network=none ls /sys/class/net > /links\n";
    assert_eq!(links(step, &[]), "lo");
    assert_eq!(links(step, &["--network", "host", "--no-cache"]), "lo");
    let step = "FROM busybox\nRUN --network=host ls /sys/class/net > /links\n";
    assert!(is_host(&links(step, &["--allow", "network.host"])));
    let context = Context::new(step, &[]);
    context.build(&kista, &["--no-cache"]).fails(1, "network.host");
    let context = Context::new(plain, &[]);
    context
        .build(&kista, &["--network", "mine"])
        .fails(1, "network mode \"mine\" is not supported");
}

#[test]
fn a_killed_build_gives_its_addresses_back() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo runs; sleep 1000\n", &[]);
    let path = context.path().to_str().unwrap();
    let mut child = kista.command(&["build", "--progress", "plain", path]).spawn();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(" runs")));
    assert_eq!(leases(&kista), ["172.17.0.2"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let veths = || kista.host().output(&["ip", "-o", "link", "show", "type", "veth"]);
    wait_until("the namespace goes", || veths().is_empty().then_some(()));
    let found = kista.run(&["system", "check"]);
    assert!(found.stdout.contains("the step of a build"), "{}{}", found.stdout, found.stderr);
    let next = Context::new("FROM busybox\nRUN ip addr show eth0 > /address\n", &[]);
    next.build(&kista, &["-t", "next"]).ok();
    let address = kista.ok(&["run", "--rm", "next", "cat", "/address"]);
    assert!(address.contains("inet 172.17.0.2/16"), "{address}");
    assert_eq!(leases(&kista), [""; 0]);
    assert_eq!(kista.run(&["system", "check"]).code, 0);
}

/// The addresses that are somebody's.
fn leases(kista: &Kista) -> Vec<String> {
    let folder = kista.root().join("networks/bridge/leases");
    let names = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_step_of_another_network_or_with_other_hosts_is_another_one() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN cat /etc/hosts > /hosts\n", &[]);
    let is_cached = |flags: &[&str]| {
        let built = context.build(&kista, flags);
        assert_eq!(built.code, 0, "{}", built.stderr);
        // The base is in any case.
        built.stderr.matches("CACHED").count() == 2
    };
    assert!(!is_cached(&[]));
    assert!(is_cached(&[]));
    assert!(!is_cached(&["--add-host", "a:192.0.2.1"]));
    // Where a name leads may change from day to day.
    assert!(is_cached(&["--add-host", "a=192.0.2.2"]));
    assert!(!is_cached(&["--add-host", "b:192.0.2.1"]));
    assert!(!is_cached(&["--network", "none"]));
    assert!(is_cached(&["--network", "none"]));
    // A step that says it itself is the same, whatever the build says.
    let own = Context::new("FROM busybox\nRUN --network=none cat /etc/hosts > /hosts\n", &[]);
    let built = own.build(&kista, &[]);
    assert_eq!(built.stderr.matches("CACHED").count(), 2, "{}", built.stderr);
}
