//! Writing to standard output and standard error without standing still when they are full.
//!
//! The streams belong to others too, so they are not made non-blocking: each write asks not to
//! wait (`RWF_NOWAIT`), and where the kernel does not know that for a stream (terminals, files,
//! old pipes) the write is an ordinary one.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, ReadWriteFlags};

/// The two streams, and what one of them could not take yet.
#[derive(Debug, Default)]
pub(crate) struct Output {
    waiting: Option<(Stream, Vec<u8>)>,
    /// Whether the stream is known not to take `RWF_NOWAIT`.
    plain: [bool; 2],
}

/// One of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Out => rustix::stdio::stdout(),
            Self::Err => rustix::stdio::stderr(),
        }
    }
}

/// The position that stands for "where the stream is".
const HERE: u64 = u64::MAX;

impl Output {
    /// The stream that must be writable before more is written.
    pub(crate) fn blocked(&self) -> Option<Stream> {
        self.waiting.as_ref().map(|(stream, _)| *stream)
    }

    /// Writes to standard output. Not to be called while a stream is blocked.
    pub(crate) fn write_out(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(Stream::Out, bytes)
    }

    /// Writes to standard error. Not to be called while a stream is blocked.
    pub(crate) fn write_err(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(Stream::Err, bytes)
    }

    /// Goes on with what was left over.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        match self.waiting.take() {
            Some((stream, bytes)) => self.write(stream, &bytes),
            None => Ok(()),
        }
    }

    fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_some(stream, bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.waiting = Some((stream, bytes.to_owned()));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_some(&mut self, stream: Stream, bytes: &[u8]) -> Result<usize, Errno> {
        let plain = &mut self.plain[usize::from(stream == Stream::Err)];
        if !*plain {
            let slices = [IoSlice::new(bytes)];
            match rustix::io::pwritev2(stream.as_fd(), &slices, HERE, ReadWriteFlags::NOWAIT) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::SPIPE) => *plain = true,
                result => return result,
            }
        }
        rustix::io::write(stream.as_fd(), bytes)
    }
}
