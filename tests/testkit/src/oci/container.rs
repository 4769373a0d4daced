//! A container of the runtime under test.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::bundle::Bundle;
use super::cgroup::{self, Cgroup};
use super::runtime::Runtime;
use crate::process::Output;
use crate::wait_until;

/// runtime-spec, runtime.md, "State"; and `Paused`, which every runtime has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

/// A container; deleted by force when it is dropped, and then nothing of it may be left.
#[derive(Debug)]
pub struct Container {
    runtime: Runtime,
    id: String,
    cgroup: String,
    _bundle: Arc<TempDir>,
}

impl Container {
    pub(super) fn new(runtime: Runtime, id: String, bundle: &Bundle) -> Self {
        Self { runtime, id, cgroup: bundle.cgroup().to_owned(), _bundle: bundle.hold() }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A command of its runtime.
    #[track_caller]
    pub fn runtime(&self, arguments: &[&str]) -> Output {
        self.runtime.call(arguments)
    }

    /// `start`, which must succeed.
    #[track_caller]
    pub fn start(&self) {
        self.runtime(&["start", &self.id]).ok();
    }

    /// `kill` with a signal, which must succeed.
    #[track_caller]
    pub fn kill(&self, signal: &str) {
        self.runtime(&["kill", &self.id, signal]).ok();
    }

    /// `delete`, which must succeed.
    #[track_caller]
    pub fn delete(&self) {
        self.runtime(&["delete", &self.id]).ok();
    }

    /// `state`, which must succeed.
    #[track_caller]
    pub fn state(&self) -> Value {
        let text = self.runtime(&["state", &self.id]).ok();
        serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in {text}"))
    }

    /// Its status.
    #[track_caller]
    pub fn status(&self) -> Status {
        let state = self.state();
        match state["status"].as_str() {
            Some("creating") => Status::Creating,
            Some("created") => Status::Created,
            Some("running") => Status::Running,
            Some("paused") => Status::Paused,
            Some("stopped") => Status::Stopped,
            _ => panic!("status: {state}"),
        }
    }

    /// Waits for a status.
    #[track_caller]
    pub fn wait_until(&self, status: Status) {
        wait_until(&format!("status {status:?}"), || (self.status() == status).then_some(()));
    }

    /// Starts it and waits for its end; gives what it wrote.
    #[track_caller]
    pub fn finish(&self) -> String {
        self.start();
        self.wait_until(Status::Stopped);
        self.stdout()
    }

    /// The first process, as the host sees it.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        let state = self.state();
        let pid = state["pid"].as_i64().unwrap_or_else(|| panic!("pid: {state}"));
        i32::try_from(pid).unwrap()
    }

    /// What it has written to its standard output.
    pub fn stdout(&self) -> String {
        self.stream("out")
    }

    /// What it, and `create`, have written to their standard error.
    pub fn stderr(&self) -> String {
        self.stream("err")
    }

    fn stream(&self, name: &str) -> String {
        let bytes = fs::read(self.runtime.stream(&self.id, name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
    }

    /// Waits until it has written `text` to its standard output.
    #[track_caller]
    pub fn wait_for_output(&self, text: &str) {
        wait_until(&format!("{text:?} in {:?}, {:?}", self.stdout(), self.stderr()), || {
            self.stdout().contains(text).then_some(())
        });
    }

    /// `exec` of a program.
    #[track_caller]
    pub fn exec(&self, arguments: &[&str]) -> Output {
        self.exec_with(&[], arguments)
    }

    /// `exec` with flags.
    #[track_caller]
    pub fn exec_with(&self, flags: &[&str], arguments: &[&str]) -> Output {
        self.runtime(&[&["exec"], flags, &[&self.id], arguments].concat())
    }

    /// Its cgroups, from the host.
    pub fn cgroup(&self) -> Cgroup {
        Cgroup::of(self.pid())
    }

    /// A file of the process's folder in the host's /proc.
    #[track_caller]
    pub fn proc(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid());
        fs::read_to_string(&path).unwrap_or_else(|err| panic!("{path}: {err}"))
    }

    /// The runtime that has it.
    pub fn of(&self) -> &Runtime {
        &self.runtime
    }

    /// A descriptor of the process, so that it can be looked at after its end.
    pub fn pidfd(&self) -> OwnedFd {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let out = self.runtime.call(&["delete", "--force", &self.id]);
        if !std::thread::panicking() {
            let left = self.runtime.call(&["state", &self.id]);
            assert_ne!(left.code, 0, "delete --force left the container: {out:?}, {left:?}");
            if !self.cgroup.is_empty() {
                cgroup::assert_gone(&self.cgroup);
            }
        }
    }
}
