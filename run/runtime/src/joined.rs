//! Namespaces that exist already, and clocks that are set before anyone lives by them.
//!
//! The caller enters them itself, for as long as the clone takes: only so does a child in a new
//! user namespace get to be in them, since by itself it has no rights over them.

use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::NamespaceKind;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::RuntimeError;
use crate::error::Step;
use crate::plan::Plan;

/// The way back to the caller's own namespaces, taken when dropped.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    own: Vec<(OwnedFd, LinkNameSpaceType)>,
    /// Root and working directory, which a change of the mount namespace replaces.
    place: Option<(OwnedFd, OwnedFd)>,
}

impl Joined {
    /// Enters what the plan joins, but for a user namespace: from there is no way back; and for a
    /// pid namespace if the process to be enters that by itself.
    pub(crate) fn enter(plan: &Plan<'_>) -> Result<Self, RuntimeError> {
        let mut joined = Self::default();
        // All files first: they are looked up in the caller's own view.
        let mut files = Vec::new();
        for &(kind, path) in &plan.namespaces.joined {
            let by_itself = kind == NamespaceKind::Pid && plan.process.crosses;
            if kind != NamespaceKind::User && !by_itself && !joins_by_itself(plan, kind) {
                files.push((kind, path, open(path)?));
            }
        }
        for (kind, path, file) in files {
            let (name, number) = names(kind);
            let own = open(&format!("/proc/self/ns/{name}"))?;
            move_into_link_name_space(file.as_fd(), Some(number)).host(|| {
                format!("join the {} namespace {path}", name.trim_end_matches("_for_children"))
            })?;
            // Only who has left has to come back, and may: an ordinary user has left none.
            joined.own.push((own, number));
        }
        if !plan.linux.time_offsets.is_empty() {
            joined.set_clocks(plan)?;
        }
        Ok(joined)
    }

    /// Goes to the mounts of process `pid`, to look at what is there as it does.
    pub(crate) fn enter_mounts_of(pid: &str) -> Result<Self, RuntimeError> {
        let theirs = open(&format!("/proc/{pid}/ns/mnt"))?;
        let ours = open("/proc/self/ns/mnt")?;
        let mut joined = Self { own: Vec::new(), place: Some((directory("/")?, directory(".")?)) };
        move_into_link_name_space(theirs.as_fd(), Some(LinkNameSpaceType::Mount))
            .host(|| format!("join the mount namespace of process {pid}"))?;
        joined.own.push((ours, LinkNameSpaceType::Mount));
        Ok(joined)
    }

    fn remember(&mut self, name: &str, kind: LinkNameSpaceType) -> Result<(), RuntimeError> {
        self.own.push((open(&format!("/proc/self/ns/{name}"))?, kind));
        Ok(())
    }

    /// A new time namespace for the child; its clocks can be set until somebody is in it.
    ///
    /// time_namespaces(7).
    fn set_clocks(&mut self, plan: &Plan<'_>) -> Result<(), RuntimeError> {
        self.remember("time", LinkNameSpaceType::Time)?;
        // To where it is already: a caller with threads could not come back, and learns it here.
        let (own, kind) = self.own.last().expect("remembered just now");
        if let Err(errno) = move_into_link_name_space(own.as_fd(), Some(*kind)) {
            self.own.pop();
            return Err(errno).host(|| "leave the time namespace (with one thread)".into());
        }
        sys::namespace::unshare(UnshareFlags::NEWTIME).host(|| "make a time namespace".into())?;
        let text =
            plan.linux.time_offsets.iter().fold(String::new(), |mut text, (clock, offset)| {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{clock} {} {}", offset.secs, offset.nanosecs);
                text
            });
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let action = || "set linux.timeOffsets".to_owned();
        let file = rustix::fs::openat(CWD, "/proc/self/timens_offsets", flags, Mode::empty());
        rustix::io::write(file.host(action)?, text.as_bytes()).host(action)?;
        Ok(())
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        for (own, kind) in self.own.drain(..).rev() {
            // The rights by which the caller left are those by which it returns. If they were
            // taken from it meanwhile, staying unnoticed in a container would be worse than the
            // end.
            if let Err(errno) = move_into_link_name_space(own.as_fd(), Some(kind)) {
                panic!("cannot return to the caller's own namespace: {errno}");
            }
        }
        let Some((root, cwd)) = self.place.take() else { return };
        let back = rustix::process::fchdir(root)
            .and_then(|()| rustix::process::chroot("."))
            .and_then(|()| rustix::process::fchdir(cwd));
        if let Err(errno) = back {
            panic!("cannot return to the caller's own directory: {errno}");
        }
    }
}

/// Whether the child enters such a namespace, since its caller could not come back: who is root in
/// a user namespace alone has no rights over the host's own others.
fn joins_by_itself(plan: &Plan<'_>, kind: NamespaceKind) -> bool {
    use NamespaceKind::{Ipc, Network, Uts};
    matches!(kind, Ipc | Network | Uts)
        && !plan.namespaces.has(NamespaceKind::User)
        && !sys::namespace::is_initial_user()
}

/// What the child enters by itself, opened in the caller's view.
pub(crate) fn for_child(
    plan: &Plan<'_>,
) -> Result<Vec<(OwnedFd, LinkNameSpaceType)>, RuntimeError> {
    let own = plan.namespaces.joined.iter().filter(|(kind, _)| joins_by_itself(plan, *kind));
    own.map(|(kind, path)| Ok((open(path)?, names(*kind).1))).collect()
}

/// A namespace to join, if there is one of that kind.
pub(crate) fn open_one(
    plan: &Plan<'_>,
    wanted: NamespaceKind,
) -> Result<Option<OwnedFd>, RuntimeError> {
    let mut joined = plan.namespaces.joined.iter();
    joined.find(|(kind, _)| *kind == wanted).map(|(_, path)| open(path)).transpose()
}

fn open(path: &str) -> Result<OwnedFd, RuntimeError> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .host(|| format!("open namespace {path}"))
}

fn directory(path: &str) -> Result<OwnedFd, RuntimeError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).host(|| format!("open directory {path}"))
}

/// The name below /proc/PID/ns, and the number that setns(2) takes.
fn names(kind: NamespaceKind) -> (&'static str, LinkNameSpaceType) {
    match kind {
        NamespaceKind::Pid => ("pid_for_children", LinkNameSpaceType::ProcessID),
        NamespaceKind::Network => ("net", LinkNameSpaceType::Network),
        NamespaceKind::Mount => ("mnt", LinkNameSpaceType::Mount),
        NamespaceKind::Ipc => ("ipc", LinkNameSpaceType::InterProcessCommunication),
        NamespaceKind::Uts => ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
        NamespaceKind::User => ("user", LinkNameSpaceType::User),
        NamespaceKind::Cgroup => ("cgroup", LinkNameSpaceType::ControlGroup),
        NamespaceKind::Time => ("time", LinkNameSpaceType::Time),
    }
}
