//! Connections: made, used for one exchange at a time, kept for the next.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Mutex;

use http1::{Body, Origin, Scheme};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::reach::Reach;
use crate::server::Trust;
use crate::settings::Timeouts;
use crate::tls::Configurations;
use crate::tunnel::Proxies;
use crate::wire::{Paced, Wire};

/// Larger reads go past the buffer, so that a blob's bytes are copied once.
const BUFFER: usize = 16 << 10;
/// How much of a file is sent before somebody is told.
const PART: u64 = 4 << 20;
/// Idle connections that are kept for one origin.
const KEPT: usize = 8;

/// Who is spoken to, what of him is believed, and where he may be: a connection that was made under
/// one of them is none under another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) origin: Origin,
    pub(crate) trust: Trust,
    pub(crate) reach: Reach,
}

/// Open connections that nobody uses.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<Peer, Vec<Connection>>>,
    tls: Configurations,
    proxies: Proxies,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<Paced<Wire<ClientConnection>>>,
    peer: Peer,
    /// Whether an exchange was made over it: it may have been closed since.
    pub(crate) is_used: bool,
}

impl Pool {
    pub(crate) fn new(proxies: Proxies) -> Self {
        Self { idle: Mutex::default(), tls: Configurations::default(), proxies }
    }

    /// A connection that was kept, or a new one.
    pub(crate) fn connection(&self, peer: &Peer, timeouts: &Timeouts) -> io::Result<Connection> {
        let kept = self.lock().get_mut(peer).and_then(Vec::pop);
        match kept {
            Some(connection) => Ok(connection),
            None => self.fresh(peer, timeouts),
        }
    }

    /// A new connection, its handshake done.
    pub(crate) fn fresh(&self, peer: &Peer, timeouts: &Timeouts) -> io::Result<Connection> {
        let origin = &peer.origin;
        let hop = self.proxies.first_hop(origin);
        peer.reach.check_text(origin)?;
        // A proxy is whom the user named, and resolves the name himself.
        let reach = if hop == origin { peer.reach } else { Reach::Anywhere };
        let tcp = connect(hop, reach, timeouts)?;
        self.proxies.open(origin, &tcp)?;
        let stream = match origin.scheme {
            Scheme::Http => Wire::Clear(tcp),
            Scheme::Https => {
                let name = ServerName::try_from(origin.bare_host().to_owned())
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                let connection = ClientConnection::new(self.tls.of(&peer.trust)?, name)
                    .map_err(io::Error::other)?;
                Wire::encrypt(connection, tcp, timeouts.idle)?
            }
        };
        let stream = BufReader::with_capacity(BUFFER, Paced::new(stream, timeouts.idle * 2));
        Ok(Connection { stream, peer: peer.clone(), is_used: false })
    }

    /// Keeps a connection over which an exchange has come to its end.
    pub(crate) fn keep(&self, mut connection: Connection) {
        connection.is_used = true;
        let mut idle = self.lock();
        let kept = idle.entry(connection.peer.clone()).or_default();
        if kept.len() < KEPT {
            kept.push(connection);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Peer, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn connect(origin: &Origin, reach: Reach, timeouts: &Timeouts) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (origin.bare_host(), origin.port).to_socket_addrs()? {
        if let Err(error) = reach.check(address) {
            last = error;
            continue;
        }
        match TcpStream::connect_timeout(&address, timeouts.connect) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeouts.idle))?;
                stream.set_write_timeout(Some(timeouts.idle))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Connection {
    /// Sends the head and what goes with it.
    pub(crate) fn send(&mut self, head: &[u8], bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut().turn();
        if bytes.is_empty() {
            stream.write_all(head)?;
        } else {
            // In one packet, if it is short.
            stream.write_all(&[head, bytes].concat())?;
        }
        stream.flush()
    }

    /// Sends the `length` bytes of a file, and tells how many have gone.
    pub(crate) fn send_file(
        &mut self,
        file: &mut File,
        length: u64,
        tell: &dyn Fn(u64),
    ) -> io::Result<()> {
        let mut sent = 0;
        while sent < length {
            let part = PART.min(length - sent);
            self.stream.get_mut().turn().send_file(file, part)?;
            sent += part;
            tell(sent);
        }
        Ok(())
    }

    /// Reads a part of the response's body.
    pub(crate) fn read_body(&mut self, body: &mut Body, buffer: &mut [u8]) -> io::Result<usize> {
        body.read(&mut self.stream, buffer).map_err(stalled)
    }

    /// Where the response comes from.
    pub(crate) fn reader(&mut self) -> &mut impl BufRead {
        &mut self.stream
    }
}

/// A timeout of the socket is `WouldBlock` on some systems: say what it is.
pub(crate) fn stalled(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "the server fell silent")
        }
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed too early")
        }
        _ => error,
    }
}
