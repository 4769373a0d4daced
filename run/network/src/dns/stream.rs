//! Messages over a connection: two bytes of length before each. RFC 1035, section 4.2.2.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// A client that does not take its answers may have so many bytes of them waiting.
const MAX_BEHIND_BYTES: usize = 256 * 1024;

/// A connection, and half a message in each direction.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) number: u32,
    pub(super) socket: OwnedFd,
    pub(super) last: Instant,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Message(Vec<u8>),
    /// Not yet.
    Nothing,
    /// The other end has closed, or sends what cannot be.
    End,
}

impl Framed {
    pub(super) fn new(number: u32, socket: OwnedFd) -> Self {
        let last = Instant::now();
        Self { number, socket, last, incoming: Vec::new(), outgoing: Vec::new() }
    }

    /// The next message, of at most `most` bytes.
    pub(super) fn read(&mut self, most: usize) -> Read {
        loop {
            if let Some((length, rest)) = self.incoming.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                if length == 0 || length > most {
                    return Read::End;
                }
                if rest.len() >= length {
                    let message = rest[..length].to_vec();
                    self.incoming.drain(..2 + length);
                    self.last = Instant::now();
                    return Read::Message(message);
                }
            }
            let mut buffer = [0; 2048];
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Read::End,
                Ok((count, _)) => self.incoming.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOTCONN) => return Read::Nothing,
                Err(_) => return Read::End,
            }
        }
    }

    /// Sends a message, or keeps what does not go; `false` if there is too much of that.
    pub(super) fn send(&mut self, message: &[u8]) -> bool {
        let Ok(length) = u16::try_from(message.len()) else { return false };
        self.outgoing.extend_from_slice(&length.to_be_bytes());
        self.outgoing.extend_from_slice(message);
        self.flush() && self.outgoing.len() <= MAX_BEHIND_BYTES
    }

    /// Sends what waits; `false` if the connection is broken.
    pub(super) fn flush(&mut self) -> bool {
        while !self.outgoing.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, &self.outgoing, flags) {
                Ok(count) => {
                    self.outgoing.drain(..count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOTCONN) => return true,
                Err(_) => return false,
            }
        }
        self.outgoing = Vec::new();
        true
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn messages_come_whole_and_in_order() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut framed = Framed::new(1, near.into());
        assert_eq!(framed.read(512), Read::Nothing);
        far.write_all(&[0, 3, 1, 2]).unwrap();
        assert_eq!(framed.read(512), Read::Nothing);
        far.write_all(&[3, 0, 1, 9, 0]).unwrap();
        assert_eq!(framed.read(512), Read::Message(vec![1, 2, 3]));
        assert_eq!(framed.read(512), Read::Message(vec![9]));
        assert_eq!(framed.read(512), Read::Nothing);
        drop(far);
        assert_eq!(framed.read(512), Read::End);
        for bad in [[0, 0], [2, 1]] {
            let (near, mut far) = UnixStream::pair().unwrap();
            far.write_all(&bad).unwrap();
            assert_eq!(Framed::new(1, near.into()).read(512), Read::End, "{bad:?}");
        }
    }
}
