//! What a bind mount's own attributes become: those of its source, changed as its options say.
//!
//! As with mount(8) and runc, whose users rely on each line:
//!
//! * no word about attributes: the source's are kept;
//! * any word, one that only clears included: exactly what is asked for is set, and the rest is
//!   cleared, but for access times, which stay as they are unless one of them is asked for;
//! * where the source's are locked, they are kept, and one that is to be cleared by its word is
//!   refused with `EPERM`. They are for who is root only in a user namespace: the kernel locks
//!   what such a namespace inherits (mount_namespaces(7), "Restrictions on mount namespaces").
//!   Mounts are cloned on the host here, where nothing is locked yet; the rule is the kernel's.

use std::os::fd::BorrowedFd;

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use sys::mount::{
    ATIME, MountAttr, NO_ATIME, NO_DEV, NO_DIR_ATIME, NO_EXEC, NO_SUID, NO_SYMFOLLOW, READ_ONLY,
    RELATIME, STRICT_ATIME, set_attr,
};

use crate::options::Attributes;

/// Those that are on or off, and are locked if they are on.
const LOCKABLE: u64 = READ_ONLY | NO_SUID | NO_DEV | NO_EXEC;
/// Those about access times; locked whatever they are.
const TIMES: u64 = ATIME | NO_DIR_ATIME;

/// Gives a clone the attributes that `wanted` asks for. `locked`: those of the source may be added
/// to and not taken from.
///
/// `EPERM` if they would have to be; also where the kernel itself says so.
pub(crate) fn apply(tree: BorrowedFd<'_>, wanted: Attributes, locked: bool) -> Result<(), Errno> {
    if !locked {
        match set(tree, exactly(wanted)) {
            // Some namespace above has locked them.
            Err(Errno::PERM) => {}
            other => return other,
        }
    }
    let present = present(tree)?;
    let attributes = added_to(present, wanted)?;
    if present & wanted.clear & READ_ONLY == 0 {
        return set(tree, attributes);
    }
    // A file system that is read-only as a whole shows the same as a mount that is. Of that one
    // nothing is taken by a mount that allows what the file system does not.
    set(tree, attributes)?;
    match self::present(tree)? & READ_ONLY {
        0 => Err(Errno::PERM),
        _ => Ok(()),
    }
}

fn set(tree: BorrowedFd<'_>, attributes: Attributes) -> Result<(), Errno> {
    let Attributes { set, clear } = attributes;
    let attr = MountAttr { set, clear, ..MountAttr::default() };
    let number = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    set_attr(tree, false, &attr).map_err(number)
}

/// What is asked for and nothing else.
fn exactly(wanted: Attributes) -> Attributes {
    let switches = LOCKABLE | NO_SYMFOLLOW;
    let set = wanted.set & switches;
    let times = match asks_for_times(wanted) {
        true => Attributes { set: wanted.set & TIMES, clear: TIMES & !(wanted.set & NO_DIR_ATIME) },
        false => Attributes::default(),
    };
    Attributes { set: set | times.set, clear: (switches & !set) | times.clear }
}

/// What is asked for beside what is there.
fn added_to(present: u64, wanted: Attributes) -> Result<Attributes, Errno> {
    if present & wanted.clear & (LOCKABLE & !READ_ONLY) != 0
        || asks_for_times(wanted) && wanted.set & TIMES != present & TIMES
    {
        return Err(Errno::PERM);
    }
    // Whether what is read-only may be cleared is seen when it is.
    let kept = present & LOCKABLE & !wanted.clear;
    let mut all = exactly(Attributes { set: wanted.set | kept, clear: wanted.clear });
    if asks_for_times(wanted) {
        all.set &= !TIMES;
        all.clear &= !TIMES;
    }
    Ok(all)
}

/// Words that only take a choice back ask for none: the kernel knows no such wish.
fn asks_for_times(wanted: Attributes) -> bool {
    wanted.clear & ATIME != 0 || wanted.set & NO_DIR_ATIME != 0
}

