//! Capabilities: `--cap-add` and `--cap-drop` over a profile's set.

use crate::{BundleError, HostFacts};

/// Names by number, as of Linux 6.18. capabilities(7), include/uapi/linux/capability.h.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A set, bit n for capability n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CapSet(u64);

impl CapSet {
    /// The set of these full names.
    pub(crate) const fn of(names: &[&str]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < names.len() {
            bits |= 1 << number(names[at]);
            at += 1;
        }
        Self(bits)
    }

    /// What the host can give, of what is known here.
    pub(crate) fn of_host(facts: &HostFacts) -> Self {
        Self(facts.capabilities & ((1 << NAMES.len()) - 1))
    }

    /// Full names, by number.
    pub(crate) fn names(self) -> Vec<String> {
        let there = |at: &usize| self.0 & (1 << at) != 0;
        (0..NAMES.len()).filter(there).map(|at| NAMES[at].to_owned()).collect()
    }

    pub(crate) fn contains(self, name: &str) -> bool {
        by_name(name).is_some_and(|at| self.0 & (1 << at) != 0)
    }
}

/// Panics, at compile time, for a name that is not in the list.
const fn number(name: &str) -> usize {
    let mut at = 0;
    while at < NAMES.len() {
        if same(NAMES[at].as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("no such capability")
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

fn by_name(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

/// A list of a user's: the named ones, and whether `ALL` is among them.
struct Named {
    set: CapSet,
    all: bool,
}

impl Named {
    /// Names in any case, with or without `CAP_`. Unknown ones, and ones that the host cannot
    /// give, are errors.
    fn parse(field: &str, names: &[String], host: CapSet) -> Result<Self, BundleError> {
        let mut named = Self { set: CapSet::default(), all: false };
        for text in names {
            let upper = text.to_ascii_uppercase();
            if upper == "ALL" {
                named.all = true;
                continue;
            }
            let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
            let Some(at) = by_name(&full) else {
                return Err(BundleError::invalid(format!(
                    "invalid {field}: unknown capability: {full:?}"
                )));
            };
            if !host.contains(&full) {
                return Err(BundleError::invalid(format!(
                    "invalid {field}: capability not supported by your kernel or not available in \
                     the current environment: {full:?}"
                )));
            }
            named.set.0 |= 1 << at;
        }
        Ok(named)
    }
}

/// What a container gets. `base` is the profile's set, of which what the host lacks is left out.
///
/// `ALL` among the added ones is all of the host's but the dropped ones; `ALL` among the dropped
/// ones leaves only the added ones.
pub(crate) fn resolve(
    base: CapSet,
    add: &[String],
    drop: &[String],
    host: CapSet,
) -> Result<CapSet, BundleError> {
    let add = Named::parse("CapAdd", add, host)?;
    let drop = Named::parse("CapDrop", drop, host)?;
    Ok(CapSet(if add.all {
        host.0 & !drop.set.0
    } else if drop.all {
        add.set.0
    } else {
        base.0 & host.0 & !drop.set.0 | add.set.0
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: CapSet = CapSet(((1 << 41) - 1) & !(1 << 24)); // all but CAP_SYS_RESOURCE
    const BASE: CapSet = CapSet::of(&["CAP_CHOWN", "CAP_KILL"]);

    fn check(add: &[&str], drop: &[&str]) -> Result<Vec<String>, String> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<_>>();
        match resolve(BASE, &list(add), &list(drop), HOST) {
            Ok(set) => Ok(set.names()),
            Err(err) => Err(err.to_string()),
        }
    }

    #[test]
    fn names_and_all() {
        assert_eq!(check(&[], &[]).unwrap(), ["CAP_CHOWN", "CAP_KILL"]);
        assert_eq!(check(&["net_admin"], &["CAP_KILL"]).unwrap(), ["CAP_CHOWN", "CAP_NET_ADMIN"]);
        assert_eq!(check(&["KILL"], &["all"]).unwrap(), ["CAP_KILL"]);
        assert_eq!(check(&[], &["ALL"]).unwrap(), Vec::<String>::new());
        assert_eq!(check(&["KILL"], &["KILL"]).unwrap(), ["CAP_CHOWN", "CAP_KILL"]);
        let all = check(&["ALL"], &["SYS_ADMIN"]).unwrap();
        assert_eq!(all.len(), 39);
        assert!(!all.contains(&"CAP_SYS_ADMIN".to_owned()));
    }

    #[test]
    fn unknown_ones_are_refused() {
        assert_eq!(
            check(&["nope"], &[]).unwrap_err(),
            "invalid CapAdd: unknown capability: \"CAP_NOPE\""
        );
        assert_eq!(check(&[], &[""]).unwrap_err(), "invalid CapDrop: unknown capability: \"CAP_\"");
        assert_eq!(
            check(&["SYS_RESOURCE"], &[]).unwrap_err(),
            "invalid CapAdd: capability not supported by your kernel or not available in the \
             current environment: \"CAP_SYS_RESOURCE\""
        );
    }

    #[test]
    fn names_are_in_the_kernels_order() {
        for (name, number) in [("CAP_CHOWN", 0), ("CAP_SYS_ADMIN", 21), ("CAP_BPF", 39)] {
            assert_eq!(by_name(name), Some(number));
        }
    }
}
