//! The networks of ordinary users: pasta, and networks of one's own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use testkit::{Host, Image, Kista, User, audit, needs, wait_until};

use super::{kista, named};
use crate::idle;

/// One whose host is connected to another one, by which it reaches the world.
fn connected() -> (Kista, Host) {
    let kista = kista();
    let outside = Host::new().unwrap();
    kista.host().wire(
        &outside,
        "out0",
        &["10.9.0.1/24", "fd09::1/64"],
        &["10.9.0.2/24", "fd09::2/64"],
    );
    kista.host().output(&["ip", "route", "add", "default", "via", "10.9.0.2"]);
    kista.host().output(&["ip", "route", "add", "default", "via", "fd09::2"]);
    (kista, outside)
}

/// Answers one client; who it was.
fn answer(server: &TcpListener) -> String {
    use std::io::{Read, Write};
    let (mut stream, from) = server.accept().unwrap();
    let _ = stream.read(&mut [0; 1024]).unwrap();
    let answer = "HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nfrom outside";
    stream.write_all(answer.as_bytes()).unwrap();
    from.ip().to_string()
}

const SERVE: &str = "echo hello > /index.html; exec httpd -f -vv -p 80 -h /";

/// As a client asks; what it gets is retried, since a server takes a moment to come up.
fn fetch(host: &Host, url: &str) {
    wait_until(url, || {
        host.succeeds(&["wget", "-q", "-O", "-", "-T", "5", "-t", "1", url]).then_some(())
    });
}

#[test]
fn pasta_connects_and_the_container_sees_who_comes() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let (kista, outside) = connected();
    let ports = ["-p", "8080:80", "-p", "127.0.0.1:8081:80"];
    let run = [&["run", "-d", "--name", "web", "--network", "pasta"], &ports[..]].concat();
    kista.ok(&[&run[..], &["busybox", "sh", "-c", SERVE]].concat());
    for url in ["http://10.9.0.1:8080/", "http://[fd09::1]:8080/"] {
        fetch(&outside, url);
    }
    for url in ["http://127.0.0.1:8080/", "http://[::1]:8080/", "http://127.0.0.1:8081/"] {
        fetch(kista.host(), url);
    }
    let logs = kista.run(&["logs", "web"]);
    let logs = logs.stdout + &logs.stderr;
    assert!(logs.contains("10.9.0.2]") && logs.contains("[fd09::2]"), "{logs}");
    assert!(!outside.succeeds(&[
        "wget",
        "-q",
        "-O",
        "-",
        "-T",
        "1",
        "-t",
        "1",
        "http://10.9.0.1:8081/"
    ]));
    assert_eq!(kista.ok(&["port", "web", "80"]), "0.0.0.0:8080\n[::]:8080\n127.0.0.1:8081");
    let shown = kista.ok(&["ps", "--format", "{{.Ports}}"]);
    assert!(shown.starts_with("0.0.0.0:8080->80/tcp"), "{shown}");
    // And outwards, by its own name too.
    let server = outside.enter(|| TcpListener::bind("10.9.0.2:7000").unwrap());
    let asked = std::thread::spawn(move || answer(&server));
    assert_eq!(
        kista.ok(&["exec", "web", "wget", "-q", "-O", "-", "http://10.9.0.2:7000/"]),
        "from outside"
    );
    assert_eq!(asked.join().unwrap(), "10.9.0.1");
    let hosts = kista.ok(&["exec", "web", "sh", "-c", "grep $(hostname) /etc/hosts"]);
    assert!(hosts.starts_with("10.9.0.1\t"), "{hosts}");
    // A port is somebody's.
    let other =
        kista.run(&["run", "--rm", "--network", "pasta", "-p", "8080:80", "busybox", "true"]);
    other.fails(125, "port is already allocated");
    kista.ok(&["rm", "-f", "web"]);
    kista.host().enter(|| TcpListener::bind("0.0.0.0:8080").map(drop).unwrap());
}

