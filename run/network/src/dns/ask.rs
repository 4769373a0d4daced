//! A question that servers were asked, one after the other.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::Asker;
use super::message::{is_answer_to, is_refusal};
use super::stream::{Framed, Read};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// An answer is at most so large.
const ANSWER_BYTES: usize = 65_535;

/// A question on its way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) number: u32,
    pub(super) asker: Asker,
    /// As the asker sent it.
    original: Vec<u8>,
    /// With a number of our own, which nobody else can guess.
    query: Vec<u8>,
    /// Those that were not asked yet, the last one first.
    servers: Vec<SocketAddr>,
    socket: Option<Way>,
    since: Instant,
    /// The last refusal: better than no answer.
    refusal: Option<Vec<u8>>,
    event: u64,
}

#[derive(Debug)]
enum Way {
    Datagram(OwnedFd),
    Stream(Framed),
}

/// How it stands.
#[derive(Debug)]
pub(super) enum Progress {
    Waiting,
    /// For the asker, with the number that it gave.
    Answer(Vec<u8>),
    /// No server answered.
    Failed,
}

impl Asked {
    /// Asks the first server that can be; `None` if there is none.
    pub(super) fn new(
        number: u32,
        asker: Asker,
        original: Vec<u8>,
        mut servers: Vec<SocketAddr>,
        poll: &OwnedFd,
        event: u64,
    ) -> Option<Self> {
        let mut query = original.clone();
        query.get_mut(..2)?.copy_from_slice(&sys::names::random_bytes::<2>());
        servers.reverse();
        let (since, socket, refusal) = (Instant::now(), None, None);
        let mut asked =
            Self { number, asker, original, query, servers, socket, since, refusal, event };
        match asked.next_server(poll) {
            Progress::Waiting => Some(asked),
            _ => None,
        }
    }

    /// The question as it was asked.
    pub(super) fn question(&self) -> &[u8] {
        &self.original
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now.duration_since(self.since) > PATIENCE
    }

    /// Asks the next server.
    pub(super) fn next_server(&mut self, poll: &OwnedFd) -> Progress {
        self.socket = None;
        while let Some(server) = self.servers.pop() {
            if let Ok(way) = self.ask(server, poll) {
                self.socket = Some(way);
                self.since = Instant::now();
                return Progress::Waiting;
            }
        }
        match self.refusal.take() {
            Some(answer) => Progress::Answer(answer),
            None => Progress::Failed,
        }
    }

    /// As it was asked: by a datagram or over a connection.
    fn ask(&self, server: SocketAddr, poll: &OwnedFd) -> Result<Way, Errno> {
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let is_datagram = matches!(self.asker, Asker::Datagram(_));
        let kind = if is_datagram { SocketType::DGRAM } else { SocketType::STREAM };
        // A new one for each question: the kernel gives it a port that cannot be guessed.
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        match rustix::net::connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        let data = EventData::new_u64(self.event | u64::from(self.number));
        if is_datagram {
            rustix::net::send(&socket, &self.query, SendFlags::NOSIGNAL)?;
            epoll::add(poll, &socket, data, EventFlags::IN)?;
            return Ok(Way::Datagram(socket));
        }
        epoll::add(poll, &socket, data, EventFlags::IN | EventFlags::OUT)?;
        let mut framed = Framed::new(self.number, socket);
        match framed.send(&self.query) {
            true => Ok(Way::Stream(framed)),
            false => Err(Errno::PIPE),
        }
    }

    /// Something has come from the server, or it can take the question now.
    pub(super) fn hear(&mut self, poll: &OwnedFd) -> Progress {
        let answer = match &mut self.socket {
            None => return Progress::Waiting,
            Some(Way::Datagram(socket)) => {
                let mut buffer = vec![0; ANSWER_BYTES];
                match rustix::net::recv(&*socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                    Ok((count, _)) => {
                        buffer.truncate(count);
                        buffer
                    }
                    Err(Errno::AGAIN | Errno::INTR) => return Progress::Waiting,
                    // Nobody listens there.
                    Err(_) => return self.next_server(poll),
                }
            }
            Some(Way::Stream(framed)) => {
                if !framed.flush() {
                    return self.next_server(poll);
                }
                let data = EventData::new_u64(self.event | u64::from(self.number));
                if !framed.is_behind() {
                    // A failure costs turns of the loop, until the time is over.
                    let _ = epoll::modify(poll, &framed.socket, data, EventFlags::IN);
                }
                match framed.read(ANSWER_BYTES) {
                    Read::Message(message) => message,
                    Read::Nothing => return Progress::Waiting,
                    Read::End => return self.next_server(poll),
                }
            }
        };
        if !is_answer_to(&answer, &self.query) {
            // Somebody guesses; the real one may still come.
            return Progress::Waiting;
        }
        let mut answer = answer;
        answer[..2].copy_from_slice(&self.original[..2]);
        if is_refusal(&answer) && !self.servers.is_empty() {
            self.refusal = Some(answer);
            return self.next_server(poll);
        }
        Progress::Answer(answer)
    }
}
