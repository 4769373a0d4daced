//! The journal's native protocol: one datagram of `FIELD=value` lines an entry.
//!
//! systemd, "Native Journal Protocol".

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::{LogFacts, Stream};
use crate::ShimError;

/// An open way to the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    socket: OwnedFd,
    /// The fields that go with every entry, encoded.
    fields: Vec<u8>,
}

/// Whether something listens on the journal's socket.
pub(crate) fn probe(path: &Path) -> Result<(), ShimError> {
    open(path).map(drop)
}

fn open(path: &Path) -> Result<OwnedFd, ShimError> {
    let connect = || -> io::Result<OwnedFd> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // A journal that is slow holds the container up, one that is stuck must not.
        set_socket_timeout(&socket, Timeout::Send, Some(std::time::Duration::from_secs(1)))?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket)
    };
    connect().map_err(|source| ShimError::NoJournal { path: path.to_owned(), source })
}

/// The fields that Docker sends.
pub(crate) fn fields(facts: &LogFacts<'_>, tag: &str) -> Vec<(String, String)> {
    let short: String = facts.id.chars().take(12).collect();
    [
        ("CONTAINER_ID", short.as_str()),
        ("CONTAINER_ID_FULL", facts.id),
        ("CONTAINER_NAME", facts.name),
        ("CONTAINER_TAG", tag),
        ("IMAGE_NAME", facts.image_name),
        ("SYSLOG_IDENTIFIER", tag),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// A name as the journal takes it: capitals, digits and underscores, no underscore first.
pub(crate) fn field_name(name: &str) -> String {
    let legal = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let name: String = name.chars().map(|char| legal(char).to_ascii_uppercase()).collect();
    name.trim_start_matches('_').to_owned()
}

impl Journal {
    pub(crate) fn open(path: &Path, fields: &[(String, String)]) -> Result<Self, ShimError> {
        let mut encoded = Vec::new();
        for (name, value) in fields.iter().filter(|(name, _)| !name.is_empty()) {
            put(&mut encoded, name, value.as_bytes());
        }
        Ok(Self { socket: open(path)?, fields: encoded })
    }

    /// Sends one line, without its line feed. The journal stamps it with its own clock.
    pub(crate) fn send(&self, stream: Stream, line: &[u8], partial: bool) -> io::Result<()> {
        let mut datagram = Vec::with_capacity(line.len() + self.fields.len() + 64);
        put(&mut datagram, "MESSAGE", line);
        let priority: &[u8] = if stream == Stream::Stdout { b"6" } else { b"3" };
        put(&mut datagram, "PRIORITY", priority);
        if partial {
            put(&mut datagram, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        datagram.extend_from_slice(&self.fields);
        loop {
            match rustix::net::send(&self.socket, &datagram, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                other => return Ok(other.map(drop)?),
            }
        }
    }
}

/// `NAME=value`, or for values with line feeds the name, the length in 8 bytes, and the value.
fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_datagram_of_fields() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let server = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let fields = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x\ny".to_owned())];
        let journal = Journal::open(&path, &fields).unwrap();
        journal.send(Stream::Stderr, b"hello", true).unwrap();
        let mut buffer = [0; 1024];
        let count = server.recv(&mut buffer).unwrap();
        let wanted =
            b"MESSAGE=hello\nPRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\nA=1\nB\n\x03\0\0\0\0\0\0\0x\ny\n";
        assert_eq!(&buffer[..count], wanted);
    }

    #[test]
    fn names_are_made_legal() {
        assert_eq!(field_name("com.x/y-z"), "COM_X_Y_Z");
        assert_eq!(field_name("_hidden"), "HIDDEN");
    }
}
