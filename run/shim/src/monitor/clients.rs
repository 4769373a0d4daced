//! Those who listen and type.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::Streams;
use crate::frame::{Decoder, Filled, Frame, FrameError, MAX_DATA_BYTES, STDIN_WINDOW_BYTES};
use crate::log::Stream;

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u32,
    socket: OwnedFd,
    decoder: Decoder,
    /// What the socket did not take yet. Bounded: while something is here, nothing that would
    /// be added is read from the process.
    queue: Vec<u8>,
    sent: usize,
    /// What it wants; `None` until it has said so.
    pub(super) streams: Option<Streams>,
    pub(super) is_launcher: bool,
    /// How many bytes of input it sent that the process has not taken.
    on_their_way: u32,
    /// The process stands still for it.
    pub(super) freezes: bool,
    /// It has closed; what it sent before is still heard.
    has_closed: bool,
    pub(super) state: State,
}

/// Whether a client is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Here,
    /// It said that it leaves.
    Detached,
    /// It closed, broke, or broke the rules.
    Lost,
}

/// What a client wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// It said which streams it wants.
    Attached,
    Stdin(&'a [u8]),
    StdinEof,
    Resize(oci::runtime::ConsoleSize),
    Signal(u8),
    Resolve,
    Freeze,
}

impl Client {
    pub(super) fn new(id: u32, socket: OwnedFd) -> Self {
        Self {
            id,
            socket,
            decoder: Decoder::default(),
            queue: Vec::new(),
            sent: 0,
            streams: None,
            is_launcher: false,
            on_their_way: 0,
            freezes: false,
            has_closed: false,
            state: State::Here,
        }
    }

    /// The client at the control socket.
    pub(super) fn launcher(socket: OwnedFd) -> Self {
        Self { is_launcher: true, ..Self::new(0, socket) }
    }

    pub(super) fn wants(&self, stream: Stream) -> bool {
        self.streams.is_some_and(|streams| match stream {
            Stream::Stdout => streams.stdout,
            Stream::Stderr => streams.stderr,
        })
    }

    pub(super) fn may_type(&self) -> bool {
        self.streams.is_some_and(|streams| streams.stdin)
    }

    /// Whether something waits for the socket to take it.
    pub(super) fn is_behind(&self) -> bool {
        self.sent < self.queue.len()
    }

    /// Sends whole frames, now or as soon as what is before them has gone.
    pub(super) fn send(&mut self, frames: &[u8]) {
        let mut rest = frames;
        if !self.is_behind() {
            rest = &rest[self.try_send(frames)..];
        }
        if self.state == State::Here {
            self.queue.extend_from_slice(rest);
        }
    }

    pub(super) fn send_frame(&mut self, frame: Frame<'_>) {
        let mut bytes = Vec::with_capacity(16);
        frame.encode(&mut bytes);
        self.send(&bytes);
    }

