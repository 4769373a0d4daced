//! The resolver as a client sees it: messages of RFC 1035 by UDP and TCP, with the extensions of
//! RFC 6891, asked from inside a container's network.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use testkit::{Host, Kista, PATIENCE, needs, wait_until};

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
/// The bit that says that an answer was cut.
const CUT: u8 = 2;

/// A question; with an extension that says how many bytes an answer may have.
fn question(name: &str, kind: u16, room: Option<u16>) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(room.is_some())];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    if let Some(room) = room {
        bytes.extend([0, 0, 41]);
        bytes.extend(room.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes
}

/// What is asked inside a container, and answered.
struct Asker {
    inside: Host,
}

impl Asker {
    fn new(kista: &Kista, name: &str, more: &[&str]) -> Self {
        let words = [&["run", "-d", "--name", name], more, &["busybox", "sleep", "100000"]];
        kista.ok(&words.concat());
        Self { inside: Host::of(&kista.format("{{.State.Pid}}", name)) }
    }

    fn socket(&self) -> UdpSocket {
        let socket = self.inside.enter(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect("127.0.0.11:53").unwrap();
            socket
        });
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn udp(&self, message: &[u8]) -> Vec<u8> {
        let socket = self.socket();
        socket.send(message).unwrap();
        let mut buffer = vec![0; 65_535];
        let count = socket.recv(&mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }

    fn connect(&self) -> TcpStream {
        let stream = self.inside.enter(|| TcpStream::connect("127.0.0.11:53").unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn tcp(&self, message: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        send_framed(&mut stream, message);
        receive_framed(&mut stream)
    }
}

fn send_framed(stream: &mut TcpStream, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], message].concat()).unwrap();
}

fn receive_framed(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

/// How many answers a message has.
fn count(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[6], message[7]])
}

/// The addresses of the answers to a question, whose records are of our own resolver's form: a
/// pointer for a name, type, class, four bytes of time, two of length.
fn addresses(question: &[u8], answer: &[u8]) -> Vec<IpAddr> {
    let mut at = question.len();
    if question[11] == 1 {
        at -= 11;
    }
    let mut found = Vec::new();
    for _ in 0..count(answer) {
        let length = usize::from(u16::from_be_bytes([answer[at + 10], answer[at + 11]]));
        let data = &answer[at + 12..at + 12 + length];
        found.push(match length {
            4 => IpAddr::from(<[u8; 4]>::try_from(data).unwrap()),
            _ => IpAddr::from(<[u8; 16]>::try_from(data).unwrap()),
        });
        at += 12 + length;
    }
    found
}

#[test]
fn names_are_answered_by_udp_and_tcp_in_every_form() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "--ipv6", "--subnet", "fd00:7::/64", "net"]);
    let asker = Asker::new(&kista, "ask", &["--network", "net"]);
    for name in ["one", "two", "three"] {
        let words = ["run", "-d", "--name", name, "--network", "net", "--network-alias", "all"];
        kista.ok(&[&words[..], &["busybox", "sleep", "100000"]].concat());
    }
    let words = [A, AAAA].map(|kind| question("all", kind, None));
    for (message, octets) in words.iter().zip([4, 16]) {
        for answer in [asker.udp(message), asker.tcp(message)] {
            assert_eq!(answer[..2], message[..2]);
            // An answer, without an error, of three addresses.
            assert_eq!((answer[2] & 0x80, answer[3] & 0x0f, count(&answer)), (0x80, 0, 3));
            let found = addresses(message, &answer);
            assert!(found.iter().all(|address| address.is_ipv4() == (octets == 4)), "{found:?}");
        }
    }
    // In turns: whoever takes the first one is led to all of them.
    let mut first: Vec<IpAddr> =
        (0..6).map(|_| addresses(&words[0], &asker.udp(&words[0]))[0]).collect();
    first.sort();
    first.dedup();
    assert_eq!(first.len(), 3);
    // With an extension, which is answered with one.
    let extended = question("ONE", A, Some(1232));
    let answer = asker.udp(&extended);
    assert_eq!((answer[11], addresses(&extended, &answer).len()), (1, 1));
    // Backwards, of both families.
    let six = addresses(&question("one", AAAA, None), &asker.udp(&question("one", AAAA, None)))[0];
    let IpAddr::V6(six) = six else { panic!("{six}") };
    let digits: Vec<String> = six
        .octets()
        .iter()
        .rev()
        .flat_map(|byte| [byte & 15, byte >> 4].map(|digit| format!("{digit:x}")))
        .collect();
    let address = kista.format("{{.NetworkSettings.Networks.net.IPAddress}}", "one");
    let mut octets: Vec<&str> = address.split('.').collect();
    octets.reverse();
    for name in
        [format!("{}.ip6.arpa", digits.join(".")), format!("{}.in-addr.arpa", octets.join("."))]
    {
        let answer = asker.udp(&question(&name, PTR, None));
        let text = b"\x03one\x03net\x00";
        assert!(answer.windows(text.len()).any(|part| part == text), "{name}: {answer:?}");
    }
    // Several questions over one connection, in pieces.
    let mut stream = asker.connect();
    let message = question("two", A, None);
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&length[..], &message].concat();
    stream.write_all(&framed[..5]).unwrap();
    stream.write_all(&framed[5..]).unwrap();
    stream.write_all(&framed).unwrap();
    for _ in 0..2 {
        assert_eq!(count(&receive_framed(&mut stream)), 1);
    }
}