#[test]
fn datagrams_are_published_too() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let (kista, outside) = connected();
    let run = ["run", "-d", "--name", "udp", "--network", "pasta", "-p", "5353:53/udp", "busybox"];
    kista.ok(&idle(&run));
    let inside = Host::of(&kista.format("{{.State.Pid}}", "udp"));
    let server = inside.enter(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    let socket = outside.enter(|| UdpSocket::bind("10.9.0.2:0").unwrap());
    let moment = Some(std::time::Duration::from_millis(200));
    server.set_read_timeout(moment).unwrap();
    socket.set_read_timeout(moment).unwrap();
    let mut buffer = [0; 16];
    let from = wait_until("a datagram", || {
        socket.send_to(b"ping", "10.9.0.1:5353").unwrap();
        server.recv_from(&mut buffer).ok().map(|(_, from)| from)
    });
    assert_eq!(from, socket.local_addr().unwrap());
    wait_until("an answer", || {
        server.send_to(b"pong", from).unwrap();
        socket.recv_from(&mut buffer).ok()
    });
    kista.ok(&["rm", "-f", "udp"]);
}

#[test]
fn nothing_of_pasta_outlives_its_container() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let (kista, _outside) = connected();
    let start = |name: &str| {
        let port = ["-p", "8192:80", "busybox", "sh", "-c", SERVE];
        let run = [&["run", "-d", "--name", name, "--network", "pasta"], &port[..]].concat();
        kista.ok(&run);
        fetch(kista.host(), "http://127.0.0.1:8192/");
    };
    // They have nothing of the test's but the port that no other test publishes.
    let running = |program: &str| {
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_it = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with(program) && line.contains("8192:80")
        };
        pids.filter(is_it).collect::<Vec<i32>>()
    };
    let pastas = || running("pasta").len();
    start("one");
    for pid in named(&kista, "kista-shim") {
        audit::kill(pid);
    }
    wait_until("pasta's end", || (pastas() == 0).then_some(()));
    assert_eq!(kista.format("{{.State.Status}}", "one"), "exited");
    // Whoever looks after pasta takes it along, and the container goes on.
    start("two");
    for pid in running("kista-uplink") {
        audit::kill(pid);
    }
    wait_until("pasta's end", || (pastas() == 0).then_some(()));
    assert_eq!(kista.ok(&["exec", "two", "cat", "/index.html"]), "hello");
    kista.ok(&["restart", "-t", "0", "two"]);
    fetch(kista.host(), "http://127.0.0.1:8192/");
    kista.ok(&["stop", "-t", "0", "two"]);
    wait_until("pasta's end", || (pastas() == 0).then_some(()));
    kista.ok(&["rm", "one", "two"]);
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
}

#[test]
fn without_pasta_or_a_way_out() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let kista = kista();
    let run = ["run", "--rm", "--network", "pasta", "busybox"];
    let out = kista.run(&[&run[..], &["ip", "-o", "link"]].concat());
    assert!(out.stderr.contains("no way out"), "{}", out.stderr);
    assert_eq!((out.code, out.stdout.lines().count()), (0, 1), "{}", out.stdout);
    let kista = Kista::of(User::new().without("/usr/bin/pasta"));
    kista.load(&Image::busybox("busybox"));
    kista.run(&[&run[..], &["true"]].concat()).fails(125, "install the package passt");
    // It is what a user's containers have that name none.
    let out =
        kista.command(&["run", "--rm", "busybox", "true"]).env("KISTA_CONFIG", "/nonexistent");
    out.run().fails(125, "install the package passt");
}

