//! Frames: how clients and shims talk. The crate's documentation draws them.
//!
//! Data frames are handed on piece by piece as they arrive, so that no side holds a whole one;
//! all others are small and wait until they are complete.

use std::io;
use std::os::fd::AsFd;

use oci::runtime::ConsoleSize;
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::Streams;

/// The most bytes in one frame of `Stdin`, `Stdout` or `Stderr`.
pub const MAX_DATA_BYTES: usize = 64 * 1024;
/// How many bytes of stdin a client may send before it has got some of them back.
pub const STDIN_WINDOW_BYTES: u32 = 64 * 1024;
/// The most bytes in a launch.
pub const MAX_LAUNCH_BYTES: usize = 16 * 1024 * 1024;
/// The most bytes in the path of a cgroup: PATH_MAX.
pub(crate) const MAX_CGROUP_BYTES: usize = 4096;
/// The most bytes in a failure's message; longer ones are cut.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Kind and length.
pub const HEADER_BYTES: usize = 5;

/// One frame, or a piece of a data frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// What to run.
    Launch(&'a [u8]),
    /// A client comes to a process that runs.
    Attach(Streams),
    /// Input.
    Stdin(&'a [u8]),
    /// The end of the input.
    StdinEof,
    /// The client's terminal has a new size.
    Resize(ConsoleSize),
    /// A signal for the process.
    Signal(u8),
    /// The client leaves.
    Detach,
    /// The process is to have a resolver, if it has none.
    Resolve,
    /// The process is to stand still until the client goes.
    Freeze,
    /// The process runs.
    Started {
        /// As the host sees it.
        pid: u32,
        /// Whether it has a terminal.
        tty: bool,
        /// Whether it takes input.
        stdin: bool,
    },
    /// The process is made, with a network namespace of its own, and waits for `Connected`.
    Made {
        /// As the host sees it.
        pid: u32,
    },
    /// The process could not be started.
    Failed {
        /// 125, 126 or 127.
        exit_code: u8,
        /// Why.
        message: &'a str,
    },
    /// Output.
    Stdout(&'a [u8]),
    /// Errors.
    Stderr(&'a [u8]),
    /// So many more bytes of input may be sent.
    Window(u32),
    /// The process ended; all its output came before.
    Exited {
        /// What it exited with, or 128 + the signal.
        code: u8,
    },
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that does not exist.
    #[error("unknown kind {0:#04x}")]
    Kind(u8),
    /// A length that its kind cannot have.
    #[error("{length} bytes in a frame of kind {kind:#04x}")]
    Length {
        /// The kind.
        kind: u8,
        /// What the header says.
        length: u32,
    },
    /// A payload that its kind cannot have.
    #[error("bad payload in a frame of kind {0:#04x}")]
    Payload(u8),
    /// A frame that this side does not take now.
    #[error("a frame of kind {0:#04x} in the wrong place")]
    Unexpected(u8),
    /// The end of the stream within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
}

/// The numbers of the kinds.
pub(crate) mod kind {
    pub(crate) const LAUNCH: u8 = 0x01;
    pub(crate) const ATTACH: u8 = 0x02;
    pub(crate) const STDIN: u8 = 0x03;
    pub(crate) const STDIN_EOF: u8 = 0x04;
    pub(crate) const RESIZE: u8 = 0x05;
    pub(crate) const SIGNAL: u8 = 0x06;
    pub(crate) const DETACH: u8 = 0x07;
    pub(crate) const RESOLVE: u8 = 0x0a;
    pub(crate) const FREEZE: u8 = 0x0b;
    /// Read by the stage alone.
    pub(crate) const CGROUP: u8 = 0x0c;
    pub(crate) const STARTED: u8 = 0x81;
    pub(crate) const FAILED: u8 = 0x82;
    pub(crate) const STDOUT: u8 = 0x83;
    pub(crate) const STDERR: u8 = 0x84;
    pub(crate) const WINDOW: u8 = 0x85;
    pub(crate) const EXITED: u8 = 0x86;
    pub(crate) const MADE: u8 = 0x87;
}

/// A frame's header. `length` is that of a payload that is within its kind's bounds.
pub(crate) fn header(kind: u8, length: usize) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [kind, a, b, c, d]
}

/// The last place between two characters that is not beyond `most`.
fn boundary(text: &str, most: usize) -> usize {
    let fits = |end: &usize| text.is_char_boundary(*end);
    (0..=text.len().min(most)).rev().find(fits).unwrap_or(0)
}

/// The bounds of a payload, both included.
fn bounds(kind: u8) -> Option<(usize, usize)> {
    Some(match kind {
        kind::LAUNCH => (2, MAX_LAUNCH_BYTES),
        kind::STDIN | kind::STDOUT | kind::STDERR => (0, MAX_DATA_BYTES),
        kind::STDIN_EOF | kind::DETACH | kind::RESOLVE | kind::FREEZE => (0, 0),
        kind::ATTACH | kind::SIGNAL | kind::EXITED => (1, 1),
        kind::RESIZE | kind::WINDOW | kind::MADE => (4, 4),
        kind::STARTED => (5, 5),
        kind::FAILED => (1, 1 + MAX_MESSAGE_BYTES),
        _ => return None,
    })
}

impl<'a> Frame<'a> {
    /// The number of its kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Launch(_) => kind::LAUNCH,
            Self::Attach(_) => kind::ATTACH,
            Self::Stdin(_) => kind::STDIN,
            Self::StdinEof => kind::STDIN_EOF,
            Self::Resize(_) => kind::RESIZE,
            Self::Signal(_) => kind::SIGNAL,
            Self::Detach => kind::DETACH,
            Self::Resolve => kind::RESOLVE,
            Self::Freeze => kind::FREEZE,
            Self::Started { .. } => kind::STARTED,
            Self::Made { .. } => kind::MADE,
            Self::Failed { .. } => kind::FAILED,
            Self::Stdout(_) => kind::STDOUT,
            Self::Stderr(_) => kind::STDERR,
            Self::Window(_) => kind::WINDOW,
            Self::Exited { .. } => kind::EXITED,
        }
    }

    /// Appends the frame's bytes. Data must fit into one frame; a long message is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |payload: &[&[u8]]| {
            let length = payload.iter().map(|part| part.len()).sum();
            out.extend_from_slice(&header(self.kind(), length));
            payload.iter().for_each(|part| out.extend_from_slice(part));
        };
        match *self {
            Self::Launch(bytes)
            | Self::Stdin(bytes)
            | Self::Stdout(bytes)
            | Self::Stderr(bytes) => put(&[bytes]),
            Self::StdinEof | Self::Detach | Self::Resolve | Self::Freeze => put(&[]),
            Self::Attach(streams) => put(&[&[streams.bits()]]),
            Self::Resize(size) => put(&[&size.height.to_le_bytes(), &size.width.to_le_bytes()]),
            Self::Signal(number) => put(&[&[number]]),
            Self::Started { pid, tty, stdin } => {
                put(&[&pid.to_le_bytes(), &[u8::from(tty) | u8::from(stdin) << 1]]);
            }
            Self::Made { pid } => put(&[&pid.to_le_bytes()]),
            Self::Failed { exit_code, message } => {
                let end = boundary(message, MAX_MESSAGE_BYTES);
                put(&[&[exit_code], &message.as_bytes()[..end]]);
            }
            Self::Window(bytes) => put(&[&bytes.to_le_bytes()]),
            Self::Exited { code } => put(&[&[code]]),
        }
    }

    fn parse(kind: u8, payload: &'a [u8]) -> Result<Self, FrameError> {
        Ok(match (kind, payload) {
            (kind::LAUNCH, bytes) => Self::Launch(bytes),
            (kind::ATTACH, &[bits]) => {
                Self::Attach(Streams::from_bits(bits).ok_or(FrameError::Payload(kind))?)
            }
            (kind::STDIN, bytes) => Self::Stdin(bytes),
            (kind::STDIN_EOF, _) => Self::StdinEof,
            (kind::RESIZE, &[a, b, c, d]) => Self::Resize(ConsoleSize {
                height: u16::from_le_bytes([a, b]),
                width: u16::from_le_bytes([c, d]),
            }),
            (kind::SIGNAL, &[number]) => Self::Signal(number),
            (kind::DETACH, _) => Self::Detach,
            (kind::RESOLVE, _) => Self::Resolve,
            (kind::FREEZE, _) => Self::Freeze,
            (kind::STARTED, &[a, b, c, d, flags]) if flags < 4 => Self::Started {
                pid: u32::from_le_bytes([a, b, c, d]),
                tty: flags & 1 != 0,
                stdin: flags & 2 != 0,
            },
            (kind::MADE, &[a, b, c, d]) => Self::Made { pid: u32::from_le_bytes([a, b, c, d]) },
            (kind::FAILED, [exit_code, message @ ..]) => Self::Failed {
                exit_code: *exit_code,
                message: str::from_utf8(message).map_err(|_| FrameError::Payload(kind))?,
            },
            (kind::STDOUT, bytes) => Self::Stdout(bytes),
            (kind::STDERR, bytes) => Self::Stderr(bytes),
            (kind::WINDOW, &[a, b, c, d]) => Self::Window(u32::from_le_bytes([a, b, c, d])),
            (kind::EXITED, &[code]) => Self::Exited { code },
            _ => return Err(FrameError::Payload(kind)),
        })
    }
}

