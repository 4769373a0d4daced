//! The side that asks: starts a shim or attaches to one, and talks to it.
//!
//! Nothing here waits for the shim but [`Session::started`] and [`Session::recv`]; there is no
//! thread and no runtime, only a socket to poll.

use std::ffi::{CStr, CString};
use std::io::{self, IoSlice};
use std::iter;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime::ConsoleSize;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use sys::process::{Program, Spawn};

use crate::frame::{Decoder, Filled, Frame, MAX_DATA_BYTES, STDIN_WINDOW_BYTES, header, kind};
use crate::{ATTACH_SOCKET, Early, Launch, NAME, ShimError, Streams};

/// A shim that was started and does not know yet what it is for. Dropping it ends it.
#[derive(Debug)]
pub struct Pending {
    socket: OwnedFd,
}

/// Starts a shim from this program's own executable, so that it gets ready while the caller
/// still works out what to launch.
///
/// With CAP_SYS_ADMIN the executable is entered through a read-only mount of its own. The shim
/// has an empty environment, `/dev/null` for its standard streams and none of the caller's
/// descriptors. It is not waited for: whoever starts one and lives on gets a `SIGCHLD` from it.
pub fn spawn_early(early: &Early) -> Result<Pending, ShimError> {
    let executable = match sys::exe::self_exe_readonly() {
        Ok(fd) => fd,
        Err(_) => open_executable(Path::new("/proc/self/exe"))?,
    };
    spawn_from(executable.as_fd(), early)
}

/// As [`spawn_early`], from another executable: one that calls [`crate::main`] when its
/// `argv[0]` is [`NAME`].
pub fn spawn_early_as(executable: &Path, early: &Early) -> Result<Pending, ShimError> {
    spawn_from(open_executable(executable)?.as_fd(), early)
}

/// Starts a shim and tells it what to launch, in one go.
pub fn spawn(launch: &Launch) -> Result<Session, ShimError> {
    spawn_early(&Early::default())?.launch(launch)
}

fn open_executable(path: &Path) -> Result<OwnedFd, ShimError> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| ShimError::Spawn { source: errno.into() })
}

fn spawn_from(executable: BorrowedFd<'_>, early: &Early) -> Result<Pending, ShimError> {
    const ARGV0: &CStr = c"kista-shim";
    debug_assert_eq!(ARGV0.to_bytes(), NAME.as_bytes());
    let words = early.to_words();
    let args: Vec<&CStr> = iter::once(ARGV0).chain(words.iter().map(CString::as_c_str)).collect();
    let failed = |source| ShimError::Spawn { source };
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = rustix::fs::openat(CWD, c"/dev/null", flags, Mode::empty())
        .map_err(|errno| failed(errno.into()))?;
    let (ours, theirs) = sys::socket::pair(SocketType::STREAM).map_err(failed)?;
    let null = null.as_fd();
    sys::process::spawn(&Spawn {
        program: Program::Fd(executable),
        args: &args,
        env: &[],
        // The last so that the mount which is entered ends with the shim, and not here: to end one
        // the kernel waits for all processors.
        fds: &[(null, 0), (null, 1), (null, 2), (theirs.as_fd(), 3), (executable, 4)],
        new_session: true,
        death_signal: None,
    })
    .map_err(failed)?;
    Ok(Pending { socket: ours })
}

impl Pending {
    /// Has the shim make a cgroup, below the root of each hierarchy, while the launch is worked
    /// out. It goes if the launch does not come, or wants another.
    ///
    /// Nobody else may be about to make it: either its name is new, or the caller holds what its
    /// container is locked by until [`Pending::launch`]. One that is there already is left alone,
    /// and made by the launch, by the rules for that.
    pub fn make_cgroup(&self, path: &str) -> Result<(), ShimError> {
        if path.len() > crate::frame::MAX_CGROUP_BYTES {
            return Ok(()); // what is wrong with it the launch will say
        }
        send(self.socket.as_fd(), &header(kind::CGROUP, path.len()), path.as_bytes())
    }

    /// Tells the shim what to launch. [`Session::started`] tells how that went.
    pub fn launch(self, launch: &Launch) -> Result<Session, ShimError> {
        self.send(launch, None)
    }

    /// As [`Pending::launch`], with the network namespace for a launch that has `network` set. The
    /// program starts after [`Session::connected`].
    pub fn launch_in(
        self,
        launch: &Launch,
        namespace: BorrowedFd<'_>,
    ) -> Result<Session, ShimError> {
        self.send(launch, Some(namespace))
    }

