//! Streams: from container to container, between a container and its host, and through a published
//! port, from the outside and from the host itself.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use testkit::Host;

use super::{HOST_ADDRESS, NETWORK, Site};
use crate::bench::Bench;
use crate::bench::measure::{Samples, Table};

/// How long one stream runs.
const SPAN: Duration = Duration::from_millis(700);
/// How long an end may wait for the other one: what stands still is an error and not a figure.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is written at once.
const PIECE_BYTES: usize = 128 * 1024;
/// Where a container listens, and the port of the host that leads there.
const PORT: u16 = 5201;

/// A way that is measured: who listens at which port, and who connects to which address.
struct Way<'a> {
    name: &'static str,
    listener: &'a Host,
    sender: &'a Host,
    target: SocketAddr,
}

pub(super) fn measure(
    bench: &Bench,
    sites: &[Site],
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let mut rows: Vec<(&'static str, Vec<Samples>)> = Vec::new();
    let mut containers = Vec::new();
    for site in sites {
        let published = format!("{PORT}:{PORT}");
        let server = site.idle("server", &["--network", NETWORK, "-p", &published])?;
        let client = site.idle("client", &["--network", NETWORK])?;
        let address = site.address("server")?;
        let gateway = gateway_of(&address)?;
        containers.push((server, client, address, gateway));
    }
    // Turn by turn, and the engines in each: the machine changes from minute to minute.
    for round in 0..=bench.runs.min(20) {
        for (at, (site, (server, client, address, gateway))) in
            sites.iter().zip(&containers).enumerate()
        {
            let target = |address: &str| -> Result<SocketAddr, Box<dyn Error>> {
                Ok(SocketAddr::new(address.parse()?, PORT))
            };
            let ways = [
                Way {
                    name: "container to container",
                    listener: server,
                    sender: client,
                    target: target(address)?,
                },
                Way {
                    name: "container to host",
                    listener: &site.host,
                    sender: client,
                    target: SocketAddr::new(gateway.parse()?, PORT + 1),
                },
                Way {
                    name: "host to container",
                    listener: server,
                    sender: &site.host,
                    target: target(address)?,
                },
                Way {
                    name: "published port, from outside",
                    listener: server,
                    sender: &site.outside,
                    target: target(HOST_ADDRESS)?,
                },
                Way {
                    name: "published port, from the host's 127.0.0.1",
                    listener: server,
                    sender: &site.host,
                    target: target("127.0.0.1")?,
                },
            ];
            for (row, way) in ways.iter().enumerate() {
                let rate = stream(way)
                    .map_err(|err| format!("{}: {}: {err}", site.engine.name, way.name))?;
                if rows.len() <= row {
                    rows.push((way.name, vec![Samples::default(); sites.len()]));
                }
                if round > 0 {
                    rows[row].1[at].0.push(rate);
                }
            }
        }
    }
    for (name, samples) in rows {
        table.add(name, samples.into_iter().map(Some).collect());
    }
    for site in sites {
        site.output(&["rm", "-f", "server", "client"])?;
    }
    Ok(())
}

/// The first address of a container's network of 16 bits, or of Podman's of 24: the host's.
fn gateway_of(address: &str) -> Result<String, Box<dyn Error>> {
    let mut octets: Vec<&str> = address.split('.').collect();
    octets.pop().ok_or("no address")?;
    Ok(format!("{}.1", octets.join(".")))
}

/// Gbit per second of one stream.
fn stream(way: &Way<'_>) -> Result<f64, std::io::Error> {
    let any = SocketAddr::new([0, 0, 0, 0].into(), way.target.port());
    let listener = way.listener.enter(|| TcpListener::bind(any))?;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<(), std::io::Error> {
            let mut stream =
                way.sender.enter(|| TcpStream::connect_timeout(&way.target, PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let piece = vec![7; PIECE_BYTES];
            let start = Instant::now();
            while start.elapsed() < SPAN {
                stream.write_all(&piece)?;
            }
            Ok(())
        });
        // One that cannot be reached must not leave us waiting for ever.
        listener.set_nonblocking(true)?;
        let deadline = Instant::now() + PATIENCE + Duration::from_secs(1);
        let mut stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {
                    if Instant::now() > deadline {
                        return Err(std::io::ErrorKind::TimedOut.into());
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(err) => return Err(err),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = vec![0; PIECE_BYTES];
        let (mut bytes, start) = (0u64, Instant::now());
        loop {
            match stream.read(&mut buffer)? {
                0 => break,
                count => bytes += count as u64,
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "a rate of three digits")]
        let rate = bytes as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9;
        match sender.join() {
            Ok(sent) => sent.map(|()| rate),
            Err(_) => Err(std::io::ErrorKind::Other.into()),
        }
    })
}
