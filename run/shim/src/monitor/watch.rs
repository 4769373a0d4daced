//! The loop: everything that can happen while the process lives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use oci::runtime::ConsoleSize;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use rustix::termios::Winsize;
use sys::process::Child;
use sys::trim::CleanPages;

use super::channel::{Ends, Started};
use super::clients::{Client, Request, State};
use super::input::Input;
use super::network::{self, Network};
use super::output::{Output, Read};
use crate::client::attach_address;
use crate::frame::Frame;
use crate::launch::Head;
use crate::log::{LogWriter, Stream};
use crate::{ATTACH_SOCKET, Foreign, Hooks, Plan};

/// All that is kept.
pub(super) struct Watch<'h> {
    pub(super) hooks: &'h mut dyn Hooks,
    pid: u32,
    pub(super) pidfd: OwnedFd,
    pub(super) outputs: Vec<Output>,
    input: Input,
    has_terminal: bool,
    has_stdin: bool,
    stdin_once: bool,
    /// The process is of no use without the client that launched it.
    ends_with_client: bool,
    pub(super) clients: Vec<Client>,
    next_client: u32,
    pub(super) log: LogWriter,
    signals: OwnedFd,
    pub(super) dir: OwnedFd,
    pub(super) listener: Option<OwnedFd>,
    pub(super) memory_events: Option<OwnedFd>,
    /// The container's mounts, so that nobody waits for their end.
    pub(super) mounts: Option<OwnedFd>,
    /// Until it is quiet, and waiting for it costs nobody anything.
    stage: Option<Child>,
    /// Whose container it is, if not our own runtime's.
    pub(super) foreign: Option<Foreign>,
    pub(super) own_cgroup: Option<String>,
    pub(super) kill_rest: bool,
    pub(super) network: Network,
    pub(super) buffer: Vec<u8>,
    clean: CleanPages,
    /// Memory has been given back and nothing has happened since.
    is_quiet: bool,
    /// Nobody has the terminal open; it is looked at again at this time.
    terminal_retry: Option<Instant>,
}

/// Who is polled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Process,
    Signals,
    Listener,
    /// Something of the network.
    Network(network::Event),
    Input,
    /// By index.
    Output(usize),
    /// By index.
    Client(usize),
}

/// After so long without an event, memory is given back.
const QUIET: Duration = Duration::from_secs(1);
/// How often a terminal that nobody has open is looked at.
const TERMINAL_RETRY: Duration = Duration::from_secs(1);
/// How many clients there may be at once.
const MAX_CLIENTS: usize = 1000;

/// What has to be open besides the process's own.
#[derive(Debug)]
pub(super) struct Doors {
    dir: OwnedFd,
    log_dir: OwnedFd,
    listener: Option<OwnedFd>,
    signals: OwnedFd,
}

impl Doors {
    /// Opens them: before the process starts, since a client that sees it run may send others here.
    pub(super) fn open(plan: &Plan) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, &plan.container_dir, flags, Mode::empty())?;
        Ok(Self {
            listener: if plan.listen { Some(listen(dir.as_fd())?) } else { None },
            signals: sys::signals::signal_fd(Some(&[Signal::TERM.as_raw()]))?,
            log_dir: dir.try_clone()?,
            dir,
        })
    }

    /// Takes them away again: there is nobody behind them.
    pub(super) fn abandon(self) {
        if self.listener.is_some() {
            let _ = rustix::fs::unlinkat(&self.dir, ATTACH_SOCKET, AtFlags::empty());
        }
    }
}

impl<'h> Watch<'h> {
    /// Takes over a process that runs; tells the launching client.
    pub(super) fn new(
        hooks: &'h mut dyn Hooks,
        head: Head<Plan>,
        started: Started,
        doors: Doors,
        network: Network,
        mut launcher: Client,
        stage: Child,
    ) -> Self {
        let Head { plan, own_cgroup, kill_rest, has_helper: _, foreign } = head;
        let has_terminal = matches!(started.ends, Ends::Terminal(_));
        let (outputs, pipe) = match started.ends {
            Ends::Terminal(console) => (vec![Output::new(console, Stream::Stdout, true)], None),
            Ends::Pipes { stdin, stdout, stderr } => {
                let output = |fd, stream| Output::new(fd, stream, false);
                (vec![output(stdout, Stream::Stdout), output(stderr, Stream::Stderr)], stdin)
            }
        };
        launcher.streams = Some(plan.attach);
        let mut watch = Self {
            hooks,
            pid: started.pid,
            pidfd: started.pidfd,
            outputs,
            has_terminal,
            has_stdin: has_terminal || pipe.is_some(),
            input: Input::new(pipe),
            stdin_once: plan.stdin_once,
            ends_with_client: plan.ends_with_client,
            clients: vec![launcher],
            next_client: 1,
            log: LogWriter::new(&plan.log, doors.log_dir),
            signals: doors.signals,
            dir: doors.dir,
            listener: doors.listener,
            memory_events: started.memory_events,
            mounts: started.mounts,
            stage: Some(stage),
            // An exec'd process has nothing of its own there.
            foreign: foreign.filter(|_| own_cgroup.is_some()),
            own_cgroup,
            kill_rest,
            network,
            buffer: Vec::new(),
            clean: CleanPages::default(),
            is_quiet: false,
            terminal_retry: None,
        };
        watch.greet(0);
        watch
    }

