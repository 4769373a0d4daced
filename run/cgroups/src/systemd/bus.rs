//! A connection to systemd: calls, one at a time, and signals.
//!
//! systemd listens by itself at a socket that only its own user may use, and is reached through a
//! message bus as well. The first way needs no bus to run and is taken where it can be.
//!
//! D-Bus specification 0.43, "Authentication Protocol".

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::message::{HEAD, Kind, Message, Method, length};
use super::value::Value;

/// Why a call brought no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The other side refused, with the name of an error and a text.
    Refused { name: String, text: String },
    /// The connection failed.
    Io(io::Error),
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
#[derive(Debug)]
pub(crate) struct Bus {
    socket: UnixStream,
    serial: u32,
    signals: VecDeque<Message>,
}

impl Bus {
    /// Connects to a socket and authenticates as the user that the kernel says we are: also as one
    /// of a user namespace, who does not know their number outside.
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut bus = Self { socket, serial: 0, signals: VecDeque::new() };
        // All at once, as systemd's own programs do: a first call that arrives together with BEGIN
        // would lie there until a second one comes.
        bus.socket.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        bus.expect("DATA")?;
        bus.expect("OK")?;
        Ok(bus)
    }

    /// A line of the authentication, which must begin so. Read byte by byte: what comes after the
    /// last one are messages.
    fn expect(&mut self, word: &str) -> io::Result<()> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte)?;
            line.extend(byte);
            if line.len() > 512 {
                break;
            }
        }
        match line.starts_with(word.as_bytes()) {
            true => Ok(()),
            false => {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("authentication was answered by {line:?}"),
                ))
            }
        }
    }

    /// Calls a method and waits for its answer. Signals that come before are kept.
    pub(crate) fn call(
        &mut self,
        method: &Method,
        arguments: &[Value],
    ) -> Result<Message, CallError> {
        self.serial += 1;
        let serial = self.serial;
        self.socket.write_all(&method.call(serial, arguments))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.receive(deadline)?;
            match &message.kind {
                Kind::Return(to) if *to == serial => return Ok(message),
                Kind::Error(to, name) if *to == serial => {
                    let (name, text) = (name.clone(), message.body().text().unwrap_or_default());
                    return Err(CallError::Refused { name, text });
                }
                Kind::Signal => self.signals.push_back(message),
                // An answer to a call that nobody waits for any more.
                _ => {}
            }
        }
    }

    /// The next signal for which `wanted` gives something; those before it are dropped.
    pub(crate) fn signal<T>(
        &mut self,
        deadline: Instant,
        wanted: impl Fn(&Message) -> Option<T>,
    ) -> io::Result<T> {
        loop {
            let message = match self.signals.pop_front() {
                Some(message) => message,
                None => self.receive(deadline)?,
            };
            if message.kind == Kind::Signal
                && let Some(found) = wanted(&message)
            {
                return Ok(found);
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Message> {
        let mut head = [0; HEAD];
        self.read(&mut head, deadline)?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a message is malformed");
        let length = length(&head).ok_or_else(malformed)?;
        let mut bytes = head.to_vec();
        bytes.resize(length, 0);
        self.read(&mut bytes[HEAD..], deadline)?;
        Message::parse(&bytes).ok_or_else(malformed)
    }

    fn read(&mut self, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !into.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => into = &mut into[count..],
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }
}