#[test]
fn who_may_not_open_tun_has_containers_all_the_same() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let kista = Kista::of(User::new().without_tun());
    kista.load(&Image::busybox("busybox"));
    let outside = Host::new().unwrap();
    kista.host().wire(&outside, "out0", &["10.9.0.1/24"], &["10.9.0.2/24"]);
    kista.host().output(&["ip", "route", "add", "default", "via", "10.9.0.2"]);
    // It is what a user's containers have that name no network.
    let run = ["run", "--rm", "--name", "one", "busybox", "true"];
    let out = kista.command(&run).env("KISTA_CONFIG", "/nonexistent").run();
    out.fails(125, "this user may not open /dev/net/tun");
    for part in ["chmod 666", "--network none or host", "Permission denied"] {
        assert!(out.stderr.contains(part), "{part}: {}", out.stderr);
    }
    kista.run(&["network", "create", "front"]).fails(1, "this user may not open /dev/net/tun");
    assert_eq!(kista.ok(&["network", "ls", "-q", "--filter", "type=custom"]), "");
    for (network, links) in [("none", 1), ("host", 2)] {
        let run = ["run", "--rm", "--network", network, "busybox", "ip", "-o", "link"];
        let shown = kista.ok(&run);
        assert_eq!(shown.lines().count(), links, "{network}: {shown}");
    }
    // Nothing is left of the one that did not come to be.
    assert_eq!(kista.ok(&["ps", "-aq"]), "");
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
}

/// What a container is told by a server at this address.
fn get(kista: &Kista, name: &str, address: &str) -> Option<String> {
    use std::io::{Read, Write};
    let address: SocketAddr = address.parse().unwrap();
    let patience = std::time::Duration::from_secs(3);
    Host::of(&kista.format("{{.State.Pid}}", name)).enter(|| {
        let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.lines().last().map(str::to_owned)
    })
}

/// What a container gets from `web` in network `front`, whose address it asks the resolver for.
fn ask_web(kista: &Kista, name: &str) -> Option<String> {
    let address = kista.format("{{.NetworkSettings.Networks.front.IPAddress}}", "web");
    let looked = kista.run(&["exec", name, "nslookup", "-type=a", "web"]);
    match looked.stdout.contains(&format!("Address: {address}")) {
        true => get(kista, name, &format!("{address}:80")),
        false => None,
    }
}

/// Those who keep the user's network: one, and its child that waits for the last member.
fn holders_of_networks(kista: &Kista) -> Vec<i32> {
    named(kista, "kista-network")
}

#[test]
fn networks_of_ones_own() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let (kista, outside) = connected();
    kista.ok(&["network", "create", "--ipv6", "front"]);
    kista.ok(&["network", "create", "back"]);
    let web = ["run", "-d", "--name", "web", "--network", "front", "-p", "8080:80", "busybox"];
    kista.ok(&[&web[..], &["sh", "-c", SERVE]].concat());
    kista.ok(&idle(&["run", "-d", "--name", "db", "--network", "back", "busybox"]));
    kista.ok(&idle(&["run", "-d", "--name", "client", "--network", "front", "busybox"]));
    let hello = Some("hello".to_owned());
    assert_eq!(ask_web(&kista, "client"), hello);
    assert_eq!(ask_web(&kista, "db"), None, "another network");
    kista.ok(&["network", "connect", "front", "db"]);
    assert_eq!(ask_web(&kista, "db"), hello);
    kista.ok(&["network", "disconnect", "front", "db"]);
    assert_eq!(ask_web(&kista, "db"), None);
    // From outside, and to it.
    fetch(&outside, "http://10.9.0.1:8080/");
    fetch(kista.host(), "http://127.0.0.1:8080/");
    let server = outside.enter(|| TcpListener::bind("10.9.0.2:7000").unwrap());
    let asked = std::thread::spawn(move || answer(&server));
    assert_eq!(get(&kista, "client", "10.9.0.2:7000").as_deref(), Some("from outside"));
    assert_eq!(asked.join().unwrap(), "10.9.0.1");
    // The host has nothing of it.
    let links = kista.host().output(&["ip", "-o", "link"]);
    assert_eq!(links.lines().count(), 2, "{links}");
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
    kista.ok(&["rm", "-f", "web", "db", "client"]);
    kista.ok(&["network", "rm", "front", "back"]);
    wait_until("the network's end", || holders_of_networks(&kista).is_empty().then_some(()));
    kista.host().enter(|| TcpListener::bind("0.0.0.0:8080").map(drop).unwrap());
}