    /// Serves until the process has ended, and then ends.
    pub(super) fn run(mut self) -> io::Result<()> {
        // Off everyone's way: the client knows already. Without CAP_SYS_RESOURCE it fails, and
        // then nothing can be done.
        let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
        self.clean = CleanPages::find();
        loop {
            let mut has_ended = false;
            for (source, flags) in self.poll()? {
                match source {
                    Source::Process => has_ended = true,
                    Source::Signals => self.pass_signals(),
                    Source::Listener => self.accept(),
                    Source::Network(event) => self.network.serve(event, self.hooks),
                    Source::Input => self.feed(),
                    Source::Output(index) => self.pump(index),
                    Source::Client(index) => self.serve(index, flags),
                }
            }
            self.outputs.retain(|output| !output.has_ended);
            self.sweep();
            if has_ended {
                return self.end();
            }
        }
    }

    /// Waits for something to happen; tells whose turn it is.
    fn poll(&mut self) -> io::Result<Vec<(Source, PollFlags)>> {
        loop {
            let now = Instant::now();
            if self.terminal_retry.is_some_and(|at| at <= now) {
                self.terminal_retry = None;
            }
            let retry = self.terminal_retry.map(|at| at - now);
            let timeout = match (self.is_quiet, retry) {
                (false, None) => Some(QUIET),
                (false, Some(retry)) => Some(QUIET.min(retry)),
                (true, retry) => retry,
            };
            let timeout = timeout.map(timespec);
            let mut sources = Vec::with_capacity(8);
            let mut fds = self.fds(&mut sources);
            let count = match self.is_quiet {
                true => self.clean.poll(&mut fds, timeout.as_ref()),
                false => rustix::event::poll(&mut fds, timeout.as_ref()),
            };
            match count {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => {
                    let happened = |(source, fd): (&Source, &PollFd<'_>)| {
                        (!fd.revents().is_empty()).then(|| (*source, fd.revents()))
                    };
                    let ready = sources.iter().zip(&fds).filter_map(happened).collect();
                    self.is_quiet = false;
                    return Ok(ready);
                }
                Err(errno) => return Err(errno.into()),
            }
            if !self.is_quiet {
                self.release();
                self.is_quiet = true;
            }
        }
    }

