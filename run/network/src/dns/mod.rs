//! The resolver of a container: containers' names from a [`Zone`], everything else from the host's
//! servers.
//!
//! One value inside the shim's loop: nothing waits here, no thread, and what is kept while nobody
//! asks is three descriptors. Questions come by UDP and TCP to sockets inside the container's
//! network; servers are asked from the host's, so that one on the host's own loopback is reached.
//! A client that is slow, or sends half a message, keeps nobody else waiting.

mod ask;
mod known;
mod message;
mod stream;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use ask::{Asked, Progress};
use known::Known;
use message::{Code, Data, PTR, Question, complaint};
use stream::{Framed, Read};

/// What the resolver knows by itself.
pub trait Zone {
    /// The addresses that a name stands for; `None` if it is not one of ours.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>>;

    /// The name that an address of ours has.
    fn name_of(&self, address: IpAddr) -> Option<String>;

    /// The servers that know the rest, in order; `None` if nobody outside is to be asked.
    fn servers(&self) -> Option<Vec<SocketAddr>>;
}

/// So many questions are on their way to servers at once.
const MAX_ASKED: usize = 256;
/// So many clients are connected at once.
const MAX_CLIENTS: usize = 64;
/// A client that sends nothing for so long is let go.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// So many datagrams are taken before others have their turn.
const BATCH: usize = 64;
/// A question is at most so large.
const QUESTION_BYTES: usize = 4096;

/// Who asked, and waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Datagram(SocketAddr),
    /// The number of a client.
    Client(u32),
}

/// Who an event is for.
const UDP: u64 = 0;
const TCP: u64 = 1;
const TIMER: u64 = 2;
const CLIENT: u64 = 1 << 32;
const SERVER: u64 = 2 << 32;

/// The resolver.
#[derive(Debug)]
pub struct Resolver {
    poll: OwnedFd,
    timer: OwnedFd,
    udp: Option<OwnedFd>,
    tcp: Option<OwnedFd>,
    clients: Vec<Framed>,
    asked: Vec<Asked>,
    known: Known,
    /// Numbers for clients and for questions.
    next: u32,
    /// Turns those who share a name around.
    turn: usize,
    is_ticking: bool,
}