/// Takes frames out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the unread bytes start.
    start: usize,
    /// The kind of the data frame that is under way, and how much of it has not come.
    data: Option<(u8, usize)>,
    /// The kind and the payload's place of what was taken out last.
    current: Option<(u8, std::ops::Range<usize>)>,
}

/// What a read from the socket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// There may be new frames.
    Bytes,
    /// Nothing has come yet (the call was not to wait).
    Nothing,
    /// The other side has closed.
    End,
}

impl Decoder {
    /// Reads once from a socket, `room` bytes or a few more.
    pub fn fill(&mut self, socket: impl AsFd, room: usize, flags: RecvFlags) -> io::Result<Filled> {
        self.compact();
        self.buffer.reserve(room);
        let result = loop {
            let space = rustix::buffer::spare_capacity(&mut self.buffer);
            match rustix::net::recv(&socket, space, flags) {
                Err(Errno::INTR) => {}
                other => break other.map(|(count, _)| count),
            }
        };
        match result {
            Ok(0) => Ok(Filled::End),
            Ok(_) => Ok(Filled::Bytes),
            Err(Errno::AGAIN) => Ok(Filled::Nothing),
            // A peer that closed with unread bytes in its queue shows as a reset.
            Err(Errno::CONNRESET) => Ok(Filled::End),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Adds bytes that came in another way.
    pub fn push(&mut self, bytes: &[u8]) {
        self.compact();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or piece of a data frame; `None` until more bytes have come.
    ///
    /// After an error the stream is of no more use.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if self.advance()? { self.current() } else { Ok(None) }
    }

    /// Goes on to the next frame or piece, if it is there; [`Decoder::current`] then gives it.
    pub fn advance(&mut self) -> Result<bool, FrameError> {
        loop {
            let (kind, left) = match self.data {
                Some((_, 0)) => {
                    self.data = None;
                    continue;
                }
                Some(data) => data,
                None => match self.begin()? {
                    None => return Ok(false),
                    Some(Begun::Data(kind, length)) => {
                        self.data = Some((kind, length));
                        continue;
                    }
                    Some(Begun::Whole(kind, payload)) => {
                        self.current = Some((kind, payload));
                        return Ok(true);
                    }
                },
            };
            let piece = left.min(self.buffer.len() - self.start);
            if piece == 0 {
                return Ok(false);
            }
            self.data = Some((kind, left - piece));
            self.current = Some((kind, self.start..self.start + piece));
            self.start += piece;
            return Ok(true);
        }
    }

    /// What [`Decoder::advance`] came to; `None` before the first and after new bytes came.
    pub fn current(&self) -> Result<Option<Frame<'_>>, FrameError> {
        match &self.current {
            Some((kind, payload)) => Frame::parse(*kind, &self.buffer[payload.clone()]).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the stream may end here.
    pub fn is_between_frames(&self) -> bool {
        self.start == self.buffer.len() && !matches!(self.data, Some((_, 1..)))
    }

    /// Gives the buffer's memory back if nothing is in it.
    pub fn release(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer = Vec::new();
            self.start = 0;
            self.current = None;
        }
    }

    /// Reads the next header and consumes it, and a small payload too, if all of it is there.
    fn begin(&mut self) -> Result<Option<Begun>, FrameError> {
        let unread = &self.buffer[self.start..];
        let Some((&[kind, a, b, c, d], rest)) = unread.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([a, b, c, d]);
        let (least, most) = bounds(kind).ok_or(FrameError::Kind(kind))?;
        let wrong = FrameError::Length { kind, length };
        let size = usize::try_from(length).map_err(|_| wrong)?;
        if size < least || size > most {
            return Err(wrong);
        }
        if matches!(kind, kind::STDIN | kind::STDOUT | kind::STDERR) {
            self.start += HEADER_BYTES;
            return Ok(Some(Begun::Data(kind, size)));
        }
        if rest.len() < size {
            return Ok(None);
        }
        let payload = self.start + HEADER_BYTES;
        self.start = payload + size;
        Ok(Some(Begun::Whole(kind, payload..payload + size)))
    }

    fn compact(&mut self) {
        self.current = None;
        self.buffer.drain(..self.start);
        self.start = 0;
    }
}

enum Begun {
    Data(u8, usize),
    Whole(u8, std::ops::Range<usize>),
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: [Frame<'static>; 15] = [
        Frame::Launch(b"{}\n{}\n"),
        Frame::Attach(Streams::ALL),
        Frame::Stdin(b"in"),
        Frame::StdinEof,
        Frame::Resize(ConsoleSize { height: 24, width: 300 }),
        Frame::Signal(15),
        Frame::Detach,
        Frame::Resolve,
        Frame::Freeze,
        Frame::Started { pid: 70_000, tty: true, stdin: false },
        Frame::Failed { exit_code: 127, message: "no such file: é" },
        Frame::Stdout(&[0, 255, b'\n']),
        Frame::Stderr(b"err"),
        Frame::Window(65_536),
        Frame::Exited { code: 137 },
    ];

    /// Decodes `bytes`, given in pieces of `step`; the pieces of data frames are joined.
    fn decode(bytes: &[u8], step: usize) -> Result<(Vec<u8>, bool), FrameError> {
        let mut decoder = Decoder::default();
        let mut again = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.push(piece);
            while let Some(frame) = decoder.next_frame()? {
                frame.encode(&mut again);
            }
        }
        Ok((again, decoder.is_between_frames()))
    }

    #[test]
    fn frames_survive_the_journey_whole_and_in_pieces() {
        let mut bytes = Vec::new();
        FRAMES.iter().for_each(|frame| frame.encode(&mut bytes));
        assert_eq!(decode(&bytes, bytes.len()).unwrap(), (bytes.clone(), true));

        for frame in FRAMES {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            let mut decoder = Decoder::default();
            let mut data = Vec::new();
            let mut seen = None;
            for byte in &bytes {
                decoder.push(&[*byte]);
                match decoder.next_frame().unwrap() {
                    Some(Frame::Stdin(piece) | Frame::Stdout(piece) | Frame::Stderr(piece)) => {
                        data.extend_from_slice(piece);
                    }
                    Some(whole) => seen = Some(whole == frame),
                    None => {}
                }
            }
            match frame {
                Frame::Stdin(all) | Frame::Stdout(all) | Frame::Stderr(all) => {
                    assert_eq!(data, all);
                }
                _ => assert_eq!(seen, Some(true), "{frame:?}"),
            }
            assert!(decoder.is_between_frames());
        }
    }

    #[test]
    fn a_cut_stream_is_seen_as_cut() {
        for frame in FRAMES {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            for end in 1..bytes.len() {
                let (_, whole) = decode(&bytes[..end], 4096).unwrap();
                assert!(!whole, "{frame:?} cut at {end}");
            }
        }
    }

    #[test]
    fn lengths_are_bounded_before_memory_is_taken() {
        for kind in 0..=255u8 {
            let huge = [kind, 255, 255, 255, 255];
            let error = decode(&huge, 5).unwrap_err();
            let length = u32::MAX;
            assert!(
                error == FrameError::Kind(kind) || error == FrameError::Length { kind, length },
                "{error}"
            );
        }
        assert!(decode(&[kind::EXITED, 0, 0, 0, 0], 5).is_err(), "too short");
        assert!(decode(&[kind::ATTACH, 1, 0, 0, 0, 9], 6).is_err(), "unknown streams");
        assert!(decode(&[kind::FAILED, 2, 0, 0, 0, 1, 0xff], 7).is_err(), "no UTF-8");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = "é".repeat(MAX_MESSAGE_BYTES);
        let mut bytes = Vec::new();
        Frame::Failed { exit_code: 1, message: &message[..message.len() - 2] }.encode(&mut bytes);
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        match decoder.next_frame().unwrap() {
            Some(Frame::Failed { message: cut, .. }) => assert!(message.starts_with(cut)),
            other => panic!("{other:?}"),
        }
    }
}
