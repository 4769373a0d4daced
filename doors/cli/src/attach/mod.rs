//! An attached session: this terminal, or these pipes, joined to a container's streams.
//!
//! ```text
//! fd 0 --bytes--> detach keys --Stdin--> session (the shim)
//! fd 1, 2 <------bytes------ Stdout, Stderr
//! signalfd ------> Signal, Resize
//! ```
//!
//! One thread, one loop over poll(2). Nothing blocks in it but poll: input is read only while
//! the container takes it, a stream that its reader does not empty holds back the container and
//! not the signals. The terminal gets its old settings back on every way out.

mod keys;
mod output;
mod terminal;

use std::io;
use std::os::fd::AsFd;

use engine::{Frame, Incoming, Session, ShimError};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use sys::signals;

pub(crate) use keys::DetachKeys;
pub(crate) use terminal::{is_terminal, restore_on_panic, terminal_size};

use output::Output;
use terminal::RawMode;

/// How a session is to be held.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether standard input goes to the container.
    pub(crate) stdin: bool,
    /// Whether standard output is shown.
    pub(crate) stdout: bool,
    /// Whether standard error is shown.
    pub(crate) stderr: bool,
    /// Whether the container has a terminal: ours is raw then, if it is one.
    pub(crate) tty: bool,
    /// What leaves the container alone, with a terminal.
    pub(crate) detach_keys: DetachKeys,
    /// Whether signals are for the container.
    pub(crate) forward_signals: bool,
    /// Whether to make the container's terminal draw anew, for a program that runs already.
    pub(crate) redraw: bool,
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The process ended, and all that it wrote was shown.
    Exited(u8),
    /// The process could not be started.
    NotStarted {
        /// 125, 126 or 127.
        exit_code: u8,
        /// Why.
        message: String,
    },
    /// The user left by the detach keys; the process goes on.
    Detached,
    /// A signal that was not for the container.
    Signalled(u8),
    /// Three interrupts went unheard.
    Abandoned,
    /// The other side is gone without a word.
    Lost,
}

/// After so many of SIGINT and SIGTERM the user wants out, whatever the container does.
const PATIENCE: u32 = 3;

/// Holds off all signals until [`attach`] deals with them. What is started in between begins
/// without this, since whoever starts it resets the mask.
pub(crate) fn hold_signals() -> io::Result<()> {
    signals::block_all()
}

/// Joins this process's streams to the session until either side ends it.
pub(crate) fn attach(session: Session, plan: &Plan) -> io::Result<Outcome> {
    hold_signals()?;
    let raw = if plan.tty && plan.stdin { RawMode::enter()? } else { None };
    let mut joined = Joined {
        session,
        plan,
        keys: plan.detach_keys.matcher(),
        output: Output::default(),
        input: if plan.stdin { Input::Open } else { Input::Closed },
        interrupts: 0,
        raw,
    };
    if plan.tty {
        joined.send_size(plan.redraw)?;
    }
    let outcome = joined.run();
    // The terminal first: what the caller prints next must look as it should.
    drop(joined.raw.take());
    if let Ok(Outcome::Detached) = outcome {
        joined.session.detach().map_err(other)?;
    }
    outcome
}

fn other(error: ShimError) -> io::Error {
    io::Error::other(error)
}

#[derive(Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// In the background, where the terminal gives nothing: until SIGCONT.
    Waiting,
    Closed,
}

/// What a look at the session brought.
enum Taken {
    /// It is over.
    Outcome(Outcome),
    /// Nothing is left to take now.
    All,
    /// There may be more.
    Some,
}

/// So much input is read at once.
const INPUT_BYTES: usize = 64 * 1024;

/// So many frames are shown before signals and input have their turn.
const FRAMES_AT_ONCE: usize = 32;

struct Joined<'a> {
    session: Session,
    plan: &'a Plan,
    keys: keys::Matcher<'a>,
    output: Output,
    input: Input,
    interrupts: u32,
    raw: Option<RawMode>,
}

