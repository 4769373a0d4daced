//! Netlink: requests, and the kernel's answers. netlink(7), rtnetlink(7).
//!
//! A request is one buffer with one message or several. Integers are in the host's order, unless
//! a function says otherwise (nftables wants the network's).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::NetworkError;

pub(crate) const REQUEST: u16 = 1;
pub(crate) const ACK: u16 = 4;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const REPLACE: u16 = 0x100;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

const HEADER_BYTES: usize = 16;
pub(crate) const NESTED: u16 = 0x8000;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const DUMP_INTERRUPTED: u16 = 0x10;
/// The kernel's answer has only the header of what it answers to.
const CAPPED: u16 = 0x100;
/// The kernel's answer has attributes, among them a text.
const EXTENDED: u16 = 0x200;
/// An answer is at most so large; the kernel fills what it is offered.
const BUFFER_BYTES: usize = 32 * 1024;
/// How long the kernel may take to answer: it answers while it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a dump that was disturbed is begun anew.
const DUMP_ATTEMPTS: u32 = 20;

/// Messages to send together.
#[derive(Debug, Default)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// Where the message that is being written begins.
    message: usize,
    /// How many messages there are.
    count: u32,
    /// The message whose acknowledgement ends the wait; the last one if none was named.
    awaited: Option<u32>,
}

impl Request {
    /// A request of one message, to be continued with attributes.
    pub(crate) fn new(kind: u16, flags: u16, family_header: &[u8]) -> Self {
        let mut request = Self::default();
        request.add(kind, flags, family_header);
        request
    }

    /// Begins a further message.
    pub(crate) fn add(&mut self, kind: u16, flags: u16, family_header: &[u8]) {
        self.message = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.count += 1;
        self.raw(family_header);
    }

    /// Adds bytes to the message, filled up to four.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_length();
    }

    /// Adds an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).expect("no attribute of ours is that large");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value);
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// In the network's order.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A text, ended by a zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// Adds an attribute that holds what `fill` adds.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.bytes.len() - start).expect("no attribute is that large");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.set_length();
    }

    fn set_length(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.message).expect("bounded by memory");
        self.bytes[self.message..self.message + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Asks for an answer to the message that is being written: it comes when all are done.
    pub(crate) fn acknowledge_here(&mut self) {
        self.awaited = Some(self.count - 1);
        let at = self.message + 6;
        let flags = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]) | ACK;
        self.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
    }

    /// Gives each message its number, from `first` on.
    fn number(&mut self, first: u32) {
        let mut at = 0;
        while let Some(header) = self.bytes.get(at..at + HEADER_BYTES) {
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
            let own = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
            let number = first.wrapping_add(own);
            self.bytes[at + 8..at + 12].copy_from_slice(&number.to_ne_bytes());
            at += length.next_multiple_of(4);
        }
    }
}

/// A message of the kernel's.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What follows the header.
    pub(crate) payload: Vec<u8>,
}

impl Answer {
    /// The attributes behind a family header of so many bytes.
    pub(crate) fn attributes(&self, header_bytes: usize) -> Attributes<'_> {
        Attributes { rest: self.payload.get(header_bytes.next_multiple_of(4)..).unwrap_or(&[]) }
    }
}

/// Attributes, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first of this kind.
    pub(crate) fn get(mut self, wanted: u16) -> Option<&'a [u8]> {
        self.find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    pub(crate) fn text(self, wanted: u16) -> Option<String> {
        let bytes = self.get(wanted)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    pub(crate) fn u32(self, wanted: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.get(wanted)?.try_into().ok()?))
    }

    pub(crate) fn be32(self, wanted: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(wanted)?.try_into().ok()?))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head: [u8; 4] = *self.rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

/// A conversation with the kernel, in the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    next: u32,
}

