//! The end of a process, in the order that matters.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use cgroups::{CgroupError, CgroupPath, Hierarchy};
use oci::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::AtFlags;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::clients::State;
use super::watch::Watch;
use crate::frame::Frame;
use crate::{ATTACH_SOCKET, Exit};

/// How long a client may take nothing while the last output is waiting for it.
const LINGER: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// How long a killed process may take to be gone from its cgroup.
const PATIENCE: Duration = Duration::from_secs(10);

impl Watch<'_> {
    /// Learns how the process ended, saves what it left, and tells everyone.
    pub(super) fn end(mut self) -> io::Result<()> {
        let at = Timestamp::now();
        // Not reaped yet: until the record says that it has ended, its number must be its own.
        let (code, signal) = status(self.pidfd.as_fd(), WaitIdOptions::NOWAIT)?;
        if self.kill_rest
            && let Some(path) = &self.own_cgroup
        {
            kill_cgroup(path);
        }
        for output in &self.outputs {
            output.drain(&mut self.buffer, &mut self.clients, &mut self.log);
        }
        self.log.finish();
        let oom_killed = self.memory_events.take().is_some_and(|events| has_oom_kills(&events));
        self.hooks.exited(&Exit { code, signal, oom_killed, at });
        status(self.pidfd.as_fd(), WaitIdOptions::empty())?;
        // Who knows of the end can have the ports.
        self.network.close();

        // Who knows of the end finds nobody to attach to.
        let was_listening = self.listener.take().is_some();
        for client in self.clients.iter_mut().filter(|client| client.streams.is_some()) {
            client.send_frame(Frame::Exited { code });
        }
        // The connections of those who have everything close here: nothing below is theirs.
        self.clients.retain(|client| client.state == State::Here && client.is_behind());
        if was_listening {
            let _ = rustix::fs::unlinkat(&self.dir, ATTACH_SOCKET, AtFlags::empty());
        }
        // Before the container may be started again: it lies over the same directories.
        self.mounts = None;
        if let Some(foreign) = self.foreign.take() {
            foreign.delete();
        }
        if let Some(path) = self.own_cgroup.take() {
            remove_cgroup(&path);
        }
        self.hooks.finished();
        self.linger();
        Ok(())
    }

    /// Delivers the last output to clients that are slow.
    fn linger(&mut self) {
        while !self.clients.is_empty() {
            let poll_fd = |client| PollFd::new(client, PollFlags::OUT);
            let mut fds: Vec<_> = self.clients.iter().map(poll_fd).collect();
            match rustix::event::poll(&mut fds, Some(&LINGER)) {
                Ok(0) => return,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            self.clients.iter_mut().for_each(super::Client::flush);
            self.clients.retain(|client| client.state == State::Here && client.is_behind());
        }
    }
}

/// How a process ended: its code as a shell sees it, and the signal.
fn status(pidfd: BorrowedFd<'_>, more: WaitIdOptions) -> io::Result<(u8, Option<i32>)> {
    let options = WaitIdOptions::EXITED | more;
    let status = loop {
        match waitid(WaitId::PidFd(pidfd), options) {
            Ok(Some(status)) => break status,
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    let signal = status.terminating_signal();
    let code = signal.map_or(status.exit_status().unwrap_or(0), |signal| 128 + signal);
    Ok((u8::try_from(code & 0xff).unwrap_or(255), signal))
}

/// Whether the memory controller counted a kill: a line `oom_kill N`, in `memory.events` of
/// version 2 as in `memory.oom_control` of version 1.
fn has_oom_kills(events: &OwnedFd) -> bool {
    let mut text = [0; 512];
    let count = rustix::io::pread(events, &mut text, 0).unwrap_or(0);
    let kills =
        text[..count].split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"oom_kill "));
    kills.is_some_and(|count| count != b"0")
}

/// Kills what is left in a cgroup; the end of the process does not depend on it.
fn kill_cgroup(path: &str) {
    let _ = with_cgroup(path, |group| group.kill(PATIENCE));
}

/// Removes a cgroup and all that is in it. What cannot be removed is garbage that belongs to a
/// container which is known to have ended, and is found as such.
pub(super) fn remove_cgroup(path: &str) {
    let _ = with_cgroup(path, |group| {
        // Empty as a rule: the process was the only one, or the first of its namespace.
        group.remove(Duration::ZERO).or_else(|_| {
            group.kill(PATIENCE)?;
            group.remove(PATIENCE)
        })
    });
}

fn with_cgroup(
    path: &str,
    action: impl FnOnce(&cgroups::Cgroup) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let group = Hierarchy::detect()?.open(&CgroupPath::new(path)?)?;
    action(&group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn kills_are_found_in_either_form() {
        let check = |text: &str, wanted| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(has_oom_kills(&file.into()), wanted, "{text}");
        };
        check("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n", true);
        check("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n", false);
        check("oom_kill_disable 0\nunder_oom 0\noom_kill 12\n", true);
        check("oom_kill_disable 1\nunder_oom 0\n", false);
    }
}
