//! Published ports of SCTP, where the kernel has it. RFC 9260, and RFC 6458 for its sockets.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use testkit::{Host, Kista, PATIENCE, needs};

use super::outside;

fn socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        flags,
        Some(ipproto::SCTP),
    )
    .unwrap();
    for timeout in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(&socket, timeout, Some(PATIENCE)).unwrap();
    }
    socket
}

#[test]
fn sctp_ports_are_published() {
    needs!(Root, Busybox, Sctp);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    let run = ["run", "-d", "-p", "7000:7001/sctp", "--name"];
    kista.ok(&[&run[..], &["one", "busybox", "sleep", "100000"]].concat());
    let inside = Host::of(&kista.format("{{.State.Pid}}", "one"));
    let server = inside.enter(|| {
        let server = socket();
        let any: SocketAddr = "0.0.0.0:7001".parse().unwrap();
        rustix::net::bind(&server, &any).unwrap();
        rustix::net::listen(&server, 8).unwrap();
        server
    });
    for (host, address) in [(&outside, "192.0.2.1:7000"), (kista.host(), "192.0.2.1:7000")] {
        let address: SocketAddr = address.parse().unwrap();
        let client = host.enter(|| {
            let client = socket();
            rustix::net::connect(&client, &address).unwrap();
            client
        });
        let accepted = rustix::net::accept(&server).unwrap();
        let mut buffer = [0; 16];
        for (from, to, text) in [(&client, &accepted, b"there"), (&accepted, &client, b"back!")] {
            rustix::net::send(from, text, SendFlags::empty()).unwrap();
            let (count, _) = rustix::net::recv(to, &mut buffer, RecvFlags::empty()).unwrap();
            assert_eq!(&buffer[..count], text, "{address}");
        }
    }
    assert_eq!(kista.ok(&["port", "one"]), "7001/sctp -> 0.0.0.0:7000\n7001/sctp -> [::]:7000");
    let words = [&run[..], &["two", "busybox", "sleep", "100000"]].concat();
    kista.run(&words).fails(125, "port is already allocated");
}

#[test]
fn sctp_ports_are_kept_apart_where_the_kernel_has_no_sockets_for_them() {
    needs!(Root, Busybox, Nftables, NoSctp);
    let kista = Kista::with_busybox();
    let words = ["run", "-d", "--name", "one", "-p", "7000:7001/sctp", "busybox", "sleep", "1000"];
    kista.ok(&words);
    assert_eq!(kista.ok(&["port", "one"]), "7001/sctp -> 0.0.0.0:7000\n7001/sctp -> [::]:7000");
    let table = kista.host().output(&["nft", "list", "ruleset"]);
    assert!(table.contains("sctp . 7000 ") && table.contains("172.17.0.2 . 7001"), "{table}");
    let words = ["run", "--rm", "-p", "7000:1/sctp", "busybox", "true"];
    kista.run(&words).fails(125, "port is already allocated");
    kista.ok(&["rm", "-f", "one"]);
    kista.ok(&words);
    assert!(!kista.host().output(&["nft", "list", "ruleset"]).contains("sctp"));
}
