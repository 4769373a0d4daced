//! Networks: who reaches whom, by which address and by which name.
//!
//! Each test has a host of its own ([`testkit::Host`]), and where it needs an outside world, a
//! second one at the other end of a wire.

mod dns;
mod flushed;
mod hostile;
mod names;
mod outside;
mod ports;
mod sctp;
mod servers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use testkit::{Host, Kista, PATIENCE, needs, wait_until};

pub(crate) const SERVER: &str =
    "mkdir -p /www && echo hello >/www/index.html && exec httpd -f -p 80 -h /www";

/// Starts a web server in a container.
pub(crate) fn serve(kista: &Kista, name: &str, more: &[&str]) {
    let mut words = vec!["run", "-d", "--name", name];
    words.extend(more);
    words.extend(["busybox", "sh", "-c", SERVER]);
    kista.ok(&words);
}

/// What a web server says, from a host; waits until it listens.
#[track_caller]
pub(crate) fn fetch(host: &Host, address: &str) -> String {
    wait_until(&format!("{address} answers"), || try_fetch(host, address))
}

pub(crate) fn try_fetch(host: &Host, address: &str) -> Option<String> {
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
pub(crate) fn fetch_inside(kista: &Kista, more: &[&str], url: &str) -> testkit::Output {
    let mut words = vec!["run", "--rm"];
    words.extend(more);
    let script = format!("timeout 3 wget -qO- {url}; exit $?");
    words.extend(["busybox", "sh", "-c", &script]);
    kista.run(&words)
}

pub(crate) fn address_of(kista: &Kista, name: &str) -> String {
    kista.format("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", name).trim().into()
}

/// The world outside: a host at 192.0.2.9 that sends what it has for others to ours, 192.0.2.1.
pub(crate) fn outside(kista: &Kista) -> Host {
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
fn an_end_has_a_name_parameters_and_local_addresses_of_its_own() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "--subnet", "10.4.0.0/24", "net"]);
    let options = "name=net,driver-opt=com.docker.network.endpoint.ifname=lan7,\
        \"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,\
        net.ipv4.conf.IFNAME.arp_notify=1\"";
    let script = "ip addr show lan7; cat /proc/sys/net/ipv4/conf/lan7/log_martians; ip route";
    let words = ["run", "--rm", "--network", options, "--link-local-ip", "169.254.8.9"];
    let out = kista.ok(&[&words[..], &["busybox", "sh", "-c", script]].concat());
    for part in ["inet 10.4.0.2/24", "inet 169.254.8.9/16", "\n1\n", "via 10.4.0.1 dev lan7"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    for (option, message) in [
        ("driver-opt=com.docker.network.endpoint.ifname=a/b", "invalid value \"a/b\""),
        ("driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.ip_forward=1", "invalid value"),
        ("driver-opt=x=1", "driver option x of network net is not supported"),
        ("link-local-ip=10.0.0.1", "invalid link-local IP address"),
    ] {
        let option = format!("name=net,{option}");
        kista.run(&["run", "--rm", "--network", &option, "busybox", "true"]).fails(125, message);
    }
}
