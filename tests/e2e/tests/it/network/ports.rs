//! Published ports.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use testkit::{Host, Kista, PATIENCE, needs, wait_until};

use super::{SERVER, fetch, fetch_inside, outside, serve, try_fetch};

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

#[test]
fn routed_networks_are_reached_at_published_ports_of_their_own_addresses() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    let modes = |mode: &str| {
        ["4", "6"]
            .map(|family| format!("com.docker.network.bridge.gateway_mode_ipv{family}={mode}"))
    };
    let [four, six] = modes("routed");
    let create = ["network", "create", "--ipv6", "--subnet", "10.6.0.0/24", "--subnet"];
    let more = ["fd00:6::/64", "-o", &four, "-o", &six, "routed"];
    kista.ok(&[&create[..], &more].concat());
    kista.ok(&["network", "create", "-o", &modes("nat-unprotected")[0], "open"]);
    for (network, via) in [
        ("10.6.0.0/24", "192.0.2.1"),
        ("fd00:6::/64", "2001:db8::1"),
        ("172.18.0.0/16", "192.0.2.1"),
    ] {
        outside.output(&["ip", "route", "add", network, "via", via]);
    }
    let script = "mkdir /www && echo hello >/www/index.html && \
        httpd -p 80 -h /www && httpd -p 81 -h /www && exec sleep 100000";
    let run = ["run", "-d", "--network", "routed", "-p", "8080:80", "--name"];
    kista.ok(&[&run[..], &["web", "busybox", "sh", "-c", script]].concat());
    // No port of the host is taken: two can have the same.
    kista.ok(&[&run[..], &["web2", "busybox", "sh", "-c", script]].concat());
    assert_eq!(fetch(&outside, "10.6.0.2:80"), "hello");
    assert_eq!(fetch(&outside, "[fd00:6::2]:80"), "hello");
    for closed in ["10.6.0.2:81", "[fd00:6::2]:81", "192.0.2.1:8080"] {
        assert_eq!(try_fetch(&outside, closed), None, "{closed}");
    }
    outside.output(&["/bin/busybox", "ping", "-c1", "-W9", "10.6.0.2"]);
    // Another network's containers reach what is published, and nothing else.
    assert_eq!(fetch_inside(&kista, &[], "http://10.6.0.2/").ok(), "hello");
    assert_ne!(fetch_inside(&kista, &[], "http://10.6.0.2:81/").code, 0);
    // They have their own addresses outside, too.
    let seen = outside.enter(|| {
        let listener = TcpListener::bind("192.0.2.9:90").unwrap();
        let inside = Host::of(&kista.format("{{.State.Pid}}", "web"));
        let _stream = inside.enter(|| {
            TcpStream::connect_timeout(&"192.0.2.9:90".parse().unwrap(), PATIENCE).unwrap()
        });
        listener.accept().unwrap().1.ip().to_string()
    });
    assert_eq!(seen, "10.6.0.2");
    assert_eq!(kista.ok(&["ps", "--format", "{{.Ports}}", "--filter", "name=web2"]), "80/tcp");
    assert_eq!(kista.ok(&["port", "web"]), "");
    let check = kista.ok(&["system", "check"]);
    assert!(check.ends_with("0 left"), "{check}");
    kista.ok(&["rm", "-f", "web"]);
    assert_eq!(try_fetch(&outside, "10.6.0.2:80"), None);
    // Unprotected: every port, published or not.
    kista.ok(&["run", "-d", "--name", "bare", "--network", "open", "busybox", "sh", "-c", script]);
    assert_eq!(fetch(&outside, "172.18.0.2:81"), "hello");
}

#[test]
fn a_trusted_link_leads_to_published_ports_at_the_containers_own_address() {
    needs!(Root, Busybox, Nftables);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    let stranger = Host::new().unwrap();
    kista.host().wire(&stranger, "strange0", &["198.51.100.1/24"], &["198.51.100.9/24"]);
    let trusted = "com.docker.network.bridge.trusted_host_interfaces=absent0:up0";
    let create = ["network", "create", "--ipv6", "--subnet", "10.6.0.0/24", "--subnet"];
    kista.ok(&[&create[..], &["fd00:6::/64", "-o", trusted, "near"]].concat());
    outside.output(&["ip", "route", "add", "10.6.0.0/24", "via", "192.0.2.1"]);
    outside.output(&["ip", "route", "add", "fd00:6::/64", "via", "2001:db8::1"]);
    stranger.output(&["ip", "route", "add", "10.6.0.0/24", "via", "198.51.100.1"]);
    let script = "mkdir /www && echo hello >/www/index.html && \
        httpd -p 80 -h /www && httpd -p 81 -h /www && exec sleep 100000";
    // One port is published twice, and once for this host alone.
    let run = ["run", "-d", "--name", "web", "--network", "near", "-p", "8080:80"];
    let more = ["-p", "127.0.0.1:8081:80", "busybox", "sh", "-c", script];
    kista.ok(&[&run[..], &more].concat());
    let own = ["10.6.0.2:80", "[fd00:6::2]:80"];
    for address in own {
        assert_eq!(fetch(&outside, address), "hello", "{address}");
    }
    for closed in ["10.6.0.2:81", "[fd00:6::2]:81"] {
        assert_eq!(try_fetch(&outside, closed), None, "{closed}");
    }
    assert_eq!(try_fetch(&stranger, own[0]), None, "by another link");
    assert_eq!(fetch(&stranger, "198.51.100.1:8080"), "hello");
    // Nor from another network of this host.
    assert_ne!(fetch_inside(&kista, &[], "http://10.6.0.2/").code, 0);
    kista.host().output(&["nft", "flush", "ruleset"]);
    kista.ok(&["ps"]);
    assert_eq!(fetch(&outside, own[0]), "hello");
    let check = kista.ok(&["system", "check"]);
    assert!(check.ends_with("0 left"), "{check}");
    kista.ok(&["rm", "-f", "web"]);
    assert_eq!(try_fetch(&outside, own[0]), None);
    let check = kista.ok(&["system", "check"]);
    assert!(check.ends_with("0 left"), "{check}");
    kista.ok(&["network", "rm", "near"]);
    let listed = kista.host().output(&["nft", "list", "ruleset"]);
    assert!(!listed.contains("absent0"), "{listed}");
}

#[test]
fn a_container_reaches_itself_by_its_published_ports() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let _outside = outside(&kista);
    kista.ok(&["network", "create", "--ipv6", "--subnet", "fd00:6::/64", "six"]);
    let script = "mkdir /www && echo hello >/www/index.html && exec httpd -f -p [::]:80 -h /www";
    let words = ["run", "-d", "--name", "web", "--network", "six", "-p", "8080:80", "busybox"];
    kista.ok(&[&words[..], &["sh", "-c", script]].concat());
    let inside = Host::of(&kista.format("{{.State.Pid}}", "web"));
    for address in ["192.0.2.1:8080", "[2001:db8::1]:8080", "172.18.0.1:8080"] {
        assert_eq!(fetch(&inside, address), "hello", "{address}");
    }
    // By the kernel: nothing of ours was started to pass it on.
    let pid = kista.format("{{.State.Pid}}", "web");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    let children = std::fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap();
    for child in children.split_whitespace() {
        let words = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        assert!(!words.contains("proxy"), "{words}");
    }
}
