//! Control groups of this machine, and a drawing of version 2.
//!
//! Tests of the real ones need root. Each works below a parent of its own, which is removed when
//! the test ends; a test that was killed leaves `kista-test-*` behind, which
//! `rmdir /sys/fs/cgroup/*/kista-test-*/* /sys/fs/cgroup/*/kista-test-*` removes.

#![allow(clippy::unwrap_used, reason = "helpers outside of #[test] functions are tests too")]

mod drawing;
mod hybrid;
mod real;
mod systemd;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cgroups::{Cgroup, CgroupPath, Hierarchy, JoinHandle, Options};
use oci::runtime::Resources;
use sys::process::{Child, CloneFlags, clone};

pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A parent for one test's groups.
pub(crate) struct Parent {
    pub(crate) hierarchy: Hierarchy,
    path: CgroupPath,
}

impl Parent {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("kista-test-{}-{number}", std::process::id());
        Self { hierarchy: Hierarchy::detect().unwrap(), path: CgroupPath::new(&path).unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> CgroupPath {
        self.path.join(name).unwrap()
    }

    pub(crate) fn create(&self, name: &str, resources: &Resources) -> Cgroup {
        self.hierarchy.create(&self.path(name), resources, &Options::default()).unwrap()
    }

    pub(crate) fn children(&self) -> Vec<String> {
        self.hierarchy.children(&self.path).unwrap()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if let Ok(group) = self.hierarchy.open(&self.path) {
            let _ = group.kill(PATIENCE);
            let removed = group.remove(PATIENCE);
            assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
        }
    }
}

/// A child that enters a group as a runtime's does, and then runs `then`.
pub(crate) fn enter(handle: &JoinHandle, then: impl FnOnce() -> i32) -> Child {
    clone(CloneFlags::empty(), handle.clone_into(), || match handle.join() {
        Ok(()) => then(),
        Err(_) => 99,
    })
    .unwrap()
}

/// What a child that sleeps for ever does.
pub(crate) fn sleep() -> i32 {
    loop {
        let long = rustix::time::Timespec { tv_sec: 1000, tv_nsec: 0 };
        let _ = rustix::thread::nanosleep(&long);
    }
}

/// Waits for the end of a child: its exit code, or minus the signal that killed it.
pub(crate) fn wait(child: &Child) -> i32 {
    let (_, status) =
        rustix::process::waitpid(Some(child.pid), rustix::process::WaitOptions::empty())
            .unwrap()
            .unwrap();
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| -signal)).unwrap()
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
