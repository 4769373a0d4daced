//! Network devices of the host that go to a container.
//!
//! The caller moves them, into the network that the child has made or joined, and gives them back
//! what the move takes from them: addresses, and being up. What becomes of them at the end is the
//! kernel's affair. runtime-spec 1.3.0, config-linux.md, "Network Devices".

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use oci::runtime::{NamespaceKind, NetDevice};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::RuntimeError;
use crate::error::{Step, spec_error};
use crate::plan::Namespaces;
use crate::rtnetlink::Rtnetlink;

/// The longest name that the kernel takes.
const LONGEST: usize = 15;

/// Refuses what cannot be moved.
pub(crate) fn check(
    devices: &BTreeMap<String, NetDevice>,
    namespaces: &Namespaces<'_>,
) -> Result<(), RuntimeError> {
    if !devices.is_empty() && !namespaces.has(NamespaceKind::Network) {
        return Err(spec_error("linux.netDevices", "need a network namespace of its own"));
    }
    for (name, device) in devices {
        if !is_name(name) {
            return Err(spec_error("linux.netDevices", format!("\"{name}\" is no device's name")));
        }
        let inside = device.name.as_deref().unwrap_or_default();
        if !inside.is_empty() && !is_name(inside.strip_suffix("%d").unwrap_or(inside)) {
            let field = format!("linux.netDevices[\"{name}\"].name");
            return Err(spec_error(field, format!("\"{inside}\" is no device's name")));
        }
    }
    Ok(())
}

/// As the kernel has it: `dev_valid_name`.
fn is_name(name: &str) -> bool {
    let forbidden =
        |letter: char| letter.is_whitespace() || matches!(letter, '/' | ':' | '\0' | '%');
    !name.is_empty()
        && name.len() <= LONGEST
        && !matches!(name, "." | "..")
        && !name.contains(forbidden)
}

/// Moves all, from the caller's network to that of `namespace`.
pub(crate) fn move_all(
    devices: &BTreeMap<String, NetDevice>,
    namespace: BorrowedFd<'_>,
) -> Result<(), RuntimeError> {
    let here = Rtnetlink::open().host(|| "ask for network devices".into())?;
    let there = open_there(namespace)?;
    for (name, device) in devices {
        let inside = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
        let action = || format!("move network device {name} into the container as {inside}");
        let links = here.links().host(action)?;
        let Some(link) = links.into_iter().find(|link| link.name == *name) else {
            let field = format!("linux.netDevices[\"{name}\"]");
            return Err(spec_error(field, "there is no such device"));
        };
        let mut addresses = here.addresses().host(action)?;
        addresses.retain(|one| one.index == link.index && one.is_global_and_permanent);
        let before = there.links().host(action)?;
        here.move_link(link.index, namespace.as_raw_fd(), inside).host(action)?;
        // Its number, and with `%d` its name, are for the kernel to choose.
        let moved = there.links().host(action)?.into_iter().find(|link| !before.contains(link));
        let moved = moved.ok_or(rustix::io::Errno::NODEV).host(action)?;
        for address in &addresses {
            there.add_address(moved.index, address).host(action)?;
        }
        there.set_up(moved.index).host(action)?;
    }
    Ok(())
}

/// A socket in another network; the caller's thread is there for an instant.
fn open_there(namespace: BorrowedFd<'_>) -> Result<Rtnetlink, RuntimeError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = rustix::fs::openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty())
        .host(|| "open the network namespace".into())?;
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace, kind).host(|| "enter the container's network".into())?;
    let opened = Rtnetlink::open();
    move_into_link_name_space(own.as_fd(), kind)
        .host(|| "return to the caller's network namespace".into())?;
    opened.host(|| "ask for the container's network devices".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_kernel_takes() {
        for name in ["eth0", "a", "fifteen-letters", "wlp3s0.100"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "..", "a/b", "a b", "sixteen-letters!", "eth%d", "a:1"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
