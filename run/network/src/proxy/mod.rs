//! Passing on what the table cannot redirect: the kernel gives nobody's `::1` to another link, and
//! a container without IPv6 cannot be reached by IPv6 at all.
//!
//! A process of its own, which the shim starts when something arrives at a socket that keeps a
//! port, and which ends when nothing has passed for a while: so an idle container costs a
//! descriptor for it and no memory. The container sees the host as the source of what it gets
//! this way; in an ordinary user's own network, where all ports are published so, the client
//! itself ([`client`]).

mod client;
mod datagram;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;

use crate::Protocol;
use client::Caller;
use datagram::Datagrams;
use stream::{Stream, Turn};

/// `argv[0]` under which the binary passes on. Its arguments are `PROTOCOL ADDRESS:PORT`, one for
/// each of the sockets from descriptor 3 on.
pub const NAME: &str = "kista-proxy";
/// In place of the argument of a socket: the descriptor is a network namespace, from which the
/// targets are reached.
pub const IN_NETWORK: &str = "network";
/// The first socket.
pub const FIRST_FD: i32 = 3;

/// So long it stays when nothing is open.
const IDLE: Duration = Duration::from_secs(10);
/// So many connections it holds at once.
const MAX_STREAMS: usize = 4096;

/// A socket that keeps a port, and where to pass on what arrives there.
#[derive(Debug)]
struct Door {
    socket: OwnedFd,
    target: SocketAddr,
    datagrams: Option<Datagrams>,
}

/// Who an event is for.
#[derive(Debug, Clone, Copy)]
enum Source {
    Door(usize),
    Stream(usize),
    /// Door, and the session's number there.
    Session(usize, usize),
}

impl Source {
    fn encode(self) -> EventData {
        let (kind, a, b) = match self {
            Self::Door(door) => (0, door, 0),
            Self::Stream(stream) => (1, stream, 0),
            Self::Session(door, session) => (2, door, session),
        };
        EventData::new_u64(kind << 60 | (a as u64) << 32 | b as u64)
    }

    fn decode(data: EventData) -> Self {
        let bits = data.u64();
        let (a, b) = ((bits >> 32 & 0xfff_ffff) as usize, (bits & 0xffff_ffff) as usize);
        match bits >> 60 {
            0 => Self::Door(a),
            1 => Self::Stream(a),
            _ => Self::Session(a, b),
        }
    }
}