impl Resolver {
    /// One without sockets.
    pub fn new() -> io::Result<Self> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&poll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self {
            poll,
            timer,
            udp: None,
            tcp: None,
            clients: Vec::new(),
            asked: Vec::new(),
            known: Known::default(),
            next: 0,
            turn: 0,
            is_ticking: false,
        })
    }

    /// Takes a socket over, at which questions arrive: of datagrams, or one that listens.
    pub fn listen(&mut self, socket: OwnedFd) -> io::Result<()> {
        let is_datagram = sockopt::socket_type(&socket)? == SocketType::DGRAM;
        let data = EventData::new_u64(if is_datagram { UDP } else { TCP });
        epoll::add(&self.poll, &socket, data, EventFlags::IN)?;
        match is_datagram {
            true => self.udp = Some(socket),
            false => self.tcp = Some(socket),
        }
        Ok(())
    }

    /// Readable when there is something to do.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    /// Does what there is to do, and never waits.
    pub fn serve(&mut self, zone: &dyn Zone) {
        let mut events = Vec::with_capacity(32);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let room = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.poll, room, Some(&now)).is_err() {
            return;
        }
        for event in &events {
            let number = event.data.u64();
            match number {
                UDP => self.take_datagrams(zone),
                TCP => self.accept(),
                TIMER => self.tick(zone),
                number if number >= SERVER => self.hear_server(number as u32, zone),
                number => self.hear_client(number as u32, zone),
            }
        }
        self.set_timer();
    }

    /// Gives memory back.
    pub fn release(&mut self) {
        self.clients.shrink_to_fit();
        self.asked.shrink_to_fit();
        self.known = Known::default();
    }

    fn take_datagrams(&mut self, zone: &dyn Zone) {
        let mut buffer = [0; QUESTION_BYTES];
        for _ in 0..BATCH {
            let Some(udp) = &self.udp else { return };
            let received = rustix::net::recvfrom(udp, &mut buffer[..], RecvFlags::DONTWAIT);
            match received {
                Ok((count, _, Some(sender))) => {
                    let Ok(sender) = SocketAddr::try_from(sender) else { continue };
                    self.question(&buffer[..count], Asker::Datagram(sender), zone);
                }
                Ok(_) | Err(Errno::INTR | Errno::CONNREFUSED) => {}
                Err(_) => return,
            }
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Some(tcp) = &self.tcp {
            let Ok(socket) = rustix::net::accept_with(tcp, flags) else { return };
            if self.clients.len() >= MAX_CLIENTS {
                // The one that has been silent longest makes room.
                self.clients.remove(0);
            }
            let number = self.number();
            let data = EventData::new_u64(CLIENT | u64::from(number));
            if epoll::add(&self.poll, &socket, data, EventFlags::IN).is_ok() {
                self.clients.push(Framed::new(number, socket));
            }
        }
    }

    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn hear_client(&mut self, number: u32, zone: &dyn Zone) {
        let Some(at) = self.clients.iter().position(|client| client.number == number) else {
            return;
        };
        let mut client = self.clients.remove(at);
        let mut questions = Vec::new();
        let goes_on = loop {
            match client.read(QUESTION_BYTES) {
                Read::Message(bytes) => questions.push(bytes),
                Read::Nothing => break client.flush(),
                Read::End => break false,
            }
            if questions.len() >= BATCH {
                break false;
            }
        };
        if goes_on {
            self.watch_client(&client);
            // At the end: it has spoken last.
            self.clients.push(client);
        }
        for question in questions {
            self.question(&question, Asker::Client(number), zone);
        }
    }

    fn watch_client(&self, client: &Framed) {
        let out = if client.is_behind() { EventFlags::OUT } else { EventFlags::empty() };
        let data = EventData::new_u64(CLIENT | u64::from(client.number));
        // One that cannot be watched is let go when its time is over.
        let _ = epoll::modify(&self.poll, &client.socket, data, EventFlags::IN | out);
    }

    fn question(&mut self, bytes: &[u8], asker: Asker, zone: &dyn Zone) {
        let is_datagram = matches!(asker, Asker::Datagram(_));
        let Some(question) = Question::parse(bytes) else {
            if let Some(answer) = complaint(bytes, Code::FormatError) {
                self.reply(asker, &answer);
            }
            return;
        };
        if let Some(records) = self.look_up(&question, zone) {
            let answer = question.answer(Code::NoError, &records, is_datagram);
            return self.reply(asker, &answer);
        }
        let code = match zone.servers() {
            None => Code::NoSuchName,
            Some(servers) if servers.is_empty() || self.asked.len() >= MAX_ASKED => {
                Code::ServerFailure
            }
            Some(servers) => {
                let number = self.number();
                let asked = Asked::new(number, asker, bytes.to_vec(), servers, &self.poll, SERVER);
                match asked {
                    Some(asked) => {
                        self.asked.push(asked);
                        return;
                    }
                    None => Code::ServerFailure,
                }
            }
        };
        let answer = question.answer(code, &[], is_datagram);
        self.reply(asker, &answer);
    }

    /// What the zone says; `None` if that is nothing.
    fn look_up(&mut self, question: &Question<'_>, zone: &dyn Zone) -> Option<Vec<Data>> {
        if question.kind == PTR {
            let name = zone.name_of(question.reverse()?)?;
            return Some(vec![Data::Name(name)]);
        }
        let mut addresses = self.known.addresses(&question.name, zone)?;
        addresses.retain(|address| question.asks_for(*address));
        if !addresses.is_empty() {
            self.turn = self.turn.wrapping_add(1);
            let middle = self.turn % addresses.len();
            addresses.rotate_left(middle);
        }
        // A name of ours without an address of this family is still a name of ours.
        Some(addresses.into_iter().map(Data::Address).collect())
    }

    fn reply(&mut self, asker: Asker, answer: &[u8]) {
        match asker {
            Asker::Datagram(sender) => {
                if let Some(udp) = &self.udp {
                    // One that is lost is asked for again.
                    let _ = rustix::net::sendto(udp, answer, SendFlags::NOSIGNAL, &sender);
                }
            }
            Asker::Client(number) => {
                let Some(at) = self.clients.iter().position(|client| client.number == number)
                else {
                    return;
                };
                if self.clients[at].send(answer) {
                    self.watch_client(&self.clients[at]);
                } else {
                    self.clients.remove(at);
                }
            }
        }
    }

    fn hear_server(&mut self, number: u32, zone: &dyn Zone) {
        let Some(at) = self.asked.iter().position(|asked| asked.number == number) else { return };
        let progress = self.asked[at].hear(&self.poll);
        self.go_on(at, progress, zone);
    }

    fn go_on(&mut self, at: usize, progress: Progress, _zone: &dyn Zone) {
        match progress {
            Progress::Waiting => {}
            Progress::Answer(answer) => {
                let asked = self.asked.swap_remove(at);
                self.reply(asked.asker, &answer);
            }
            Progress::Failed => {
                let asked = self.asked.swap_remove(at);
                let is_datagram = matches!(asked.asker, Asker::Datagram(_));
                let answer = Question::parse(asked.question())
                    .map(|question| question.answer(Code::ServerFailure, &[], is_datagram));
                if let Some(answer) = answer {
                    self.reply(asked.asker, &answer);
                }
            }
        }
    }

    fn tick(&mut self, zone: &dyn Zone) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut count);
        let now = Instant::now();
        self.clients.retain(|client| now.duration_since(client.last) < CLIENT_PATIENCE);
        let mut at = 0;
        while at < self.asked.len() {
            let before = self.asked.len();
            if self.asked[at].is_late(now) {
                let progress = self.asked[at].next_server(&self.poll);
                self.go_on(at, progress, zone);
            }
            // One that was removed has another in its place.
            if self.asked.len() == before {
                at += 1;
            }
        }
    }

    /// Ticks as long as somebody is waited for.
    fn set_timer(&mut self) {
        let is_needed = !self.asked.is_empty() || !self.clients.is_empty();
        if is_needed == self.is_ticking {
            return;
        }
        let half = if is_needed { 500_000_000 } else { 0 };
        let span = Timespec { tv_sec: 0, tv_nsec: half };
        let spec = Itimerspec { it_interval: span, it_value: span };
        if rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec).is_ok() {
            self.is_ticking = is_needed;
        }
    }
}
