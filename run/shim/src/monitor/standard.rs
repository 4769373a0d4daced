//! The standard streams of a process to be.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::runtime::{IdMapping, Process};
use runtime::Stdio;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::pipe::{PipeFlags, pipe_with};

use super::channel::Ends;

/// Both ends, as long as they are in one hand.
#[derive(Debug)]
pub(super) enum Standard {
    /// The runtime makes the terminal, in the container's own devpts: a terminal of the caller is
    /// never passed in (CVE-2016-10124).
    Terminal,
    Pipes {
        theirs: [OwnedFd; 3],
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
}

impl Standard {
    /// Pipes that belong to the process's user, as it may open `/dev/stdout` anew. `mappings` are
    /// those of its user namespace, for users and groups; empty if ids are the host's.
    pub(super) fn new(
        process: &Process,
        open_stdin: bool,
        (users, groups): &(Vec<IdMapping>, Vec<IdMapping>),
    ) -> io::Result<Self> {
        if process.terminal {
            return Ok(Self::Terminal);
        }
        let (stdin_far, stdin) = if open_stdin {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            (reader, Some(writer))
        } else {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            (rustix::fs::openat(CWD, c"/dev/null", flags, Mode::empty())?, None)
        };
        let (stdout, stdout_far) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, stderr_far) = pipe_with(PipeFlags::CLOEXEC)?;
        let owner = (
            host_id(users, process.user.uid).map(Uid::from_raw),
            host_id(groups, process.user.gid).map(Gid::from_raw),
        );
        if let (Some(user), Some(group)) = owner
            && !(user.is_root() && group.is_root())
        {
            // Both ends are one inode. /dev/null is everybody's.
            for pipe in [stdin.as_ref(), Some(&stdout), Some(&stderr)].into_iter().flatten() {
                rustix::fs::fchown(pipe, Some(user), Some(group))?;
            }
        }
        Ok(Self::Pipes { theirs: [stdin_far, stdout_far, stderr_far], stdin, stdout, stderr })
    }

    /// The far ends, where there are some.
    pub(super) fn descriptors(&self) -> Option<[BorrowedFd<'_>; 3]> {
        match self {
            Self::Terminal => None,
            Self::Pipes { theirs, .. } => Some(theirs.each_ref().map(AsFd::as_fd)),
        }
    }

    /// For the runtime.
    pub(super) fn theirs(&self) -> Stdio<'_> {
        match self {
            Self::Terminal => Stdio::Terminal { size: None },
            Self::Pipes { theirs: [one, two, three], .. } => {
                Stdio::Fds([one.as_fd(), two.as_fd(), three.as_fd()])
            }
        }
    }

    /// For the shim; closes the others, which the process has by now. None of them waits.
    pub(super) fn ours(self, console: Option<OwnedFd>) -> io::Result<Ends> {
        let unwaiting = |fd: OwnedFd| -> io::Result<OwnedFd> {
            let flags = rustix::fs::fcntl_getfl(&fd)?;
            rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
            Ok(fd)
        };
        match (self, console) {
            (Self::Terminal, Some(console)) => Ok(Ends::Terminal(unwaiting(console)?)),
            (Self::Terminal, None) => Err(io::Error::other("the process has no terminal")),
            (Self::Pipes { stdin, stdout, stderr, .. }, _) => Ok(Ends::Pipes {
                stdin: stdin.map(unwaiting).transpose()?,
                stdout: unwaiting(stdout)?,
                stderr: unwaiting(stderr)?,
            }),
        }
    }
}

/// What an id of the container is outside; `None` if it is nobody there.
fn host_id(mappings: &[IdMapping], id: u32) -> Option<u32> {
    if mappings.is_empty() {
        return Some(id);
    }
    mappings.iter().find_map(|mapping| {
        let offset = id.checked_sub(mapping.container_id)?;
        (offset < mapping.size).then(|| mapping.host_id.checked_add(offset)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped() {
        let mapping = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        let mappings = [mapping(0, 1000, 1), mapping(1, 100_000, 65_535)];
        assert_eq!(host_id(&mappings, 0), Some(1000));
        assert_eq!(host_id(&mappings, 65_535), Some(165_534));
        assert_eq!(host_id(&mappings, 65_536), None);
        assert_eq!(host_id(&[], 7), Some(7));
        assert_eq!(host_id(&[mapping(0, u32::MAX, 2)], 1), None);
    }

    #[test]
    fn the_near_ends_do_not_wait() {
        let process = Process::default();
        let standard = Standard::new(&process, true, &Default::default()).unwrap();
        let Ends::Pipes { stdin, stdout, stderr } = standard.ours(None).unwrap() else { panic!() };
        for fd in [stdin.unwrap(), stdout, stderr] {
            assert!(rustix::fs::fcntl_getfl(&fd).unwrap().contains(OFlags::NONBLOCK));
        }
    }
}