    fn send(
        self,
        launch: &Launch,
        namespace: Option<BorrowedFd<'_>>,
    ) -> Result<Session, ShimError> {
        let payload = launch.encode()?;
        if payload.len() > crate::frame::MAX_LAUNCH_BYTES {
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            return Err(crate::frame::FrameError::Length { kind: kind::LAUNCH, length }.into());
        }
        let session = Session::new(self.socket, launch.plan.id.clone());
        let head = header(kind::LAUNCH, payload.len());
        match namespace {
            None => session.send(&head, &payload)?,
            Some(namespace) => {
                // A shim that is gone is told when it is asked for an answer.
                let _ = crate::network::send_all(session.as_fd(), &head, namespace);
                session.send(&payload, &[])?;
            }
        }
        Ok(session)
    }
}

/// Attaches to the process that a shim with `listen` set looks after.
///
/// `ConnectionRefused` or `NotFound` in the source means that there is no such shim. The first
/// frame is `Started`.
pub fn connect(container_dir: &Path, streams: Streams) -> Result<Session, ShimError> {
    let failed = |source| ShimError::Attach { path: container_dir.join(ATTACH_SOCKET), source };
    let connect = || -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, container_dir, flags, Mode::empty())?;
        let kind = SocketType::STREAM;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &attach_address(dir.as_fd())?)?;
        Ok(socket)
    };
    let id = container_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let session = Session::new(connect().map_err(failed)?, id);
    session.send_frame(Frame::Attach(streams))?;
    Ok(session)
}

/// The socket's name through an open directory, since a socket's path has 107 bytes at most.
pub(crate) fn attach_address(dir: BorrowedFd<'_>) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("{}/{ATTACH_SOCKET}", sys::fs::fd_path(dir)))?)
}

/// A conversation with a shim.
///
/// To serve a terminal besides: `poll` for [`Session::as_fd`] and the terminal (while
/// [`Session::window`] is not zero), and take everything from [`Session::try_recv`] before
/// polling again, since frames may be waiting in memory.
///
/// Dropping it leaves like a lost connection does; [`Session::detach`] leaves politely.
#[derive(Debug)]
pub struct Session {
    socket: OwnedFd,
    decoder: Decoder,
    id: String,
    window: u32,
    /// `Started` was handed out by [`Session::started`] or seen.
    pid: Option<u32>,
    ended: bool,
}

impl Session {
    fn new(socket: OwnedFd, id: String) -> Self {
        let decoder = Decoder::default();
        Self { socket, decoder, id, window: STDIN_WINDOW_BYTES, pid: None, ended: false }
    }

    /// Waits until the process runs; answers its pid.
    ///
    /// [`ShimError::Failed`] if it could not be started: nothing of it is left then.
    pub fn started(&mut self) -> Result<u32, ShimError> {
        if let Some(pid) = self.pid {
            return Ok(pid);
        }
        let id = self.id.clone();
        match self.recv()? {
            Some(Frame::Started { pid, .. }) => Ok(pid),
            Some(Frame::Failed { exit_code, message }) => {
                Err(ShimError::Failed { exit_code, message: message.to_owned() })
            }
            Some(other) => Err(crate::frame::FrameError::Unexpected(other.kind()).into()),
            None => Err(ShimError::Died { id }),
        }
    }

