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

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Access, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType};
use sys::process::{CloneFlags, Program, Spawn};

use crate::RootlessError;

/// `argv[0]` under which the program looks after a pasta.
pub const UPLINK: &str = "kista-uplink";

/// Where pasta is: nobody's `PATH` is asked.
const PLACES: [&str; 3] = ["/usr/bin/pasta", "/usr/local/bin/pasta", "/bin/pasta"];

/// What pasta says at most.
const SAID_BYTES: u64 = 4096;

const SIGCHLD: i32 = 17;

/// How a namespace is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uplink {
    /// The name of the interface inside.
    pub interface: String,
    /// Ports of the host that lead inside.
    pub forwards: Vec<Forward>,
    /// An address that stands, inside, for the host's first name server.
    pub dns_forward: Option<IpAddr>,
}

/// A port of the host, and the port inside to which it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// UDP and not TCP.
    pub is_udp: bool,
    /// On the host. The unspecified address of IPv4 stands for all of both families.
    pub host: SocketAddr,
    /// Inside.
    pub port: u16,
}

impl Uplink {
    /// pasta's words, but for the namespace.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["--config-net", "--quiet", "--no-map-gw", "--netns-only"]
            .into_iter()
            .chain(["--no-netns-quit", "-I", &self.interface, "-T", "none", "-U", "none"])
            .map(str::to_owned)
            .collect();
        for (is_udp, flag) in [(false, "-t"), (true, "-u")] {
            let before = words.len();
            for forward in self.forwards.iter().filter(|forward| forward.is_udp == is_udp) {
                let (from, to) = (forward.host.port(), forward.port);
                words.push(flag.to_owned());
                words.push(match forward.host.ip() {
                    IpAddr::V4(address) if address.is_unspecified() => format!("{from}:{to}"),
                    address => format!("{address}/{from}:{to}"),
                });
            }
            if words.len() == before {
                // Otherwise it follows those of the other protocol.
                words.extend([flag, "none"].map(str::to_owned));
            }
        }
        if let Some(address) = self.dns_forward {
            words.extend(["--dns-forward".to_owned(), address.to_string()]);
        }
        words
    }
}

/// Whether pasta is there.
pub fn has_pasta() -> bool {
    pasta().is_some()
}

fn pasta() -> Option<&'static str> {
    let is_there = |path: &&str| rustix::fs::access(*path, Access::EXEC_OK).is_ok();
    PLACES.into_iter().find(is_there)
}

/// Connects a network namespace, which belongs to our user namespace, with the network that we are
/// in ourselves. It stays connected for as long as a copy of the answer is open anywhere; whoever
/// wants to know of the end shuts down its writing half, and finds the end of the stream when
/// nothing of pasta is left.
///
/// [`RootlessError::NoTun`] if it cannot make its interface; [`RootlessError::NoPasta`] if there is none; [`RootlessError::Pasta`] with what it said.
pub fn connect(namespace: BorrowedFd<'_>, uplink: &Uplink) -> Result<OwnedFd, RootlessError> {
    let failed = |source: io::Error| RootlessError::Uplink { source };
    let program = pasta().ok_or(RootlessError::NoPasta)?;
    let may = Access::READ_OK | Access::WRITE_OK;
    rustix::fs::access(c"/dev/net/tun", may)
        .map_err(|errno| RootlessError::NoTun { source: errno.into() })?;
    let (lifeline, theirs) = sys::socket::pair(SocketType::STREAM).map_err(failed)?;
    let (near, far) = sys::socket::pair(SocketType::STREAM).map_err(failed)?;
    let words = std::iter::once(program.to_owned()).chain(uplink.words());
    let words: Vec<CString> = words.filter_map(|word| CString::new(word).ok()).collect();
    let mut args = vec![c"kista-uplink"];
    args.extend(words.iter().map(CString::as_c_str));
    let exe = open(c"/proc/self/exe", OFlags::PATH).map_err(failed)?;
    let null = open(c"/dev/null", OFlags::RDWR).map_err(failed)?;
    let null = null.as_fd();
    let fds =
        [(null, 0), (null, 1), (null, 2), (far.as_fd(), 3), (theirs.as_fd(), 4), (namespace, 5)];
    let request = Spawn {
        program: Program::Fd(exe.as_fd()),
        args: &args,
        env: &[],
        fds: &fds,
        new_session: true,
        death_signal: None,
    };
    sys::process::spawn_in(&request, CloneFlags::NEWPID).map_err(failed)?;
    drop(far);
    let mut said = Vec::new();
    File::from(near).take(SAID_BYTES).read_to_end(&mut said).map_err(failed)?;
    match said.as_slice() {
        b"+" => Ok(lifeline),
        said => {
            let said = String::from_utf8_lossy(said).trim().replace('\n', "; ");
            Err(RootlessError::Pasta { said })
        }
    }
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
    let answer = match start(words, network) {
        Ok(None) => report.write_all(b"+"),
        Ok(Some(said)) => report.write_all(&said).and(Err(io::ErrorKind::Other.into())),
        Err(error) => {
            report.write_all(error.to_string().as_bytes()).and(Err(io::ErrorKind::Other.into()))
        }
    };
    drop(report);
    if answer.is_err() {
        return ExitCode::FAILURE;
    }
    wait(lifeline.as_fd());
    ExitCode::SUCCESS
}