/// The attributes that a mount shows.
fn present(mount: BorrowedFd<'_>) -> Result<u64, Errno> {
    let flags = rustix::fs::fstatvfs(mount)?.f_flag;
    let times = match () {
        () if flags.contains(StatVfsMountFlags::NOATIME) => NO_ATIME,
        () if flags.contains(StatVfsMountFlags::RELATIME) => RELATIME,
        () => STRICT_ATIME,
    };
    let table = [
        (StatVfsMountFlags::RDONLY, READ_ONLY),
        (StatVfsMountFlags::NOSUID, NO_SUID),
        (StatVfsMountFlags::NODEV, NO_DEV),
        (StatVfsMountFlags::NOEXEC, NO_EXEC),
        (StatVfsMountFlags::NODIRATIME, NO_DIR_ATIME),
    ];
    let shown = table.into_iter().filter(|(flag, _)| flags.contains(*flag));
    Ok(shown.fold(times, |found, (_, attribute)| found | attribute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsmount,
        fsopen,
    };
    use std::os::fd::{AsFd as _, OwnedFd};

    fn wanted(words: &str) -> Attributes {
        crate::options::parse(&words.split(',').map(str::to_owned).collect::<Vec<_>>()).own
    }

    #[test]
    fn what_is_not_asked_for_is_cleared_but_for_access_times() {
        let all = LOCKABLE | NO_SYMFOLLOW;
        for (words, set, clear) in [
            ("ro", READ_ONLY, all & !READ_ONLY),
            ("dev", 0, all),
            ("nosuid,atime", NO_SUID, all & !NO_SUID),
            ("noatime", NO_ATIME, all | TIMES),
            ("relatime", 0, all | TIMES),
            ("nodiratime", NO_DIR_ATIME, all | ATIME),
            ("nodiratime,strictatime", NO_DIR_ATIME | STRICT_ATIME, all | ATIME),
        ] {
            assert_eq!(exactly(wanted(words)), Attributes { set, clear }, "{words}");
        }
    }

    #[test]
    fn what_is_locked_is_kept_or_refused() {
        let there = NO_SUID | NO_DEV | NO_ATIME;
        let kept = added_to(there, wanted("ro")).unwrap();
        assert_eq!(kept.set, READ_ONLY | NO_SUID | NO_DEV);
        assert_eq!(kept.clear & TIMES, 0);
        for words in ["suid", "ro,dev", "relatime", "strictatime", "nodiratime"] {
            assert_eq!(added_to(there, wanted(words)), Err(Errno::PERM), "{words}");
        }
        for words in ["atime", "noatime", "diratime", "norelatime", "exec", "symfollow"] {
            assert!(added_to(there, wanted(words)).is_ok(), "{words}");
        }
    }

    /// A file system attached nowhere; with `ro` as a whole.
    fn tmpfs(attributes: u64, ro: bool) -> OwnedFd {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        if ro {
            fsconfig_set_flag(&context, "ro").unwrap();
        }
        fsconfig_create(&context).unwrap();
        let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).unwrap()
    }

    #[test]
    fn the_kernel_takes_it_so() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let become_ = |there: u64, words: &str, locked: bool| {
            let mount = tmpfs(there, false);
            apply(mount.as_fd(), wanted(words), locked).map(|()| present(mount.as_fd()).unwrap())
        };
        let there = NO_SUID | NO_DEV | NO_ATIME;
        assert_eq!(become_(there, "ro,suid", false), Ok(READ_ONLY | NO_ATIME));
        assert_eq!(become_(there, "ro,noexec", true), Ok(there | READ_ONLY | NO_EXEC));
        assert_eq!(become_(there, "ro,suid", true), Err(Errno::PERM));
        assert_eq!(become_(there, "strictatime,exec", false), Ok(STRICT_ATIME));
        assert_eq!(become_(NO_DIR_ATIME, "noatime", false), Ok(NO_ATIME));
        assert_eq!(become_(READ_ONLY, "rw", false), Ok(0));
        assert_eq!(become_(READ_ONLY, "rw", true), Err(Errno::PERM));
        // Nothing is taken from this one, as its file system is read-only as a whole.
        let whole = tmpfs(NO_SUID, true);
        apply(whole.as_fd(), wanted("rw"), true).unwrap();
        assert_eq!(present(whole.as_fd()), Ok(READ_ONLY | NO_SUID));
    }
}