#[test]
fn a_container_in_a_network_sees_who_comes() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let (kista, outside) = connected();
    kista.ok(&[
        "network",
        "create",
        "--ipv6",
        "--subnet",
        "10.7.0.0/24",
        "--subnet",
        "fd07::/64",
        "n",
    ]);
    let run =
        ["run", "-d", "--name", "web", "--network", "n", "-p", "8080:80", "-p", "5353:53/udp"];
    kista.ok(&idle(&[&run[..], &["busybox"]].concat()));
    let inside = Host::of(&kista.format("{{.State.Pid}}", "web"));
    let listener = inside.enter(|| TcpListener::bind("[::]:80").unwrap());
    let peer_of = |from: &Host, own: &str, to: &str| {
        let (own, to): (SocketAddr, SocketAddr) = (own.parse().unwrap(), to.parse().unwrap());
        let mut near = from.enter(|| {
            let socket = bound(own);
            rustix::net::connect(&socket, &to).unwrap();
            TcpStream::from(socket)
        });
        let (mut far, peer) = listener.accept().unwrap();
        // More than one piece, in both directions.
        let bytes = vec![7; 300_000];
        exchange(&mut near, &mut far, &bytes);
        exchange(&mut far, &mut near, &bytes);
        // The one who connected closes last, so that its port is free at once.
        drop(far);
        assert_eq!(std::io::Read::read(&mut near, &mut [0]).unwrap(), 0);
        SocketAddr::new(peer.ip().to_canonical(), peer.port())
    };
    // Its port as well.
    for (own, to) in [("10.9.0.2:4001", "10.9.0.1:8080"), ("[fd09::2]:4002", "[fd09::1]:8080")] {
        assert_eq!(peer_of(&outside, own, to), own.parse().unwrap());
    }
    // A connection that has just ended keeps that from the next one, and nothing else.
    let again = peer_of(&outside, "10.9.0.2:4001", "10.9.0.1:8080");
    assert_eq!(again.ip().to_string(), "10.9.0.2");
    // The host itself, by its address; and by its loopback, where there is nobody to be seen.
    let own = peer_of(kista.host(), "10.9.0.1:4003", "10.9.0.1:8080");
    assert_eq!(own.ip().to_string(), "10.9.0.1");
    let own = peer_of(kista.host(), "127.0.0.1:4004", "127.0.0.1:8080");
    assert_eq!(own.ip().to_string(), "10.7.0.1");
    // One whom the container would look for on its own wire.
    outside.output(&["ip", "address", "add", "10.7.0.9/32", "dev", "out0"]);
    kista.host().output(&["ip", "route", "add", "10.7.0.9/32", "via", "10.9.0.2"]);
    let own = peer_of(&outside, "10.7.0.9:4005", "10.9.0.1:8080");
    assert_eq!(own.ip().to_string(), "10.7.0.1");
    // Datagrams.
    let server = inside.enter(|| UdpSocket::bind("[::]:53").unwrap());
    let moment = Some(std::time::Duration::from_millis(200));
    server.set_read_timeout(moment).unwrap();
    for (own, to) in [("10.9.0.2:4006", "10.9.0.1:5353"), ("[fd09::2]:4007", "[fd09::1]:5353")] {
        let socket = outside.enter(|| UdpSocket::bind(own).unwrap());
        socket.set_read_timeout(moment).unwrap();
        let mut buffer = [0; 16];
        let from = wait_until("a datagram", || {
            socket.send_to(b"ping", to).unwrap();
            server.recv_from(&mut buffer).ok().map(|(_, from)| from)
        });
        let canonical = SocketAddr::new(from.ip().to_canonical(), from.port());
        assert_eq!(canonical, own.parse().unwrap());
        wait_until("an answer", || {
            server.send_to(b"pong", from).unwrap();
            socket.recv_from(&mut buffer).ok()
        });
    }
    // What the container asks for itself goes out, to the same host.
    let server = outside.enter(|| TcpListener::bind("10.9.0.2:7000").unwrap());
    let asked = std::thread::spawn(move || answer(&server));
    assert_eq!(get(&kista, "web", "10.9.0.2:7000").as_deref(), Some("from outside"));
    assert_eq!(asked.join().unwrap(), "10.9.0.1");
    kista.ok(&["rm", "-f", "web"]);
    kista.ok(&["network", "rm", "n"]);
}

