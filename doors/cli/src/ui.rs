//! Standard output and standard error: the only way out for text.
//!
//! Standard output carries data and is gathered until somebody must see it; standard error
//! carries everything else and is written at once. A closed pipe is an error like any other
//! (`print!` would panic), and ends the program quietly in `main`.

use std::error::Error;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use engine::EngineError;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Success,
    /// Something was not: the exit code.
    Failure(u8),
}

impl Exit {
    /// The process's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure(code) => code,
        }
    }

    /// A container's exit code as one's own.
    pub(crate) fn from_container(code: i32) -> Self {
        match u8::try_from(code & 0xff).unwrap_or(u8::MAX) {
            0 => Self::Success,
            code => Self::Failure(code),
        }
    }
}

/// The two output streams of a command.
#[derive(Debug, Default)]
pub(crate) struct Ui {
    pending: Vec<u8>,
    /// Where texts go in a test; `None` is the process's own streams.
    captured: Option<Captured>,
}

/// What a command wrote in a test.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
}

/// Above this, gathered output is written.
const GATHER_BYTES: usize = 64 * 1024;

impl Ui {
    /// Streams that are kept instead of written.
    #[cfg(test)]
    pub(crate) fn captured() -> Self {
        Self { pending: Vec::new(), captured: Some(Captured::default()) }
    }

    /// What was written, as texts.
    #[cfg(test)]
    pub(crate) fn into_texts(mut self) -> (String, String) {
        self.flush().unwrap();
        let captured = self.captured.unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(captured.out), text(captured.err))
    }

    /// Standard output.
    pub(crate) fn out(&mut self) -> impl Write + '_ {
        ToOut(self)
    }

    /// Standard error; what was gathered for standard output goes first.
    pub(crate) fn err(&mut self) -> impl Write + '_ {
        ToErr(self)
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        match &mut self.captured {
            Some(captured) => captured.out.extend(pending),
            None => write_all(io::stdout().as_fd(), &pending)?,
        }
        Ok(())
    }

    /// Prints one line on standard error and answers 1.
    pub(crate) fn fail(&mut self, text: impl std::fmt::Display) -> io::Result<Exit> {
        writeln!(self.err(), "{text}")?;
        Ok(Exit::Failure(1))
    }

    /// Prints an engine's error the way scripts know it, and answers 1.
    pub(crate) fn report(&mut self, error: &EngineError) -> io::Result<Exit> {
        self.fail(response(error))
    }
}

/// `Error response from daemon: what: why`, which is what scripts that drive Docker look for.
/// There is no daemon; the words are kept for them.
pub(crate) fn response(error: &EngineError) -> String {
    format!("Error response from daemon: {}", chain(error))
}

/// An error and its causes, outermost first.
///
/// Names in it may be an image's or a container's: what would steer a terminal is shown escaped.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Transparent variants repeat the text of what they hold.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    if !text.contains(is_steering) {
        return text;
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, letter| {
        match is_steering(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
        shown
    })
}

/// Control characters but those that only move on: escape sequences begin with one.
fn is_steering(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t')
}

/// Writes everything, waiting where the other side is slow.
pub(crate) fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            // Somebody may have made the stream non-blocking: it is shared with others.
            Err(rustix::io::Errno::AGAIN) => {
                match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

struct ToOut<'a>(&'a mut Ui);

impl Write for ToOut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.pending.extend_from_slice(bytes);
        if self.0.pending.len() >= GATHER_BYTES {
            self.0.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

struct ToErr<'a>(&'a mut Ui);

impl Write for ToErr<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.flush()?;
        match &mut self.0.captured {
            Some(captured) => captured.err.extend_from_slice(bytes),
            None => write_all(io::stderr().as_fd(), bytes)?,
        }
        Ok(bytes.len())
    }

    /// One text is one write, so that lines of several processes do not mix.
    fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(text.to_string().as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_cannot_steer_the_terminal() {
        let error = EngineError::NoImage { name: "a\u{1b}[2Jb\u{9b}31m\nc".into() };
        assert_eq!(chain(&error), "No such image: a\\u{1b}[2Jb\\u{9b}31m\nc");
    }

    #[test]
    fn causes_are_chained_and_not_repeated() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open /x")]
        struct Outer(#[source] io::Error);

        assert_eq!(chain(&Outer(io::Error::other("no"))), "cannot open /x: no");

        #[derive(Debug, thiserror::Error)]
        #[error(transparent)]
        struct Transparent(Outer);

        let error = Transparent(Outer(io::Error::other("no")));
        assert_eq!(chain(&error), "cannot open /x: no");
    }

    #[test]
    fn exit_codes() {
        assert_eq!(Exit::from_container(0), Exit::Success);
        assert_eq!(Exit::from_container(137).code(), 137);
        assert_eq!(Exit::from_container(256), Exit::Success);
    }
}
