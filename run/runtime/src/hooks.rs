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
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use oci::runtime::{Hook, Hooks, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
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
/// What a failure means is for the caller to say. Its text has what the hook wrote.
pub fn run(point: HookPoint, hooks: Option<&Hooks>, state: &State) -> Result<(), RuntimeError> {
    for (index, hook) in point.of(hooks).iter().enumerate() {
        call(hook, state).map_err(|problem| failure(point, index, hook, problem))?;
    }
    Ok(())
}

/// Calls the hooks of one point, whatever becomes of each; gives the failures.
///
/// After the end of a container the spec wants them logged and no more.
pub fn run_all(point: HookPoint, hooks: Option<&Hooks>, state: &State) -> Vec<RuntimeError> {
    let failed = |(index, hook): (usize, &Hook)| {
        call(hook, state).err().map(|problem| failure(point, index, hook, problem))
    };
    point.of(hooks).iter().enumerate().filter_map(failed).collect()
}

fn failure(point: HookPoint, index: usize, hook: &Hook, problem: String) -> RuntimeError {
    RuntimeError::Hook { kind: point.name(), index, path: hook.path.clone(), problem }
}

fn call(hook: &Hook, state: &State) -> Result<(), String> {
    let text = |error: std::io::Error| crate::program::words(error);
    let state = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let output =
        File::from(memfd_create(c"hook", MemfdFlags::CLOEXEC).map_err(|e| text(e.into()))?);
    let (child, input) = start(hook, &output).map_err(text)?;
    let timeout = hook.timeout.map(Duration::from_secs);
    let ended = await_end(&child, input, &state, timeout).map_err(text)?;
    if !ended {
        // It may end at this instant; then this finds nobody.
        let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
    }
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    let problem = match status.map_err(|errno| text(errno.into()))? {
        _ if !ended => "took longer than its timeout".to_owned(),
        Some(status) => match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => return Ok(()),
            (Some(code), _) => format!("exit status {code}"),
            (_, signal) => signal_text(signal.unwrap_or_default()),
        },
        None => "unknown status".to_owned(),
    };
    match said(output) {
        Some(said) => Err(format!("{problem}: {said}")),
        None => Err(problem),
    }
}

/// As Go has it, in whose words scripts look for the cause.
fn signal_text(signal: i32) -> String {
    let name = match Signal::from_named_raw(signal) {
        Some(Signal::ABORT) => "aborted",
        Some(Signal::KILL) => "killed",
        Some(Signal::PIPE) => "broken pipe",
        Some(Signal::SEGV) => "segmentation fault",
        Some(Signal::SYS) => "bad system call",
        Some(Signal::TERM) => "terminated",
        _ => return format!("signal: {signal}"),
    };
    format!("signal: {name}")
}

/// The first kilobytes of what a hook wrote.
fn said(mut output: File) -> Option<String> {
    let mut bytes = Vec::new();
    output.rewind().and_then(|()| output.take(4096).read_to_end(&mut bytes)).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Starts a hook; what is written to the pipe is what it reads.
fn start(hook: &Hook, output: &File) -> std::io::Result<(Child, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let path = string(&hook.path)?;
    let args =
        strings(if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args })?;
    let env = strings(&hook.env)?;
    let fds = [(reader.as_fd(), 0), (output.as_fd(), 1), (output.as_fd(), 2)];
    let child = sys::process::spawn(&Spawn {
        program: Program::Path(&path),
        args: &args.iter().map(CString::as_c_str).collect::<Vec<_>>(),
        env: &env.iter().map(CString::as_c_str).collect::<Vec<_>>(),
        fds: &fds,
        new_session: false,
        death_signal: Some(Signal::KILL),
    })?;
    Ok((child, writer))
}

/// Hands over the state and waits; whether the hook ended in time.
///
/// A state with many annotations is larger than a pipe, and a hook need not read it: its end and
/// its time are waited for while there is something left to write.
fn await_end(
    child: &Child,
    input: OwnedFd,
    mut state: &[u8],
    timeout: Option<Duration>,
) -> std::io::Result<bool> {
    // Ours alone: the other end, which the hook has, blocks as ever.
    rustix::io::ioctl_fionbio(&input, true)?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut input = Some(input);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = Vec::with_capacity(2);
        fds.push(PollFd::new(&child.pidfd, PollFlags::IN));
        fds.extend(input.iter().map(|input| PollFd::new(input, PollFlags::OUT)));
        match poll(&mut fds, limit.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(true),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        drop(fds);
        let Some(end) = &input else { continue };
        match rustix::io::write(end, state) {
            Ok(count) => state = &state[count..],
            Err(Errno::AGAIN | Errno::INTR) => continue,
            // It reads no more, and has its reasons.
            Err(_) => state = &[],
        }
        if state.is_empty() {
            input = None;
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
        call_with(script, timeout, std::collections::BTreeMap::new())
    }

    fn call_with(
        script: &str,
        timeout: Option<u64>,
        annotations: std::collections::BTreeMap<String, String>,
    ) -> Result<(), String> {
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
            annotations,
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
        assert_eq!(
            call_shell("echo a; echo b >&2; exit 2", None).unwrap_err(),
            "exit status 2: a\nb"
        );
    }

    #[test]
    fn failures_and_timeouts_are_told_apart() {
        assert_eq!(call_shell("exit 3", Some(10)).unwrap_err(), "exit status 3");
        assert_eq!(call_shell("kill -TERM $$", None).unwrap_err(), "signal: terminated");
        assert_eq!(call_shell("sleep 60", Some(1)).unwrap_err(), "took longer than its timeout");
    }

    #[test]
    fn a_state_larger_than_a_pipe_stops_nobody() {
        let large = || [("large".to_owned(), "x".repeat(300_000))].into();
        let error = call_with("sleep 60", Some(1), large()).unwrap_err();
        assert_eq!(error, "took longer than its timeout");
        call_with("exit 0", None, large()).unwrap();
        call_with("head -c 9 >/dev/null; exec <&-; sleep 0.1", None, large()).unwrap();
        call_with("[ $(wc -c) -gt 300000 ]", None, large()).unwrap();
    }
}
