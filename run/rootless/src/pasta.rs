//! pasta(1), of the package passt: a tap in a network namespace, and sockets on the host.
//!
//! It passes on what comes and goes by sockets of its own, so that it needs no rights on the host.
//! Whoever starts it here is the first process of a pid namespace, and thereby keeps it from
//! staying longer than itself: it goes to the background, and clears what ties it to a parent.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{Access, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions};
use rustix::thread::{CapabilitySet, CapabilitySets};
use sys::process::{Child, CloneFlags, Program, Spawn};

use crate::RootlessError;

/// Where pasta is: nobody's `PATH` is asked.
const PLACES: [&str; 3] = ["/usr/bin/pasta", "/usr/local/bin/pasta", "/bin/pasta"];

/// What pasta says at most.
pub(crate) const SAID_BYTES: u64 = 4096;

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
    pub(crate) fn words(&self) -> Vec<String> {
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

/// The program, if this user may use it.
pub(crate) fn program() -> Result<&'static str, RootlessError> {
    let program = pasta().ok_or(RootlessError::NoPasta)?;
    let may = Access::READ_OK | Access::WRITE_OK;
    match rustix::fs::access(c"/dev/net/tun", may) {
        Ok(()) => Ok(program),
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Err(RootlessError::AbsentTun),
        Err(errno) => Err(RootlessError::NoTun { source: errno.into() }),
    }
}

fn pasta() -> Option<&'static str> {
    let is_there = |path: &&str| rustix::fs::access(*path, Access::EXEC_OK).is_ok();
    PLACES.into_iter().find(is_there)
}

/// Starts pasta (`words`: its path, and what [`Uplink::words`] gives) in the network that the caller
/// is in; the caller then goes by `enter` to the one that is to be connected, and loses all rights.
/// Gives what pasta said if it failed.
pub(crate) fn start(
    words: Vec<OsString>,
    enter: impl FnOnce() -> io::Result<()>,
) -> io::Result<Option<Vec<u8>>> {
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
    enter()?;
    give_up_rights()?;
    rustix::io::write(start.as_ref().expect("taken only in the child"), b"+")?;
    drop((start, go, writer));
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

/// pasta looks into no process that has more rights than itself.
pub(crate) fn give_up_rights() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, none)?)
}

/// Takes what has ended; false if there is nobody to wait for any more.
pub(crate) fn reap(options: WaitIdOptions) -> bool {
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

/// Starts this program anew in the name and with the words of `args`, as the first process of a pid
/// namespace and in a session of its own. It has `own` as its descriptors from 3 on.
pub(crate) fn spawn_own(args: &[&CStr], own: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let exe = open(c"/proc/self/exe", OFlags::PATH)?;
    let null = open(c"/dev/null", OFlags::RDWR)?;
    let streams = [null.as_fd(); 3];
    let fds: Vec<_> = streams.iter().chain(own).copied().zip(0..).collect();
    let request = Spawn {
        program: Program::Fd(exe.as_fd()),
        args,
        env: &[],
        fds: &fds,
        new_session: true,
        death_signal: None,
    };
    sys::process::spawn_in(&request, CloneFlags::NEWPID)
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