/// A socket of TCP with an address and a port of its own.
fn bound(own: SocketAddr) -> OwnedFd {
    use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt::set_socket_reuseaddr};
    let family = if own.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    set_socket_reuseaddr(&socket, true).unwrap();
    bind(&socket, &own).unwrap();
    socket
}

/// Sends bytes from one end, and has the other get them.
fn exchange(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    use std::io::{Read, Write};
    to.set_read_timeout(Some(testkit::PATIENCE)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(bytes).unwrap());
        let mut got = vec![0; bytes.len()];
        to.read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
    });
}

#[test]
fn a_network_outlives_whoever_is_killed() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let (kista, outside) = connected();
    kista.ok(&["network", "create", "front"]);
    let web = ["run", "-d", "--name", "web", "--network", "front", "-p", "8080:80", "busybox"];
    kista.ok(&[&web[..], &["sh", "-c", SERVE]].concat());
    fetch(&outside, "http://10.9.0.1:8080/");
    for pid in holders_of_networks(&kista) {
        audit::kill(pid);
    }
    wait_until("the holder's end", || holders_of_networks(&kista).is_empty().then_some(()));
    fetch(&outside, "http://10.9.0.1:8080/");
    let client = idle(&["run", "-d", "--name", "client", "--network", "front", "busybox"]);
    let hello = Some("hello".to_owned());
    kista.ok(&client);
    assert_eq!(ask_web(&kista, "client"), hello);
    assert_eq!(holders_of_networks(&kista).len(), 2);
    // Shims and holders together: nothing is left, and everything can be had anew.
    for pid in named(&kista, "kista-") {
        audit::kill(pid);
    }
    wait_until("their end", || named(&kista, "kista-").is_empty().then_some(()));
    assert_eq!(kista.ok(&["ps", "-q"]), "");
    kista.ok(&["start", "web", "client"]);
    fetch(&outside, "http://10.9.0.1:8080/");
    assert_eq!(ask_web(&kista, "client"), hello);
    kista.ok(&["rm", "-f", "web", "client"]);
    kista.ok(&["network", "rm", "front"]);
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
}

#[test]
fn commands_of_builds_are_in_the_users_network() {
    needs!(Root, Busybox, Uidmap, Pasta);
    let (kista, _outside) = connected();
    let context = tempfile::tempdir().unwrap();
    let dockerfile = "FROM busybox\nRUN ip route > /routes\n\
        CMD [\"grep\", \"default\", \"/routes\"]\n";
    fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    fs::set_permissions(context.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let build = ["build", "--quiet", "-t", "built", context.path().to_str().unwrap()];
    kista.command(&build).env("KISTA_CONFIG", "/nonexistent").run().ok();
    let route = kista.ok(&["run", "--rm", "built"]);
    assert!(route.starts_with("default via 172.17.0.1"), "{route}");
    wait_until("the network's end", || holders_of_networks(&kista).is_empty().then_some(()));
}

#[test]
fn root_of_a_network_of_its_own_has_bridges_there() {
    needs!(Root, Busybox, Uidmap);
    let user = User::new();
    let archive = user.home().join("image.tar");
    fs::write(&archive, Image::busybox("busybox").docker_archive()).unwrap();
    fs::set_permissions(&archive, PermissionsExt::from_mode(0o644)).unwrap();
    // As in a container of another engine that has ids and a network of its own.
    let script = "/bin/busybox ip link set lo up; kista=\"$0 --root $1/data\"; \
        $kista load -q -i $1/image.tar >/dev/null; \
        $kista run --rm busybox ip -o -4 address show eth0; /bin/busybox ip -o link";
    let (program, home) = (user.oci_runtime(), user.home());
    let own = program.with_file_name("kista").display().to_string();
    let words =
        ["unshare", "--map-root-user", "--map-auto", "--net", "--mount", "sh", "-c", script];
    let words = [&words[..], &[own.as_str(), home.to_str().unwrap()]].concat();
    let mut command = user.beside(&testkit::program(), &words);
    let output = command.env("HOME", &home).env_remove("KISTA_CONFIG").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("172.17.0.2/16") && text.contains("kista-"), "{text}");
}
