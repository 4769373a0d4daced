//! Staying until a process ends: its signals, its terminal, its orphans.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::error::{OciError, Step};
use crate::notify::Notify;
use crate::terminal::Relay;

/// Signals held back until there is somebody to pass them on to.
#[derive(Debug)]
pub(crate) struct Held {
    signals: OwnedFd,
}

impl Held {
    /// From now on every signal that this process gets is kept. (What it starts begins with none
    /// blocked: see `sys::process::reset_signals`.)
    pub(crate) fn new() -> Result<Self, OciError> {
        let action = || "hold signals back".to_owned();
        sys::signals::block_all().to(action)?;
        Ok(Self { signals: sys::signals::signal_fd(None).to(action)? })
    }

    /// Waits for a child of ours to end, passes signals on to it, reaps whoever else ends, and
    /// answers its exit code: 128 and the signal's number if one ended it.
    pub(crate) fn wait(
        &self,
        pid: Pid,
        pidfd: BorrowedFd<'_>,
        mut relay: Option<&mut Relay>,
        mut notify: Option<Notify>,
    ) -> Result<u8, OciError> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        if let Some(relay) = relay.as_deref_mut() {
            relay.resize();
        }
        loop {
            let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
            if let Some(relay) = relay.as_deref() {
                relay.add_to(&mut fds);
            }
            fds.extend(notify.iter().map(|notify| PollFd::new(notify, PollFlags::IN)));
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(OciError::io("wait for the process", errno)),
            }
            drop(fds);
            // We stay, and pass signals on: the service manager's main process is this one.
            if let Some(true) = notify.as_ref().map(|one| one.turn(own)).transpose()? {
                notify = None;
            }
            if let Some(relay) = relay.as_deref_mut() {
                relay.turn();
            }
            while let Some(signal) =
                sys::signals::read_signal(self.signals.as_fd()).to(|| "read a signal".into())?
            {
                if signal == Signal::CHILD.as_raw() {
                    if let Some(status) = reap(pid)? {
                        if let Some(relay) = relay.as_deref_mut() {
                            relay.drain();
                        }
                        return Ok(code(status));
                    }
                } else if signal == Signal::WINCH.as_raw() && relay.is_some() {
                    if let Some(relay) = relay.as_deref_mut() {
                        relay.resize();
                    }
                } else {
                    // It may be gone by now, or not take the signal.
                    let _ = sys::signals::send(pidfd, signal);
                }
            }
        }
    }
}

/// Reaps all that have ended; the status of the one that is waited for, if it is among them.
fn reap(wanted: Pid) -> Result<Option<WaitStatus>, OciError> {
    let mut found = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == wanted => found = Some(status),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(found),
            Err(errno) => return Err(OciError::io("wait for the process", errno)),
        }
    }
}

fn code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    u8::try_from(code).unwrap_or(255)
}
