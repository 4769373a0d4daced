//! The network's sockets, which live as long as the process: published ports, the resolver.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use network::dns::Resolver;
use network::proxy::{FIRST_FD, IN_NETWORK, Keeper};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use sys::process::{Program, Spawn};

use crate::Hooks;
use crate::network::{Handed, Purpose};

/// What is kept of the network.
#[derive(Debug, Default)]
pub(super) struct Network {
    keeper: Keeper,
    /// The process that passes on what arrives at ports, while there is one.
    proxy: Option<OwnedFd>,
    /// It could not be started: it is not tried again.
    has_no_proxy: bool,
    resolver: Option<Box<Resolver>>,
    /// From where the targets of ports are reached.
    namespace: Option<OwnedFd>,
    /// Kept open, and nothing else.
    lifelines: Vec<OwnedFd>,
}

/// Cuts a lifeline, and waits until whoever hung on it has ended; not for ever.
fn await_end(lifeline: BorrowedFd<'_>) {
    if rustix::net::shutdown(lifeline, rustix::net::Shutdown::Write).is_err() {
        return;
    }
    let mut fds = [PollFd::from_borrowed_fd(lifeline, PollFlags::IN)];
    let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
    while rustix::event::poll(&mut fds, Some(&patience)) == Err(Errno::INTR) {}
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Something has arrived at a port that the kernel did not redirect.
    Knock,
    /// The process that passes on has ended.
    ProxyEnd,
    /// The resolver has something to do.
    Question,
}

impl Network {
    pub(super) fn new(handed: Vec<Handed>) -> io::Result<Self> {
        let mut network = Self::default();
        for Handed { purpose, socket } in handed {
            match purpose {
                Purpose::Port { protocol, target } => {
                    network.keeper.keep(socket, protocol, target)?;
                }
                Purpose::Lifeline => network.lifelines.push(socket),
                Purpose::Network => network.namespace = Some(socket),
                Purpose::Resolver => {
                    let resolver = match &mut network.resolver {
                        Some(resolver) => resolver,
                        none => none.insert(Box::new(Resolver::new()?)),
                    };
                    resolver.listen(socket)?;
                }
            }
        }
        Ok(network)
    }

    /// Makes a resolver for a process that has none.
    pub(super) fn resolve(&mut self, pid: u32, hooks: &mut dyn Hooks) -> io::Result<()> {
        if self.resolver.is_some() {
            return Ok(());
        }
        let mut resolver = Box::new(Resolver::new()?);
        for socket in hooks.resolver_sockets(pid)? {
            resolver.listen(socket)?;
        }
        self.resolver = Some(resolver);
        Ok(())
    }

    /// What can happen now.
    pub(super) fn each_fd<'a>(&'a self, visit: &mut dyn FnMut(Event, BorrowedFd<'a>)) {
        match (&self.proxy, self.keeper.as_fd()) {
            (Some(proxy), _) => visit(Event::ProxyEnd, proxy.as_fd()),
            (None, Some(fd)) if !self.has_no_proxy => visit(Event::Knock, fd),
            _ => {}
        }
        if let Some(resolver) = &self.resolver {
            visit(Event::Question, resolver.as_fd());
        }
    }

    /// Does what is due when something has happened.
    pub(super) fn serve(&mut self, event: Event, hooks: &mut dyn Hooks) {
        match event {
            Event::Knock => match self.start_proxy() {
                Ok(proxy) => self.proxy = Some(proxy),
                Err(_) => self.has_no_proxy = true,
            },
            Event::ProxyEnd => self.reap_proxy(),
            Event::Question => {
                if let (Some(resolver), Some(zone)) = (&mut self.resolver, hooks.zone()) {
                    resolver.serve(&*zone);
                }
            }
        }
    }

    fn start_proxy(&self) -> io::Result<OwnedFd> {
        const ARGV0: &CStr = c"kista-proxy";
        debug_assert_eq!(ARGV0.to_bytes(), network::proxy::NAME.as_bytes());
        let executable = match sys::exe::self_exe_readonly() {
            Ok(executable) => executable,
            Err(_) => {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                rustix::fs::openat(CWD, c"/proc/self/exe", flags, Mode::empty())?
            }
        };
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let null = rustix::fs::openat(CWD, c"/dev/null", flags, Mode::empty())?;
        let null = null.as_fd();
        let (mut arguments, mut sockets) = self.keeper.program();
        if let Some(namespace) = &self.namespace {
            arguments.push(IN_NETWORK.to_owned());
            sockets.push(namespace.as_fd());
        }
        let arguments: Vec<CString> =
            arguments.into_iter().map(CString::new).collect::<Result<_, _>>()?;
        let mut args = vec![ARGV0];
        args.extend(arguments.iter().map(CString::as_c_str));
        let mut fds = vec![(null, 0), (null, 1), (null, 2)];
        fds.extend(sockets.into_iter().zip(FIRST_FD..));
        let child = sys::process::spawn(&Spawn {
            program: Program::Fd(executable.as_fd()),
            args: &args,
            env: &[],
            fds: &fds,
            new_session: false,
            death_signal: Some(Signal::KILL),
        })?;
        Ok(child.pidfd)
    }

    fn reap_proxy(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            let _ = rustix::process::waitid(WaitId::PidFd(proxy.as_fd()), WaitIdOptions::EXITED);
        }
    }

    /// Gives memory back.
    pub(super) fn release(&mut self) {
        if let Some(resolver) = &mut self.resolver {
            resolver.release();
        }
    }

    /// Lets go of everything: whoever comes next can have the ports.
    pub(super) fn close(&mut self) {
        if let Some(proxy) = &self.proxy {
            let _ = rustix::process::pidfd_send_signal(proxy, Signal::KILL);
        }
        self.reap_proxy();
        for lifeline in &self.lifelines {
            await_end(lifeline.as_fd());
        }
        *self = Self::default();
    }
}
