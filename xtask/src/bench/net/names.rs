//! Questions for the name of a container, asked inside another one's network where its
//! `/etc/resolv.conf` says. RFC 1035, section 4.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use testkit::Host;

use super::{NETWORK, Site};
use crate::bench::Bench;
use crate::bench::measure::{Samples, Table};

/// Asked one after another in each turn.
const QUESTIONS: usize = 300;
/// On their way at once when answers per second are counted.
const AT_ONCE: u16 = 32;
/// How long that goes on in each turn.
const SPAN: Duration = Duration::from_millis(500);

pub(super) fn measure(
    bench: &Bench,
    sites: &[Site],
    answers: &mut Table,
    latency: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let mut askers = Vec::new();
    for site in sites {
        site.idle("web", &["--network", NETWORK])?;
        let asker = site.idle("asker", &["--network", NETWORK])?;
        let file = site.output(&["exec", "asker", "cat", "/etc/resolv.conf"])?;
        let server = file.lines().find_map(|line| line.strip_prefix("nameserver "));
        let server = server.ok_or("no name server in /etc/resolv.conf")?.trim().parse()?;
        askers.push((asker, SocketAddr::new(server, 53)));
    }
    for (name, kind) in [("a container's name, A", 1), ("a container's name, AAAA", 28)] {
        let question = question("web", kind);
        let mut rates = vec![Some(Samples::default()); sites.len()];
        let mut times = rates.clone();
        for round in 0..=bench.runs.min(20) {
            for (at, (asker, server)) in askers.iter().enumerate() {
                let socket = connect(asker, *server)?;
                // An engine that has no such resolver here is left out.
                let Ok(taken) = one_by_one(&socket, &question) else {
                    (rates[at], times[at]) = (None, None);
                    continue;
                };
                let rate = many(&socket, &question)?;
                if round > 0 {
                    for (samples, value) in [(&mut times[at], taken), (&mut rates[at], rate)] {
                        samples.get_or_insert_default().0.push(value);
                    }
                }
            }
        }
        answers.add(name, rates);
        latency.add(name, times);
    }
    for site in sites {
        site.output(&["rm", "-f", "web", "asker"])?;
    }
    Ok(())
}

fn connect(asker: &Host, server: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = asker.enter(|| UdpSocket::bind("0.0.0.0:0"))?;
    asker.enter(|| socket.connect(server))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(socket)
}

/// A message with one question, whose number is to be set.
fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.push(u8::try_from(name.len()).unwrap_or(0));
    bytes.extend(name.bytes());
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

fn send(socket: &UdpSocket, question: &[u8], number: u16) -> std::io::Result<()> {
    let mut bytes = question.to_vec();
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    socket.send(&bytes).map(drop)
}

/// The middle of what single questions took, in microseconds.
fn one_by_one(socket: &UdpSocket, question: &[u8]) -> std::io::Result<f64> {
    let mut buffer = [0; 512];
    let mut taken = Vec::with_capacity(QUESTIONS);
    for number in (0..).take(QUESTIONS) {
        let start = Instant::now();
        send(socket, question, number)?;
        while socket.recv(&mut buffer)? < 12 || buffer[..2] != number.to_be_bytes() {}
        taken.push(start.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[QUESTIONS / 2])
}

/// Answers per second with many questions on their way.
fn many(socket: &UdpSocket, question: &[u8]) -> std::io::Result<f64> {
    let mut buffer = [0; 512];
    let mut count = 0u32;
    for number in 0..AT_ONCE {
        send(socket, question, number)?;
    }
    let start = Instant::now();
    while start.elapsed() < SPAN {
        match socket.recv(&mut buffer) {
            Ok(_) => count += 1,
            // Some were lost.
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(err) => return Err(err),
        }
        send(socket, question, u16::try_from(count & 0xffff).unwrap_or(0))?;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    // What is still on its way is not the next turn's.
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    while socket.recv(&mut buffer).is_ok() {}
    Ok(rate)
}
