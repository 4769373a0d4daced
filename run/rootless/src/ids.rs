//! Which ids a user may give to its containers.

use std::path::Path;

use oci::runtime::IdMapping;

use crate::{RootlessError, User};

const SUBUID: &str = "/etc/subuid";
const SUBGID: &str = "/etc/subgid";

/// The kernel takes 340 ranges in one map, the user's own among them. user_namespaces(7).
const MAX_RANGES: usize = 339;

/// The maps of a user's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Users: 0 is the caller.
    pub uids: Vec<IdMapping>,
    /// Groups: 0 is the caller's.
    pub gids: Vec<IdMapping>,
}

impl Ids {
    /// What `/etc/subuid` and `/etc/subgid` give to `user`, from 1 on. Files that are not there
    /// give nothing; a line in one of them alone is an error.
    pub fn of(user: &User) -> Result<Self, RootlessError> {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        Self::from_files(user, &read(SUBUID), &read(SUBGID))
    }

    fn from_files(user: &User, subuid: &str, subgid: &str) -> Result<Self, RootlessError> {
        let (uids, gids) = (ranges(subuid, user), ranges(subgid, user));
        let half = |given, missing| RootlessError::HalfIds { given, missing, user: user.shown() };
        match (uids.is_empty(), gids.is_empty()) {
            (true, false) => return Err(half(SUBGID, SUBUID)),
            (false, true) => return Err(half(SUBUID, SUBGID)),
            _ => {}
        }
        Ok(Self { uids: map(user.uid, &uids), gids: map(user.gid, &gids) })
    }

    /// Whether there are no ids but the caller's own.
    pub fn is_single(&self) -> bool {
        self.uids.len() == 1
    }
}

/// The ranges of a user. subuid(5): `name or uid:first:count`; several lines add up.
fn ranges(text: &str, user: &User) -> Vec<(u32, u32)> {
    let number = user.uid.to_string();
    let is_owner = |owner: &str| owner == number || user.name.as_deref() == Some(owner);
    let row = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count): (u32, u32) =
            (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        // The last number of all is no id.
        let count = count.min(u32::MAX - first);
        (is_owner(owner) && count > 0).then_some((first, count))
    };
    text.lines().filter_map(row).take(MAX_RANGES).collect()
}

fn map(own: u32, ranges: &[(u32, u32)]) -> Vec<IdMapping> {
    let mut mappings = vec![IdMapping { container_id: 0, host_id: own, size: 1 }];
    let mut next: u32 = 1;
    for (host_id, count) in ranges {
        let size = (*count).min(u32::MAX - next);
        if size == 0 {
            break;
        }
        mappings.push(IdMapping { container_id: next, host_id: *host_id, size });
        next += size;
    }
    mappings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> User {
        User { uid: 1000, gid: 100, name: Some("ada".into()), home: None }
    }

    fn rows(map: &[IdMapping]) -> Vec<(u32, u32, u32)> {
        map.iter().map(|map| (map.container_id, map.host_id, map.size)).collect()
    }

    #[test]
    fn subordinate_ids_follow_the_own() {
        let text = "ada:100000:65536\nbob:1:70000\n1000:300000:10\nada:x:y\nada:5:0\n";
        let ids = Ids::from_files(&ada(), text, "ada:7:3").unwrap();
        assert_eq!(rows(&ids.uids), [(0, 1000, 1), (1, 100_000, 65_536), (65_537, 300_000, 10)]);
        assert_eq!(rows(&ids.gids), [(0, 100, 1), (1, 7, 3)]);
        assert!(!ids.is_single());
    }

    #[test]
    fn without_them_there_is_one_id() {
        let ids = Ids::from_files(&ada(), "bob:1:70000", "").unwrap();
        assert!(ids.is_single());
        assert_eq!(rows(&ids.gids), [(0, 100, 1)]);
        let error = Ids::from_files(&ada(), "", "ada:7:3").unwrap_err().to_string();
        assert!(error.contains("/etc/subuid gives none") && error.contains("ada"), "{error}");
    }

    #[test]
    fn ranges_do_not_run_over() {
        let text = "ada:4294967290:100\nada:0:4294967295\nada:0:4294967295\n";
        let ids = Ids::from_files(&ada(), text, text).unwrap();
        assert_eq!(rows(&ids.uids), [(0, 1000, 1), (1, 4_294_967_290, 5), (6, 0, 4_294_967_289)]);
    }
}
