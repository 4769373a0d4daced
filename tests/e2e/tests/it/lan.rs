//! Networks that are a link of the host's: macvlan, ipvlan, VLANs, and dummies that lead nowhere.
//!
//! The wire is a veth to a second host of the test's own, which has a router's part.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use testkit::{Host, Kista, PATIENCE, needs, wait_until};

/// A host at the other end of `lan0`, with an address of its own on the wire.
fn wire(kista: &Kista) -> Host {
    let far = Host::new().unwrap();
    kista.host().wire(&far, "lan0", &["10.8.0.1/24"], &["10.8.0.9/24", "fd00:8::9/64"]);
    far
}

fn idle(kista: &Kista, name: &str, more: &[&str]) -> Host {
    let words = [&["run", "-d", "--name", name], more, &["busybox", "sleep", "100000"]].concat();
    kista.ok(&words);
    Host::of(&kista.format("{{.State.Pid}}", name))
}

/// Whether `from` reaches a listener of `to`. A packet may get lost on a busy machine, so that
/// success has time; what is to fail has a second.
fn reaches(from: &Host, to: &Host, address: &str, is_expected: bool) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    let _listener = to.enter(|| TcpListener::bind(address).unwrap());
    let patience = if is_expected { PATIENCE } else { Duration::from_secs(1) };
    from.enter(|| TcpStream::connect_timeout(&address, patience).is_ok())
}

fn links(host: &Host, kind: &str) -> String {
    host.output(&["ip", "-o", "link", "show", "type", kind])
}

