//! Who calls.

use std::path::PathBuf;

/// The user of this process, by what the kernel and `/etc/passwd` say. The environment is not
/// asked: sudo(8) and su(1) leave that of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// `None` if there is no such line in `/etc/passwd`, as for a user of a directory service.
    pub name: Option<String>,
    /// Likewise.
    pub home: Option<PathBuf>,
}

impl User {
    /// That of this process.
    pub fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::among(&accounts, uid, gid)
    }

    /// passwd(5): `name:password:uid:gid:comment:home:shell`.
    pub(crate) fn among(accounts: &str, uid: u32, gid: u32) -> Self {
        let found = accounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[..] {
                [name, _, number, _, _, home, ..] if number.parse() == Ok(uid) => {
                    Some((name, home))
                }
                _ => None,
            }
        });
        Self {
            uid,
            gid,
            name: found.map(|(name, _)| name.to_owned()).filter(|name| !name.is_empty()),
            home: found.map(|(_, home)| PathBuf::from(home)).filter(|home| home.is_absolute()),
        }
    }

    /// As messages call it.
    pub(crate) fn shown(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n\
                        twin:x:1000:7::/home/twin:\nnowhere:x:5:5::x:\n";
        let ada = User::among(accounts, 1000, 100);
        assert_eq!((ada.name.as_deref(), ada.gid), (Some("ada"), 100), "the first line counts");
        assert_eq!(ada.home, Some("/home/ada".into()));
        assert_eq!(User::among(accounts, 5, 5).home, None, "no path is no home");
        assert_eq!(User::among(accounts, 6, 6).shown(), "6");
    }
}
