//! Making files as somebody else, with one's own rights.
#![allow(unsafe_code)]

use std::io;

use rustix::thread::{CapabilitySets, capabilities, set_capabilities};

/// The calling thread's file system ids, changed until this is dropped.
#[derive(Debug)]
pub struct FsIds {
    before: (libc::uid_t, libc::gid_t),
    capabilities: CapabilitySets,
}

impl FsIds {
    /// Makes `uid` and `gid` the owner of files to come; capabilities stay as they are.
    ///
    /// For file systems whose ids are mapped, where the caller's own have no meaning and nothing
    /// could be made (`EOVERFLOW`). `EPERM` without CAP_SETUID and CAP_SETGID.
    ///
    /// setfsuid(2), capabilities(7) "Effect of user ID changes on capabilities".
    pub fn set(uid: u32, gid: u32) -> io::Result<Self> {
        let capabilities = capabilities(None)?;
        let ids = Self { before: (set_fsuid(uid), set_fsgid(gid)), capabilities };
        // The calls answer with the former id, whether or not they did anything.
        if set_fsuid(uid) != uid || set_fsgid(gid) != gid {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        // The kernel took those over files with the id of root.
        set_capabilities(None, capabilities)?;
        Ok(ids)
    }
}

impl Drop for FsIds {
    fn drop(&mut self) {
        let (uid, gid) = self.before;
        set_fsuid(uid);
        set_fsgid(gid);
        // They are permitted, since they were in force before: it cannot fail.
        let _ = set_capabilities(None, self.capabilities);
    }
}

fn set_fsuid(uid: u32) -> u32 {
    // SAFETY: takes a number, and concerns the calling thread only.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) as u32 }
}

fn set_fsgid(gid: u32) -> u32 {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn files_belong_to_somebody_else_for_a_while() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let temp = tempfile::tempdir().unwrap();
        let owner = |name: &str| {
            std::fs::write(temp.path().join(name), "").unwrap();
            let stat = std::fs::metadata(temp.path().join(name)).unwrap();
            (stat.uid(), stat.gid())
        };
        let ids = FsIds::set(7, 8).unwrap();
        assert_eq!(owner("theirs"), (7, 8), "in a directory that is root's alone");
        drop(ids);
        assert_eq!(owner("ours"), (0, 0));
    }
}