impl Socket {
    /// Opens one; `None` is NETLINK_ROUTE.
    pub(crate) fn open(protocol: Option<Protocol>) -> Result<Self, NetworkError> {
        let failed = |errno: Errno| NetworkError::Kernel {
            action: "open a netlink socket".into(),
            source: errno.into(),
        };
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
                .map_err(failed)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).map_err(failed)?;
        // Errors come with a text then; without it (before Linux 4.12) they are as good.
        let _ = sys::netlink::extend_errors(socket.as_fd());
        Ok(Self { socket, next: 1 })
    }

    /// The number of the link of this name, without the wait for changes that are under way.
    pub(crate) fn index_of(&self, name: &str) -> Result<u32, Errno> {
        rustix::net::netdevice::name_to_index(&self.socket, name)
    }

    /// Has the messages carried out one after the other; the first error counts.
    ///
    /// All of them are tried even so, unless they are one transaction. `action` is for errors.
    pub(crate) fn perform(
        &mut self,
        mut request: Request,
        action: &dyn Fn() -> String,
    ) -> Result<(), NetworkError> {
        if request.awaited.is_none() {
            request.acknowledge_here();
        }
        let awaited = request.awaited.unwrap_or(0);
        let (first, _) = self.send(&mut request, action)?;
        let last = first.wrapping_add(awaited);
        let mut failure = None;
        self.receive(action, &mut |_, number, outcome| {
            let Outcome::Acknowledged(result) = outcome else { return false };
            if let Err(error) = result {
                failure.get_or_insert(error);
                // A transaction that cannot be begun has no last message.
                if number == first {
                    return true;
                }
            }
            number == last
        })?;
        match failure {
            None => Ok(()),
            Some(refusal) => Err(refusal.into_error(action())),
        }
    }

    /// Asks for one thing; `None` if there is no such thing.
    pub(crate) fn ask(
        &mut self,
        mut request: Request,
        action: &dyn Fn() -> String,
    ) -> Result<Option<Answer>, NetworkError> {
        let (_, last) = self.send(&mut request, action)?;
        let mut answer = None;
        let mut failure = None;
        self.receive(action, &mut |message, number, outcome| {
            if number != last {
                return false;
            }
            match outcome {
                Outcome::Message => answer = message,
                Outcome::Acknowledged(Err(error)) => failure = Some(error),
                _ => {}
            }
            true
        })?;
        match failure {
            Some(Refusal { errno: Errno::NOENT | Errno::NODEV, .. }) => Ok(None),
            Some(refusal) => Err(refusal.into_error(action())),
            None => Ok(answer),
        }
    }

    /// Asks for all there is of something.
    pub(crate) fn dump(
        &mut self,
        make: &dyn Fn() -> Request,
        action: &dyn Fn() -> String,
    ) -> Result<Vec<Answer>, NetworkError> {
        for _ in 0..DUMP_ATTEMPTS {
            let (_, last) = self.send(&mut make(), action)?;
            let mut answers = Vec::new();
            let mut failure = None;
            let mut disturbed = false;
            self.receive(action, &mut |message, number, outcome| {
                if number != last {
                    return false;
                }
                match outcome {
                    Outcome::Message => answers.extend(message),
                    Outcome::Acknowledged(Err(error)) => {
                        failure = Some(error);
                        return true;
                    }
                    Outcome::Acknowledged(Ok(())) => return true,
                    Outcome::Done { interrupted } => {
                        disturbed = interrupted;
                        return true;
                    }
                }
                false
            })?;
            match failure {
                Some(Refusal { errno: Errno::INTR | Errno::AGAIN, .. }) => continue,
                Some(Refusal { errno: Errno::NOENT, .. }) => return Ok(Vec::new()),
                Some(refusal) => return Err(refusal.into_error(action())),
                None if disturbed => continue,
                None => return Ok(answers),
            }
        }
        Err(NetworkError::Kernel { action: action(), source: Errno::AGAIN.into() })
    }

    fn send(
        &mut self,
        request: &mut Request,
        action: &dyn Fn() -> String,
    ) -> Result<(u32, u32), NetworkError> {
        let first = self.next;
        request.number(first);
        self.next = first.wrapping_add(request.count);
        loop {
            match rustix::net::send(&self.socket, &request.bytes, SendFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok(_) => return Ok((first, self.next.wrapping_sub(1))),
                Err(errno) => {
                    return Err(NetworkError::Kernel { action: action(), source: errno.into() });
                }
            }
        }
    }

    /// Hands every message to `take` until that has enough.
    fn receive(
        &mut self,
        action: &dyn Fn() -> String,
        take: &mut dyn FnMut(Option<Answer>, u32, Outcome) -> bool,
    ) -> Result<(), NetworkError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut interrupted = false;
        loop {
            let count = match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    return Err(NetworkError::Kernel { action: action(), source: errno.into() });
                }
            };
            let mut rest = &buffer[..count];
            while let Some(head) = rest.first_chunk::<HEADER_BYTES>() {
                let word = |at: usize| {
                    u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
                };
                let half = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
                let (length, kind, flags, number) = (word(0) as usize, half(4), half(6), word(8));
                let Some(payload) = rest.get(HEADER_BYTES..length) else {
                    return Err(NetworkError::Answer { action: action() });
                };
                interrupted |= flags & DUMP_INTERRUPTED != 0;
                let enough = match kind {
                    ERROR => {
                        take(None, number, Outcome::Acknowledged(acknowledged(payload, flags)))
                    }
                    DONE => take(None, number, Outcome::Done { interrupted }),
                    _ => {
                        let answer = Answer { payload: payload.to_vec() };
                        take(Some(answer), number, Outcome::Message)
                    }
                };
                if enough {
                    return Ok(());
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
            }
        }
    }
}

