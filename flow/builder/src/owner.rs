//! `--chown`: names of the image's own users and groups to numbers.

use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};

use crate::BuildError;

/// The largest `/etc/passwd` or `/etc/group` that is looked at.
const LIMIT_BYTES: u64 = 1 << 20;

/// The numbers of `user[:group]` in a root file system.
///
/// A number stands for itself. A user alone brings the group of `/etc/passwd`, a number alone
/// stands for the group too.
pub(crate) fn resolve(root: BorrowedFd<'_>, text: &str) -> Result<(u32, u32), BuildError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let (uid, own_group) = match user {
        "" => (0, 0),
        user => match user.parse::<u32>() {
            Ok(uid) => (uid, uid),
            Err(_) => {
                let line = line_of(root, "etc/passwd", user)?;
                let number = |place: usize| line.split(':').nth(place)?.parse().ok();
                match (number(2), number(3)) {
                    (Some(uid), Some(gid)) => (uid, gid),
                    _ => return Err(unknown("user", user)),
                }
            }
        },
    };
    let gid = match group.filter(|group| !group.is_empty()) {
        None => own_group,
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => {
                let line = line_of(root, "etc/group", group)?;
                let gid = line.split(':').nth(2).and_then(|gid| gid.parse().ok());
                gid.ok_or_else(|| unknown("group", group))?
            }
        },
    };
    if uid == u32::MAX || gid == u32::MAX {
        return Err(BuildError::Invalid(format!("invalid owner {text:?}")));
    }
    Ok((uid, gid))
}

fn unknown(what: &str, name: &str) -> BuildError {
    BuildError::Invalid(format!(
        "invalid {what} index: unable to find {what} {name}: not in the image"
    ))
}

/// The line of a file of accounts that begins with a name; empty if there is none.
fn line_of(root: BorrowedFd<'_>, path: &str, name: &str) -> Result<String, BuildError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = match sys::fs::open_in_root(root, path, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(error) if crate::tree::is_absent(&error) => return Ok(String::new()),
        Err(error) => return Err(BuildError::io("open", path)(error)),
    };
    if !file.metadata().is_ok_and(|facts| facts.is_file()) {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES).read_to_end(&mut bytes).map_err(BuildError::io("read", path))?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text.lines().find(|line| line.split(':').next() == Some(name));
    Ok(found.unwrap_or_default().to_owned())
}