#[test]
fn a_macvlan_network_is_on_the_wire() {
    needs!(Root, Busybox, Macvlan);
    let kista = Kista::with_busybox();
    let far = wire(&kista);
    let create = ["network", "create", "-d", "macvlan", "-o", "parent=lan0", "--subnet"];
    let more = ["10.8.0.0/24", "--gateway", "10.8.0.9", "--aux-address", "host=10.8.0.1", "--ipv6"];
    kista.ok(&[&create[..], &more, &["--subnet", "fd00:8::/64", "lan"]].concat());
    let one = idle(&kista, "one", &["--network", "lan"]);
    let two = idle(&kista, "two", &["--network", "lan", "--mac-address", "02:00:00:00:00:77"]);
    // Not 10.8.0.1, which is kept, and not the router's.
    assert_eq!(kista.format("{{.NetworkSettings.Networks.lan.IPAddress}}", "one"), "10.8.0.2");
    let inside = kista.ok(&["exec", "two", "sh", "-c", "ip addr; ip route"]);
    for part in ["eth0@", "02:00:00:00:00:77", "inet 10.8.0.3/24", "default via 10.8.0.9 dev eth0"]
    {
        assert!(inside.contains(part), "{part}: {inside}");
    }
    // Each other, by name too; the world outside in both directions; the host not.
    assert!(reaches(&one, &two, "10.8.0.3:80", true));
    assert!(reaches(&far, &two, "10.8.0.3:81", true));
    assert!(reaches(&one, &far, "10.8.0.9:80", true));
    assert!(reaches(&one, &far, "[fd00:8::9]:80", true));
    assert!(!reaches(&one, kista.host(), "10.8.0.1:80", false));
    let answer = kista.ok(&["exec", "one", "nslookup", "-type=a", "two"]);
    assert!(answer.contains("10.8.0.3"), "{answer}");
    // Ports are not published there, and that is said.
    let out = kista.run(&["run", "--rm", "--network", "lan", "-p", "80", "busybox", "true"]);
    assert!(out.code == 0 && out.stderr.contains("Published ports are discarded"), "{out:?}");
    let shown = kista.ok(&["network", "inspect", "lan"]);
    assert!(shown.contains(r#""Driver": "macvlan""#) && shown.contains("10.8.0.3/24"), "{shown}");
    // The address stays over a restart, and everything goes with the container; lan0 is not ours.
    // Whoever holds the old network keeps its hardware address taken.
    drop(two);
    kista.ok(&["restart", "-t", "0", "two"]);
    assert!(kista.ok(&["exec", "two", "ip", "addr"]).contains("inet 10.8.0.3/24"));
    kista.run(&["network", "rm", "lan"]).fails(1, "has active endpoints");
    kista.ok(&["rm", "-f", "one", "two"]);
    kista.ok(&["network", "rm", "lan"]);
    assert!(links(kista.host(), "veth").contains("lan0"));
    assert_eq!(links(kista.host(), "macvlan"), "");
}

#[test]
fn modes_of_macvlan_say_who_talks_to_whom() {
    needs!(Root, Busybox, Macvlan);
    let kista = Kista::with_busybox();
    let far = wire(&kista);
    let create = |mode: &str, subnet: &str, name: &str| {
        let mode = format!("macvlan_mode={mode}");
        let words = ["network", "create", "-d", "macvlan", "-o", "parent=lan0", "-o", &mode];
        kista.run(&[&words[..], &["--subnet", subnet, name]].concat())
    };
    create("bridge", "10.8.0.128/26", "bridge8").ok();
    create("private", "10.8.0.192/26", "private8").ok();
    create("x", "10.9.0.0/24", "x").fails(1, "requested macvlan mode \"x\"");
    create("passthru", "10.9.0.0/24", "pass").fails(1, "already using parent interface lan0");
    for (network, ip, far_ip, is_reached) in [
        ("bridge8", "10.8.0.130", "10.8.0.190", true),
        ("private8", "10.8.0.194", "10.8.0.254", false),
    ] {
        let one = idle(&kista, "one", &["--network", network]);
        let two = idle(&kista, "two", &["--network", network, "--ip", ip]);
        assert_eq!(reaches(&one, &two, &format!("{ip}:80"), is_reached), is_reached, "{network}");
        far.output(&["ip", "address", "replace", &format!("{far_ip}/26"), "dev", "lan0"]);
        assert!(reaches(&far, &two, &format!("{ip}:81"), true), "{network}");
        kista.ok(&["rm", "-f", "one", "two"]);
        kista.ok(&["network", "rm", network]);
    }
    create("passthru", "10.8.0.0/24", "pass").ok();
    kista
        .run(&[
            "run",
            "--rm",
            "--network",
            "pass",
            "--mac-address",
            "02:00:00:00:00:01",
            "busybox",
            "true",
        ])
        .fails(125, "have the hardware address of the link that they share");
    idle(&kista, "one", &["--network", "pass"]);
    let parent = kista.host().output(&["cat", "/proc/self/net/dev"]);
    assert!(parent.contains("lan0"), "{parent}");
    kista
        .run(&["run", "--rm", "--network", "pass", "busybox", "true"])
        .fails(125, "is for one container at a time in mode passthru, and one has it");
    kista.ok(&["rm", "-f", "one"]);
    kista.ok(&["run", "--rm", "--network", "pass", "busybox", "true"]);
}

#[test]
fn a_shared_link_is_connected_and_disconnected_while_a_container_runs() {
    needs!(Root, Busybox, Macvlan);
    let kista = Kista::with_busybox();
    let far = wire(&kista);
    let words = ["network", "create", "-d", "macvlan", "-o", "parent=lan0", "--subnet"];
    kista.ok(&[&words[..], &["10.8.0.0/24", "--gateway", "10.8.0.9", "lan"]].concat());
    let web = idle(&kista, "web", &[]);
    kista.ok(&["network", "connect", "--ip", "10.8.0.50", "lan", "web"]);
    assert!(reaches(&far, &web, "10.8.0.50:80", true));
    // The bridge's default route stays, since it was first.
    let routes = kista.ok(&["exec", "web", "ip", "route"]);
    assert!(routes.contains("default via 172.17.0.1"), "{routes}");
    kista.ok(&["network", "disconnect", "bridge", "web"]);
    let routes = kista.ok(&["exec", "web", "ip", "route"]);
    assert!(routes.contains("default via 10.8.0.9"), "{routes}");
    kista.ok(&["network", "disconnect", "lan", "web"]);
    assert!(!kista.ok(&["exec", "web", "ip", "addr"]).contains("10.8.0.50"));
    kista.ok(&["network", "rm", "lan"]);
}

#[test]
fn what_a_shared_link_needs_is_told() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let _far = wire(&kista);
    for (driver, parent, message) in [
        ("macvlan", "nowhere0", "this host has none of that name"),
        ("macvlan", "nowhere0.7", "this host has no such link"),
        ("ipvlan", "lan0.4095", "this host has none of that name"),
        ("macvlan", "lo", "is not a valid macvlan parent interface"),
        ("overlay", "lan0", "network driver \"overlay\" of network x is not supported"),
    ] {
        let parent = format!("parent={parent}");
        kista.run(&["network", "create", "-d", driver, "-o", &parent, "x"]).fails(1, message);
    }
    let words = ["network", "create", "-d", "macvlan", "-o", "parent=lan0"];
    kista
        .run(&[&words[..], &["-o", "com.docker.network.bridge.name=x", "x"]].concat())
        .fails(1, "option com.docker.network.bridge.name of network x is not supported");
    // Nothing of them is left.
    assert_eq!(kista.ok(&["network", "ls", "-q", "--filter", "type=custom"]), "");
}

#[test]
fn a_vlan_is_made_and_goes_with_the_last_network_that_shares_it() {
    needs!(Root, Busybox, Macvlan, Vlan);
    let kista = Kista::with_busybox();
    let far = wire(&kista);
    far.output(&["ip", "link", "add", "link", "lan0", "name", "v10", "type", "vlan", "id", "10"]);
    far.output(&["ip", "address", "add", "10.10.0.9/24", "dev", "v10"]);
    far.output(&["ip", "link", "set", "v10", "up"]);
    let words = ["network", "create", "-d", "macvlan", "-o", "parent=lan0.10", "--subnet"];
    kista.ok(&[&words[..], &["10.10.0.0/25", "one"]].concat());
    kista.ok(&[&words[..], &["10.10.0.128/25", "two"]].concat());
    let one = idle(&kista, "one", &["--network", "one"]);
    let address = kista.format("{{.NetworkSettings.Networks.one.IPAddress}}", "one");
    assert!(reaches(&far, &one, &format!("{address}:80"), true));
    // Somebody takes it away; the next container finds it again.
    kista.ok(&["rm", "-f", "one"]);
    kista.host().output(&["ip", "link", "delete", "lan0.10"]);
    kista.ok(&["run", "--rm", "--network", "two", "busybox", "true"]);
    kista.ok(&["network", "rm", "one"]);
    assert!(links(kista.host(), "vlan").contains("lan0.10"));
    kista.ok(&["network", "rm", "two"]);
    assert_eq!(links(kista.host(), "vlan"), "");
    // One that somebody else has made stays.
    let add = ["ip", "link", "add", "link", "lan0", "name", "lan0.11", "type", "vlan", "id", "11"];
    kista.host().output(&add);
    kista.ok(&["network", "create", "-d", "macvlan", "-o", "parent=lan0.11", "three"]);
    kista.ok(&["network", "rm", "three"]);
    assert!(links(kista.host(), "vlan").contains("lan0.11"));
}

#[test]
fn without_a_parent_containers_reach_each_other_only() {
    needs!(Root, Busybox, Macvlan, Dummy);
    let kista = Kista::with_busybox();
    let _far = wire(&kista);
    kista.ok(&["network", "create", "-d", "macvlan", "none8"]);
    let internal = ["network", "create", "-d", "macvlan", "--internal", "-o", "parent=lan0", "in8"];
    kista.ok(&internal);
    for network in ["none8", "in8"] {
        assert!(links(kista.host(), "dummy").contains("dm-"));
        let one = idle(&kista, "one", &["--network", network]);
        let two = idle(&kista, "two", &["--network", network]);
        let format = format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}");
        let address = kista.format(&format, "two");
        assert!(reaches(&one, &two, &format!("{address}:80"), true));
        assert_eq!(one.output(&["ip", "route", "show", "default"]), "");
        kista.ok(&["rm", "-f", "one", "two"]);
    }
    kista.ok(&["network", "rm", "none8", "in8"]);
    assert_eq!(links(kista.host(), "dummy"), "");
}

