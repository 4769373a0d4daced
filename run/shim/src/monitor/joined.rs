//! Other containers whose namespaces a container enters: those that were meant, even if they end
//! meanwhile and their process ids go to others.

use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use sys::namespace::Kind;

use super::stage::{internal, open_target};
use crate::{Failure, Target};

/// Held until the container is made.
pub(super) struct Joined {
    others: Vec<(Pid, OwnedFd)>,
    /// What the spec names as `/proc/self/fd/N`.
    _namespaces: Vec<OwnedFd>,
}

impl Joined {
    /// Opens the namespaces that `spec` names as `/proc/PID/ns/KIND` for one of `targets`, and has
    /// it name them by descriptor.
    pub(super) fn open(spec: &mut Spec, targets: &[Target]) -> Result<Self, Failure> {
        let others: Vec<_> =
            targets.iter().map(|target| open_target(*target)).collect::<Result<_, _>>()?;
        let mut held = Vec::new();
        for namespace in spec.linux.iter_mut().flat_map(|linux| &mut linux.namespaces) {
            let Some((pid, kind)) = namespace.path.as_deref().and_then(of_process) else {
                continue;
            };
            let Some((pid, pidfd)) = others.iter().find(|(other, _)| *other == pid) else {
                continue;
            };
            let opened = sys::namespace::open(pidfd.as_fd(), *pid, kind).map_err(|error| {
                match error.raw_os_error() {
                    Some(number) if number == rustix::io::Errno::SRCH.raw_os_error() => gone(),
                    _ => internal(&format!("cannot open a namespace to join: {error}")),
                }
            })?;
            namespace.path = Some(sys::fs::fd_path(opened.as_fd()));
            held.push(opened);
        }
        Ok(Self { others, _namespaces: held })
    }

    /// Whether what was found under their numbers until now was theirs: they live.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (_, pidfd) in &self.others {
            let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut fds, Some(&now)) != Ok(0) {
                return Err(gone());
            }
        }
        Ok(())
    }
}

fn gone() -> Failure {
    internal("the container whose namespaces were to be joined has ended")
}

/// The process and the kind of `/proc/PID/ns/KIND`.
fn of_process(path: &str) -> Option<(Pid, Kind)> {
    let (pid, kind) = path.strip_prefix("/proc/")?.split_once("/ns/")?;
    Some((Pid::from_raw(pid.parse().ok()?)?, Kind::by_name(kind)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::{Linux, Namespace, NamespaceKind};

    fn spec(path: &str) -> Spec {
        let namespace = Namespace { kind: NamespaceKind::Network, path: Some(path.into()) };
        let linux = Linux { namespaces: vec![namespace], ..Linux::default() };
        Spec { linux: Some(linux), ..Spec::default() }
    }

    fn path(spec: &Spec) -> &str {
        spec.linux.as_ref().unwrap().namespaces[0].path.as_deref().unwrap()
    }

    #[test]
    fn a_namespace_is_that_of_the_process_that_was_meant() {
        let own = std::process::id();
        let target = Target::running(own).unwrap();
        let named = format!("/proc/{own}/ns/net");
        let mut ours = spec(&named);
        let joined = Joined::open(&mut ours, &[target]).unwrap();
        assert!(path(&ours).starts_with("/proc/self/fd/"), "{}", path(&ours));
        assert_eq!(std::fs::read_link(path(&ours)).unwrap(), std::fs::read_link(&named).unwrap());
        joined.check().unwrap();
        // The number is another's by now.
        let other = Target { start_time: target.start_time.map(|time| time + 1), ..target };
        assert!(Joined::open(&mut spec(&named), &[other]).is_err());
        // What is nobody's of those stays as it is.
        let mut foreign = spec("/run/netns/x");
        Joined::open(&mut foreign, &[target]).unwrap();
        assert_eq!(path(&foreign), "/run/netns/x");
    }

    #[test]
    fn one_that_ends_meanwhile_is_noticed() {
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.unwrap();
        let target = Target::running(child.id()).unwrap();
        let joined = Joined::open(&mut spec("/x"), &[target]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        joined.check().unwrap_err();
    }
}
