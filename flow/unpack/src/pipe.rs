//! Buffers on their way from the thread that makes bytes to the one that uses them.
//!
//! ```text
//!   decompress --> full buffers, at most DEPTH --> hash --> full buffers --> files
//!       ^                                                                      |
//!       +---------------------------- empty buffers ---------------------------+
//! ```
//!
//! Memory is bounded by the buffers, which are used again and again. Whoever stops early hangs up,
//! and the others then stop too.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// A buffer: large enough to make a switch of threads rare, small enough for the cache.
const BUFFER: usize = 256 * 1024;

/// How many full buffers may wait for the next stage.
const DEPTH: usize = 4;

/// A buffer with what is in it, or why there is none.
type Filled = io::Result<Vec<u8>>;

/// The end that makes bytes.
pub(crate) struct Producer {
    full: SyncSender<Filled>,
    empty: Receiver<Vec<u8>>,
}

/// The end that uses them. Its end of file comes when the producer is gone.
#[derive(Debug)]
pub(crate) struct Consumer {
    full: Receiver<Filled>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

/// A stage between, which looks at the bytes.
pub(crate) struct Tap {
    from: Receiver<Filled>,
    to: SyncSender<Filled>,
}

/// A pipe with a tap in it.
pub(crate) fn tapped() -> (Producer, Tap, Consumer) {
    let (full, from) = sync_channel(DEPTH);
    let (to, tapped) = sync_channel(DEPTH);
    let (empty, reused) = channel();
    (
        Producer { full, empty: reused },
        Tap { from, to },
        Consumer { full: tapped, empty, current: Vec::new(), at: 0 },
    )
}

impl Producer {
    /// Sends everything that `source` has; its error too, after which nothing more is sent.
    ///
    /// Returns whether the other end took it all.
    pub(crate) fn send_all(&self, source: &mut impl Read) -> bool {
        loop {
            let mut buffer = self.empty.try_recv().unwrap_or_default();
            buffer.resize(BUFFER, 0);
            let (filled, is_last) = match fill(source, &mut buffer) {
                Ok(count) => {
                    buffer.truncate(count);
                    (Ok(buffer), count < BUFFER)
                }
                Err(error) => (Err(error), true),
            };
            let failed = filled.is_err();
            if self.full.send(filled).is_err() {
                return false;
            }
            if is_last {
                return !failed;
            }
        }
    }

    /// Sends an error in place of more bytes.
    pub(crate) fn fail(&self, error: io::Error) {
        // If nobody listens any more, then because of an error of its own.
        let _ = self.full.send(Err(error));
    }
}

/// Fills the whole buffer, unless the source ends.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match source.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

impl Tap {
    /// Shows all bytes to `look` on their way.
    pub(crate) fn run(self, mut look: impl FnMut(&[u8])) {
        for filled in self.from {
            if let Ok(bytes) = &filled {
                look(bytes);
            }
            if self.to.send(filled).is_err() {
                return;
            }
        }
    }
}

impl Read for Consumer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            let Ok(filled) = self.full.recv() else { return Ok(0) };
            let spent = std::mem::replace(&mut self.current, filled?);
            self.at = 0;
            // The producer may be done.
            let _ = self.empty.send(spent);
        }
        let count = buffer.len().min(self.current.len() - self.at);
        buffer[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(source: impl Read + Send) -> (io::Result<Vec<u8>>, Vec<u8>) {
        let (producer, tap, mut consumer) = tapped();
        let mut seen = Vec::new();
        let mut got = Vec::new();
        let result = std::thread::scope(|scope| {
            let mut source = source;
            scope.spawn(move || producer.send_all(&mut source));
            scope.spawn(|| tap.run(|bytes| seen.extend_from_slice(bytes)));
            consumer.read_to_end(&mut got)
        });
        (result.map(|_| got), seen)
    }

    #[test]
    fn bytes_come_through_in_order_and_are_seen_on_the_way() {
        let many: Vec<u8> = (0..3 * BUFFER + 17).map(|index| (index % 251) as u8).collect();
        for bytes in [&many[..], &many[..BUFFER], b"", b"x"] {
            let (got, seen) = through(bytes);
            assert!(got.unwrap() == bytes && seen == bytes);
        }
    }

    #[test]
    fn an_error_of_the_source_reaches_the_other_end() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let (got, _) = through(io::Cursor::new(vec![1; BUFFER]).chain(Broken));
        assert_eq!(got.unwrap_err().to_string(), "broken");
    }

    #[test]
    fn a_consumer_that_leaves_stops_the_others() {
        let (producer, tap, consumer) = tapped();
        drop(consumer);
        std::thread::scope(|scope| {
            scope.spawn(|| tap.run(|_| {}));
            assert!(!producer.send_all(&mut io::repeat(0)));
        });
    }
}
