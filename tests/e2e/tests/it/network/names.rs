//! Names: a container's resolver, and `/etc/hosts`.

use std::net::UdpSocket;
use std::time::Duration;

use testkit::{Kista, needs};

use super::serve;

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
fn a_container_learns_names_when_it_is_connected() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "net"]);
    serve(&kista, "web", &["--network", "net"]);
    kista.ok(&["run", "-d", "--name", "late", "--dns", "192.0.2.53", "busybox", "sleep", "1000"]);
    let resolv = || kista.ok(&["exec", "late", "cat", "/etc/resolv.conf"]);
    assert!(resolv().contains("nameserver 192.0.2.53"), "{}", resolv());
    kista.ok(&["network", "connect", "net", "late"]);
    assert!(resolv().contains("nameserver 127.0.0.11"), "{}", resolv());
    let answer = kista.ok(&["exec", "late", "nslookup", "-type=a", "web"]);
    assert!(answer.contains("172.18.0.2"), "{answer}");
    // Its own program is as it was, and is found by its name now.
    assert_eq!(kista.format("{{.State.Running}}", "late"), "true");
    let script = "nslookup -type=a late | grep -c 172.18.0.3";
    assert_eq!(kista.ok(&["run", "--rm", "--network", "net", "busybox", "sh", "-c", script]), "1");
    kista.ok(&["network", "disconnect", "net", "late"]);
    kista.ok(&["network", "connect", "net", "late"]);
    let answer = kista.ok(&["exec", "late", "nslookup", "-type=a", "web"]);
    assert!(answer.contains("172.18.0.2"), "{answer}");
}
