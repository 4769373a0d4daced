//! The socket on which a runtime hands over the master side of a terminal.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;
use tempfile::TempDir;

use crate::{PATIENCE, Screen};

/// A socket that something connects to and sends descriptors over.
#[derive(Debug)]
pub struct Console {
    folder: TempDir,
    listener: UnixListener,
}

impl Console {
    /// A new socket.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("kista-socket-").tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        Self { folder, listener }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The terminal that was sent.
    #[track_caller]
    pub fn screen(&self) -> Screen {
        let mut connection = self.accept();
        connection.receive();
        Screen::new(connection.fds.pop().expect("a descriptor came"))
    }

    /// The next connection.
    #[track_caller]
    pub fn accept(&self) -> Connection {
        ready(&self.listener);
        let (stream, _) = self.listener.accept().unwrap();
        Connection { stream, fds: Vec::new(), bytes: Vec::new() }
    }
}

/// What someone sends.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// The descriptors that have come.
    pub fds: Vec<OwnedFd>,
    bytes: Vec<u8>,
}

impl Connection {
    /// The JSON document that comes.
    #[track_caller]
    pub fn json(&mut self) -> Value {
        loop {
            if let Ok(document) = serde_json::from_slice(&self.bytes) {
                return document;
            }
            assert!(self.receive(), "no JSON: {:?}", String::from_utf8_lossy(&self.bytes));
        }
    }

    /// One message; false at the end.
    #[track_caller]
    pub fn receive(&mut self) -> bool {
        ready(&self.stream);
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.stream, &mut parts, &mut ancillary, flags).unwrap().bytes;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                self.fds.extend(rights);
            }
        }
        self.bytes.extend_from_slice(&buffer[..received]);
        received > 0
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[track_caller]
fn ready(fd: &impl AsFd) {
    let deadline = Instant::now() + PATIENCE;
    let left = Timespec::try_from(deadline - Instant::now()).unwrap();
    let count = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&left)).unwrap();
    assert_eq!(count, 1, "nothing came over the socket");
}
