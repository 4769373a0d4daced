//! Our own executable, entered so that nothing inside a container can write to it.
//!
//! A process that is about to become a container's program still has this binary as its
//! `/proc/PID/exe`, and whoever gets hold of that link can wait until the file is no longer busy
//! and overwrite it (CVE-2019-5736). So whoever enters containers is itself started through
//! [`self_exe_readonly`]: the link then leads through a detached, read-only mount that belongs
//! to no namespace and that nobody inside can find or make writable: an attempt is `ETXTBSY` at first and `EROFS` for ever after.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Access, CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::mount::{MountAttr, set_attr};

const SELF_EXE: &CStr = c"/proc/self/exe";

/// This program's file behind a read-only mount of its own, to be executed by descriptor.
///
/// Where it is behind one already, that one. Closed on exec. Needs CAP_SYS_ADMIN over the mount
/// namespace; `EPERM` otherwise.
///
/// open_tree(2), mount_setattr(2).
pub fn self_exe_readonly() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match open_tree(CWD, SELF_EXE, flags) {
        Ok(tree) => {
            set_attr(tree.as_fd(), false, &MountAttr::read_only())?;
            Ok(tree)
        }
        // A mount outside this namespace cannot be cloned: ours, if it is read-only.
        Err(Errno::INVAL) if is_exe_readonly()? => {
            Ok(rustix::fs::open(SELF_EXE, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Whether this process runs from a mount that is read-only.
pub fn is_exe_readonly() -> io::Result<bool> {
    Ok(rustix::fs::statvfs(SELF_EXE)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Whether nobody can write to the file that this process runs from: it is behind a read-only
/// mount, or a sealed copy.
pub fn is_shielded() -> io::Result<bool> {
    if is_exe_readonly()? {
        return Ok(true);
    }
    let exe = rustix::fs::open(SELF_EXE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Only a file in memory has seals.
    Ok(rustix::fs::fcntl_get_seals(&exe).is_ok_and(|seals| seals.contains(SEALS)))
}

/// Whether the caller's real user may write to the file that this process runs from.
pub fn is_writable() -> io::Result<bool> {
    match rustix::fs::access(SELF_EXE, Access::WRITE_OK) {
        // It is busy because it runs, which is not for ever.
        Ok(()) | Err(Errno::TXTBSY) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// This program as a file in memory that cannot be changed any more, for users who may not mount.
///
/// Closed on exec. memfd_create(2), `F_ADD_SEALS` in fcntl(2).
pub fn sealed_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // The name is what `ps` shows.
    let copy = match rustix::fs::memfd_create(c"kista", flags | MemfdFlags::EXEC) {
        // Linux 6.3.
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"kista", flags)?,
        other => other?,
    };
    let mut copy = File::from(copy);
    let exe = rustix::fs::open(SELF_EXE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    io::copy(&mut File::from(exe), &mut copy)?;
    rustix::fs::fcntl_add_seals(&copy, SEALS)?;
    Ok(copy.into())
}

/// All that keeps a file in memory as it is, for ever.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Program, Spawn, spawn};
    use std::io::Write as _;

    #[test]
    fn a_program_entered_through_it_cannot_be_written_to() {
        let exe = self_exe_readonly().unwrap();
        let child = spawn(&Spawn {
            program: Program::Fd(exe.as_fd()),
            args: &[c"self", c"--exact", c"exe::tests::stand_by", c"--ignored", c"--quiet"],
            env: &[],
            fds: &[],
            new_session: false,
            death_signal: Some(rustix::process::Signal::KILL),
        })
        .unwrap();
        let link = format!("/proc/{}/exe", child.pid.as_raw_nonzero());
        let by_path = rustix::fs::open(&*link, OFlags::PATH, Mode::empty()).unwrap();
        let again = crate::fs::fd_path(by_path.as_fd());
        for path in [&link, &again] {
            let error = rustix::fs::open(&**path, OFlags::WRONLY, Mode::empty()).unwrap_err();
            // Which of the two refusals comes first is the kernel's affair.
            assert!(matches!(error, Errno::ROFS | Errno::TXTBSY), "{path}: {error}");
        }
        // This test runs from the same file and keeps it busy; what holds afterwards is the mount.
        let flags = rustix::fs::fstatvfs(&by_path).unwrap().f_flag;
        assert!(flags.contains(StatVfsMountFlags::RDONLY));
        rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL).unwrap();
        let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
        rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).unwrap();
    }

    #[test]
    fn a_copy_is_whole_and_for_ever() {
        let copy = sealed_copy().unwrap();
        let length = |file: &File| file.metadata().unwrap().len();
        let copy = File::from(copy);
        assert_eq!(length(&copy), length(&File::open("/proc/self/exe").unwrap()));
        let error = (&copy).write(b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()));
        assert!(copy.set_len(0).is_err());
        assert!(rustix::fs::fcntl_add_seals(&copy, SealFlags::empty()).is_err());
        assert!(is_writable().unwrap(), "this test's own program is the caller's");
    }

    #[test]
    #[ignore = "what the test above runs in another process"]
    fn stand_by() {
        assert!(is_exe_readonly().unwrap());
        self_exe_readonly().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}
