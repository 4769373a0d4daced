//! The world outside: clients beyond a router, ten thousand connections, long streams.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use testkit::{Host, Kista, PATIENCE, needs};

use super::outside;

/// An idle container, to be entered by the test's own sockets.
fn idle(kista: &Kista, name: &str, more: &[&str]) -> Host {
    let words = [&["run", "-d", "--name", name], more, &["busybox", "sleep", "100000"]].concat();
    kista.ok(&words);
    Host::of(&kista.format("{{.State.Pid}}", name))
}

fn connect(from: &Host, address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let stream = from.enter(|| TcpStream::connect_timeout(&address, PATIENCE).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A host behind `router`, which has a narrow wire to it.
fn beyond(kista: &Kista, router: &Host) -> Host {
    let far = Host::new().unwrap();
    let (here, there) =
        (["198.51.100.1/24", "2001:db8:9::1/64"], ["198.51.100.9/24", "2001:db8:9::9/64"]);
    router.wire(&far, "down0", &here, &there);
    for host in [router, &far] {
        host.output(&["ip", "link", "set", "down0", "mtu", "1300"]);
    }
    router.output(&["/bin/busybox", "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
    router.output(&["/bin/busybox", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
    kista.host().output(&["ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.9"]);
    kista.host().output(&["ip", "route", "add", "2001:db8:9::/64", "via", "2001:db8::9"]);
    far.output(&["ip", "route", "add", "default", "via", "198.51.100.1"]);
    far.output(&["ip", "-6", "route", "add", "default", "via", "2001:db8:9::1"]);
    far
}

#[test]
fn a_client_beyond_a_router_is_served_over_a_narrow_wire() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let router = outside(&kista);
    let far = beyond(&kista, &router);
    kista.ok(&["network", "create", "--ipv6", "--subnet", "fd00:5::/64", "six"]);
    let web = idle(&kista, "web", &["--network", "six", "-p", "8080:80"]);
    let listener = web.enter(|| TcpListener::bind("[::]:80").unwrap());
    for (address, client) in
        [("192.0.2.1:8080", "::ffff:198.51.100.9"), ("[2001:db8::1]:8080", "2001:db8:9::9")]
    {
        let mut near = connect(&far, address);
        let (mut there, peer) = listener.accept().unwrap();
        // The container sees who it is.
        assert_eq!(peer.ip().to_string(), client, "{address}");
        // More than fits: the router says so to a container that is behind another address.
        let sender = std::thread::spawn(move || there.write_all(&vec![7; 3_000_000]).unwrap());
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).unwrap();
        sender.join().unwrap();
        assert_eq!(bytes.len(), 3_000_000, "{address}");
    }
    // And outwards.
    let beyond = far.enter(|| TcpListener::bind("198.51.100.9:90").unwrap());
    let mut out = connect(&web, "198.51.100.9:90");
    let (mut there, peer) = beyond.accept().unwrap();
    assert_eq!(peer.ip().to_string(), "192.0.2.1");
    let sender = std::thread::spawn(move || {
        out.write_all(&vec![7; 3_000_000]).unwrap();
    });
    let mut bytes = Vec::new();
    there.read_to_end(&mut bytes).unwrap();
    sender.join().unwrap();
    assert_eq!(bytes.len(), 3_000_000);
}

#[test]
fn ten_thousand_short_connections_pass() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    let web = idle(&kista, "web", &["-p", "8080:80"]);
    // From outside by the kernel, and from ::1 by the process that passes on.
    let ways = [(&outside, "192.0.2.1:8080", 10_000), (kista.host(), "[::1]:8080", 1_000)];
    let total: usize = ways.iter().map(|(_, _, count)| count).sum();
    let listener = web.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..total {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        }
    });
    for (host, address, count) in ways {
        let address: SocketAddr = address.parse().unwrap();
        let failures = host.enter(|| {
            let one = |number: usize| -> std::io::Result<bool> {
                let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let sent = [u8::try_from(number % 256).unwrap()];
                let mut byte = [0];
                stream.write_all(&sent)?;
                stream.read_exact(&mut byte)?;
                Ok(byte == sent)
            };
            (0..count).filter(|number| !one(*number).is_ok_and(|is_same| is_same)).count()
        });
        assert_eq!(failures, 0, "{address}");
    }
    server.join().unwrap();
}

#[test]
fn streams_run_in_both_directions_at_once() {
    needs!(Root, Busybox);
    const BYTES: usize = 100_000_000;
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    kista.ok(&["network", "create", "net"]);
    let server = idle(&kista, "server", &["--network", "net", "-p", "8080:80"]);
    let client = idle(&kista, "client", &["--network", "net"]);
    let address = kista.format("{{.NetworkSettings.Networks.net.IPAddress}}", "server");
    let listener = server.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let direct = format!("{address}:80");
    for (host, address) in [(&client, direct.as_str()), (&outside, "192.0.2.1:8080")] {
        let near = connect(host, address);
        let (far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        std::thread::scope(|scope| {
            for (mut writer, reader) in [
                (near.try_clone().unwrap(), far.try_clone().unwrap()),
                (far.try_clone().unwrap(), near.try_clone().unwrap()),
            ] {
                scope.spawn(move || {
                    // Pieces that do not come out even, so that what is lost or doubled is seen.
                    let piece: Vec<u8> = (0..=250u8).cycle().take(251 * 257).collect();
                    let mut left = BYTES;
                    while left > 0 {
                        let some = left.min(piece.len());
                        writer.write_all(&piece[..some]).unwrap();
                        left -= some;
                    }
                    writer.shutdown(std::net::Shutdown::Write).unwrap();
                });
                scope.spawn(move || check_stream(reader, BYTES));
            }
        });
    }
}

fn check_stream(mut reader: TcpStream, want: usize) {
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    loop {
        let count = reader.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            if usize::from(*byte) != at % 251 {
                panic!("byte {at} is {byte}");
            }
            at += 1;
        }
    }
    assert_eq!(at, want);
}
