//! A container's terminal on our side: given away through a socket, or copied to and from us.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::error::{OciError, Step};

/// A connection to somebody who wants a descriptor.
#[derive(Debug)]
pub(crate) struct Receiver {
    socket: OwnedFd,
    path: String,
}

impl Receiver {
    /// Connects to a listening unix stream socket.
    pub(crate) fn connect(path: &str) -> Result<Self, OciError> {
        let action = || format!("connect to {path}");
        let flags = SocketFlags::CLOEXEC;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).to(action)?;
        let address = SocketAddrUnix::new(path).to(action)?;
        connect(socket.as_fd(), &address).to(action)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Sends a descriptor, with a name for it as data: `SCM_RIGHTS`, as runc does.
    pub(crate) fn send(&self, fd: BorrowedFd<'_>, name: &str) -> Result<(), OciError> {
        sys::socket::send(self.socket.as_fd(), name.as_bytes(), &[fd], SendFlags::empty())
            .map(drop)
            .to(|| format!("send a descriptor to {}", self.path))
    }
}

/// Copies between our standard streams and a container's terminal, until dropped.
///
/// The terminal that we were called from, if there is one, passes every key on meanwhile, and
/// gives the container's its size. Streams that are no terminal are copied all the same.
#[derive(Debug)]
pub(crate) struct Relay {
    ours: Option<(OwnedFd, Termios)>,
    theirs: OwnedFd,
    to_theirs: VecDeque<u8>,
    to_output: VecDeque<u8>,
    input_ended: bool,
    output_ended: bool,
    theirs_ended: bool,
}

/// More than this is not read before it is written.
const BUFFER_BYTES: usize = 64 * 1024;
/// What is written at once: what a pipe takes without waiting when it says that it takes any.
const CHUNK_BYTES: usize = 4096;

impl Relay {
    /// For the near end of a container's terminal.
    pub(crate) fn new(theirs: OwnedFd) -> Result<Self, OciError> {
        let flags = rustix::fs::fcntl_getfl(&theirs).to(|| "look at the terminal".into())?;
        rustix::fs::fcntl_setfl(&theirs, flags | OFlags::NONBLOCK)
            .to(|| "prepare the container's terminal".into())?;
        // Lines end as the program ends them: what needs a carriage return adds it itself, as
        // our terminal does.
        let mut settings = tcgetattr(&theirs).to(|| "look at the terminal".into())?;
        settings.output_modes -= OutputModes::ONLCR;
        tcsetattr(&theirs, OptionalActions::Now, &settings)
            .to(|| "prepare the container's terminal".into())?;
        let ours = match own() {
            None => None,
            Some(ours) => {
                let before = tcgetattr(&ours).to(|| "look at the terminal".into())?;
                let mut raw = before.clone();
                raw.make_raw();
                raw.output_modes = before.output_modes;
                let action = OptionalActions::Now;
                tcsetattr(&ours, action, &raw).to(|| "prepare the terminal".into())?;
                Some((ours, before))
            }
        };
        Ok(Self {
            ours,
            theirs,
            to_theirs: VecDeque::new(),
            to_output: VecDeque::new(),
            input_ended: false,
            output_ended: false,
            theirs_ended: false,
        })
    }

    /// Gives theirs the size of ours.
    pub(crate) fn resize(&self) {
        // Ours may be gone, as after a hang-up.
        if let Some(size) = self.ours.as_ref().and_then(|(ours, _)| tcgetwinsize(ours).ok()) {
            let _ = tcsetwinsize(&self.theirs, size);
        }
    }

    /// What is worth waiting for: standard input, standard output, theirs.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let mut add = |fd: BorrowedFd<'a>, read: bool, write: bool| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, read);
            flags.set(PollFlags::OUT, write);
            if !flags.is_empty() {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
        };
        add(rustix::stdio::stdin(), self.wants_input(), false);
        add(rustix::stdio::stdout(), false, self.has_output());
        let read = !self.theirs_ended && self.to_output.len() < BUFFER_BYTES;
        add(self.theirs.as_fd(), read, !self.theirs_ended && !self.to_theirs.is_empty());
    }

    fn wants_input(&self) -> bool {
        !self.input_ended && !self.theirs_ended && self.to_theirs.len() < BUFFER_BYTES
    }

    fn has_output(&self) -> bool {
        !self.output_ended && !self.to_output.is_empty()
    }

    /// Copies what can be copied without waiting. Our own streams may be open in other processes,
    /// so that they are left as they are and asked each time whether they would wait.
    pub(crate) fn turn(&mut self) {
        if self.wants_input() && is_ready(rustix::stdio::stdin(), PollFlags::IN) {
            self.input_ended |= fill_once(&mut self.to_theirs, rustix::stdio::stdin());
        }
        self.theirs_ended |= empty(&mut self.to_theirs, &self.theirs);
        while !self.theirs_ended && self.to_output.len() < BUFFER_BYTES {
            let before = self.to_output.len();
            self.theirs_ended |= fill_once(&mut self.to_output, self.theirs.as_fd());
            if self.to_output.len() == before {
                break;
            }
        }
        while self.has_output() && is_ready(rustix::stdio::stdout(), PollFlags::OUT) {
            self.write_output();
        }
    }

    /// Copies what a process that has ended had written, and waits for whoever reads it.
    pub(crate) fn drain(&mut self) {
        loop {
            let before = self.to_output.len();
            self.theirs_ended |= fill_once(&mut self.to_output, self.theirs.as_fd());
            let got = self.to_output.len() > before;
            while self.has_output() {
                self.write_output();
            }
            if !got || self.output_ended {
                return;
            }
        }
    }

    fn write_output(&mut self) {
        let chunk = self.to_output.as_slices().0;
        let chunk = &chunk[..chunk.len().min(CHUNK_BYTES)];
        match rustix::io::write(rustix::stdio::stdout(), chunk) {
            Ok(count) => drop(self.to_output.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.to_output.clear();
                self.output_ended = true;
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((ours, before)) = &self.ours {
            // The terminal may be gone; then nobody misses its settings.
            let _ = tcsetattr(ours, OptionalActions::Now, before);
        }
    }
}

/// The terminal that we were called from, if there is one.
fn own() -> Option<OwnedFd> {
    let standard = [rustix::stdio::stderr(), rustix::stdio::stdout(), rustix::stdio::stdin()];
    let found = standard.into_iter().find(|fd| rustix::termios::isatty(fd));
    match found {
        Some(fd) => rustix::io::fcntl_dupfd_cloexec(fd, 3).ok(),
        None => {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, "/dev/tty", flags, Mode::empty()).ok()
        }
    }
}

fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}

/// Reads once; `true` at the end.
fn fill_once(buffer: &mut VecDeque<u8>, from: BorrowedFd<'_>) -> bool {
    let mut bytes = [0; CHUNK_BYTES];
    match rustix::io::read(from, &mut bytes) {
        Ok(0) => true,
        Ok(count) => {
            buffer.extend(&bytes[..count]);
            false
        }
        Err(Errno::AGAIN | Errno::INTR) => false,
        // EIO: no process has the far end open any more.
        Err(_) => true,
    }
}

/// Writes what can be written to a descriptor that does not wait; `true` if nothing ever can again.
fn empty(buffer: &mut VecDeque<u8>, to: &OwnedFd) -> bool {
    while !buffer.is_empty() {
        match rustix::io::write(to, buffer.as_slices().0) {
            Ok(count) => drop(buffer.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Err(_) => {
                buffer.clear();
                return true;
            }
        }
    }
    false
}
