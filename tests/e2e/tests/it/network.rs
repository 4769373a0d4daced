//! Networks: who reaches whom, by which address and by which name.
//!
//! Each test has a host of its own ([`testkit::Host`]), and where it needs an outside world, a
//! second one at the other end of a wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use testkit::{Host, Kista, PATIENCE, needs, wait_until};

const SERVER: &str = "mkdir -p /www && echo hello >/www/index.html && exec httpd -f -p 80 -h /www";

/// Starts a web server in a container.
fn serve(kista: &Kista, name: &str, more: &[&str]) {
    let mut words = vec!["run", "-d", "--name", name];
    words.extend(more);
    words.extend(["busybox", "sh", "-c", SERVER]);
    kista.ok(&words);
}

/// What a web server says, from a host; waits until it listens.
#[track_caller]
fn fetch(host: &Host, address: &str) -> String {
    wait_until(&format!("{address} answers"), || try_fetch(host, address))
}

fn try_fetch(host: &Host, address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    host.enter(|| {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.ends_with("hello\n").then(|| "hello".to_owned())
    })
}

/// Fetches from within a container, once.
fn fetch_inside(kista: &Kista, more: &[&str], url: &str) -> testkit::Output {
    let mut words = vec!["run", "--rm"];
    words.extend(more);
    let script = format!("timeout 3 wget -qO- {url}; exit $?");
    words.extend(["busybox", "sh", "-c", &script]);
    kista.run(&words)
}

fn address_of(kista: &Kista, name: &str) -> String {
    kista.format("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", name).trim().into()
}

/// The world outside: a host at 192.0.2.9 that sends what it has for others to ours, 192.0.2.1.
fn outside(kista: &Kista) -> Host {
    let outside = Host::new().unwrap();
    kista.host().wire(
        &outside,
        "up0",
        &["192.0.2.1/24", "2001:db8::1/64"],
        &["192.0.2.9/24", "2001:db8::9/64"],
    );
    outside
}

#[test]
fn a_container_has_an_address_a_route_and_names_for_itself() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "ip addr show eth0; ip route; cat /etc/hosts; hostname";
    let out = kista.ok(&["run", "--rm", "--hostname", "box", "busybox", "sh", "-c", script]);
    for part in [
        "inet 172.17.0.2/16 ",
        "link/ether 02:42:ac:11:00:02",
        "default via 172.17.0.1 dev eth0",
        "172.17.0.2\tbox",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    // Only IPv4, and nothing that could be mistaken for more (CVE-2024-32473).
    let six = kista.ok(&["run", "--rm", "busybox", "sh", "-c", "cat /proc/net/if_inet6"]);
    assert!(six.lines().all(|line| line.ends_with(" lo")), "{six}");
}

#[test]
fn containers_of_one_network_reach_each_other_and_others_do_not() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    serve(&kista, "web", &[]);
    kista.ok(&["network", "create", "other"]);
    let address = address_of(&kista, "web");
    let url = format!("http://{address}/");
    fetch(kista.host(), &format!("{address}:80"));
    assert_eq!(fetch_inside(&kista, &[], &url).ok(), "hello");
    assert_ne!(fetch_inside(&kista, &["--network", "other"], &url).code, 0);
    assert_ne!(fetch_inside(&kista, &["--network", "none"], &url).code, 0);
    assert_eq!(fetch_inside(&kista, &["--network", "host"], &url).ok(), "hello");
    assert_eq!(
        fetch_inside(&kista, &["--network", "container:web"], "http://127.0.0.1/").ok(),
        "hello"
    );
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    kista.ok(&["network", "create", "one"]);
    kista.ok(&["network", "create", "two"]);
    serve(&kista, "web", &["--network", "one", "-p", "8080:80"]);
    for address in
        ["127.0.0.1:8080", "[::1]:8080", "192.0.2.1:8080", "[2001:db8::1]:8080", "172.18.0.1:8080"]
    {
        assert_eq!(fetch(kista.host(), address), "hello", "{address}");
    }
    assert_eq!(fetch(&outside, "192.0.2.1:8080"), "hello");
    assert_eq!(fetch(&outside, "[2001:db8::1]:8080"), "hello");
    // From containers of the same network, of another and of the default one, and from itself.
    for network in ["one", "two", "bridge"] {
        let url = "http://192.0.2.1:8080/";
        assert_eq!(fetch_inside(&kista, &["--network", network], url).ok(), "hello", "{network}");
    }
    let own = kista.ok(&["exec", "web", "timeout", "9", "wget", "-qO-", "http://192.0.2.1:8080/"]);
    assert_eq!(own, "hello");
    assert_eq!(kista.ok(&["port", "web", "80"]), "0.0.0.0:8080\n[::]:8080");
    let shown = kista.ok(&["ps", "--format", "{{.Ports}}"]);
    assert_eq!(shown, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    kista.ok(&["rm", "-f", "web"]);
    for address in ["127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(try_fetch(kista.host(), address), None, "{address}");
    }
}

