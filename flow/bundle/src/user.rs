//! Who a process runs as: `--user` and USER against the image's `/etc/passwd` and `/etc/group`.
//!
//! A number is always a number and a name always a name. What only looks like a number (`+0`,
//! `00`, `0x0`, `1e3`, ` 0`, one that is too large) is refused, even if the image has a user of
//! that name: each of these has been root somewhere (CVE-2016-3697, CVE-2024-40635,
//! CVE-2026-46680, CVE-2026-30892). A line of the image's files whose numbers cannot be read is
//! passed over; it is never taken as 0.

use oci::runtime::User;

use crate::{ACCOUNT_FILE_LIMIT_BYTES, BundleError};

/// The largest id: what fits into a signed number of 32 bits, as with Docker.
const ID_LIMIT: u32 = i32::MAX as u32;

/// How many lines of a file are looked at.
const ENTRY_LIMIT: usize = 64 * 1024;

/// The image's two files.
#[derive(Clone, Copy)]
pub(crate) struct Accounts<'a> {
    passwd: &'a [u8],
    group: &'a [u8],
}

/// Who a process runs as, and where that user lives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: User,
    pub(crate) home: String,
}

impl<'a> Accounts<'a> {
    /// `None` is a file that does not exist. A file that is too large is an error.
    pub(crate) fn new(
        passwd: Option<&'a [u8]>,
        group: Option<&'a [u8]>,
    ) -> Result<Self, BundleError> {
        Ok(Self { passwd: bounded("/etc/passwd", passwd)?, group: bounded("/etc/group", group)? })
    }

    /// Looks up `uid`, `uid:gid`, `name` or `name:group` and any mixture; root if the user is empty.
    ///
    /// Without a group the primary group is the user's own (0 if the user is only a number), and
    /// the groups that list the user by name are added; with one, none are. The primary group is
    /// always the first of `additional_gids`, so that no program can gain by leaving it
    /// (CVE-2022-2989 and its siblings). `group_add` are names or numbers.
    pub(crate) fn identify(
        &self,
        spec: &str,
        group_add: &[String],
    ) -> Result<Identity, BundleError> {
        let (user, group) = spec.split_once(':').unwrap_or((spec, ""));
        if spec == ":" {
            return Err(BundleError::invalid("invalid user \":\": it names nobody".to_owned()));
        }
        let wanted = if user.is_empty() { Id::Number(0) } else { Id::parse("user", user)? };
        let found = self.passwd_entry(wanted);
        let (uid, own_gid) = match (&found, wanted) {
            (Some(entry), _) => (entry.uid, entry.gid),
            (None, Id::Number(uid)) => (uid, 0),
            (None, Id::Name(name)) => return Err(BundleError::NoUser { name: name.into() }),
        };
        let mut gids = Vec::new();
        let gid = match (group, &found) {
            ("", None) => own_gid,
            ("", Some(entry)) => {
                gids.extend(self.groups_of(entry.name));
                own_gid
            }
            (group, _) => self.gid(group)?,
        };
        gids.insert(0, gid);
        for group in group_add {
            gids.push(self.gid(group)?);
        }
        let mut seen = std::collections::BTreeSet::new();
        gids.retain(|gid| seen.insert(*gid));
        let home = found.and_then(|entry| entry.home).unwrap_or("/");
        Ok(Identity {
            user: User { uid, gid, umask: None, additional_gids: gids },
            home: home.to_owned(),
        })
    }

    /// As [`Accounts::identify`], for a host on which not all ids are to be had.
    ///
    /// Where there is one group alone, those that the image puts the user into are left out, and
    /// one that somebody asks for is an error.
    pub(crate) fn identify_on(
        &self,
        spec: &str,
        group_add: &[String],
        (users, groups): (u32, u32),
    ) -> Result<Identity, BundleError> {
        let mut identity = self.identify(spec, group_add)?;
        let user = &mut identity.user;
        let missing = |what: &str, id: u32| {
            Err(BundleError::invalid(format!(
                "there is no {what} {id} for this user's containers: lines in /etc/subuid and \
                 /etc/subgid give more ids (usermod --add-subuids 100000-165535 --add-subgids \
                 100000-165535 USER)"
            )))
        };
        if user.uid >= users {
            return missing("user", user.uid);
        }
        if user.gid >= groups {
            return missing("group", user.gid);
        }
        if groups == 1 {
            if let Some(asked) = group_add.first() {
                return missing("group", self.gid(asked)?);
            }
            user.additional_gids.clear();
        }
        match user.additional_gids.iter().find(|gid| **gid >= groups) {
            Some(gid) => missing("group", *gid),
            None => Ok(identity),
        }
    }