/// Starts pasta; gives what it said if it failed.
fn start(words: Vec<OsString>, network: OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let words: Vec<CString> =
        words.into_iter().filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let program = words.first().ok_or(io::ErrorKind::InvalidInput)?;
    let null = open(c"/dev/null", OFlags::RDWR)?;
    // As whoever mounted /proc knows us. pasta opens the namespace by this process, which it may
    // only look into if that has no rights which it has not itself.
    let own = std::fs::read_link("/proc/self")?;
    let path = format!("/proc/{}/ns/net", own.display());
    let path = CString::new(path).map_err(io::Error::other)?;
    let mut args = vec![c"pasta"];
    args.extend(words.iter().skip(1).map(CString::as_c_str));
    args.extend([c"--netns", path.as_c_str()]);
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (go, start) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut start = Some(start);
    let child = sys::process::fork(|| {
        drop(start.take());
        if rustix::io::read(&go, &mut [0]) != Ok(1) {
            return 1;
        }
        let fds = [(null.as_fd(), 0), (writer.as_fd(), 1), (writer.as_fd(), 2)];
        let Ok(kept) = sys::process::arrange_fds(&fds, &[]) else { return 1 };
        std::mem::forget(kept);
        sys::process::reset_signals();
        // A pipe that does not wait is no matter to a program that says a line or two.
        sys::process::exec(program, &args, &[]);
        127
    })?;
    // From there is no way back to the host's network, in which the child stays.
    let kind = Some(LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(network.as_fd(), kind)?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, none)?;
    rustix::io::write(start.as_ref().expect("taken only in the child"), b"+")?;
    drop((start, go, writer, network));
    let ended = loop {
        match rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            ended => break ended?,
        }
    };
    if ended.and_then(|status| status.exit_status()) == Some(0) {
        return Ok(None);
    }
    let mut said = Vec::new();
    // Ends with the bytes that there are.
    let _ = File::from(reader).take(SAID_BYTES).read_to_end(&mut said);
    if said.is_empty() {
        said = b"it ended without a word".to_vec();
    }
    Ok(Some(said))
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

/// Takes what has ended; false if there is nobody to wait for any more.
fn reap(options: WaitIdOptions) -> bool {
    loop {
        match rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | options) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn open(path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_pastas_words() {
        let forward =
            |is_udp, host: &str, port| Forward { is_udp, host: host.parse().unwrap(), port };
        let uplink = Uplink {
            interface: "eth0".into(),
            forwards: vec![forward(false, "0.0.0.0:8080", 80), forward(false, "[::1]:1", 2)],
            dns_forward: Some("169.254.1.1".parse().unwrap()),
        };
        let words = uplink.words().join(" ");
        let wanted = "-t 8080:80 -t ::1/1:2 -u none --dns-forward 169.254.1.1";
        assert!(words.ends_with(wanted), "{words}");
        let udp = Uplink { forwards: vec![forward(true, "127.0.0.1:53", 53)], ..uplink };
        let words = udp.words().join(" ");
        assert!(words.contains("-t none -u 127.0.0.1/53:53"), "{words}");
    }
}
