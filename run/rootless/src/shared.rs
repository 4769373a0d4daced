//! The network namespace in which an ordinary user's own networks are: the bridges of all of them.
//!
//! ```text
//! host's network          the user's network (kista-network)        containers
//!   sockets <--- pasta ---> tap --- routes --- bridge --- veth ======= eth0
//! ```
//!
//! It is made when a container first needs it, and goes with the last one: members of
//! `<root>/network.lock` ([`crate::door`]) are the shims of containers in such networks, and
//! commands as long as they work there. Each shim also holds the namespace itself, so that it
//! survives the process that made it; the next command leaves a new one there, with a new pasta.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use rustix::net::SocketType;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use sys::fs::Lock;
use sys::namespace::Kind;
use sys::process::Child;

use crate::RootlessError;
use crate::door::{self, Found, HOLDER_LIFE, MAKING, MEMBERS, io_error, lock, write_pid};
use crate::pasta::{self, SAID_BYTES, Uplink};

/// `argv[0]` under which the program holds a user's network.
pub const NETWORK: &str = "kista-network";

const FILE: &str = "network.lock";

/// A user's network, which stays as long as a copy of `member` is open.
#[derive(Debug)]
pub struct SharedNetwork {
    /// The namespace.
    pub namespace: OwnedFd,
    /// The lock of a member.
    pub member: OwnedFd,
}

/// The number by which a namespace is known while it lives.
pub fn inode(namespace: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(namespace)?.st_ino)
}

/// Finds the network of the data directory `root`, and makes it if `uplink` says how it is to be
/// connected; `Some(None)` for one that is not. `None` if there is none then.
///
/// `survivor` finds the namespace of a number in the hands of a process that lives on, for the
/// case that its holder was killed. The caller is in the user's namespace, and in the host's
/// network.
pub fn shared_network(
    root: &Path,
    uplink: Option<Option<&Uplink>>,
    survivor: &dyn Fn(u64) -> Option<OwnedFd>,
) -> Result<Option<SharedNetwork>, RootlessError> {
    let path = &root.join(FILE);
    let member = door::open(path)?;
    lock(path, member.as_fd(), MEMBERS, Lock::Shared)?;
    let namespace = match (door::find(path)?, uplink) {
        (Found::Holder(pid, holder), _) => Some(namespace_of(path, pid, holder.as_fd())?),
        (Found::Nothing, None) => None,
        (Found::Dead(number), None) => survivor(number),
        (_, Some(uplink)) => Some(make(path, uplink, survivor)?),
    };
    Ok(namespace.map(|namespace| SharedNetwork { namespace, member }))
}

fn namespace_of(path: &Path, pid: Pid, process: BorrowedFd<'_>) -> Result<OwnedFd, RootlessError> {
    sys::namespace::open(process, pid, Kind::NETWORK).map_err(io_error("open the network of", path))
}