    fn gid(&self, group: &str) -> Result<u32, BundleError> {
        match Id::parse("group", group)? {
            Id::Number(gid) => Ok(gid),
            Id::Name(name) => group_entries(self.group)
                .find(|entry| entry.name == name)
                .map(|entry| entry.gid)
                .ok_or_else(|| BundleError::NoGroup { name: name.into() }),
        }
    }

    fn passwd_entry(&self, wanted: Id<'_>) -> Option<PasswdEntry<'a>> {
        passwd_entries(self.passwd).find(|entry| match wanted {
            Id::Number(uid) => entry.uid == uid,
            Id::Name(name) => entry.name == name,
        })
    }

    fn groups_of(&self, user: &'a str) -> impl Iterator<Item = u32> {
        group_entries(self.group)
            .filter(move |entry| entry.members.split(',').any(|member| member == user))
            .map(|entry| entry.gid)
    }
}

/// Which of the two a text is.
#[derive(Clone, Copy)]
enum Id<'a> {
    Number(u32),
    Name(&'a str),
}

impl<'a> Id<'a> {
    fn parse(what: &str, text: &'a str) -> Result<Self, BundleError> {
        if let Some(number) = plain_number(text) {
            return match u32::try_from(number) {
                Ok(id) if id <= ID_LIMIT => Ok(Self::Number(id)),
                _ => Err(BundleError::IdRange { text: text.into() }),
            };
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') {
            return Err(BundleError::IdRange { text: text.into() });
        }
        if looks_like_a_number(text) || text.is_empty() || text.chars().any(char::is_control) {
            return Err(BundleError::invalid(format!(
                "invalid {what} {text:?}: neither a plain decimal number nor a name"
            )));
        }
        Ok(Self::Name(text))
    }
}

/// A decimal number in its one spelling: digits, no sign, no leading zero.
fn plain_number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { text.parse().ok() } else { None }
}

/// Whether some reader of numbers would take the text for one: signs, spaces, other bases,
/// exponents.
fn looks_like_a_number(text: &str) -> bool {
    let rest = text.trim().trim_start_matches(['+', '-']);
    rest.len() != text.len() && rest.starts_with(|c: char| c.is_ascii_digit())
        || text.trim() != text
        || rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_hexdigit() || "xXoO_.+-".contains(c))
}

fn bounded<'a>(path: &'static str, bytes: Option<&'a [u8]>) -> Result<&'a [u8], BundleError> {
    let bytes = bytes.unwrap_or_default();
    if bytes.len() > ACCOUNT_FILE_LIMIT_BYTES {
        return Err(BundleError::TooLarge { path, limit: "1 MiB" });
    }
    if bytes.iter().filter(|byte| **byte == b'\n').count() > ENTRY_LIMIT {
        return Err(BundleError::TooLarge { path, limit: "65536 lines" });
    }
    Ok(bytes)
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: Option<&'a str>,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// passwd(5): `name:password:uid:gid:comment:home:shell`.
fn passwd_entries(bytes: &[u8]) -> impl Iterator<Item = PasswdEntry<'_>> {
    lines(bytes).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = file_number(fields.nth(1)?)?;
        let gid = file_number(fields.next()?)?;
        let home = fields
            .nth(1)
            .filter(|home| home.starts_with('/') && !home.chars().any(char::is_control));
        Some(PasswdEntry { name, uid, gid, home })
    })
}

/// group(5): `name:password:gid:member,member`.
fn group_entries(bytes: &[u8]) -> impl Iterator<Item = GroupEntry<'_>> {
    lines(bytes).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = file_number(fields.nth(1)?)?;
        Some(GroupEntry { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// A number in one of the files; leading zeros are harmless here, since a shadowed name cannot
/// turn into another number by them.
fn file_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return None;
    }
    text.parse().ok().filter(|id| *id <= ID_LIMIT)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests;