#[test]
fn the_source_of_a_connection_is_the_client() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    let script = "exec nc -ll -p 7 -e sh -c 'netstat -tn | grep :7'";
    kista.ok(&["run", "-d", "--name", "who", "-p", "7:7", "busybox", "sh", "-c", script]);
    let address: SocketAddr = "192.0.2.1:7".parse().unwrap();
    let seen = wait_until("somebody listens", || {
        outside.enter(|| {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).ok().filter(|count| *count > 0)?;
            Some(text)
        })
    });
    assert!(seen.contains("192.0.2.9:"), "{seen}");
}

#[test]
fn only_published_ports_are_open_to_the_outside() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    outside.output(&["ip", "route", "add", "172.17.0.0/16", "via", "192.0.2.1"]);
    serve(&kista, "web", &["-p", "127.0.0.1:8080:80"]);
    assert_eq!(fetch(kista.host(), "127.0.0.1:8080"), "hello");
    assert_eq!(try_fetch(&outside, "172.17.0.2:80"), None);
    assert_eq!(try_fetch(&outside, "192.0.2.1:8080"), None);
    // What is on the host's loopback stays there, although the bridge lets 127.0.0.0/8 pass now for
    // the host itself (CVE-2020-8558).
    let local = kista.host().enter(|| TcpListener::bind("127.0.0.1:9999").unwrap());
    let inside = Host::of(&kista.format("{{.State.Pid}}", "web"));
    inside.enter(|| std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap());
    inside.output(&["ip", "address", "del", "127.0.0.1/8", "dev", "lo"]);
    inside.output(&["ip", "route", "add", "127.0.0.1/32", "via", "172.17.0.1", "dev", "eth0"]);
    let address: SocketAddr = "127.0.0.1:9999".parse().unwrap();
    let reached =
        inside.enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
    assert!(!reached, "a container reached the host's loopback");
    drop(local);
}

#[test]
fn transit_is_nobodys_business() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    // A port of another host is not ours, whatever is published (CVE-2025-67499).
    kista.ok(&["run", "-d", "--name", "dns", "-p", "53:53/udp", "busybox", "sleep", "1000"]);
    let far = outside.enter(|| UdpSocket::bind("192.0.2.9:53").unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let inside = Host::of(&kista.format("{{.State.Pid}}", "dns"));
    let near = inside.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    near.send_to(b"question", "192.0.2.9:53").unwrap();
    let mut buffer = [0; 64];
    let (count, sender) = far.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"question");
    // Containers go out under the host's address.
    assert_eq!(sender.ip().to_string(), "192.0.2.1");
}

