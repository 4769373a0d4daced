//! The way of a network namespace to the outside world, by pasta(1) of the package passt.
//!
//! ```text
//! command                     uplink (pid 1 of a pid namespace)           pasta
//!   | connect -------------->  joins the network, drops all rights
//!   |                          starts it in the host's network ------->  makes a tap there
//!   |<-- "+", or why not ----  waits for its first process's end          goes on in the background
//!   lifeline ---------------->  its other end is closed: kills ------->  ends
//!   <------------------------  and ends last
//! ```
//!
//! pasta passes on what comes and goes with sockets of its own, so that it needs no rights on the
//! host. It would stay for as long as it liked: in a pid namespace whose first process waits for
//! the end of somebody's copy of a descriptor, nothing of it outlives that somebody, whoever is
//! killed and however.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::process::WaitIdOptions;
use rustix::thread::LinkNameSpaceType;

use crate::RootlessError;
use crate::pasta::{self, SAID_BYTES, Uplink, reap};

/// `argv[0]` under which the program looks after a pasta.
pub const UPLINK: &str = "kista-uplink";

const SIGCHLD: i32 = 17;

/// A network that is being connected. Nothing of it stays if this is dropped.
#[derive(Debug)]
pub struct Connecting {
    report: OwnedFd,
    lifeline: OwnedFd,
}

impl Connecting {
    /// Waits until it is connected. It stays so for as long as a copy of the answer is open
    /// anywhere; whoever wants to know of the end shuts down its writing half, and finds the end of
    /// the stream when nothing of pasta is left.
    ///
    /// [`RootlessError::Pasta`] with what it said.
    pub fn finish(self) -> Result<OwnedFd, RootlessError> {
        let mut said = Vec::new();
        File::from(self.report)
            .take(SAID_BYTES)
            .read_to_end(&mut said)
            .map_err(|source| RootlessError::Uplink { source })?;
        match said.as_slice() {
            b"+" => Ok(self.lifeline),
            said => {
                let said = String::from_utf8_lossy(said).trim().replace('\n', "; ");
                Err(RootlessError::Pasta { said })
            }
        }
    }
}

/// Begins to connect a network namespace, which belongs to our user namespace, with the network
/// that we are in ourselves.
///
/// [`RootlessError::NoPasta`] if there is none; [`RootlessError::NoTun`] if it cannot make its
/// interface.
pub fn connect(namespace: BorrowedFd<'_>, uplink: &Uplink) -> Result<Connecting, RootlessError> {
    let failed = |source: io::Error| RootlessError::Uplink { source };
    let program = pasta::program()?;
    let (lifeline, theirs) = sys::socket::pair(SocketType::STREAM).map_err(failed)?;
    let (near, far) = sys::socket::pair(SocketType::STREAM).map_err(failed)?;
    let words = std::iter::once(program.to_owned()).chain(uplink.words());
    let words: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
    let mut args = vec![c"kista-uplink"];
    args.extend(words.iter().map(CString::as_c_str));
    pasta::spawn_own(&args, &[far.as_fd(), theirs.as_fd(), namespace]).map_err(failed)?;
    Ok(Connecting { report: near, lifeline })
}

/// The whole of a process that was called as [`UPLINK`], with pasta's words as arguments.
///
/// Descriptor 3: where it tells how it went; 4: the lifeline; 5: the network.
pub fn look_after(words: Vec<OsString>) -> ExitCode {
    let _ = rustix::thread::set_name(c"kista-uplink");
    let take = || Ok((sys::inherit::take(3)?, sys::inherit::take(4)?, sys::inherit::take(5)?));
    let Ok((report, lifeline, network)): io::Result<_> = take() else { return ExitCode::FAILURE };
    let mut report = File::from(report);
    // Nobody waits for it: whoever asked may have gone.
    let enter = || {
        let kind = Some(LinkNameSpaceType::Network);
        Ok(rustix::thread::move_into_link_name_space(network.as_fd(), kind)?)
    };
    let answer = match pasta::start(words, enter) {
        Ok(None) => report.write_all(b"+"),
        Ok(Some(said)) => report.write_all(&said).and(Err(io::ErrorKind::Other.into())),
        Err(error) => {
            report.write_all(error.to_string().as_bytes()).and(Err(io::ErrorKind::Other.into()))
        }
    };
    drop((report, network));
    if answer.is_err() {
        return ExitCode::FAILURE;
    }
    wait(lifeline.as_fd());
    ExitCode::SUCCESS
}

/// Waits until the lifeline is cut or nothing is left to look after, and ends the rest.
fn wait(lifeline: BorrowedFd<'_>) {
    let Ok(children) =
        sys::signals::block_all().and_then(|()| sys::signals::signal_fd(Some(&[SIGCHLD])))
    else {
        return;
    };
    while reap(WaitIdOptions::NOHANG) {
        let mut fds = [
            PollFd::from_borrowed_fd(lifeline, PollFlags::IN),
            PollFd::new(&children, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents().is_empty() => {
                while matches!(sys::signals::read_signal(children.as_fd()), Ok(Some(_))) {}
            }
            Err(Errno::INTR) => {}
            _ => break,
        }
    }
    // Its sockets are closed when it has been waited for. Should this process be killed first,
    // the kernel does the same.
    if sys::signals::kill_all_others().is_ok() {
        reap(WaitIdOptions::empty());
    }
}
