//! Ids of its own for a container: `--userns auto`, and the profile `strict`.
//!
//! The container's files keep the ids that they have in its image: every mount of it is id-mapped.
//! So a range means something only while processes of the container live, and yet is the
//! container's for as long as its record is there: `inspect` shows it.

use std::path::{Path, PathBuf};

use dockerapi::HostConfig;
use metadata::{IdClaims, IdRange};
use oci::runtime::IdMapping;

use crate::container::Record;
use crate::{Engine, EngineError};

/// How many ids a container has: as many as programs expect, with nobody (65534) among them.
const SIZE: u32 = 65_536;

/// One place for all data directories, since ids are the host's.
const CLAIMS: &str = "/var/lib/kista/ids";

/// Where ranges come from if /etc/subuid says nothing: 8,192 of them, in the part that systemd
/// leaves to containers and that nobody gives to users.
const POOL: IdRange = IdRange { uid: 1 << 30, gid: 1 << 30, size: 1 << 29 };

/// Whose entries in /etc/subuid and /etc/subgid count: the second is what Podman uses.
const OWNERS: [&str; 2] = ["kista", "containers"];

/// A range that is given back when this is dropped, unless the container has come to be.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) range: IdRange,
    claims: IdClaims,
    owner: PathBuf,
    kept: bool,
}

impl Claimed {
    /// The container has it from now on.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if !self.kept {
            // What stays claimed is told by its missing container.
            let _ = self.claims.release(self.range, &self.owner);
        }
    }
}

impl Engine {
    /// A range for the container `id`, if its wishes ask for one.
    pub(crate) fn claim_ids(
        &self,
        id: &str,
        host: &HostConfig,
    ) -> Result<Option<Claimed>, EngineError> {
        if !bundle::has_own_ids(host)? {
            return Ok(None);
        }
        if let Some(reason) = missing(crate::launch::kernel_version()) {
            return Err(bundle::no_own_ids(host, reason).into());
        }
        let claims = self.id_claims()?;
        let owner = self.ids_owner(id);
        match claims.claim(pool(), SIZE, &owner)? {
            Some(range) => Ok(Some(Claimed { range, claims, owner, kept: false })),
            None => Err(bundle::no_own_ids(host, "all ids of the pool are taken").into()),
        }
    }

    /// Gives back what a container had, which is out of sight by now.
    pub(crate) fn release_ids(&self, id: &str, range: IdRange) -> Result<(), EngineError> {
        Ok(self.id_claims()?.release(range, &self.ids_owner(id))?)
    }

    fn id_claims(&self) -> Result<IdClaims, EngineError> {
        Ok(IdClaims::open(Path::new(CLAIMS))?)
    }

    /// The claims, if there have ever been any.
    pub(crate) fn known_id_claims(&self) -> Result<Option<IdClaims>, EngineError> {
        Path::new(CLAIMS).exists().then(|| self.id_claims()).transpose()
    }

    fn ids_owner(&self, id: &str) -> PathBuf {
        self.root().join("containers").join(id)
    }
}

/// The mappings of a record: what `bundle` takes.
pub(crate) fn mappings(record: &Record) -> Option<(Vec<IdMapping>, Vec<IdMapping>)> {
    let range = record.ids?;
    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: range.size }];
    Some((map(range.uid), map(range.gid)))
}

/// Why this kernel cannot map the ids of a container's mounts.
fn missing(kernel: (u32, u32)) -> Option<&'static str> {
    if !Path::new("/proc/self/ns/user").exists() {
        return Some("the kernel has no user namespaces");
    }
    (kernel < (5, 19)).then_some("mapping the ids of layers needs Linux 5.19")
}

/// What /etc/subuid and /etc/subgid give us, or else our own.
fn pool() -> IdRange {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    pool_of(&read("/etc/subuid"), &read("/etc/subgid")).unwrap_or(POOL)
}

fn pool_of(uids: &str, gids: &str) -> Option<IdRange> {
    OWNERS.into_iter().find_map(|owner| {
        let ((uid, users), (gid, groups)) = (row(uids, owner)?, row(gids, owner)?);
        Some(IdRange { uid, gid, size: users.min(groups) })
    })
}

/// The first row of an owner in which a container's ids fit. subuid(5).
fn row(text: &str, owner: &str) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut parts = line.trim().split(':');
        let is_it = parts.next() == Some(owner);
        let (first, count): (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        // The last number of all is no id.
        let count = count.min(u32::MAX - first);
        (is_it && count >= SIZE).then_some((first, count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_what_the_host_gives_to_containers() {
        let pool = |uids, gids| pool_of(uids, gids).map(|pool| (pool.uid, pool.gid, pool.size));
        let users = "ada:100000:65536\ncontainers:2147483647:2147483648\n";
        assert_eq!(pool(users, users), Some((2_147_483_647, 2_147_483_647, 2_147_483_648)));
        let own = "containers:1:70000\nkista:500000:10\nkista:600000:131072\n";
        assert_eq!(pool(own, own), Some((600_000, 600_000, 131_072)));
        assert_eq!(pool(own, users), Some((1, 2_147_483_647, 70_000)), "one owner for both");
        assert_eq!(pool("", own), None);
        assert_eq!(pool("kista:x:y\nada:100000:65536", own), None);
        assert_eq!(
            pool("kista:4294900000:4294967295", own),
            Some((4_294_900_000, 600_000, 67_295))
        );
    }

    #[test]
    fn kernels_that_cannot_are_told_why() {
        assert_eq!(missing((5, 19)), None);
        assert!(missing((5, 18)).is_some());
    }
}
