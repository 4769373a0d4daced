//! A host of the test's own, as far as networks go: a network namespace in which its commands run.
//!
//! The machine's own network is never touched, and tests that make bridges of the same name and
//! take the same ports run beside each other.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// A network namespace. It ends when nothing is in it any more.
#[derive(Debug)]
pub struct Host {
    namespace: OwnedFd,
}

impl Host {
    /// A new one, with nothing but its loopback interface. `None` without the rights for it.
    pub fn new() -> Option<Self> {
        let make = || {
            // The one danger is descriptors that threads see differently, which this leaves alone.
            #[expect(deprecated, reason = "its successor is unsafe, and this crate has no unsafe")]
            rustix::thread::unshare(UnshareFlags::NEWNET).ok()?;
            let up = Command::new("/bin/busybox").args(["ip", "link", "set", "lo", "up"]).status();
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            up.is_ok_and(|status| status.success()).then_some(())?;
            rustix::fs::openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty()).ok()
        };
        let namespace = std::thread::spawn(make).join().ok()??;
        Some(Self { namespace })
    }

    /// The network of a process: of a container's, to be inside it with the test's own sockets.
    pub fn of(pid: &str) -> Self {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("/proc/{pid}/ns/net");
        Self { namespace: rustix::fs::openat(CWD, path, flags, Mode::empty()).unwrap() }
    }

    /// Whether its kernel has bridges.
    pub fn has_bridges(&self) -> bool {
        self.succeeds(&["/bin/busybox", "ip", "link", "add", "trial0", "type", "bridge"])
            && self.succeeds(&["/bin/busybox", "ip", "link", "delete", "trial0"])
    }

    /// Calls `action` in the host's network. What it starts and opens is there.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.namespace.as_fd(), kind).unwrap();
                action()
            };
            match scope.spawn(inside).join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a program in the host's network; gives what it prints. Panics if it fails.
    #[track_caller]
    pub fn output(&self, words: &[&str]) -> String {
        let output = self.enter(|| Command::new(words[0]).args(&words[1..]).output().unwrap());
        let (stdout, stderr) = (output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {stderr}");
        String::from_utf8_lossy(&stdout).trim_end().to_owned()
    }

    /// Whether a program succeeds in the host's network.
    pub fn succeeds(&self, words: &[&str]) -> bool {
        self.enter(|| Command::new(words[0]).args(&words[1..]).output().unwrap().status.success())
    }

    /// A wire to another host: `name` here and there, with an address at each end.
    pub fn wire(&self, other: &Self, name: &str, here: &[&str], there: &[&str]) {
        self.output(&["ip", "link", "add", name, "type", "veth", "peer", "name", "far0"]);
        // `ip` knows namespaces by the files below /run/netns, and by processes.
        let mut holder = other.enter(|| Command::new("sleep").arg("60").spawn().unwrap());
        let pid = holder.id().to_string();
        self.output(&["ip", "link", "set", "far0", "netns", &pid]);
        let _ = holder.kill();
        let _ = holder.wait();
        other.output(&["ip", "link", "set", "far0", "name", name]);
        for (host, addresses) in [(self, here), (other, there)] {
            for address in addresses {
                host.output(&["ip", "address", "add", address, "dev", name, "nodad"]);
            }
            host.output(&["ip", "link", "set", name, "up"]);
        }
    }
}
