//! `HOME`, as runc sets it for engines that leave that to the runtime (containerd's clients, CRI).

use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;

use rustix::fs::{CWD, FileType, Mode, OFlags};

/// A longer file is read as far as this.
const MAX_BYTES: u64 = 1 << 20;

/// Adds `HOME` unless it is there. The caller's root is the container's.
///
/// `/` if the user is not in /etc/passwd, or there is no such file.
pub(crate) fn add(env: &mut Vec<CString>, uid: u32) {
    if !env.iter().any(|entry| entry.as_bytes().starts_with(b"HOME=")) {
        env.extend(CString::new(entry(uid)));
    }
}

/// As [`add`], for an environment that is no process's yet.
pub(crate) fn add_text(env: &mut Vec<String>, uid: u32) {
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(entry(uid));
    }
}

fn entry(uid: u32) -> String {
    let home = find(&read().unwrap_or_default(), uid).unwrap_or_else(|| "/".into());
    format!("HOME={home}")
}

/// What is at the place of the file may be anything, and must not hold us.
fn read() -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, "/etc/passwd", flags, Mode::empty()).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    File::from(file).take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The sixth field of the first line whose third is the number. passwd(5).
fn find(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let matches = fields.next()?.parse() == Ok(uid);
        let home = fields.nth(2)?;
        (matches && !home.is_empty()).then(|| home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbad\nnone:x:7:7:::\nu:x:7:7::/home/u:\n";

    #[test]
    fn homes_are_found_by_number() {
        for (uid, home) in [(0, Some("/root")), (7, Some("/home/u")), (8, None)] {
            assert_eq!(find(PASSWD, uid).as_deref(), home, "{uid}");
        }
    }

    #[test]
    fn what_is_set_stays() {
        let mut env = vec![c"HOME=/x".to_owned()];
        add(&mut env, 0);
        assert_eq!(env, [c"HOME=/x".to_owned()]);
        let mut env = Vec::new();
        add(&mut env, u32::MAX - 1);
        assert_eq!(env, [c"HOME=/".to_owned()]);
    }
}
