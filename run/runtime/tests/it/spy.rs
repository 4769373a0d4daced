//! A process of the container that may trace, and looks at every other one that it sees: what it
//! finds there it could have, since whoever may look may also take over.
//!
//! It has the container's own rights and CAP_SYS_PTRACE, is in all its namespaces, and goes round
//! until it is killed.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use rustix::thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType};

/// A variable of the driver's environment that is none of the container's business.
pub(crate) const SECRET: &str = "RUNTIME_DRIVER=";

pub(crate) struct Spy {
    /// The one that is in the container; its parent has ended.
    pidfd: OwnedFd,
    reports: OwnedFd,
}

impl Spy {
    /// Sends one in. `rights` is what processes of the container may have.
    pub(crate) fn send(init: BorrowedFd<'_>, rights: u64, filtered: bool) -> Self {
        let (near, far) = sys::socket::pair(rustix::net::SocketType::SEQPACKET).unwrap();
        let door = sys::process::fork(|| {
            let kinds = ThreadNameSpaceType::MOUNT
                | ThreadNameSpaceType::PROCESS_ID
                | ThreadNameSpaceType::NETWORK
                | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
                | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
                | ThreadNameSpaceType::CONTROL_GROUP;
            sys::namespace::join(init, kinds).unwrap();
            let spy = sys::process::fork(|| {
                let rights = CapabilitySet::from_bits_retain(rights) | CapabilitySet::SYS_PTRACE;
                let inheritable = CapabilitySet::empty();
                let sets = CapabilitySets { effective: rights, permitted: rights, inheritable };
                rustix::thread::set_capabilities(None, sets).unwrap();
                look_around(far.as_fd(), rights.bits(), filtered)
            })
            .unwrap();
            let fds = [spy.pidfd.as_fd()];
            sys::socket::send(far.as_fd(), b"spy", &fds, rustix::net::SendFlags::empty()).unwrap();
            0
        })
        .unwrap();
        waitid(WaitId::PidFd(door.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        let flags = rustix::net::RecvFlags::empty();
        let (_, mut fds) = sys::socket::receive(near.as_fd(), &mut [0; 8], 1, flags).unwrap();
        Self { pidfd: fds.pop().unwrap(), reports: near }
    }

    /// Ends it. Answers how many processes it met that were not their own program yet, and what
    /// there was to be found.
    pub(crate) fn recall(self) -> (usize, BTreeSet<String>) {
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL).unwrap();
        let (mut met, mut found) = (BTreeSet::new(), BTreeSet::new());
        let mut bytes = [0; 4096];
        let flags = rustix::net::RecvFlags::DONTWAIT;
        // Until there is nothing, or until its end of the socket is closed.
        while let Ok((length @ 1.., _)) =
            sys::socket::receive(self.reports.as_fd(), &mut bytes, 0, flags)
        {
            let line = String::from_utf8_lossy(&bytes[..length]).into_owned();
            match line.strip_prefix("met ") {
                Some(pid) => met.insert(pid.to_owned()),
                None => found.insert(line),
            };
        }
        (met.len(), found)
    }
}

fn look_around(reports: BorrowedFd<'_>, rights: u64, filtered: bool) -> i32 {
    let own = std::process::id().to_string();
    let namespaces: Vec<_> = namespaces("self").collect();
    let root = inode(Path::new("/"));
    // Our own program, as the one that joins has it before its own.
    let exe = std::fs::read_link("/proc/self/exe").ok();
    let mut known = BTreeSet::new();
    let mut tell = |text: String| {
        if known.insert(text.clone()) {
            let flags = rustix::net::SendFlags::empty();
            sys::socket::send(reports, text.as_bytes(), &[], flags).unwrap();
        }
    };
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().into_string().unwrap_or_default();
            if pid == own || pid == "1" || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let path = entry.path();
            // Ends at any time; what is gone tells nothing.
            let Ok(status) = std::fs::read_to_string(path.join("status")) else { continue };
            let field = |name: &str| {
                status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim()
            };
            for set in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
                let bits = u64::from_str_radix(field(set), 16).unwrap_or(0);
                if bits & !rights != 0 {
                    tell(format!("rights {set} {bits:x}"));
                }
            }
            if filtered && field("Seccomp:") == "0" {
                tell("no filter".into());
            }
            if std::fs::read_link(path.join("exe")).is_ok_and(|other| Some(other) == exe) {
                tell(format!("met {pid}"));
            }
            for place in ["root", "cwd"] {
                // Both are the root, in these containers.
                if inode(&path.join(place)).is_some_and(|place| Some(place) != root) {
                    tell(format!("another {place}"));
                }
            }
            for (mine, theirs) in namespaces.iter().zip(self::namespaces(&pid)) {
                if theirs.is_some() && *mine != theirs {
                    tell(format!("another namespace {theirs:?}"));
                }
            }
            if std::fs::read(path.join("environ"))
                .is_ok_and(|text| text.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()))
            {
                tell("the host's environment".into());
            }
            for fd in std::fs::read_dir(path.join("fd")).into_iter().flatten().flatten() {
                let Ok(link) = std::fs::read_link(fd.path()) else { continue };
                let link = link.to_string_lossy();
                // Standard streams, and the sockets that it waits on.
                let is_its_own =
                    ["/stdout", "/stderr", "/dev/null"].iter().any(|end| link.ends_with(end));
                if !is_its_own && !link.starts_with("socket:") && !link.starts_with("/proc") {
                    tell(format!("a descriptor of {link}"));
                }
            }
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn namespaces(pid: &str) -> impl Iterator<Item = Option<std::path::PathBuf>> {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts", "time"];
    let pid = pid.to_owned();
    kinds.into_iter().map(move |kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok())
}