    /// Sends what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        self.sent += self.try_send(&queue[self.sent..]);
        if self.state == State::Here && self.sent < queue.len() {
            self.queue = queue;
        } else {
            self.sent = 0;
        }
    }

    fn try_send(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, &bytes[sent..], flags) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => break,
                Err(_) => {
                    self.state = State::Lost;
                    break;
                }
            }
        }
        sent
    }

    /// Gives input back to the window.
    pub(super) fn give_back(&mut self, bytes: u32) {
        self.on_their_way = self.on_their_way.saturating_sub(bytes);
        self.send_frame(Frame::Window(bytes));
    }

    /// Reads once from the socket; [`Client::request`] then tells what came.
    pub(super) fn read(&mut self) {
        match self.decoder.fill(&self.socket, MAX_DATA_BYTES / 4, RecvFlags::DONTWAIT) {
            Ok(Filled::Bytes | Filled::Nothing) => {}
            Ok(Filled::End) | Err(_) => self.has_closed = true,
        }
    }

    /// The next request among what was read.
    pub(super) fn request(&mut self) -> Option<Request<'_>> {
        match self.checked_request() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(_) => {
                self.state = State::Lost;
                return None;
            }
        }
        match self.decoder.current() {
            Ok(Some(Frame::Attach(_))) => Some(Request::Attached),
            Ok(Some(Frame::Stdin(bytes))) => Some(Request::Stdin(bytes)),
            Ok(Some(Frame::StdinEof)) => Some(Request::StdinEof),
            Ok(Some(Frame::Resize(size))) => Some(Request::Resize(size)),
            Ok(Some(Frame::Signal(number))) => Some(Request::Signal(number)),
            Ok(Some(Frame::Resolve)) => Some(Request::Resolve),
            Ok(Some(Frame::Freeze)) => Some(Request::Freeze),
            _ => None,
        }
    }

    /// Goes on to the next frame and holds it against the rules; `false` if there is none.
    fn checked_request(&mut self) -> Result<bool, FrameError> {
        if self.state != State::Here {
            return Ok(false);
        }
        if !self.decoder.advance()? {
            if self.has_closed {
                self.state = State::Lost;
            }
            return Ok(false);
        }
        let Some(frame) = self.decoder.current()? else { return Ok(false) };
        let unexpected = Err(FrameError::Unexpected(frame.kind()));
        match frame {
            Frame::Attach(streams) if self.streams.is_none() => self.streams = Some(streams),
            Frame::Stdin(bytes) if self.may_type() => {
                let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                self.on_their_way = self.on_their_way.saturating_add(size);
                if self.on_their_way > STDIN_WINDOW_BYTES {
                    return unexpected;
                }
            }
            Frame::StdinEof if self.may_type() => {}
            Frame::Resize(_) | Frame::Signal(_) | Frame::Resolve | Frame::Freeze
                if self.streams.is_some() => {}
            Frame::Detach => {
                self.state = State::Detached;
                return Ok(false);
            }
            _ => return unexpected,
        }
        Ok(true)
    }

    /// Gives memory back when it is quiet.
    pub(super) fn release(&mut self) {
        self.decoder.release();
        if !self.is_behind() {
            self.queue = Vec::new();
            self.sent = 0;
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::SocketType;

    fn pair() -> (Client, OwnedFd) {
        let (one, two) = sys::socket::pair(SocketType::STREAM).unwrap();
        (Client { streams: Some(Streams::ALL), ..Client::new(1, one) }, two)
    }

    fn write(socket: &OwnedFd, frame: Frame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        rustix::io::write(socket, &bytes).unwrap();
    }

    #[test]
    fn a_client_that_does_not_read_gets_everything_later() {
        let (mut client, other) = pair();
        let mut sent = Vec::new();
        while !client.is_behind() {
            let mut bytes = Vec::new();
            let byte = u8::try_from(sent.len() % 251).unwrap();
            Frame::Stdout(&vec![byte; 10_000]).encode(&mut bytes);
            client.send(&bytes);
            sent.extend_from_slice(&bytes);
        }
        let mut got = Vec::new();
        while got.len() < sent.len() {
            got.reserve(4096);
            rustix::io::read(&other, rustix::buffer::spare_capacity(&mut got)).unwrap();
            client.flush();
        }
        assert!(got == sent && !client.is_behind());
        drop(other);
        client.send(b"x");
        assert_eq!(client.state, State::Lost);
    }

    #[test]
    fn more_than_the_window_loses_the_client() {
        let (mut client, other) = pair();
        let data = vec![0; STDIN_WINDOW_BYTES as usize / 4];
        let mut taken = 0;
        for _ in 0..4 {
            write(&other, Frame::Stdin(&data));
        }
        for _ in 0..8 {
            client.read();
            while let Some(Request::Stdin(bytes)) = client.request() {
                taken += bytes.len();
            }
        }
        assert_eq!((taken, client.state), (STDIN_WINDOW_BYTES as usize, State::Here));
        client.give_back(1);
        write(&other, Frame::Stdin(b"x"));
        write(&other, Frame::Stdin(b"y"));
        client.read();
        assert_eq!(client.request(), Some(Request::Stdin(b"x")));
        assert_eq!(client.request(), None);
        assert_eq!(client.state, State::Lost);
    }

    #[test]
    fn only_what_a_client_may_say_is_heard() {
        let check = |streams, frame, state| {
            let (mut client, other) = pair();
            client.streams = streams;
            write(&other, frame);
            client.read();
            let heard = client.request().is_some();
            assert_eq!((heard, client.state), (state == State::Here, state), "{frame:?}");
        };
        check(None, Frame::Attach(Streams::ALL), State::Here);
        check(None, Frame::Signal(9), State::Lost);
        check(None, Frame::Freeze, State::Lost);
        check(Some(Streams::NONE), Frame::Freeze, State::Here);
        check(Some(Streams::ALL), Frame::Attach(Streams::ALL), State::Lost);
        check(Some(Streams::ALL), Frame::Signal(9), State::Here);
        check(Some(Streams::NONE), Frame::Stdin(b"x"), State::Lost);
        check(Some(Streams::NONE), Frame::StdinEof, State::Lost);
        check(Some(Streams::NONE), Frame::Detach, State::Detached);
        check(Some(Streams::ALL), Frame::Exited { code: 0 }, State::Lost);
        check(Some(Streams::ALL), Frame::Launch(b"{}\n{}\n"), State::Lost);
    }

    #[test]
    fn what_a_client_said_before_it_closed_is_heard() {
        let (mut client, other) = pair();
        write(&other, Frame::Stdin(b"last words"));
        write(&other, Frame::Detach);
        drop(other);
        client.read();
        client.read();
        assert_eq!(client.request(), Some(Request::Stdin(b"last words")));
        assert_eq!(client.request(), None);
        assert_eq!(client.state, State::Detached);
    }
}
