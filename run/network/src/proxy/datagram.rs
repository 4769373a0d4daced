//! Datagrams: a session for each sender, so that answers find back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// A session without a word is forgotten after so long.
const PATIENCE: Duration = Duration::from_secs(90);
/// So many senders at once.
const MAX_SESSIONS: usize = 1024;
/// More than a datagram has.
const BUFFER_BYTES: usize = 65_536;

/// The sessions of one port.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    sessions: HashMap<SocketAddr, Session>,
    senders: HashMap<usize, SocketAddr>,
    next: usize,
}

#[derive(Debug)]
struct Session {
    number: usize,
    server: OwnedFd,
    last: Instant,
}

impl Datagrams {
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Passes on what has come; `open` makes the socket of a new session by its number, for
    /// this sender.
    pub(super) fn pass(
        &mut self,
        socket: BorrowedFd<'_>,
        open: &mut dyn FnMut(usize, SocketAddr) -> Result<OwnedFd, Errno>,
    ) {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let received = rustix::net::recvfrom(socket, &mut buffer[..], RecvFlags::DONTWAIT);
            let Ok((count, _, Some(sender))) = received else { return };
            let Ok(sender) = SocketAddr::try_from(sender) else { continue };
            if !self.sessions.contains_key(&sender) {
                if self.sessions.len() >= MAX_SESSIONS {
                    continue;
                }
                let number = self.next;
                self.next = self.next.wrapping_add(1) & 0x7fff_ffff;
                let Ok(server) = open(number, sender) else { continue };
                self.senders.insert(number, sender);
                self.sessions.insert(sender, Session { number, server, last: Instant::now() });
            }
            if let Some(session) = self.sessions.get_mut(&sender) {
                session.last = Instant::now();
                // A datagram that is lost is lost, as everywhere.
                let _ = rustix::net::send(&session.server, &buffer[..count], SendFlags::NOSIGNAL);
            }
        }
    }

    /// Gives answers back to the sender of a session.
    pub(super) fn answer(&mut self, socket: BorrowedFd<'_>, number: usize) {
        let Some(sender) = self.senders.get(&number) else { return };
        let Some(session) = self.sessions.get_mut(sender) else { return };
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match rustix::net::recv(&session.server, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((count, _)) => {
                    session.last = Instant::now();
                    let _ =
                        rustix::net::sendto(socket, &buffer[..count], SendFlags::NOSIGNAL, sender);
                }
                // Nobody listens there: the next datagram may find somebody.
                Err(Errno::CONNREFUSED | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let senders = &mut self.senders;
        self.sessions.retain(|_, session| {
            let stays = now.duration_since(session.last) < PATIENCE;
            if !stays {
                senders.remove(&session.number);
            }
            stays
        });
    }
}