fn make(
    path: &Path,
    uplink: Option<&Uplink>,
    survivor: &dyn Fn(u64) -> Option<OwnedFd>,
) -> Result<OwnedFd, RootlessError> {
    let maker = door::open(path)?;
    lock(path, maker.as_fd(), MAKING, Lock::Exclusive)?;
    let old = match door::find(path)? {
        // Somebody was faster.
        Found::Holder(pid, holder) => return namespace_of(path, pid, holder.as_fd()),
        Found::Nothing => None,
        Found::Dead(number) => survivor(number),
    };
    let file = door::open(path)?;
    lock(path, file.as_fd(), HOLDER_LIFE, Lock::Exclusive)?;
    let failed = |source: io::Error| RootlessError::Uplink { source };
    let (near, far) = sys::socket::pair(SocketType::STREAM).map_err(failed)?;
    let child = spawn(uplink, &file, &far, old.as_ref())?;
    drop(far);
    let mut near = File::from(near);
    let made = settle(path, &mut near, &child, &file);
    match made {
        Ok(namespace) => Ok(namespace),
        Err(error) => {
            let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
            let id = WaitId::PidFd(child.pidfd.as_fd());
            let _ = rustix::process::waitid(id, WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// Starts the holder. Descriptor 3: its maker; 4: the file with its lock; 5: a network that is there
/// already.
fn spawn(
    uplink: Option<&Uplink>,
    file: &OwnedFd,
    far: &OwnedFd,
    old: Option<&OwnedFd>,
) -> Result<Child, RootlessError> {
    let failed = |source: io::Error| RootlessError::Uplink { source };
    let mut words = Vec::new();
    if let Some(uplink) = uplink {
        words.push(pasta::program()?.to_owned());
        words.extend(uplink.words());
    }
    let words: Vec<CString> =
        words.into_iter().filter_map(|word| CString::new(word).ok()).collect();
    let name: &CStr = c"kista-network";
    let mut args = vec![name, if old.is_some() { c"old" } else { c"new" }];
    args.extend(words.iter().map(CString::as_c_str));
    let mut own = vec![far.as_fd(), file.as_fd()];
    own.extend(old.map(AsFd::as_fd));
    pasta::spawn_own(&args, &own).map_err(failed)
}

/// Hears how it went, writes the holder down, and lets it live.
fn settle(
    path: &Path,
    near: &mut File,
    child: &Child,
    file: &OwnedFd,
) -> Result<OwnedFd, RootlessError> {
    let failed = |source: io::Error| RootlessError::Uplink { source };
    let mut first = [0];
    let heard = near.read(&mut first).map_err(failed)?;
    if (heard, first) != (1, *b"+") {
        let mut said = first[..heard].to_vec();
        near.take(SAID_BYTES).read_to_end(&mut said).map_err(failed)?;
        let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
        return Err(RootlessError::Pasta { said });
    }
    let namespace = namespace_of(path, child.pid, child.pidfd.as_fd())?;
    let number = inode(namespace.as_fd()).map_err(failed)?;
    write_pid(file, child.pid, number).map_err(io_error("write", path))?;
    // It ends if nothing comes: a holder whose maker died half-way is none.
    near.write_all(b"+").map_err(failed)?;
    Ok(namespace)
}

/// The whole of a process that was called as [`NETWORK`]: `new` or `old`, and pasta's words.
pub fn hold_network(mut words: Vec<OsString>) -> ExitCode {
    let _ = rustix::thread::set_name(c"kista-network");
    let is_old = !words.is_empty() && words.remove(0) == "old";
    let take = || {
        let old = is_old.then(|| sys::inherit::take(5)).transpose()?;
        Ok((sys::inherit::take(3)?, sys::inherit::take(4)?, old))
    };
    let Ok((maker, file, old)): io::Result<_> = take() else { return ExitCode::FAILURE };
    let enter = || match &old {
        Some(old) => {
            let kind = Some(LinkNameSpaceType::Network);
            Ok(rustix::thread::move_into_link_name_space(old.as_fd(), kind)?)
        }
        None => {
            sys::namespace::unshare(UnshareFlags::NEWNET)?;
            sys::loopback::bring_up()
        }
    };
    let started = match words.is_empty() {
        true => enter().and_then(|()| pasta::give_up_rights()).map(|()| None),
        false => pasta::start(words, enter),
    };
    let mut maker = File::from(maker);
    let answer = match started {
        Ok(None) => b"+".to_vec(),
        Ok(Some(said)) => said,
        Err(error) => error.to_string().into_bytes(),
    };
    if maker.write_all(&answer).is_err() || answer != b"+" || !matches!(maker.read(&mut [0]), Ok(1))
    {
        return ExitCode::FAILURE;
    }
    drop((maker, old));
    wait(&file)
}

/// Waits until no member is left, or pasta has ended, which the next command finds out.
fn wait(file: &OwnedFd) -> ExitCode {
    // The lock is that of the open file, which is this process's too: it stays when the child that
    // waited for it has gone, and nobody can become a member any more.
    let waiting = sys::process::fork(|| {
        let locked = sys::fs::lock_range(file.as_fd(), MEMBERS, Lock::Exclusive, true);
        i32::from(!matches!(locked, Ok(true)))
    });
    let Ok(waiting) = waiting else { return ExitCode::FAILURE };
    let ended = loop {
        match rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            ended => break ended,
        }
    };
    let id = WaitId::PidFd(waiting.pidfd.as_fd());
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let is_last = ended.is_ok()
        && matches!(rustix::process::waitid(id, options), Ok(Some(status)) if status.exit_status() == Some(0));
    if is_last {
        let _ = rustix::fs::ftruncate(file, 0);
    }
    if sys::signals::kill_all_others().is_ok() {
        pasta::reap(WaitIdOptions::empty());
    }
    ExitCode::SUCCESS
}
