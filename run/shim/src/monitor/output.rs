//! What the process writes, on its way to the log and to everyone who listens.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::clients::Client;
use crate::frame::{HEADER_BYTES, MAX_DATA_BYTES, header, kind};
use crate::log::{LogWriter, Stream};

/// The near end of a pipe or of a terminal.
#[derive(Debug)]
pub(super) struct Output {
    fd: OwnedFd,
    pub(super) stream: Stream,
    pub(super) is_terminal: bool,
    /// The pipe's other end is closed for good.
    pub(super) has_ended: bool,
}

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes, which are on their way.
    Bytes(u64),
    /// Nothing has come.
    Nothing,
    /// Nobody has the other end open. A terminal may be opened again.
    Closed,
}

impl Output {
    pub(super) fn new(fd: OwnedFd, stream: Stream, is_terminal: bool) -> Self {
        Self { fd, stream, is_terminal, has_ended: false }
    }

    /// Reads once and hands on what came.
    ///
    /// `buffer` is a frame with room for the header, so that the bytes go out as they came in,
    /// without being copied; it is made here when it is empty.
    pub(super) fn pump(
        &self,
        buffer: &mut Vec<u8>,
        clients: &mut [Client],
        log: &mut LogWriter,
    ) -> Read {
        if buffer.is_empty() {
            // Zeroed by the kernel: pages are only there once they are filled.
            *buffer = vec![0; HEADER_BYTES + MAX_DATA_BYTES];
        }
        let count = loop {
            match rustix::io::read(&self.fd, &mut buffer[HEADER_BYTES..]) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Read::Nothing,
                // A terminal that nobody has open gives EIO.
                Ok(0) | Err(_) => return Read::Closed,
                Ok(count) => break count,
            }
        };
        let kind = match self.stream {
            Stream::Stdout => kind::STDOUT,
            Stream::Stderr => kind::STDERR,
        };
        buffer[..HEADER_BYTES].copy_from_slice(&header(kind, count));
        let frame = &buffer[..HEADER_BYTES + count];
        for client in clients.iter_mut().filter(|client| client.wants(self.stream)) {
            client.send(frame);
        }
        log.write(self.stream, &frame[HEADER_BYTES..]);
        Read::Bytes(count as u64)
    }

    /// Reads what is there now, whoever may go on writing: the process has ended, and something
    /// that it left behind may hold the other end for ever.
    pub(super) fn drain(&self, buffer: &mut Vec<u8>, clients: &mut [Client], log: &mut LogWriter) {
        // A terminal does not tell how much its lower half holds.
        const TERMINAL_BYTES: u64 = 1024 * 1024;
        let mut left = match self.is_terminal {
            true => TERMINAL_BYTES,
            false => rustix::io::ioctl_fionread(&self.fd).unwrap_or(0),
        };
        while left > 0 {
            match self.pump(buffer, clients, log) {
                Read::Bytes(count) => left = left.saturating_sub(count),
                Read::Nothing | Read::Closed => return,
            }
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
