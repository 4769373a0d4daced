//! A container that claims to be another one, or the host.
//!
//! What it needs for that (raw sockets, setting addresses) is done from outside, in its network: so
//! it is the network that is tested, and not what capabilities leave.

use std::net::{SocketAddr, TcpListener, TcpStream};

use testkit::{Host, Kista, PATIENCE, needs, wait_until};

use super::address_of;

fn idle(kista: &Kista, name: &str, more: &[&str]) -> Host {
    let words = [&["run", "-d", "--name", name], more, &["busybox", "sleep", "100000"]].concat();
    kista.ok(&words);
    Host::of(&kista.format("{{.State.Pid}}", name))
}

/// Tells everybody on the wire that an address is the sender's.
fn claim(host: &Host, address: &str) {
    host.output(&["ip", "address", "replace", &format!("{address}/32"), "dev", "eth0"]);
    host.output(&["/bin/busybox", "arping", "-U", "-c", "2", "-I", "eth0", address]);
    host.output(&["/bin/busybox", "arping", "-A", "-c", "2", "-I", "eth0", address]);
}

/// What a host believes is the hardware address of a neighbour.
fn neighbour(host: &Host, address: &str) -> String {
    let text = host.output(&["ip", "neighbour", "show", address]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "lladdr");
    at.and_then(|at| words.get(at + 1)).map_or(String::new(), |word| (*word).to_owned())
}

fn mac_of(host: &Host, link: &str) -> String {
    let text = host.output(&["ip", "-o", "link", "show", "dev", link]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "link/ether").unwrap();
    words[at + 1].to_owned()
}

/// Connects, and says whether it was the listener who answered.
fn reaches(from: &Host, listener: &TcpListener, address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    let stream = from.enter(|| TcpStream::connect_timeout(&address, PATIENCE));
    stream.is_ok() && listener.accept().is_ok()
}

#[test]
fn nobody_gets_what_the_host_sends_to_another() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "net"]);
    let victim = idle(&kista, "victim", &["--network", "net", "-p", "8080:80"]);
    let other = idle(&kista, "other", &["--network", "net"]);
    let address = address_of(&kista, "victim");
    let listener = victim.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let direct = format!("{address}:80");
    assert!(reaches(kista.host(), &listener, &direct));

    // Its address of IP: the host knows better.
    claim(&other, &address);
    assert_eq!(neighbour(kista.host(), &address), mac_of(&victim, "eth0"));
    assert!(reaches(kista.host(), &listener, &direct));
    other.output(&["ip", "address", "del", &format!("{address}/32"), "dev", "eth0"]);

    // Its hardware address: the bridge knows which port that is.
    let mac = mac_of(&victim, "eth0");
    for words in [&["down"][..], &["address", &mac], &["up"]] {
        other.output(&[&["ip", "link", "set", "eth0"][..], words].concat());
    }
    let own = address_of(&kista, "other");
    other.output(&["/bin/busybox", "arping", "-U", "-c", "2", "-I", "eth0", &own]);
    assert!(reaches(kista.host(), &listener, &direct));
    assert!(reaches(kista.host(), &listener, "127.0.0.1:8080"));

    // What the host was told goes with the container, also when all that looks after it is killed.
    let known = || kista.host().output(&["ip", "neighbour", "show", "nud", "permanent"]);
    assert!(known().contains(&address), "{}", known());
    for pid in testkit::audit::shims(&kista.owner()) {
        testkit::audit::kill(pid);
    }
    wait_until("they are seen to be dead", || {
        kista.ok(&["ps"]);
        (!known().contains("172.")).then_some(())
    });
}

#[test]
fn nobody_is_taken_for_the_host() {
    needs!(Root, Busybox, BridgeFilter);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "--ipv6", "--subnet", "fd00:3::/64", "net"]);
    let victim = idle(&kista, "victim", &["--network", "net"]);
    let other = idle(&kista, "other", &["--network", "net"]);
    let gateway = "172.18.0.1";
    let listener = kista.host().enter(|| TcpListener::bind("0.0.0.0:90").unwrap());
    let at = format!("{gateway}:90");
    assert!(reaches(&victim, &listener, &at));
    let bridge = kista.host().output(&["ip", "-o", "link", "show", "type", "bridge"]);
    let name = bridge.split(": ").map(str::trim).find(|word| word.starts_with("br-")).unwrap();
    let mac = mac_of(kista.host(), name);
    assert_eq!(neighbour(&victim, gateway), mac);
    claim(&other, gateway);
    assert_eq!(neighbour(&victim, gateway), mac);
    assert!(reaches(&victim, &listener, &at));
    // One who asks for it for the first time gets no other answer either.
    let late = idle(&kista, "late", &["--network", "net"]);
    assert!(reaches(&late, &listener, &at));
    assert_eq!(neighbour(&late, gateway), mac);
    // By IPv6 a neighbour says so without being asked; busybox has no program for that, but the
    // kernel does it for an address that is new.
    other.output(&["/bin/busybox", "sysctl", "-qw", "net.ipv6.conf.eth0.ndisc_notify=1"]);
    let six = kista.host().enter(|| TcpListener::bind("[fd00:3::1]:90").unwrap());
    assert!(reaches(&victim, &six, "[fd00:3::1]:90"));
    let link = "eth0";
    other.output(&["ip", "address", "add", "fd00:3::1/128", "dev", link, "nodad"]);
    for state in ["down", "up"] {
        other.output(&["ip", "link", "set", link, state]);
    }
    assert_eq!(neighbour(&victim, "fd00:3::1"), mac);
    assert!(reaches(&victim, &six, "[fd00:3::1]:90"));
}
