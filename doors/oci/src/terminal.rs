//! A container's terminal on our side: given away through a socket, or copied to and from ours.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

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

/// Copies between the terminal that we were called from and a container's, until dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    ours: OwnedFd,
    before: Termios,
    theirs: OwnedFd,
    to_theirs: VecDeque<u8>,
    to_ours: VecDeque<u8>,
    ours_ended: bool,
    theirs_ended: bool,
}

/// More than this is not read before it is written.
const BUFFER_BYTES: usize = 64 * 1024;

/// The terminal that we were called from.
pub(crate) fn own() -> Result<OwnedFd, OciError> {
    let standard = [rustix::stdio::stderr(), rustix::stdio::stdout(), rustix::stdio::stdin()];
    let found = standard.into_iter().find(|fd| rustix::termios::isatty(fd));
    match found {
        // The same open file may be a pipe's other end for others: a copy of our own would share
        // its flags, so that it is opened anew where that can be.
        Some(fd) => {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, sys::fs::fd_path(fd), flags, Mode::empty())
                .to(|| "open the terminal".into())
        }
        None => {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, "/dev/tty", flags, Mode::empty())
                .to(|| "open a terminal for the container's (process.terminal)".into())
        }
    }
}

impl Relay {
    /// Takes our terminal (which passes every key on from now on) and the near end of theirs.
    pub(crate) fn new(ours: OwnedFd, theirs: OwnedFd) -> Result<Self, OciError> {
        let before = tcgetattr(&ours).to(|| "look at the terminal".into())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&ours, OptionalActions::Now, &raw).to(|| "prepare the terminal".into())?;
        let relay = Self {
            ours,
            before,
            theirs,
            to_theirs: VecDeque::new(),
            to_ours: VecDeque::new(),
            ours_ended: false,
            theirs_ended: false,
        };
        let flags = rustix::fs::fcntl_getfl(&relay.theirs).to(|| "look at the terminal".into())?;
        rustix::fs::fcntl_setfl(&relay.theirs, flags | OFlags::NONBLOCK)
            .to(|| "prepare the container's terminal".into())?;
        Ok(relay)
    }

    /// Gives theirs the size of ours.
    pub(crate) fn resize(&self) {
        // Ours may be gone, as after a hang-up.
        if let Ok(size) = tcgetwinsize(&self.ours) {
            let _ = tcsetwinsize(&self.theirs, size);
        }
    }

    /// What is worth waiting for.
    pub(crate) fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let mut add = |fd: &'a OwnedFd, ended: bool, room: bool, full: bool| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, room);
            flags.set(PollFlags::OUT, full);
            if !ended && !flags.is_empty() {
                fds.push(PollFd::new(fd, flags));
            }
        };
        let has_room = |buffer: &VecDeque<u8>| buffer.len() < BUFFER_BYTES;
        add(&self.ours, self.ours_ended, has_room(&self.to_theirs), !self.to_ours.is_empty());
        add(&self.theirs, self.theirs_ended, has_room(&self.to_ours), !self.to_theirs.is_empty());
    }

    /// Copies what can be copied without waiting.
    pub(crate) fn turn(&mut self) {
        self.ours_ended |= fill(&mut self.to_theirs, &self.ours);
        self.theirs_ended |= fill(&mut self.to_ours, &self.theirs);
        self.theirs_ended |= empty(&mut self.to_theirs, &self.theirs);
        self.ours_ended |= empty(&mut self.to_ours, &self.ours);
    }

    /// Copies what a process that has ended had written.
    pub(crate) fn drain(&mut self) {
        loop {
            self.theirs_ended |= fill(&mut self.to_ours, &self.theirs);
            if self.to_ours.is_empty() || self.ours_ended {
                return;
            }
            let mut fds = [PollFd::new(&self.ours, PollFlags::OUT)];
            if rustix::event::poll(&mut fds, None).is_err() {
                return;
            }
            self.ours_ended |= empty(&mut self.to_ours, &self.ours);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The terminal may be gone; then nobody misses its settings.
        let _ = tcsetattr(&self.ours, OptionalActions::Now, &self.before);
    }
}

/// Reads what there is; `true` at the end.
fn fill(buffer: &mut VecDeque<u8>, from: &OwnedFd) -> bool {
    let mut bytes = [0; 4096];
    while buffer.len() < BUFFER_BYTES {
        match rustix::io::read(from, &mut bytes) {
            Ok(0) => return true,
            Ok(count) => buffer.extend(&bytes[..count]),
            Err(Errno::AGAIN | Errno::INTR) => return false,
            // EIO: no process has the far end open any more.
            Err(_) => return true,
        }
    }
    false
}

/// Writes what can be written; `true` if nothing ever can again.
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