#[test]
fn udp_and_ranges_are_published() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    kista.ok(&["run", "-d", "--name", "echo", "-p", "5000:5000/udp", "busybox", "sleep", "1000"]);
    let inside = Host::of(&kista.format("{{.State.Pid}}", "echo"));
    let server = inside.enter(|| UdpSocket::bind("0.0.0.0:5000").unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    for (host, address, source) in [
        (kista.host(), "127.0.0.1:5000", "172.17.0.1"),
        (kista.host(), "[::1]:5000", "172.17.0.1"),
        (&outside, "[2001:db8::1]:5000", "172.17.0.1"),
        (&outside, "192.0.2.1:5000", "192.0.2.9"),
    ] {
        let client = host.enter(|| {
            let local = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(local).unwrap();
            socket.connect(address).unwrap();
            socket
        });
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 9000];
        for length in [4, 8000] {
            client.send(&vec![7; length]).unwrap();
            let (count, sender) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((count, sender.ip().to_string().as_str()), (length, source), "{address}");
            server.send_to(&buffer[..count], sender).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), length, "{address}");
        }
    }
    // A client that goes on sending from one port reaches who has the published port now.
    let client = outside.enter(|| UdpSocket::bind("0.0.0.0:7777").unwrap());
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"one", "192.0.2.1:5000").unwrap();
    let mut buffer = [0; 16];
    server.recv_from(&mut buffer).unwrap();
    drop(server);
    kista.ok(&["rm", "-f", "echo"]);
    client.send_to(b"lost", "192.0.2.1:5000").unwrap();
    let hold = ["run", "-d", "--name", "hold", "busybox", "sleep", "1000"];
    kista.ok(&hold);
    kista.ok(&["run", "-d", "--name", "echo", "-p", "5000:5000/udp", "busybox", "sleep", "1000"]);
    let inside = Host::of(&kista.format("{{.State.Pid}}", "echo"));
    let server = inside.enter(|| UdpSocket::bind("0.0.0.0:5000").unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"two", "192.0.2.1:5000").unwrap();
    let (count, _) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"two");
    serve(&kista, "web", &["-p", "8080-8082:80-82", "-p", "9000-9009:80", "-p", "80"]);
    let ports = kista.ok(&["port", "web"]);
    for part in ["80/tcp -> 0.0.0.0:8080", "82/tcp -> 0.0.0.0:8082", "80/tcp -> 0.0.0.0:9000"] {
        assert!(ports.contains(part), "{ports}");
    }
    assert_eq!(fetch(kista.host(), "127.0.0.1:9000"), "hello");
    let free = ports
        .lines()
        .filter_map(|line| line.strip_prefix("80/tcp -> 0.0.0.0:"))
        .find(|port| !matches!(*port, "8080" | "9000"))
        .unwrap();
    assert_eq!(fetch(kista.host(), &format!("127.0.0.1:{free}")), "hello");
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_starts() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    serve(&kista, "web", &["-p", "8080:80"]);
    let out = kista.run(&["run", "--name", "late", "-p", "8080:80", "busybox", "true"]);
    out.fails(125, "Bind for 0.0.0.0:8080 failed: port is already allocated");
    let listener = kista.host().enter(|| TcpListener::bind("127.0.0.1:9090").unwrap());
    kista.run(&["run", "--rm", "-p", "9090:80", "busybox", "true"]).fails(125, "already allocated");
    kista
        .run(&["run", "--rm", "-p", "192.0.2.77:80:80", "busybox", "true"])
        .fails(125, "this host does not have the address 192.0.2.77");
    // And the other way round: nobody else gets ours.
    assert!(kista.host().enter(|| TcpListener::bind("0.0.0.0:8080").is_err()));
    // The first one is as it was, and nothing is left of the others.
    assert_eq!(fetch(kista.host(), "127.0.0.1:8080"), "hello");
    drop(listener);
    kista.ok(&["rm", "-f", "web"]);
    kista.ok(&["start", "-a", "late"]);
    assert_eq!(kista.ok(&["run", "--rm", "-p", "9090:80", "busybox", "echo", "free"]), "free");
}