#[test]
fn an_ipvlan_network_shares_the_hosts_address_on_the_wire() {
    needs!(Root, Busybox, Ipvlan);
    let kista = Kista::with_busybox();
    let far = wire(&kista);
    for mode in ["l2", "l3", "l3s"] {
        let option = format!("ipvlan_mode={mode}");
        let words = ["network", "create", "-d", "ipvlan", "-o", "parent=lan0", "-o", &option];
        let subnet = if mode == "l2" { "10.8.0.0/24" } else { "10.18.0.0/24" };
        kista.ok(&[
            &words[..],
            &["--subnet", subnet, "--aux-address", "h=10.8.0.1"]
                [..if mode == "l2" { 4 } else { 2 }],
            &["lan"],
        ]
        .concat());
        let one = idle(&kista, "one", &["--network", "lan"]);
        let two = idle(&kista, "two", &["--network", "lan"]);
        let address = kista.format("{{.NetworkSettings.Networks.lan.IPAddress}}", "two");
        assert!(reaches(&one, &two, &format!("{address}:80"), true), "{mode}");
        if mode != "l2" {
            // The router outside knows the way; inside, everything is on the link.
            far.output(&["ip", "route", "replace", "10.18.0.0/24", "via", "10.8.0.1"]);
            let routes = one.output(&["ip", "route"]);
            assert!(routes.contains("default dev eth0"), "{mode}: {routes}");
        }
        assert!(reaches(&far, &two, &format!("{address}:81"), true), "{mode}");
        let mac = kista.format("{{.NetworkSettings.Networks.lan.MacAddress}}", "two");
        assert_eq!(mac, "");
        kista.ok(&["rm", "-f", "one", "two"]);
        kista.ok(&["network", "rm", "lan"]);
    }
}

#[test]
fn a_kernel_without_such_links_is_told() {
    needs!(Root, Busybox, Macvlan);
    let kista = Kista::with_busybox();
    let _far = wire(&kista);
    // Whatever this kernel lacks.
    for (need, words, message) in [
        (testkit::Need::Vlan, vec!["-d", "macvlan", "-o", "parent=lan0.7"], "module 8021q"),
        (testkit::Need::Dummy, vec!["-d", "macvlan"], "module dummy"),
    ] {
        if need.missing().is_some() {
            let words = [&["network", "create"], &words[..], &["x"]].concat();
            kista.run(&words).fails(1, message);
        }
    }
    if testkit::Need::Ipvlan.missing().is_some() {
        kista.ok(&[
            "network",
            "create",
            "-d",
            "ipvlan",
            "-o",
            "parent=lan0",
            "--subnet",
            "10.8.0.0/24",
            "x",
        ]);
        kista
            .run(&["run", "--rm", "--network", "x", "busybox", "true"])
            .fails(125, "module ipvlan");
        wait_until("nothing is left", || {
            let leases = kista.root().join("networks/x/leases");
            (std::fs::read_dir(leases).unwrap().count() == 0).then_some(())
        });
    }
}
