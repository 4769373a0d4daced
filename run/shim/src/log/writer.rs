//! The writing side: what the shim does with every byte that the process writes.

use std::io;
use std::os::fd::OwnedFd;

use oci::Timestamp;

use super::journald::Journal;
use super::lines::Lines;
use super::rotation::Files;
use super::{Driver, LogPlan, Stream, json_file, local, options};

/// Takes output and keeps it as a [`LogPlan`] says. Nothing is opened before the first output.
///
/// No function fails: a log that cannot be written must neither stall nor end a container. What
/// is lost is counted, and said in the log as soon as that can be written again.
#[derive(Debug)]
pub struct LogWriter {
    sink: Sink,
    stdout: Lines,
    stderr: Lines,
    lost: Lost,
}

#[derive(Debug)]
enum Sink {
    Nothing,
    Files(FileSink),
    Journal(JournalSink),
}

#[derive(Debug)]
struct FileSink {
    files: Files,
    driver: Driver,
    /// json-file: `"attrs":{...},`.
    attributes: Vec<u8>,
    /// Encoded entries on their way to the file.
    batch: Vec<u8>,
    /// How many bytes of output are in the batch.
    batch_output: u64,
}

#[derive(Debug)]
struct JournalSink {
    fields: Vec<(String, String)>,
    journal: Option<Journal>,
}

/// What could not be written since the last entry that could.
#[derive(Debug, Default)]
struct Lost {
    bytes: u64,
    why: String,
}

/// A batch goes to the file when it has reached this size, and at the end of every read.
const BATCH_BYTES: usize = 128 * 1024;

impl LogWriter {
    /// `dir` is the container's directory.
    pub fn new(plan: &LogPlan, dir: OwnedFd) -> Self {
        let sink = match plan.driver {
            Driver::None => Sink::Nothing,
            Driver::JsonFile | Driver::Local => Sink::Files(FileSink {
                files: Files::new(dir, plan.driver, plan.max_size_bytes, plan.max_files),
                driver: plan.driver,
                attributes: json_file::attributes(&plan.attributes),
                batch: Vec::new(),
                batch_output: 0,
            }),
            Driver::Journald => {
                let fields = plan.attributes.clone();
                Sink::Journal(JournalSink { fields, journal: None })
            }
        };
        Self { sink, stdout: Lines::default(), stderr: Lines::default(), lost: Lost::default() }
    }

    /// Takes what one read gave. Its lines have the same time: that of the read.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if matches!(self.sink, Sink::Nothing) {
            return;
        }
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut batch = Batch::new(&mut self.sink, &mut self.lost, stream);
        lines.feed(bytes, |line| batch.put(line));
        batch.flush();
    }

    /// Writes the beginnings of lines that will never end, and closes the log.
    pub fn finish(&mut self) {
        for (stream, lines) in
            [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)]
        {
            let mut batch = Batch::new(&mut self.sink, &mut self.lost, stream);
            lines.finish(|line| batch.put(line));
            batch.flush();
        }
        self.sink = Sink::Nothing;
    }

    /// Gives memory back when it is quiet.
    pub fn release(&mut self) {
        self.stdout.release();
        self.stderr.release();
        if let Sink::Files(sink) = &mut self.sink {
            sink.batch = Vec::new();
        }
    }
}

/// The entries of one read.
struct Batch<'w> {
    sink: &'w mut Sink,
    lost: &'w mut Lost,
    stream: Stream,
    time: Timestamp,
    /// json-file: what ends each entry; made for the first one.
    suffix: Vec<u8>,
}

impl<'w> Batch<'w> {
    fn new(sink: &'w mut Sink, lost: &'w mut Lost, stream: Stream) -> Self {
        Self { sink, lost, stream, time: Timestamp::now(), suffix: Vec::new() }
    }

    fn put(&mut self, line: &[u8]) {
        match self.sink {
            Sink::Nothing => {}
            Sink::Journal(sink) => {
                if let Err(error) = sink.send(self.stream, line, self.lost) {
                    self.lost.add(line.len() as u64, &error);
                }
            }
            Sink::Files(sink) => {
                if sink.batch.len() >= BATCH_BYTES {
                    sink.flush(self.lost);
                }
                if sink.files.is_full(sink.batch.len()) {
                    sink.flush(self.lost);
                    // One that cannot be rotated goes on growing rather than losing output.
                    let _ = sink.files.rotate();
                }
                if sink.batch.is_empty() && self.lost.bytes > 0 {
                    sink.put_mark(self.lost, self.time);
                }
                if sink.driver == Driver::Local {
                    local::encode(line, self.stream, self.time, &mut sink.batch);
                } else {
                    if self.suffix.is_empty() {
                        self.suffix = json_file::suffix(self.stream, &sink.attributes, self.time);
                    }
                    json_file::encode(line, &self.suffix, &mut sink.batch);
                }
                sink.batch_output += line.len() as u64;
            }
        }
    }

    fn flush(self) {
        if let Sink::Files(sink) = self.sink {
            sink.flush(self.lost);
        }
    }
}

impl FileSink {
    fn flush(&mut self, lost: &mut Lost) {
        if self.batch.is_empty() {
            return;
        }
        match self.files.append(&self.batch) {
            Ok(()) => lost.bytes = 0,
            Err(error) => lost.add(self.batch_output, &error),
        }
        self.batch.clear();
        self.batch_output = 0;
    }

    /// Says in the log what is not in it. Counts as lost again if that cannot be written.
    fn put_mark(&mut self, lost: &Lost, time: Timestamp) {
        let line = lost.mark();
        if self.driver == Driver::Local {
            local::encode(&line, Stream::Stderr, time, &mut self.batch);
        } else {
            let suffix = json_file::suffix(Stream::Stderr, &self.attributes, time);
            json_file::encode(&line, &suffix, &mut self.batch);
        }
    }
}

impl JournalSink {
    fn send(&mut self, stream: Stream, line: &[u8], lost: &mut Lost) -> io::Result<()> {
        let (text, is_partial) = match line.split_last() {
            Some((b'\n', text)) => (text, false),
            _ => (line, true),
        };
        let journal = match &mut self.journal {
            Some(journal) => journal,
            none => {
                let journal = Journal::open(&options::journal_socket(), &self.fields);
                none.insert(journal.map_err(io::Error::other)?)
            }
        };
        let mut outcome = Ok(());
        if lost.bytes > 0 {
            outcome = journal.send(Stream::Stderr, lost.mark().trim_ascii_end(), false);
        }
        let outcome = outcome.and_then(|()| journal.send(stream, text, is_partial));
        match &outcome {
            Ok(()) => lost.bytes = 0,
            // Opened anew the next time: the journal may have been restarted.
            Err(_) => self.journal = None,
        }
        outcome
    }
}

impl Lost {
    fn add(&mut self, bytes: u64, why: &io::Error) {
        self.bytes += bytes;
        self.why = why.to_string();
    }

    fn mark(&self) -> Vec<u8> {
        format!("[kista: {} bytes of output are not in this log: {}]\n", self.bytes, self.why)
            .into_bytes()
    }
}