enum Outcome {
    Message,
    Acknowledged(Result<(), Refusal>),
    Done { interrupted: bool },
}

/// Why the kernel refused.
struct Refusal {
    errno: Errno,
    text: Option<String>,
}

impl Refusal {
    fn into_error(self, action: String) -> NetworkError {
        let action = match self.text {
            Some(text) => format!("{action} ({text})"),
            None => action,
        };
        NetworkError::Kernel { action, source: io::Error::from(self.errno) }
    }
}

/// `struct nlmsgerr`: an error number, what it is about, and perhaps a text.
fn acknowledged(payload: &[u8], flags: u16) -> Result<(), Refusal> {
    const TEXT: u16 = 1;
    let Some((number, about)) = payload.split_first_chunk::<4>() else {
        return Err(Refusal { errno: Errno::PROTO, text: None });
    };
    let number = i32::from_ne_bytes(*number);
    if number == 0 {
        return Ok(());
    }
    let text = (flags & EXTENDED != 0).then(|| {
        let length =
            about.first_chunk::<4>().map_or(0, |bytes| u32::from_ne_bytes(*bytes) as usize);
        let skip = if flags & CAPPED != 0 { HEADER_BYTES } else { length.next_multiple_of(4) };
        Attributes::of(about.get(skip..).unwrap_or(&[])).text(TEXT)
    });
    Err(Refusal { errno: Errno::from_raw_os_error(-number), text: text.flatten() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_long_as_they_say() {
        let mut request = Request::new(16, CREATE, &[1, 2, 3, 4]);
        request.text(3, "eth0");
        request.nest(18, |request| request.u32(1, 7));
        request.add(20, 0, &[5]);
        request.acknowledge_here();
        request.number(41);
        let first = u32::from_ne_bytes(request.bytes[..4].try_into().unwrap()) as usize;
        assert_eq!(first, 16 + 4 + 12 + 12);
        assert_eq!(request.bytes[8..12], 41u32.to_ne_bytes());
        let second = &request.bytes[first..];
        assert_eq!(second[..4], 20u32.to_ne_bytes());
        assert_eq!(second[6..8], (REQUEST | ACK).to_ne_bytes());
        assert_eq!(second[8..12], 42u32.to_ne_bytes());

        let attributes = Attributes::of(&request.bytes[20..first]);
        assert_eq!(attributes.text(3).as_deref(), Some("eth0"));
        assert_eq!(Attributes::of(attributes.get(18).unwrap()).u32(1), Some(7));
        assert_eq!(attributes.get(4), None);
    }

    #[test]
    fn broken_attributes_end_the_list() {
        for bytes in [&[][..], &[1], &[3, 0, 1, 0], &[9, 0, 1, 0, 5], &[0; 8]] {
            assert_eq!(Attributes::of(bytes).next(), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_kernels_words_are_found() {
        let mut payload = (-22i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&20u32.to_ne_bytes());
        payload.extend_from_slice(&[0; 16]);
        payload.extend_from_slice(&[8, 0, 1, 0]);
        payload.extend_from_slice(b"why\0");
        let refusal = acknowledged(&payload, EXTENDED).unwrap_err();
        assert_eq!((refusal.errno, refusal.text.as_deref()), (Errno::INVAL, Some("why")));
        assert!(acknowledged(&[0; 20], 0).is_ok());
    }
}
