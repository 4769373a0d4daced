//! User namespaces and the ids in them.

use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;

use oci::runtime::IdMapping;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sys::process::CloneFlags;

use crate::RuntimeError;
use crate::error::Step;

/// Writes both maps of a process's user namespace, from outside.
///
/// user_namespaces(7), "User and group ID mappings".
pub(crate) fn write(pid: Pid, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), RuntimeError> {
    let pid = pid.as_raw_nonzero();
    for (file, mappings) in [("uid_map", uids), ("gid_map", gids)] {
        let path = format!("/proc/{pid}/{file}");
        write_file(&path, &lines(mappings)).host(|| format!("write {path}"))?;
    }
    Ok(())
}

/// One line each; the kernel takes the whole map in one write or not at all.
fn lines(mappings: &[IdMapping]) -> String {
    mappings.iter().fold(String::new(), |mut text, map| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {}", map.container_id, map.host_id, map.size);
        text
    })
}

fn write_file(path: &str, text: &str) -> io::Result<()> {
    let file = rustix::fs::openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

/// How ids are mapped.
#[derive(Debug)]
pub(crate) struct IdMap {
    /// The user namespace that says so.
    pub(crate) namespace: OwnedFd,
    /// What user and group 0 in it are outside.
    pub(crate) root: (u32, u32),
}

impl IdMap {
    /// A map by itself.
    pub(crate) fn new(uids: &[IdMapping], gids: &[IdMapping]) -> Result<Self, RuntimeError> {
        Ok(Self { namespace: namespace(uids, gids)?, root: (root(uids), root(gids)) })
    }

    /// That of a process's user namespace, with the maps that were written for it.
    pub(crate) fn of(namespace: OwnedFd, uids: &[IdMapping], gids: &[IdMapping]) -> Self {
        Self { namespace, root: (root(uids), root(gids)) }
    }

    pub(crate) fn try_clone(&self) -> Result<Self, RuntimeError> {
        let namespace = self.namespace.try_clone().host(|| "use a user namespace".into())?;
        Ok(Self { namespace, root: self.root })
    }
}

/// What 0 is outside; itself if nothing says so.
fn root(mappings: &[IdMapping]) -> u32 {
    mappings.iter().find(|map| map.container_id == 0).map_or(0, |map| map.host_id)
}

/// A user namespace that has nothing but maps, for id-mapped mounts.
///
/// It needs a process only until it is open.
fn namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd, RuntimeError> {
    let holder = sys::process::clone(CloneFlags::NEWUSER, None, || {
        // Killed below; or, should this program die first, by its end.
        let _ = sys::process::set_pdeathsig(Some(Signal::KILL));
        loop {
            rustix::event::pause();
        }
    })
    .host(|| "make a user namespace".into())?;
    let opened = write(holder.pid, uids, gids).and_then(|()| open(holder.pid));
    let _ = rustix::process::pidfd_send_signal(&holder.pidfd, Signal::KILL);
    let id = WaitId::PidFd(std::os::fd::AsFd::as_fd(&holder.pidfd));
    let _ = rustix::process::waitid(id, WaitIdOptions::EXITED);
    opened
}

/// Opens the user namespace of a process.
pub(crate) fn open(pid: Pid) -> Result<OwnedFd, RuntimeError> {
    let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
    rustix::fs::openat(CWD, &*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .host(|| format!("open {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_a_line_each() {
        let map = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        assert_eq!(
            lines(&[map(0, 1000, 1), map(1, 100_000, 65_535)]),
            "0 1000 1\n1 100000 65535\n"
        );
    }
}