    /// What can happen now.
    fn fds(&self, sources: &mut Vec<Source>) -> Vec<PollFd<'_>> {
        let mut fds = Vec::with_capacity(8);
        let mut add = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        // Output first: when the process has ended too, less is left to drain.
        for (index, output) in self.outputs.iter().enumerate() {
            let wanted = |client: &Client| client.wants(output.stream) && client.is_behind();
            let is_held = self.clients.iter().any(wanted);
            let is_closed = output.is_terminal && self.terminal_retry.is_some();
            if !is_held && !is_closed {
                add(Source::Output(index), output.as_fd(), PollFlags::IN);
            }
        }
        if let Some(fd) = self.input_fd().filter(|_| self.input.is_waiting()) {
            add(Source::Input, fd, PollFlags::OUT);
        }
        for (index, client) in self.clients.iter().enumerate() {
            let out = if client.is_behind() { PollFlags::OUT } else { PollFlags::empty() };
            add(Source::Client(index), client.as_fd(), PollFlags::IN | out);
        }
        if let Some(listener) = &self.listener {
            add(Source::Listener, listener.as_fd(), PollFlags::IN);
        }
        self.network.each_fd(&mut |event, fd| add(Source::Network(event), fd, PollFlags::IN));
        add(Source::Signals, self.signals.as_fd(), PollFlags::IN);
        add(Source::Process, self.pidfd.as_fd(), PollFlags::IN);
        fds
    }

    fn input_fd(&self) -> Option<BorrowedFd<'_>> {
        console(&self.outputs).or(self.input.pipe())
    }

    /// Gives memory back, and the stage's process number.
    fn release(&mut self) {
        if let Some(stage) = self.stage.take() {
            let _ =
                rustix::process::waitid(WaitId::PidFd(stage.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
        self.buffer = Vec::new();
        self.log.release();
        self.input.release();
        self.network.release();
        self.clients.iter_mut().for_each(Client::release);
        sys::trim::release_heap();
    }

    fn pump(&mut self, index: usize) {
        let output = &mut self.outputs[index];
        if output.pump(&mut self.buffer, &mut self.clients, &mut self.log) == Read::Closed {
            if output.is_terminal {
                self.terminal_retry = Some(Instant::now() + TERMINAL_RETRY);
            } else {
                output.has_ended = true;
            }
        }
    }

    /// Writes what was typed and waits.
    fn feed(&mut self) {
        for (id, bytes) in self.input.flush(console(&self.outputs)) {
            if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
                client.give_back(bytes);
            }
        }
    }

    /// Hears one client.
    fn serve(&mut self, index: usize, flags: PollFlags) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if flags.contains(PollFlags::OUT) {
            client.flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        client.read();
        let (id, is_launcher) = (client.id, client.is_launcher);
        let (mut is_new, mut wants_resolver, mut freezes) = (false, false, false);
        while let Some(request) = client.request() {
            let mut taken = Vec::new();
            match request {
                Request::Attached => is_new = true,
                Request::Resolve => wants_resolver = true,
                Request::Freeze => freezes = true,
                Request::Stdin(bytes) => {
                    taken = self.input.push(console(&self.outputs), id, bytes);
                }
                Request::StdinEof if !self.has_terminal && (is_launcher || self.stdin_once) => {
                    self.input.end();
                }
                Request::StdinEof => {}
                Request::Resize(size) => resize(console(&self.outputs), size),
                // One that the process cannot get any more is not missed.
                Request::Signal(number) => {
                    let _ = sys::signals::send(self.pidfd.as_fd(), i32::from(number));
                }
            }
            taken.iter().for_each(|(_, bytes)| client.give_back(*bytes));
        }
        if is_new {
            self.greet(index);
        }
        if wants_resolver {
            let resolved = self.network.resolve(self.pid, self.hooks);
            self.answer(index, resolved);
        }
        if freezes {
            let frozen = self.hooks.freeze();
            // Also if it failed half way: thawing what runs does no harm.
            self.clients[index].freezes = true;
            self.answer(index, frozen);
        }
    }

    fn answer(&mut self, index: usize, done: io::Result<()>) {
        match done {
            Ok(()) => self.greet(index),
            Err(error) => {
                let message = error.to_string();
                let failed = Frame::Failed { exit_code: 125, message: &message };
                self.clients[index].send_frame(failed);
            }
        }
    }

    /// Tells a client whom it is talking to.
    fn greet(&mut self, index: usize) {
        let started =
            Frame::Started { pid: self.pid, tty: self.has_terminal, stdin: self.has_stdin };
        if let Some(client) = self.clients.get_mut(index) {
            client.send_frame(started);
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok(socket) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            if self.clients.len() < MAX_CLIENTS {
                self.clients.push(Client::new(self.next_client, socket));
                self.next_client = self.next_client.wrapping_add(1);
            }
        }
    }

    /// Passes on what the shim itself was told.
    fn pass_signals(&mut self) {
        while let Ok(Some(signal)) = sys::signals::read_signal(self.signals.as_fd()) {
            let _ = sys::signals::send(self.pidfd.as_fd(), signal);
        }
    }

    /// Forgets the clients that have gone.
    fn sweep(&mut self) {
        let lost = |client: &Client| client.state == State::Lost && client.may_type();
        if self.stdin_once && !self.has_terminal && self.clients.iter().any(lost) {
            self.input.end();
        }
        let gone = |client: &Client| client.state != State::Here && client.is_launcher;
        if self.ends_with_client && self.clients.iter().any(gone) {
            let _ = sys::signals::send(self.pidfd.as_fd(), Signal::KILL.as_raw());
        }
        // Before its connection is closed, so that it sees it done.
        let freezes = |here: bool| {
            move |client: &Client| client.freezes && (client.state == State::Here) == here
        };
        if self.clients.iter().any(freezes(false)) && !self.clients.iter().any(freezes(true)) {
            self.hooks.thaw();
        }
        self.clients.retain(|client| client.state == State::Here);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// The terminal, if there is one.
fn console(outputs: &[Output]) -> Option<BorrowedFd<'_>> {
    outputs.iter().find(|output| output.is_terminal).map(AsFd::as_fd)
}

/// A process without a terminal has no size: no error.
fn resize(console: Option<BorrowedFd<'_>>, size: ConsoleSize) {
    if let Some(console) = console {
        let size = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        let _ = rustix::termios::tcsetwinsize(console, size);
    }
}

/// The socket for attaching. The directory keeps others out, and so does the umask.
fn listen(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = attach_address(dir)?;
    match rustix::net::bind(&socket, &address) {
        // Left behind by a shim that was killed: the life lock says that it is not there.
        Err(Errno::ADDRINUSE) => {
            rustix::fs::unlinkat(dir, ATTACH_SOCKET, AtFlags::empty())?;
            rustix::net::bind(&socket, &address)?;
        }
        other => other?,
    }
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}
