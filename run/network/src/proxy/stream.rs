//! One connection: two sockets, and what is on its way between them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// What is on its way in one direction, at most.
const BUFFER_BYTES: usize = 64 * 1024;

/// A connection that was accepted, and the one that was made for it.
#[derive(Debug)]
pub(super) struct Stream {
    client: OwnedFd,
    server: OwnedFd,
    /// From the client to the server.
    up: Way,
    /// Back.
    down: Way,
}

/// So many pieces are moved before others have their turn.
const BATCH: usize = 16;

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// An end has nothing, or takes nothing.
    Waiting,
    /// It could go on at once.
    More,
    /// It is over.
    Over,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    bytes: Vec<u8>,
    sent: usize,
    /// The sender has said its last.
    has_ended: bool,
    /// The receiver knows.
    is_shut: bool,
}

impl Way {
    /// Moves what can be moved.
    fn turn(&mut self, from: &OwnedFd, to: &OwnedFd) -> Turn {
        for _ in 0..BATCH {
            while self.sent < self.bytes.len() {
                match rustix::net::send(to, &self.bytes[self.sent..], SendFlags::NOSIGNAL) {
                    Ok(count) => self.sent += count,
                    // Not connected yet, or full.
                    Err(Errno::AGAIN | Errno::NOTCONN) => return Turn::Waiting,
                    Err(Errno::INTR) => {}
                    Err(_) => return Turn::Over,
                }
            }
            self.bytes.clear();
            self.sent = 0;
            if self.has_ended {
                if !self.is_shut {
                    self.is_shut = true;
                    // One that is gone needs not be told.
                    let _ = rustix::net::shutdown(to, Shutdown::Write);
                }
                return Turn::Waiting;
            }
            self.bytes.reserve(BUFFER_BYTES);
            let room = rustix::buffer::spare_capacity(&mut self.bytes);
            match rustix::net::recv(from, room, RecvFlags::empty()) {
                Ok((_, 0)) => self.has_ended = true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOTCONN) => {
                    self.bytes = Vec::new();
                    return Turn::Waiting;
                }
                Err(_) => return Turn::Over,
            }
        }
        Turn::More
    }
}

impl Stream {
    pub(super) fn new(
        client: OwnedFd,
        server: OwnedFd,
        poll: BorrowedFd<'_>,
        source: EventData,
    ) -> io::Result<Self> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(poll, &client, source, flags)?;
        epoll::add(poll, &server, source, flags)?;
        Ok(Self { client, server, up: Way::default(), down: Way::default() })
    }

    /// Something has happened to one of the two.
    pub(super) fn turn(&mut self) -> Turn {
        let up = self.up.turn(&self.client, &self.server);
        let down = self.down.turn(&self.server, &self.client);
        match (up, down) {
            (Turn::Over, _) | (_, Turn::Over) => Turn::Over,
            _ if self.up.is_shut && self.down.is_shut => Turn::Over,
            (Turn::More, _) | (_, Turn::More) => Turn::More,
            _ => Turn::Waiting,
        }
    }
}