#[test]
fn names_lead_to_containers_and_follow_them() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "net"]);
    serve(&kista, "web", &["--network", "net", "--network-alias", "www"]);
    kista.ok(&["run", "-d", "--name", "ask", "--network", "net", "busybox", "sleep", "1000"]);
    let id = kista.format("{{.Id}}", "web");
    let resolve = |name: &str| {
        let out = kista.run(&["exec", "ask", "nslookup", name]);
        let mut found: Vec<String> = out
            .stdout
            .lines()
            .skip(2)
            .filter_map(|line| line.strip_prefix("Address: "))
            .map(str::to_owned)
            .collect();
        found.sort();
        found
    };
    for name in ["web", "WEB", "www", &id[..12], "web.net"] {
        assert_eq!(resolve(name), ["172.18.0.2"], "{name}");
    }
    let reverse = kista.ok(&["exec", "ask", "nslookup", "172.18.0.2"]);
    assert!(reverse.contains("name = web.net"), "{reverse}");
    // Several under one name.
    kista.ok(&[
        "run",
        "-d",
        "--name",
        "web2",
        "--network",
        "net",
        "--network-alias",
        "www",
        "busybox",
        "sleep",
        "1000",
    ]);
    assert_eq!(resolve("www"), ["172.18.0.2", "172.18.0.4"]);
    kista.ok(&["rename", "web2", "other"]);
    assert_eq!((resolve("other"), resolve("web2")), (vec!["172.18.0.4".to_owned()], vec![]));
    kista.ok(&["stop", "-t", "0", "other"]);
    assert_eq!(resolve("www"), ["172.18.0.2"]);
    // Another network knows nothing of them.
    kista.ok(&["network", "create", "apart"]);
    let out = kista.run(&["run", "--rm", "--network", "apart", "busybox", "nslookup", "web"]);
    assert_ne!(out.code, 0, "{}", out.stdout);
    // A container can have a name server of its own, on every address.
    let own = "nc -l -p 53 & sleep 0.2; netstat -tln | grep -c ':53 '";
    let out = kista.ok(&["run", "--rm", "--network", "net", "busybox", "sh", "-c", own]);
    assert_eq!(out, "1");
}

#[test]
fn other_names_are_asked_for_at_the_hosts_servers() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "net"]);
    kista.ok(&["network", "create", "--internal", "inner"]);
    // A server on the host's own loopback, as systemd-resolved is one.
    let server = kista.host().enter(|| UdpSocket::bind("127.0.0.53:53").unwrap());
    server.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let ask = |network: &str| {
        let words = ["run", "--rm", "--network", network, "--dns", "127.0.0.53", "busybox"];
        kista.command(&[&words[..], &["nslookup", "-type=a", "example.com"]].concat()).spawn()
    };
    let asking = ask("net");
    let mut buffer = [0; 512];
    let (count, asker) = server.recv_from(&mut buffer).unwrap();
    assert!(buffer[..count].windows(7).any(|part| part == b"example"));
    let mut answer = buffer[..count].to_vec();
    // It is an answer with one record: 192.0.2.55.
    answer[2] |= 0x80;
    answer[7] = 1;
    answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 55]);
    server.send_to(&answer, asker).unwrap();
    let out = asking.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&out.stdout);
    assert!(out.contains("192.0.2.55"), "{out}");
    // From a network without a way out, a question would be one (CVE-2024-29018).
    let asking = ask("inner");
    let out = asking.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("NXDOMAIN"), "{out:?}");
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(server.recv_from(&mut buffer).is_err(), "the question got out");
}

