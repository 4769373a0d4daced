//! Bridges and what is connected to them.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};

use ip::Prefix;
use network::{BridgeLink, Endpoint, Link, MacAddress, NetworkError, Routes, in_namespace};
use testkit::needs;

use crate::host::{namespace, on_a_host, output, output_in};

fn bridge(routes: &mut Routes, name: &str, address: &str) -> Link {
    let bridge = BridgeLink { name, mtu: 0, alias: "kista test" };
    let link = routes.create_bridge(&bridge).unwrap().unwrap();
    routes.add_address(link.index, address.parse().unwrap()).unwrap();
    routes.set_up(&link, true).unwrap();
    routes.link(name).unwrap().unwrap()
}

fn connect(
    routes: &mut Routes,
    bridge: &Link,
    host_name: &str,
    address: [u8; 4],
    isolated: bool,
) -> OwnedFd {
    let address = Ipv4Addr::from(address);
    let namespace = namespace();
    routes
        .create_endpoint(&Endpoint {
            host_name,
            name: "eth0",
            index: 2,
            mac: MacAddress::of(address),
            addresses: &[Prefix::new(IpAddr::V4(address), 24).unwrap()],
            mtu: 0,
            bridge,
            namespace: namespace.as_fd(),
            isolated,
            reflects: false,
        })
        .unwrap();
    in_namespace(namespace.as_fd(), || {
        let prefix = Prefix::new(IpAddr::V4(address), 24).unwrap();
        let gateway = prefix.nth(1).unwrap();
        Routes::open()?.configure(2, &[prefix], &[gateway])
    })
    .unwrap();
    namespace
}

/// Waits until an address answers: a link that has just come up may lose the first packet.
fn ping(from: Option<&OwnedFd>, address: &str) {
    let script = format!("busybox ping -c1 -W1 {address} >/dev/null && echo yes || true");
    testkit::wait_until(&format!("{address} answers"), || {
        let words = ["-c", script.as_str()];
        let said = match from {
            Some(namespace) => output_in(namespace, "sh", &words),
            None => output("sh", &words),
        };
        (said == "yes\n").then_some(())
    });
}

#[test]
fn two_containers_and_the_host_reach_each_other() {
    needs!(Root, Busybox);
    on_a_host(|| {
        let mut routes = Routes::open().unwrap();
        let link = bridge(&mut routes, "br0", "10.9.0.1/24");
        assert_eq!((link.kind.as_str(), link.alias.as_str()), ("bridge", "kista test"));
        let one = connect(&mut routes, &link, "veth1", [10, 9, 0, 2], false);
        let two = connect(&mut routes, &link, "veth2", [10, 9, 0, 3], false);
        ping(None, "10.9.0.2");
        ping(Some(&one), "10.9.0.3");
        ping(Some(&two), "10.9.0.1");
        let ports = routes.links().unwrap();
        assert_eq!(ports.iter().filter(|port| port.master == link.index).count(), 2);
        let known = routes.routes().unwrap();
        let own: Prefix = "10.9.0.0/24".parse().unwrap();
        assert!(known.iter().any(|route| route.destination == Some(own)), "{known:?}");
        // The pair ends with the container's namespace.
        drop(one);
        testkit::wait_until("the link is gone", || {
            routes.link("veth1").unwrap().is_none().then_some(())
        });
        assert!(routes.link("veth2").unwrap().is_some());
        routes.delete_link("br0").unwrap();
        routes.delete_link("br0").unwrap();
    });
}

#[test]
fn isolated_ports_reach_the_host_only() {
    needs!(Root, Busybox);
    on_a_host(|| {
        let mut routes = Routes::open().unwrap();
        let link = bridge(&mut routes, "br0", "10.9.0.1/24");
        let one = connect(&mut routes, &link, "veth1", [10, 9, 0, 2], true);
        let _two = connect(&mut routes, &link, "veth2", [10, 9, 0, 3], true);
        ping(Some(&one), "10.9.0.1");
        let shell = "busybox ping -c1 -W1 10.9.0.3 >/dev/null || echo silence";
        assert_eq!(output_in(&one, "sh", &["-c", shell]), "silence\n");
    });
}

#[test]
fn a_name_that_is_taken_is_told() {
    needs!(Root);
    on_a_host(|| {
        let mut routes = Routes::open().unwrap();
        bridge(&mut routes, "br0", "10.9.0.1/24");
        let again = BridgeLink { name: "br0", mtu: 0, alias: "" };
        assert_eq!(routes.create_bridge(&again).unwrap(), None);
        assert_eq!(routes.link("br1").unwrap(), None);
        let error =
            routes.create_bridge(&BridgeLink { name: "a/b", mtu: 0, alias: "" }).unwrap_err();
        assert!(matches!(error, NetworkError::Kernel { .. }), "{error}");
    });
}

#[test]
fn a_bridge_that_is_full_is_told() {
    needs!(Root);
    on_a_host(|| {
        const PORTS: u32 = 1023;
        let mut routes = Routes::open().unwrap();
        let link = bridge(&mut routes, "br0", "10.9.0.1/24");
        let namespace = namespace();
        let mut make = |number: u32| {
            let (host_name, name) = (format!("veth{number}"), format!("eth{number}"));
            routes.create_endpoint(&Endpoint {
                host_name: &host_name,
                name: &name,
                index: 0,
                mac: MacAddress::random(),
                addresses: &[],
                mtu: 0,
                bridge: &link,
                namespace: namespace.as_fd(),
                isolated: false,
                reflects: false,
            })
        };
        for number in 0..PORTS {
            make(number).unwrap();
        }
        let error = make(PORTS).unwrap_err();
        assert!(
            matches!(&error, NetworkError::BridgeFull { bridge } if bridge == "br0"),
            "{error}"
        );
        // Nothing is left of the one that was too many.
        let links = Routes::open().unwrap().links().unwrap();
        assert_eq!(links.iter().filter(|port| port.kind == "veth").count(), PORTS as usize);
    });
}