    /// Hands a socket over that lives as long as the process; before [`Session::connected`].
    pub fn hand_over(
        &self,
        purpose: &crate::network::Purpose,
        socket: BorrowedFd<'_>,
    ) -> Result<(), ShimError> {
        match crate::network::send_socket(self.socket.as_fd(), purpose, socket) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent.map_err(socket_error("write to")),
        }
    }

    /// Waits until the process of a launch that has `network` set and came without a namespace is
    /// made; answers its pid, whose namespace is to be connected.
    pub fn made(&mut self) -> Result<u32, ShimError> {
        let id = self.id.clone();
        match self.recv()? {
            Some(Frame::Made { pid }) => Ok(pid),
            Some(Frame::Failed { exit_code, message }) => {
                Err(ShimError::Failed { exit_code, message: message.to_owned() })
            }
            Some(other) => Err(crate::frame::FrameError::Unexpected(other.kind()).into()),
            None => Err(ShimError::Died { id }),
        }
    }

    /// Says that the network of a launch with `network` set is connected: the program may start.
    pub fn connected(&self) -> Result<(), ShimError> {
        self.send(&header(crate::network::CONNECTED, 0), &[])
    }

    /// The next frame; waits for it. `None` when the shim has closed: after `Exited` or `Failed`
    /// as it should be, otherwise the shim was killed and its process with it.
    ///
    /// Data come in pieces as they arrive. `Window` frames are taken care of and not returned.
    pub fn recv(&mut self) -> Result<Option<Frame<'_>>, ShimError> {
        if !self.advance(RecvFlags::empty())? {
            return Ok(None);
        }
        Ok(self.decoder.current()?)
    }

    /// The next frame, if there is one without waiting: see [`Incoming`].
    pub fn try_recv(&mut self) -> Result<Incoming<'_>, ShimError> {
        if !self.advance(RecvFlags::DONTWAIT)? {
            return Ok(if self.ended { Incoming::End } else { Incoming::Nothing });
        }
        Ok(self.decoder.current()?.map_or(Incoming::End, Incoming::Frame))
    }

    /// Reads until a frame is there; `false` at the end or when nothing has come.
    fn advance(&mut self, flags: RecvFlags) -> Result<bool, ShimError> {
        loop {
            if self.decoder.advance()? {
                match self.decoder.current()? {
                    Some(Frame::Window(bytes)) => {
                        self.window = self.window.saturating_add(bytes);
                        continue;
                    }
                    Some(Frame::Started { pid, .. }) => self.pid = Some(pid),
                    _ => {}
                }
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            let filled = self.decoder.fill(&self.socket, MAX_DATA_BYTES + 64, flags);
            match filled.map_err(socket_error("read from"))? {
                Filled::Bytes => {}
                Filled::Nothing => return Ok(false),
                Filled::End => self.ended = true,
            }
        }
    }

    /// How many bytes of input may be sent now. Zero is no error: poll for frames then.
    pub fn window(&self) -> usize {
        self.window as usize
    }

    /// Sends input, as much as the window allows: answers how much.
    pub fn send_stdin(&mut self, bytes: &[u8]) -> Result<usize, ShimError> {
        let count = bytes.len().min(self.window()).min(MAX_DATA_BYTES);
        if count > 0 {
            self.send(&header(kind::STDIN, count), &bytes[..count])?;
            self.window -= u32::try_from(count).expect("bounded by the window");
        }
        Ok(count)
    }

    /// Says that there is no more input.
    pub fn send_stdin_eof(&self) -> Result<(), ShimError> {
        self.send_frame(Frame::StdinEof)
    }

    /// Sends the size of the client's terminal.
    pub fn resize(&self, size: ConsoleSize) -> Result<(), ShimError> {
        self.send_frame(Frame::Resize(size))
    }

    /// Sends a signal to the process; one that it cannot get any more is no error.
    pub fn signal(&self, number: u8) -> Result<(), ShimError> {
        self.send_frame(Frame::Signal(number))
    }

    /// Has the shim give its process a resolver, if it has none, and waits until it has.
    pub fn resolve(&mut self) -> Result<(), ShimError> {
        self.ask(Frame::Resolve)
    }

    /// Has the process stand still, and waits until it does. It goes on when this session ends,
    /// also by the death of this process; [`Session::thaw`] waits for that.
    pub fn freeze(&mut self) -> Result<(), ShimError> {
        self.ask(Frame::Freeze)
    }

    /// Leaves, and waits until the process goes on.
    pub fn thaw(mut self) -> Result<(), ShimError> {
        self.send_frame(Frame::Detach)?;
        while self.recv()?.is_some() {}
        Ok(())
    }

    /// Asks for something that is answered by `Started` or `Failed`.
    fn ask(&mut self, request: Frame<'_>) -> Result<(), ShimError> {
        self.started()?;
        self.send_frame(request)?;
        loop {
            match self.recv()? {
                Some(Frame::Started { .. }) => return Ok(()),
                Some(Frame::Failed { exit_code, message }) => {
                    return Err(ShimError::Failed { exit_code, message: message.to_owned() });
                }
                Some(_) => {}
                None => return Err(ShimError::Died { id: self.id.clone() }),
            }
        }
    }

    /// Leaves; the process goes on and keeps its stdin.
    pub fn detach(self) -> Result<(), ShimError> {
        self.send_frame(Frame::Detach)
    }

    fn send_frame(&self, frame: Frame<'_>) -> Result<(), ShimError> {
        let mut bytes = Vec::with_capacity(16);
        frame.encode(&mut bytes);
        self.send(&bytes, &[])
    }

    fn send(&self, head: &[u8], body: &[u8]) -> Result<(), ShimError> {
        send(self.socket.as_fd(), head, body)
    }
}

/// A shim that is gone is no error here: the reading side tells.
fn send(socket: BorrowedFd<'_>, head: &[u8], body: &[u8]) -> Result<(), ShimError> {
    let mut sent = 0;
    while sent < head.len() + body.len() {
        let parts = [
            IoSlice::new(head.get(sent..).unwrap_or_default()),
            IoSlice::new(&body[sent.saturating_sub(head.len())..]),
        ];
        let mut control = SendAncillaryBuffer::default();
        match rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            Err(errno) => return Err(socket_error("write to")(errno.into())),
        }
    }
    Ok(())
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What [`Session::try_recv`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A frame, or a piece of a data frame.
    Frame(Frame<'a>),
    /// Nothing yet: poll.
    Nothing,
    /// The shim has closed.
    End,
}

fn socket_error(action: &'static str) -> impl Fn(io::Error) -> ShimError {
    move |source| ShimError::Socket { action, source }
}