#[test]
fn an_internal_network_has_no_way_out_and_icc_can_be_turned_off() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    outside.output(&["ip", "route", "add", "default", "via", "192.0.2.1"]);
    let listener = outside.enter(|| TcpListener::bind("192.0.2.9:80").unwrap());
    kista.ok(&["network", "create", "--internal", "inner"]);
    let option = "com.docker.network.bridge.enable_icc=false";
    kista.ok(&["network", "create", "-o", option, "apart"]);
    let reach = |network: &str, address: &str, is_expected: bool| {
        let id = kista.ok(&["run", "-d", "--rm", "--network", network, "busybox", "sleep", "1000"]);
        let inside = Host::of(&kista.format("{{.State.Pid}}", &id));
        let address: SocketAddr = address.parse().unwrap();
        // A first packet may get lost on a busy machine, and its second try takes a second.
        let patience = if is_expected { PATIENCE } else { Duration::from_secs(1) };
        let reached = inside.enter(|| TcpStream::connect_timeout(&address, patience).is_ok());
        kista.ok(&["rm", "-f", &id]);
        reached
    };
    assert!(!reach("inner", "192.0.2.9:80", false));
    assert!(reach("apart", "192.0.2.9:80", true));
    for (network, name, is_reached) in [("inner", "in", true), ("apart", "alone", false)] {
        serve(&kista, name, &["--network", network]);
        let address = format!("{}:80", address_of(&kista, name));
        fetch(kista.host(), &address);
        assert_eq!(reach(network, &address, is_reached), is_reached, "{network}");
    }
    drop(listener);
}

#[test]
fn a_namespace_that_outlives_its_container_keeps_no_address() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    serve(&kista, "first", &[]);
    let address = format!("{}:80", address_of(&kista, "first"));
    fetch(kista.host(), &address);
    // It stays, listening or not, as long as anybody is in it.
    let held = Host::of(&kista.format("{{.State.Pid}}", "first"));
    kista.ok(&["rm", "-f", "first"]);
    serve(&kista, "second", &[]);
    assert_eq!(format!("{}:80", address_of(&kista, "second")), address);
    fetch(kista.host(), &address);
    let url = format!("http://{address}/");
    for _ in 0..5 {
        let out = fetch_inside(&kista, &[], &url);
        assert_eq!((out.code, out.stdout.as_str()), (0, "hello\n"), "{}", out.stderr);
    }
    drop(held);
}

#[test]
fn ipv6_works_where_it_is_asked_for() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    kista.ok(&["network", "create", "--ipv6", "--subnet", "fd00:9::/64", "six"]);
    let out = kista.ok(&[
        "run",
        "--rm",
        "--network",
        "six",
        "busybox",
        "sh",
        "-c",
        "ip -6 addr show eth0; ip -6 route",
    ]);
    for part in ["inet6 fd00:9::2/64", "default via fd00:9::1"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let script = "mkdir /www && echo hello >/www/index.html && exec httpd -f -p [::]:80 -h /www";
    kista.ok(&[
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "six",
        "-p",
        "8080:80",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    for (host, address) in [
        (kista.host(), "[fd00:9::2]:80"),
        (kista.host(), "[2001:db8::1]:8080"),
        (kista.host(), "[::1]:8080"),
        (kista.host(), "127.0.0.1:8080"),
        (&outside, "[2001:db8::1]:8080"),
        (&outside, "192.0.2.1:8080"),
    ] {
        assert_eq!(fetch(host, address), "hello", "{address}");
    }
    let url = "http://web/";
    assert_eq!(fetch_inside(&kista, &["--network", "six"], url).ok(), "hello");
    assert_eq!(try_fetch(&outside, "[fd00:9::2]:80"), None);
}

#[test]
fn a_container_with_ids_of_its_own_has_networks_too() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    if kista.run(&["run", "--rm", "--userns", "auto", "busybox", "true"]).code != 0 {
        // A kernel without id-mapped overlays: it says so, which another test asks for.
        return;
    }
    kista.ok(&["network", "create", "net"]);
    serve(&kista, "web", &["--userns", "auto", "--network", "net", "-p", "8080:80"]);
    assert_eq!(fetch(kista.host(), "127.0.0.1:8080"), "hello");
    assert_eq!(fetch_inside(&kista, &["--network", "net"], "http://web/").ok(), "hello");
    let own = ["run", "--rm", "--userns", "auto", "--network", "net", "busybox"];
    assert_eq!(kista.ok(&[&own[..], &["wget", "-qO-", "http://web/"]].concat()), "hello");
}

#[test]
fn containers_are_connected_and_disconnected_while_they_run() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "--subnet", "10.77.0.0/24", "back"]);
    serve(&kista, "web", &[]);
    fetch(kista.host(), &format!("{}:80", address_of(&kista, "web")));
    kista.ok(&["network", "connect", "--ip", "10.77.0.50", "--alias", "www", "back", "web"]);
    assert_eq!(fetch_inside(&kista, &["--network", "back"], "http://www/").ok(), "hello");
    assert_eq!(fetch(kista.host(), "10.77.0.50:80"), "hello");
    let addresses = kista.ok(&["exec", "web", "ip", "-o", "-4", "addr"]);
    assert!(addresses.contains("eth1") && addresses.contains("10.77.0.50/24"), "{addresses}");
    assert!(kista.ok(&["exec", "web", "cat", "/etc/hosts"]).contains("10.77.0.50\t"));
    kista.run(&["network", "connect", "back", "web"]).fails(1, "already exists in network back");
    kista.run(&["network", "rm", "back"]).fails(1, "has active endpoints");
    // It stays over a restart, address and all.
    kista.ok(&["restart", "-t", "0", "web"]);
    assert_eq!(fetch(kista.host(), "10.77.0.50:80"), "hello");
    kista.ok(&["network", "disconnect", "bridge", "web"]);
    let routes = kista.ok(&["exec", "web", "ip", "route"]);
    assert!(routes.contains("default via 10.77.0.1"), "{routes}");
    kista.ok(&["network", "disconnect", "back", "web"]);
    assert_eq!(kista.ok(&["exec", "web", "ip", "route"]), "");
    kista.run(&["network", "disconnect", "back", "web"]).fails(1, "is not connected");
    kista.ok(&["network", "rm", "back"]);
    assert_eq!(kista.host().output(&["ip", "-o", "link", "show", "type", "veth"]), "");
}