impl Joined<'_> {
    fn run(&mut self) -> io::Result<Outcome> {
        let signal_fd = signals::signal_fd(None)?;
        let mut buffer = vec![0; if self.plan.stdin { INPUT_BYTES } else { 0 }];
        loop {
            let more = match self.take_frames()? {
                Taken::Outcome(outcome) => return Ok(outcome),
                Taken::All => false,
                Taken::Some => true,
            };
            let stdin = io::stdin();
            let wants_input = self.input == Input::Open && self.session.window() > 0;
            let blocked = self.output.blocked();
            // Signals always; then what the session or a full stream waits for; then input.
            let mut fds = vec![PollFd::new(&signal_fd, PollFlags::IN)];
            match &blocked {
                Some(stream) => fds.push(PollFd::new(stream, PollFlags::OUT)),
                None => fds.push(PollFd::new(&self.session, PollFlags::IN)),
            }
            if wants_input {
                fds.push(PollFd::new(&stdin, PollFlags::IN));
            }
            let at_once = rustix::event::Timespec::default();
            match poll(&mut fds, more.then_some(&at_once)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let is_ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
            let (signalled, writable, readable) =
                (is_ready(0), blocked.is_some() && is_ready(1), is_ready(2));
            drop(fds);
            if signalled {
                while let Some(signal) = signals::read_signal(signal_fd.as_fd())? {
                    if let Some(outcome) = self.take_signal(signal)? {
                        return Ok(outcome);
                    }
                }
            }
            if writable {
                self.output.resume()?;
            }
            if readable && let Some(outcome) = self.take_input(&mut buffer)? {
                return Ok(outcome);
            }
        }
    }

    /// Shows what has come, until there is no more or a stream is full; for a while only, since
    /// a container that never stops writing must not keep signals and keys from being heard.
    fn take_frames(&mut self) -> io::Result<Taken> {
        for _ in 0..FRAMES_AT_ONCE {
            if self.output.blocked().is_some() {
                return Ok(Taken::All);
            }
            let frame = match self.session.try_recv().map_err(other)? {
                Incoming::Frame(frame) => frame,
                Incoming::Nothing => return Ok(Taken::All),
                Incoming::End => return Ok(Taken::Outcome(Outcome::Lost)),
            };
            match frame {
                Frame::Stdout(bytes) if self.plan.stdout => self.output.write_out(bytes)?,
                Frame::Stderr(bytes) if self.plan.stderr => self.output.write_err(bytes)?,
                Frame::Exited { code } => return Ok(Taken::Outcome(Outcome::Exited(code))),
                Frame::Failed { exit_code, message } => {
                    let message = message.to_owned();
                    return Ok(Taken::Outcome(Outcome::NotStarted { exit_code, message }));
                }
                _ => {}
            }
        }
        Ok(Taken::Some)
    }

    fn take_input(&mut self, buffer: &mut [u8]) -> io::Result<Option<Outcome>> {
        let room = self.session.window().min(buffer.len());
        let count = match rustix::io::read(io::stdin().as_fd(), &mut buffer[..room]) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(None),
            Err(Errno::IO) if self.plan.tty => {
                self.input = Input::Waiting;
                return Ok(None);
            }
            Err(_) => 0,
        };
        if count == 0 {
            self.input = Input::Closed;
            self.session.send_stdin_eof().map_err(other)?;
            return Ok(None);
        }
        let bytes = &buffer[..count];
        if !self.plan.tty {
            self.send_input(bytes)?;
            return Ok(None);
        }
        let mut passed = Vec::with_capacity(count + self.keys.held());
        let left = self.keys.feed(bytes, &mut passed);
        self.send_input(&passed)?;
        Ok(left.then_some(Outcome::Detached))
    }

    /// Sends all of it: what is read is never more than the window, but for a few held keys.
    fn send_input(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.session.send_stdin(bytes).map_err(other)? {
                // Only keys that were held back can exceed the window, by their number.
                0 => return Ok(()),
                sent => bytes = &bytes[sent..],
            }
        }
        Ok(())
    }

    fn take_signal(&mut self, signal: i32) -> io::Result<Option<Outcome>> {
        use terminal::number::{CHLD, CONT, INT, PIPE, TERM, TSTP, TTIN, TTOU, URG, WINCH};
        let number = u8::try_from(signal).unwrap_or(0);
        match signal {
            CHLD | PIPE | URG | TTIN | TTOU => return Ok(None),
            WINCH if self.plan.tty => {
                self.send_size(false)?;
                return Ok(None);
            }
            CONT => {
                if self.input == Input::Waiting {
                    self.input = Input::Open;
                }
                if let Some(raw) = &self.raw {
                    raw.enter_again()?;
                    self.send_size(true)?;
                }
            }
            INT | TERM => {
                self.interrupts += 1;
                if self.interrupts >= PATIENCE {
                    return Ok(Some(Outcome::Abandoned));
                }
            }
            TSTP if !self.plan.forward_signals => {
                if let Some(raw) = &self.raw {
                    raw.leave();
                }
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::STOP)?;
                return Ok(None);
            }
            _ => {}
        }
        if self.plan.forward_signals {
            self.session.signal(number).map_err(other)?;
            Ok(None)
        } else if matches!(signal, CONT | WINCH) {
            Ok(None)
        } else {
            Ok(Some(Outcome::Signalled(number)))
        }
    }

    /// Tells the size of our terminal. One that is told the size that it has draws nothing, so
    /// to make it draw, it is told another one first.
    fn send_size(&mut self, redraw: bool) -> io::Result<()> {
        let Some((rows, columns)) = terminal_size() else { return Ok(()) };
        let size = |more: u16| oci::runtime::ConsoleSize {
            height: rows.saturating_add(more),
            width: columns.saturating_add(more),
        };
        if redraw {
            self.session.resize(size(1)).map_err(other)?;
        }
        self.session.resize(size(0)).map_err(other)
    }
}
