//! Programs that are called at the turning points of a container's life.
//!
//! ```text
//! prestart, createRuntime   by the caller, before pivot_root
//! createContainer           by the child, before pivot_root: host's paths, container's namespaces
//! startContainer            by the child, after "go": all the container's
//! poststart, poststop       by whoever starts and deletes: see [`run`]
//! ```
//!
//! A hook gets the environment that the spec gives it and nothing else, and the state on its
//! standard input: nothing of an image's configuration reaches a program of the host
//! (CVE-2025-23266). runtime-spec 1.3.0, config.md, "POSIX-platform Hooks".

use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use oci::runtime::{Hook, Hooks, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use sys::process::{Child, Program, Spawn};

use crate::error::spec_error;
use crate::{Container, RuntimeError};

/// One of the points at which hooks are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// Deprecated; with `CreateRuntime`, before it.
    Prestart,
    /// In the caller's namespaces, before the root is entered.
    CreateRuntime,
    /// In the container's namespaces, before the root is entered.
    CreateContainer,
    /// In the container, before its program.
    StartContainer,
    /// After the program has started.
    Poststart,
    /// After the container was deleted.
    Poststop,
}

impl HookPoint {
    /// Every point, in the order of a container's life.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The name of the field in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The hooks of a spec for this point.
    pub fn of(self, hooks: Option<&Hooks>) -> &[Hook] {
        let Some(hooks) = hooks else { return &[] };
        match self {
            Self::Prestart => &hooks.prestart,
            Self::CreateRuntime => &hooks.create_runtime,
            Self::CreateContainer => &hooks.create_container,
            Self::StartContainer => &hooks.start_container,
            Self::Poststart => &hooks.poststart,
            Self::Poststop => &hooks.poststop,
        }
    }
}

/// Refuses hooks that cannot be called.
pub(crate) fn check(hooks: Option<&Hooks>, has_bundle: bool) -> Result<(), RuntimeError> {
    for point in HookPoint::ALL {
        for (index, hook) in point.of(hooks).iter().enumerate() {
            let field = |name: &str| format!("hooks.{}[{index}].{name}", point.name());
            if !hook.path.starts_with('/') {
                return Err(spec_error(field("path"), "is not absolute"));
            }
            let mut texts = hook.args.iter().chain(&hook.env).chain([&hook.path]);
            if texts.any(|text| text.contains('\0')) {
                return Err(spec_error(field("args"), "has a zero byte in it"));
            }
            if hook.timeout == Some(0) {
                return Err(spec_error(field("timeout"), "is not more than zero"));
            }
            if !has_bundle {
                return Err(spec_error(field("path"), "hooks are called for bundles only"));
            }
        }
    }
    Ok(())
}

/// What hooks are told.
pub(crate) fn state(
    container: &Container<'_>,
    bundle: Option<&Path>,
    status: &str,
    pid: i32,
) -> State {
    State {
        oci_version: oci::runtime::VERSION.into(),
        id: container.id.into(),
        status: status.into(),
        pid: Some(pid),
        bundle: bundle.map(|path| path.display().to_string()).unwrap_or_default(),
        annotations: container.spec.annotations.clone(),
    }
}

/// Calls the hooks of one point, one after the other, and stops at the first that fails.
///
/// What a failure means is for the caller to say: after `Poststart` and `Poststop` the spec wants
/// it logged and no more.
pub fn run(point: HookPoint, hooks: Option<&Hooks>, state: &State) -> Result<(), RuntimeError> {
    for hook in point.of(hooks) {
        call(hook, state).map_err(|problem| RuntimeError::Hook {
            kind: point.name(),
            path: hook.path.clone(),
            problem,
        })?;
    }
    Ok(())
}

fn call(hook: &Hook, state: &State) -> Result<(), String> {
    let text = |error: std::io::Error| crate::program::words(error);
    let state = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let child = start(hook, &state).map_err(text)?;
    let ended = await_end(&child, hook.timeout.map(Duration::from_secs)).map_err(text)?;
    if !ended {
        // It may end at this instant; then this finds nobody.
        let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
    }
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    match status.map_err(|errno| text(errno.into()))? {
        _ if !ended => Err("took longer than its timeout".into()),
        Some(status) => match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(format!("exit status {code}")),
            (_, signal) => Err(format!("signal {}", signal.unwrap_or_default())),
        },
        None => Err("unknown status".into()),
    }
}

fn start(hook: &Hook, state: &[u8]) -> std::io::Result<Child> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // Output goes nowhere: it is nobody's that would read it.
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = null.ok();
    let path = string(&hook.path)?;
    let args =
        strings(if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args })?;
    let env = strings(&hook.env)?;
    let mut fds = vec![(reader.as_fd(), 0)];
    if let Some(null) = &null {
        fds.extend([(null.as_fd(), 1), (null.as_fd(), 2)]);
    }
    let child = sys::process::spawn(&Spawn {
        program: Program::Path(&path),
        args: &args.iter().map(CString::as_c_str).collect::<Vec<_>>(),
        env: &env.iter().map(CString::as_c_str).collect::<Vec<_>>(),
        fds: &fds,
        new_session: false,
        death_signal: Some(Signal::KILL),
    })?;
    drop(reader);
    // A state is far smaller than a pipe; a hook that does not read it has its reasons.
    let _ = std::fs::File::from(writer).write_all(state);
    Ok(child)
}

/// Whether it ended in time.
fn await_end(child: &Child, timeout: Option<Duration>) -> std::io::Result<bool> {
    let limit = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    });
    loop {
        let mut fds = [PollFd::new(&child.pidfd, PollFlags::IN)];
        match poll(&mut fds, limit.as_ref()) {
            // Signals are rare here, and a hook's time is not measured finely.
            Err(rustix::io::Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

fn string(text: &str) -> std::io::Result<CString> {
    CString::new(text).map_err(|_| std::io::ErrorKind::InvalidInput.into())
}

fn strings(texts: &[String]) -> std::io::Result<Vec<CString>> {
    texts.iter().map(|text| string(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_shell(script: &str, timeout: Option<u64>) -> Result<(), String> {
        let hook = Hook {
            path: "/bin/sh".into(),
            args: ["sh", "-c", script].map(String::from).to_vec(),
            env: vec!["ONLY=this".into()],
            timeout,
        };
        let state = State {
            oci_version: oci::runtime::VERSION.into(),
            id: "some-id".into(),
            status: "creating".into(),
            pid: Some(42),
            bundle: "/bundle".into(),
            annotations: std::collections::BTreeMap::new(),
        };
        call(&hook, &state)
    }

    #[test]
    fn a_hook_reads_the_state_and_has_its_own_environment_only() {
        call_shell(
            "grep -q '\"id\":\"some-id\"' && [ \"$ONLY\" = this ] && [ -z \"$HOME\" ]",
            None,
        )
        .unwrap();
        call_shell("exec <&-; sleep 0.1", None).unwrap();
    }

    #[test]
    fn failures_and_timeouts_are_told_apart() {
        assert_eq!(call_shell("exit 3", Some(10)).unwrap_err(), "exit status 3");
        assert_eq!(call_shell("kill -TERM $$", None).unwrap_err(), "signal 15");
        assert_eq!(call_shell("sleep 60", Some(1)).unwrap_err(), "took longer than its timeout");
    }
}