#[test]
fn a_long_answer_is_cut_and_asked_for_again_over_a_connection() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "net"]);
    // The host's own resolver, on its loopback: it cuts what it sends by UDP.
    let (udp, tcp) = kista.host().enter(|| {
        (UdpSocket::bind("127.0.0.53:53").unwrap(), TcpListener::bind("127.0.0.53:53").unwrap())
    });
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let (count, sender) = udp.recv_from(&mut buffer).unwrap();
        let mut answer = buffer[..count].to_vec();
        answer[2] |= 0x80 | CUT;
        udp.send_to(&answer, sender).unwrap();
        let (mut stream, _) = tcp.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = receive_framed(&mut stream);
        answer[2] |= 0x80;
        answer[6..8].copy_from_slice(&200u16.to_be_bytes());
        for last in 0..200 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
        }
        send_framed(&mut stream, &answer);
    });
    let asker = Asker::new(&kista, "ask", &["--network", "net", "--dns", "127.0.0.53"]);
    let message = question("long.example", A, None);
    let answer = asker.udp(&message);
    assert_eq!((answer[2] & CUT, count(&answer)), (CUT, 0));
    let answer = asker.tcp(&message);
    assert_eq!((answer[2] & CUT, addresses(&message, &answer).len()), (0, 200));
    server.join().unwrap();
}

#[test]
fn nonsense_and_floods_keep_nobody_from_an_answer() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "net"]);
    // A server that never answers.
    let silent = kista.host().enter(|| UdpSocket::bind("127.0.0.53:53").unwrap());
    let asker = Asker::new(&kista, "ask", &["--network", "net", "--dns", "127.0.0.53"]);
    let socket = asker.socket();
    let good = question("ask", A, None);
    let mut pointing = good.clone();
    pointing[12..14].copy_from_slice(&[0xc0, 12]);
    let junk: [&[u8]; 6] =
        [&[], &[0; 11], &[255; 600], &good[..good.len() - 3], &pointing, &[7; 12]];
    for number in 0..5000u32 {
        let _ = socket.send(junk[number as usize % junk.len()]);
        let name = format!("x{number}.example");
        let _ = socket.send(&question(&name, A, None));
    }
    // Connections that say nothing, or half of something.
    let mut idle: Vec<TcpStream> = (0..200).map(|_| asker.connect()).collect();
    for stream in idle.iter_mut().skip(100) {
        let _ = stream.write_all(&[1, 0, 9]);
    }
    wait_until("a name is answered meanwhile", || {
        let socket = asker.socket();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        socket.send(&good).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).ok()?;
        (count(&buffer[..length]) == 1).then_some(())
    });
    assert_eq!(count(&asker.tcp(&good)), 1);
    // Another container does not notice at all.
    let other = Asker::new(&kista, "other", &["--network", "net"]);
    assert_eq!(count(&other.udp(&good)), 1);
    drop(silent);
}

#[test]
fn a_container_calls_others_by_names_of_its_own() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "net"]);
    kista.ok(&["network", "create", "back"]);
    Asker::new(&kista, "db", &["--network", "net"]);
    let web = Asker::new(&kista, "web", &["--network", "net", "--link", "db:Store"]);
    let other = Asker::new(&kista, "other", &["--network", "net"]);
    let message = question("store", A, None);
    let found = addresses(&message, &web.udp(&message));
    assert_eq!(found, addresses(&question("db", A, None), &web.udp(&question("db", A, None))));
    // It is its own name: others do not know it, and it stays when the other one is renamed.
    assert_eq!(count(&other.udp(&message)), 0);
    kista.ok(&["rename", "db", "database"]);
    assert_eq!(addresses(&message, &web.udp(&message)), found);
    Asker::new(&kista, "cache", &["--network", "back"]);
    kista.ok(&["network", "connect", "--link", "cache:c", "back", "web"]);
    wait_until("the new link is seen", || {
        (count(&web.udp(&question("c", A, None))) == 1).then_some(())
    });
    let words = ["run", "--rm", "--network", "net", "--link", "nobody:x", "busybox", "true"];
    kista.run(&words).fails(125, "No such container: nobody");
    let listen: SocketAddr = "127.0.0.11:53".parse().unwrap();
    assert!(web.inside.enter(|| UdpSocket::bind(listen).is_ok()), "port 53 is the container's");
}
