//! Kernel parameters of the container's own namespaces.

use std::os::fd::BorrowedFd;

use oci::runtime::{Linux, NamespaceKind};
use rustix::fs::{Mode, OFlags};

use crate::RuntimeError;
use crate::error::{Step, spec_error};
use crate::plan::Namespaces;

/// Refuses what would change the host, or leave the directory of parameters.
pub(crate) fn check(linux: &Linux, namespaces: &Namespaces<'_>) -> Result<(), RuntimeError> {
    for key in linux.sysctl.keys() {
        let field = || format!("linux.sysctl[\"{key}\"]");
        let path = path(key);
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || key.contains('\0') {
            return Err(spec_error(field(), "is not a parameter's name"));
        }
        let Some(kind) = namespace_of(&path) else {
            return Err(spec_error(field(), "belongs to no namespace and would change the host"));
        };
        if !namespaces.has(kind) {
            let problem = format!("needs a {kind:?} namespace of its own").to_lowercase();
            return Err(spec_error(field(), problem));
        }
    }
    Ok(())
}

/// `net.ipv4.ip_forward` and `net/ipv4/conf/eth0.1/forwarding` alike: whichever separator comes
/// first is the separator, and the other stands for itself with the two exchanged. sysctl(8).
fn path(key: &str) -> String {
    match key.find(['.', '/']).map(|at| key.as_bytes()[at]) {
        Some(b'.') => key
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

fn namespace_of(path: &str) -> Option<NamespaceKind> {
    match path {
        "kernel/hostname" | "kernel/domainname" => Some(NamespaceKind::Uts),
        "kernel/msgmax"
        | "kernel/msgmnb"
        | "kernel/msgmni"
        | "kernel/sem"
        | "kernel/shmall"
        | "kernel/shmmax"
        | "kernel/shmmni"
        | "kernel/shm_rmid_forced" => Some(NamespaceKind::Ipc),
        path if path.starts_with("fs/mqueue/") => Some(NamespaceKind::Ipc),
        path if path.starts_with("net/") => Some(NamespaceKind::Network),
        path if path.starts_with("user/") => Some(NamespaceKind::User),
        _ => None,
    }
}

/// Sets them, through a procfs of our own that nothing is mounted over.
pub(crate) fn set(proc: BorrowedFd<'_>, linux: &Linux) -> Result<(), RuntimeError> {
    for (key, value) in &linux.sysctl {
        let action = || format!("set sysctl {key}");
        let path = format!("sys/{}", path(key));
        let file = sys::fs::open_beneath(proc, path, OFlags::WRONLY, Mode::empty());
        let file = file.inside(action)?;
        rustix::io::write(&file, value.as_bytes()).inside(action)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths() {
        for (key, wanted) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ] {
            assert_eq!(path(key), wanted);
        }
    }

    #[test]
    fn only_parameters_of_its_own_namespaces_are_taken() {
        let check = |key: &str, kind| {
            let mut linux = Linux::default();
            linux.sysctl.insert(key.into(), "1".into());
            let namespaces = Namespaces { new: crate::plan::flag(kind), ..Namespaces::default() };
            super::check(&linux, &namespaces).is_ok()
        };
        assert!(check("net.core.somaxconn", NamespaceKind::Network));
        assert!(check("kernel/domainname", NamespaceKind::Uts));
        assert!(check("fs.mqueue.queues_max", NamespaceKind::Ipc));
        assert!(!check("net.core.somaxconn", NamespaceKind::Uts));
        for key in ["kernel.core_pattern", "vm.swappiness", "net/../kernel/core_pattern", "net..x"]
        {
            assert!(!check(key, NamespaceKind::Network), "{key}");
        }
    }
}
