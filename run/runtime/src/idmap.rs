//! User namespaces and the ids in them.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::IdMapping;
use rustix::fs::{Access, CWD, FileType, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sys::process::{Child, CloneFlags, Program, Spawn};

use crate::RuntimeError;
use crate::error::Step;

/// Writes both maps of a process's user namespace, from outside.
///
/// Whoever has no rights over the host may give its own two ids only, and groups are then settled
/// for good; further ones are given by newuidmap(1) and newgidmap(1), which look whether they are
/// the caller's. user_namespaces(7), "User and group ID mappings".
pub fn write(pid: Pid, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), RuntimeError> {
    let number = pid.as_raw_nonzero();
    if !rustix::process::geteuid().is_root() {
        let is_own =
            |maps: &[IdMapping], own| matches!(maps, [map] if map.size == 1 && map.host_id == own);
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if !is_own(uids, own.0) || !is_own(gids, own.1) {
            // Each takes a millisecond, and neither waits for the other.
            let users = Helper::start("newuidmap", pid, uids)?;
            let groups = Helper::start("newgidmap", pid, gids);
            return users.finish().and(groups?.finish());
        }
        let path = format!("/proc/{number}/setgroups");
        write_file(&path, "deny").host(|| format!("write {path}"))?;
    }
    for (file, mappings) in [("uid_map", uids), ("gid_map", gids)] {
        let path = format!("/proc/{number}/{file}");
        write_file(&path, &lines(mappings)).host(|| format!("write {path}"))?;
    }
    Ok(())
}

/// A set-user-id program that writes a map.
struct Helper {
    name: &'static str,
    child: Child,
    output: OwnedFd,
}

impl Helper {
    fn start(name: &'static str, pid: Pid, mappings: &[IdMapping]) -> Result<Self, RuntimeError> {
        let action = || helper_action(name);
        let path = ["/usr/bin", "/usr/local/bin", "/bin"]
            .map(|directory| format!("{directory}/{name}"))
            .into_iter()
            .find(|path| is_the_systems(path))
            .ok_or(io::ErrorKind::NotFound)
            .host(|| action() + " (package uidmap)")?;
        let mut args = vec![path.clone(), pid.as_raw_nonzero().to_string()];
        for map in mappings {
            args.extend([map.container_id, map.host_id, map.size].map(|number| number.to_string()));
        }
        let texts: Vec<_> = args.iter().map(|arg| CString::new(arg.as_str())).collect();
        let texts: Vec<_> = texts.into_iter().flatten().collect(); // numbers and a path of ours
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).host(action)?;
        let child = sys::process::spawn(&Spawn {
            program: Program::Path(&texts[0]),
            args: &texts.iter().map(CString::as_c_str).collect::<Vec<_>>(),
            env: &[],
            fds: &[(writer.as_fd(), 1), (writer.as_fd(), 2)],
            new_session: false,
            death_signal: None,
        })
        .host(action)?;
        Ok(Self { name, child, output: reader })
    }

    fn finish(self) -> Result<(), RuntimeError> {
        let action = || helper_action(self.name);
        let mut said = String::new();
        // What it says helps; that it cannot be heard is no matter.
        let _ = std::fs::File::from(self.output).take(4096).read_to_string(&mut said);
        let id = WaitId::PidFd(self.child.pidfd.as_fd());
        let status = rustix::process::waitid(id, WaitIdOptions::EXITED).host(action)?;
        match status.and_then(|status| status.exit_status()) {
            Some(0) => Ok(()),
            _ => Err(io::Error::other(said.trim().to_owned())).host(action),
        }
    }
}

fn helper_action(name: &str) -> String {
    format!("call {name}, which gives a user more ids than its own")
}

/// Whether a program is there, and nobody but root can have put it there or changed it.
fn is_the_systems(path: &str) -> bool {
    let is_roots = rustix::fs::stat(path).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == 0
            && stat.st_mode & 0o022 == 0
    });
    is_roots && rustix::fs::access(path, Access::EXEC_OK).is_ok()
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
    let id = WaitId::PidFd(holder.pidfd.as_fd());
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
