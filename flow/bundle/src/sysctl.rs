//! `--sysctl`: kernel parameters of the container's own namespaces, and no others.

use std::collections::BTreeMap;

use crate::BundleError;
use crate::namespaces::Sharing;

/// Names of the IPC namespace.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// Checks all of `sysctls`; what they would set must belong to a namespace that the container
/// does not share with the host (CVE-2022-0532), and neither name nor value may hold bytes that
/// end a line, a path or a list (CVE-2022-0811).
pub(crate) fn check(
    sysctls: &BTreeMap<String, String>,
    sharing: &Sharing,
) -> Result<(), BundleError> {
    for (name, value) in sysctls {
        if !is_name(name) {
            return Err(BundleError::invalid(format!("sysctl '{name}' is not allowed")));
        }
        let (shared, flag) = if name.starts_with("net.") {
            (sharing.host_network, "network")
        } else if name.starts_with("fs.mqueue.") || IPC.contains(&name.as_str()) {
            (sharing.host_ipc, "ipc")
        } else if matches!(name.as_str(), "kernel.domainname" | "kernel.hostname") {
            // The spec has words of its own for these two.
            return Err(BundleError::invalid(format!(
                "sysctl '{name}' is not allowed: use --hostname or --domainname"
            )));
        } else {
            return Err(BundleError::invalid(format!("sysctl '{name}' is not allowed")));
        };
        if shared {
            return Err(BundleError::conflict(format!(
                "sysctl '{name}' is not allowed in the host's {flag} namespace"
            )));
        }
        if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(BundleError::invalid(format!(
                "invalid value {value:?} for sysctl '{name}'"
            )));
        }
    }
    Ok(())
}

/// Parts of letters, digits, `_` and `-`, joined by dots; an interface's dots are written as
/// slashes, as sysctl(8) does, of which none may make a part `..`.
fn is_name(name: &str) -> bool {
    name.split(['.', '/']).all(|part| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-@:".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(name: &str, value: &str, sharing: &Sharing) -> Result<(), BundleError> {
        check(&[(name.to_owned(), value.to_owned())].into(), sharing)
    }

    #[test]
    fn only_namespaced_ones() {
        let own = Sharing::default();
        for good in [
            "net.core.somaxconn",
            "net.ipv4.conf.eth0/1.rp_filter",
            "kernel.sem",
            "fs.mqueue.msg_max",
        ] {
            one(good, "1 2\t3", &own).unwrap();
        }
        for bad in [
            "",
            "vm.swappiness",
            "kernel.core_pattern",
            "kernel.shm",
            "kernel.sem.x",
            "net",
            "net.",
            "net..x",
            "net.../kernel/core_pattern",
            "net./../kernel.core_pattern",
            "net.a+b",
            "net.a=b",
            "net.a\n",
            "net.a\0",
            "kernel.hostname",
            "Net.x",
            "user.max_user_namespaces",
        ] {
            assert!(one(bad, "1", &own).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_of_one_line() {
        for bad in ["", "1\n", "1\0", "\r"] {
            assert!(one("kernel.sem", bad, &Sharing::default()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn never_the_hosts() {
        let host = Sharing { host_network: true, host_ipc: true };
        for name in ["net.core.somaxconn", "kernel.sem", "fs.mqueue.msg_max"] {
            assert!(one(name, "1", &host).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_stays_in_its_namespace(name in "(net|kernel|fs|mqueue|sem|[./a]){1,6}") {
            if one(&name, "1", &Sharing::default()).is_ok() {
                prop_assert!(name.starts_with("net.") || name.starts_with("fs.mqueue.") || IPC.contains(&name.as_str()));
                prop_assert!(!name.contains(".."));
            }
        }
    }
}
