//! What clients type, on its way into the process.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// The process's standard input, and what it has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The pipe; with a terminal, its console is written to instead.
    pipe: Option<OwnedFd>,
    queue: VecDeque<Chunk>,
    /// Whether the pipe is closed once the queue is empty.
    is_ending: bool,
}

#[derive(Debug)]
struct Chunk {
    client: u32,
    bytes: Vec<u8>,
    start: usize,
}

/// How many bytes of which client were taken (or were of no use to anyone any more).
pub(super) type Taken = Vec<(u32, u32)>;

impl Input {
    pub(super) fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe, ..Self::default() }
    }

    /// The pipe, as long as it is open.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes a client's bytes; what is written at once is not copied.
    pub(super) fn push(
        &mut self,
        console: Option<BorrowedFd<'_>>,
        client: u32,
        bytes: &[u8],
    ) -> Taken {
        let mut written = 0;
        if self.queue.is_empty() && !self.is_ending {
            match write(console.or(self.pipe()), bytes) {
                Ok(count) => written = count,
                Err(Closed) => {
                    self.pipe = None;
                    written = bytes.len();
                }
            }
        } else if self.is_ending {
            // Nothing comes after the end.
            written = bytes.len();
        }
        if written < bytes.len() {
            let bytes = bytes[written..].to_vec();
            self.queue.push_back(Chunk { client, bytes, start: 0 });
        }
        taken(client, written)
    }

    /// No more comes: closes the pipe when all is written. A terminal stays open.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
        self.close_if_ended();
    }

    /// Writes what waits, as far as the process takes it.
    pub(super) fn flush(&mut self, console: Option<BorrowedFd<'_>>) -> Taken {
        let mut all = Taken::new();
        while let Some(chunk) = self.queue.front_mut() {
            let fd = console.or(self.pipe.as_ref().map(AsFd::as_fd));
            match write(fd, &chunk.bytes[chunk.start..]) {
                Ok(count) => {
                    all.extend(taken(chunk.client, count));
                    chunk.start += count;
                    if chunk.start < chunk.bytes.len() {
                        break;
                    }
                    self.queue.pop_front();
                }
                Err(Closed) => {
                    self.pipe = None;
                    for chunk in self.queue.drain(..) {
                        all.extend(taken(chunk.client, chunk.bytes.len() - chunk.start));
                    }
                }
            }
        }
        self.close_if_ended();
        all
    }

    /// Gives memory back when it is quiet.
    pub(super) fn release(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    fn close_if_ended(&mut self) {
        if self.is_ending && self.queue.is_empty() {
            self.pipe = None;
        }
    }
}

fn taken(client: u32, bytes: usize) -> Taken {
    match u32::try_from(bytes) {
        Ok(0) | Err(_) => Taken::new(),
        Ok(bytes) => vec![(client, bytes)],
    }
}

/// Nobody reads any more.
struct Closed;

/// Writes without waiting, as much as goes.
fn write(fd: Option<BorrowedFd<'_>>, bytes: &[u8]) -> Result<usize, Closed> {
    let fd = fd.ok_or(Closed)?;
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(fd, &bytes[written..]) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            // A reader that closed (SIGPIPE is blocked), or a terminal that is gone.
            Err(_) => return Err(Closed),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn input_waits_for_the_process_and_ends_after_the_last_byte() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut input = Input::new(Some(writer));
        let data = vec![7; 50_000];
        let mut given_back = [0, 0];
        let mut count = |taken: Taken| {
            taken.iter().for_each(|(client, bytes)| given_back[*client as usize] += bytes);
        };
        for client in [0, 1] {
            count(input.push(None, client, &data));
        }
        assert!(input.is_waiting());
        input.end();
        let mut got = 0;
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&reader, &mut buffer) {
                Ok(0) => break,
                Ok(bytes) => got += bytes,
                Err(_) => count(input.flush(None)),
            }
        }
        assert_eq!((got, given_back), (100_000, [50_000, 50_000]));
    }

    #[test]
    fn input_that_nobody_reads_is_given_back() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut input = Input::new(Some(writer));
        let full = vec![0; 100_000];
        let first = input.push(None, 3, &full)[0].1;
        drop(reader);
        assert_eq!(input.flush(None), [(3, 100_000 - first)]);
        assert_eq!(input.push(None, 3, b"more"), [(3, 4)]);
        assert_eq!(Input::new(None).push(None, 4, b"x"), [(4, 1)]);
    }
}