/// The whole of a process that was called as [`NAME`].
pub fn main(arguments: &[String]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(arguments: &[String]) -> io::Result<()> {
    let mut doors = Vec::new();
    let mut caller = Caller::default();
    for (argument, fd) in arguments.iter().zip(FIRST_FD..) {
        let socket = sys::inherit::take(fd)?;
        if argument == IN_NETWORK {
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(socket.as_fd(), kind)?;
            caller = Caller::among_bridges();
            continue;
        }
        let (protocol, target) = argument
            .split_once(' ')
            .and_then(|(protocol, target)| Some((Protocol::parse(protocol)?, target.parse().ok()?)))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let datagrams = (protocol == Protocol::Udp).then(Datagrams::default);
        doors.push(Door { socket, target, datagrams });
    }
    Proxy::new(doors, caller)?.serve()
}

/// All that is open.
#[derive(Debug)]
struct Proxy {
    poll: OwnedFd,
    doors: Vec<Door>,
    caller: Caller,
    /// Connections by their numbers; a number is given anew when its connection has ended.
    streams: Vec<Option<Stream>>,
    open: usize,
    /// Connections that can go on without an event.
    ready: Vec<usize>,
    last: Instant,
}

impl Proxy {
    fn new(doors: Vec<Door>, caller: Caller) -> io::Result<Self> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, door) in doors.iter().enumerate() {
            epoll::add(&poll, &door.socket, Source::Door(index).encode(), EventFlags::IN)?;
        }
        Ok(Self {
            poll,
            doors,
            caller,
            streams: Vec::new(),
            open: 0,
            ready: Vec::new(),
            last: Instant::now(),
        })
    }

    fn serve(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(128);
        loop {
            events.clear();
            let seconds = if self.ready.is_empty() { 1 } else { 0 };
            let timeout = rustix::event::Timespec { tv_sec: seconds, tv_nsec: 0 };
            match epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            ) {
                Err(Errno::INTR) => continue,
                waited => waited?,
            };
            for stream in std::mem::take(&mut self.ready) {
                self.handle(Source::Stream(stream));
            }
            for event in &events {
                let data = event.data;
                self.handle(Source::decode(data));
            }
            let now = Instant::now();
            for door in &mut self.doors {
                if let Some(datagrams) = &mut door.datagrams {
                    datagrams.expire(now);
                    if !datagrams.is_empty() {
                        self.last = now;
                    }
                }
            }
            if self.open > 0 || !events.is_empty() {
                self.last = now;
            } else if now - self.last > IDLE {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Door(index) => match self.doors[index].datagrams.is_some() {
                true => self.pass_datagrams(index),
                false => self.accept(index),
            },
            Source::Stream(index) => {
                let Some(Some(stream)) = self.streams.get_mut(index) else { return };
                match stream.turn() {
                    Turn::Waiting => {}
                    Turn::More => self.ready.push(index),
                    Turn::Over => {
                        self.streams[index] = None;
                        self.open -= 1;
                    }
                }
            }
            Source::Session(index, session) => {
                let door = &mut self.doors[index];
                if let Some(datagrams) = &mut door.datagrams {
                    datagrams.answer(door.socket.as_fd(), session);
                }
            }
        }
    }

    fn accept(&mut self, index: usize) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // One that is too many waits in the kernel's queue.
        while self.open < MAX_STREAMS {
            let Door { socket, target, .. } = &self.doors[index];
            let Ok((client, from)) = rustix::net::acceptfrom_with(socket, flags) else {
                return;
            };
            let Some(Ok(from)) = from.map(SocketAddr::try_from) else { continue };
            let Ok(server) = self.caller.connect(SocketType::STREAM, *target, from) else {
                continue;
            };
            let number = match self.streams.iter().position(Option::is_none) {
                Some(number) => number,
                None => {
                    self.streams.push(None);
                    self.streams.len() - 1
                }
            };
            let source = Source::Stream(number).encode();
            if let Ok(stream) = Stream::new(client, server, self.poll.as_fd(), source) {
                self.streams[number] = Some(stream);
                self.open += 1;
            }
        }
    }

    fn pass_datagrams(&mut self, index: usize) {
        let Door { socket, target, datagrams } = &mut self.doors[index];
        let Some(datagrams) = datagrams else { return };
        let target = *target;
        let poll = self.poll.as_fd();
        let caller = &mut self.caller;
        datagrams.pass(socket.as_fd(), &mut |session, from| {
            let server = caller.connect(SocketType::DGRAM, target, from)?;
            let source = Source::Session(index, session).encode();
            epoll::add(poll, &server, source, EventFlags::IN)?;
            Ok(server)
        });
    }
}

/// Sockets that keep ports, as long as nothing arrives there.
#[derive(Debug, Default)]
pub struct Keeper {
    doors: Vec<(OwnedFd, Protocol, SocketAddr)>,
    poll: Option<OwnedFd>,
}

impl Keeper {
    /// Takes a socket over, with where to pass on what arrives there.
    pub fn keep(
        &mut self,
        socket: OwnedFd,
        protocol: Protocol,
        target: SocketAddr,
    ) -> io::Result<()> {
        // What the kernel does not redirect of SCTP has nowhere to go.
        if protocol != Protocol::Sctp {
            let poll = match &self.poll {
                Some(poll) => poll,
                None => self.poll.insert(epoll::create(CreateFlags::CLOEXEC)?),
            };
            epoll::add(poll, &socket, EventData::new_u64(0), EventFlags::IN)?;
        }
        self.doors.push((socket, protocol, target));
        Ok(())
    }

    /// Readable when something has arrived at one of them.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.poll.as_ref().map(AsFd::as_fd)
    }

    /// The arguments and the sockets for a process under [`NAME`].
    pub fn program(&self) -> (Vec<String>, Vec<BorrowedFd<'_>>) {
        let doors = self.doors.iter().filter(|(_, protocol, _)| *protocol != Protocol::Sctp);
        let mut arguments = Vec::new();
        let mut sockets = Vec::new();
        for (socket, protocol, target) in doors {
            arguments.push(format!("{protocol} {target}"));
            sockets.push(socket.as_fd());
        }
        (arguments, sockets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        for source in [Source::Door(7), Source::Stream(4095), Source::Session(3, 70_000)] {
            let back = Source::decode(source.encode());
            assert_eq!(format!("{back:?}"), format!("{source:?}"));
        }
    }
}