#[test]
fn the_highest_priority_gives_the_default_route() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "--subnet", "10.1.0.0/24", "one"]);
    kista.ok(&["network", "create", "--subnet", "10.2.0.0/24", "two"]);
    let second = "name=two,gw-priority=5,ip=10.2.0.7,mac-address=02:42:0a:02:00:99";
    let words = ["run", "--rm", "--network", "one", "--network", second, "busybox", "sh", "-c"];
    let out = kista.ok(&[&words[..], &["ip route; ip addr"]].concat());
    for part in [
        "default via 10.2.0.1 dev eth0",
        "inet 10.2.0.7/24",
        "02:42:0a:02:00:99",
        "inet 10.1.0.2/24",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn addresses_are_given_once_and_said_when_there_are_none() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "--subnet", "10.3.0.0/29", "small"]);
    for name in ["c1", "c2", "c3", "c4", "c5"] {
        kista.ok(&["run", "-d", "--name", name, "--network", "small", "busybox", "sleep", "1000"]);
    }
    let mut addresses: Vec<String> =
        ["c1", "c2", "c3", "c4", "c5"].iter().map(|name| address_of(&kista, name)).collect();
    addresses.dedup();
    assert_eq!(addresses.len(), 5);
    let sixth = ["run", "--rm", "--network", "small", "busybox", "true"];
    kista.run(&sixth).fails(125, "network small's pool 10.3.0.0/29: all are in use");
    kista
        .run(&["run", "--rm", "--network", "small", "--ip", "10.3.0.2", "busybox", "true"])
        .fails(125, "Address already in use: 10.3.0.2");
    kista.ok(&["rm", "-f", "c1"]);
    kista.ok(&sixth);
    kista
        .run(&["run", "--rm", "--ip", "172.17.0.9", "busybox", "true"])
        .fails(125, "user specified IP address is supported on user defined networks only");
    kista
        .run(&["run", "--rm", "--network", "nowhere", "busybox", "true"])
        .fails(125, "network nowhere not found");
    kista
        .run(&["network", "create", "--subnet", "10.3.0.0/24", "again"])
        .fails(1, "Pool overlaps with other one");
}

#[test]
fn a_subnet_keeps_off_the_hosts_routes() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let _outside = outside(&kista);
    kista.host().output(&["ip", "route", "add", "172.17.0.0/17", "via", "192.0.2.9"]);
    kista.host().output(&["ip", "address", "add", "172.19.4.4/30", "dev", "up0"]);
    kista.ok(&["network", "create", "one"]);
    let subnet = |name: &str| {
        kista.ok(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", name])
    };
    assert_eq!((subnet("bridge"), subnet("one")), ("172.18.0.0/16".into(), "172.20.0.0/16".into()));
}

#[test]
fn what_is_flushed_comes_back_with_the_next_command() {
    needs!(Root, Busybox, Nftables);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    serve(&kista, "web", &["-p", "192.0.2.1:8080:80"]);
    assert_eq!(fetch(&outside, "192.0.2.1:8080"), "hello");
    // Another's table stays as it is.
    kista.host().output(&["nft", "add", "table", "inet", "theirs"]);
    for damage in ["delete table inet", "flush table inet"] {
        let table = kista.host().output(&["nft", "list", "tables"]);
        let own = table.lines().find_map(|line| line.strip_prefix("table inet kista_")).unwrap();
        kista.host().output(&["nft", &format!("{damage} kista_{own}")]);
        kista.ok(&["ps"]);
        let tables = kista.host().output(&["nft", "list", "ruleset"]);
        assert!(tables.contains("8080") && tables.contains("masquerade"), "{damage}: {tables}");
        assert_eq!(fetch(&outside, "192.0.2.1:8080"), "hello", "{damage}");
    }
    assert!(kista.host().output(&["nft", "list", "tables"]).contains("theirs"));
}

#[test]
fn the_configuration_says_where_ports_are_published() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let file = kista.root().join("config.toml");
    std::fs::write(&file, "default_publish_address = \"127.0.0.1\"\n").unwrap();
    let file = file.to_str().unwrap();
    let words = ["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVER];
    kista.command(&words).env("KISTA_CONFIG", file).run().ok();
    assert_eq!(kista.ok(&["port", "web"]), "80/tcp -> 127.0.0.1:8080");
    std::fs::write(file, "publish = \"x\"\n").unwrap();
    let words = ["run", "--rm", "-p", "80", "busybox", "true"];
    kista.command(&words).env("KISTA_CONFIG", file).run().fails(125, "line 1: there is no setting");
}

#[test]
fn links_and_the_hosts_address_have_names() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    serve(&kista, "db", &[]);
    let words = ["run", "--rm", "--link", "db:store", "--add-host", "up:host-gateway", "busybox"];
    let hosts = kista.ok(&[&words[..], &["cat", "/etc/hosts"]].concat());
    let id = kista.format("{{.Id}}", "db");
    assert!(hosts.contains(&format!("172.17.0.2\tstore {} db\n", &id[..12])), "{hosts}");
    assert!(hosts.contains("172.17.0.1\tup\n"), "{hosts}");
    kista.run(&["run", "--rm", "--link", "nobody", "busybox", "true"]).fails(125, "nobody");
}

#[test]
fn big_packets_and_many_connections_pass() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    let script = "head -c 20000000 /dev/zero >/www-big; mkdir /www; mv /www-big /www/big; \
        echo hello >/www/index.html; exec httpd -f -p 80 -h /www";
    kista.ok(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", script]);
    assert_eq!(fetch(&outside, "192.0.2.1:8080"), "hello");
    let big = outside.enter(|| {
        let mut stream = TcpStream::connect("192.0.2.1:8080").unwrap();
        stream.write_all(b"GET /big HTTP/1.0\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    assert!(big > 20_000_000, "{big}");
    for (host, address) in [(&outside, "192.0.2.1:8080"), (kista.host(), "[::1]:8080")] {
        for _ in 0..300 {
            assert!(try_fetch(host, address).is_some(), "{address}");
        }
    }
}
