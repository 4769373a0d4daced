//! `exec`: a further process in a running container.

use std::os::fd::AsFd as _;

use cgroups::{Cgroup, CgroupError};
use oci::runtime::{Process, Seccomp, Spec};
use runtime::{Created, Exec, Listener, Options, Parent, Stdio, Target};

use crate::Context;
use crate::args::{Parsed, Trailing, switch, valued};
use crate::bundle;
use crate::cgroup;
use crate::command::{Command, create, start};
use crate::error::{OciError, Step};
use crate::exit::Exit;
use crate::fds::Preserved;
use crate::launch::Receivers;
use crate::pid_file;
use crate::status::{self, Status};
use crate::store::Record;
use crate::terminal::Relay;
use crate::trace;
use crate::wait::Held;

pub(crate) const EXEC: Command = Command {
    arguments: "<container-id> <command> [arguments...] || -p process.json <container-id>",
    flags: &[
        create::CONSOLE,
        create::PIDFD,
        valued(&["cwd"], "DIR", "working directory in the container"),
        valued(&["env", "e"], "NAME=VALUE", "set environment variables"),
        switch(&["tty", "t"], "give the process a terminal of its own"),
        valued(&["user", "u"], "UID[:GID]", "who the process runs as"),
        valued(&["additional-gids", "g"], "GID", "supplementary groups"),
        valued(&["process", "p"], "FILE", "file with the process in JSON"),
        switch(&["detach", "d"], "do not wait for the process's end"),
        create::PID_FILE,
        valued(&["process-label"], "LABEL", "SELinux label of the process"),
        valued(&["apparmor"], "PROFILE", "AppArmor profile of the process"),
        switch(&["no-new-privs"], "set no_new_privs"),
        valued(&["cap", "c"], "CAP", "add a capability"),
        create::PRESERVE,
        valued(&["cgroup"], "[CONTROLLER,...:]PATH", "run in an existing cgroup below"),
        switch(&["ignore-paused"], "also in a container that is paused"),
    ],
    trailing: Trailing::Foreign,
    counts: (1, usize::MAX),
    enters: true,
    failure: Some("exec failed"),
    failure_code: 255,
    ..Command::plain("exec", "execute a further process in a container", run)
};

/// personality(2).
const PER_LINUX32: u32 = 8;

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let pid_file = pid_file::path(parsed)?;
    let entry = context.store.open(parsed.id())?;
    let record = entry.record()?;
    let (status, alive) = status::look(&entry, record.as_ref())?;
    let (Some(record), Some(alive)) = (record, alive) else {
        return Err(OciError::State("cannot exec in a stopped container".into()));
    };
    if status == Status::Paused && !parsed.is_on("ignore-paused") {
        let text = "cannot exec in a paused container (use --ignore-paused to override)";
        return Err(OciError::State(text.into()));
    }
    let spec = entry.spec()?;
    let mut process = process(parsed, &spec)?;
    bundle::tidy_environment(&mut process);
    let stays = !parsed.is_on("detach");
    let preserved = Preserved::take(parsed, false)?;
    let receivers = Receivers::connect(parsed, process.terminal, stays)?;
    let filter = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let filter =
        filter.map(|filter| seccomp::compile(filter, seccomp::Arch::NATIVE)).transpose()?;
    let attacher = cgroup::Attacher::of(record.unit.as_deref())?;
    if attacher.is_some() && parsed.text("cgroup").is_some() {
        let text =
            "--cgroup is not supported where systemd moves the process: it knows whole units";
        return Err(OciError::Unsupported(text.into()));
    }
    let group = if attacher.is_some() { None } else { group(parsed, &record)? };
    let rdt = record.resctrl.as_ref().and_then(resctrl::Place::open);
    let personality = spec.linux.as_ref().and_then(|linux| linux.personality.as_ref());
    if personality.is_some_and(|personality| personality.domain == "LINUX32") {
        // It is inherited; nothing of ours depends on it.
        sys::schedule::set_personality(PER_LINUX32).to(|| "set linux.personality".into())?;
    }
    let held = if stays { Some(Held::new()?) } else { None };
    let fds: Vec<_> = preserved.fds.iter().map(|fd| fd.as_fd()).collect();
    let request = Exec {
        target: Target { pid: alive.pid, pidfd: alive.pidfd.as_fd() },
        process: &process,
        seccomp: filter.as_ref(),
        cgroup: group.as_ref(),
        resctrl: rdt.as_ref(),
        memory_policy: spec.linux.as_ref().and_then(|linux| linux.memory_policy.as_ref()),
        stdio: if process.terminal { Stdio::Terminal { size: None } } else { Stdio::Inherit },
        parent: Parent::Own,
        death_signal: None,
        preserved: &fds,
        options: Options { set_home: true, ..Options::default() },
    };
    trace::setup(&context.log, filter.as_ref());
    let created = match spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) {
        Some(Seccomp { listener_path: Some(path), listener_metadata, .. }) => {
            let metadata = listener_metadata.as_deref().unwrap_or_default();
            let state = &start::hook_state(&entry.id, &record, Status::Running, None);
            runtime::exec_notifying(&request, &Listener { path, metadata, state })?
        }
        _ => runtime::exec(&request)?,
    };
    if let Some(attacher) = &attacher {
        // It has yet to execute its program.
        attacher.attach(created.pid).to(|| "move the process into the cgroup".into())?;
    }
    for warning in &created.warnings {
        context.log.warn(warning);
    }
    trace::waits(&context.log, created.pid);
    receivers.serve(&created)?;
    if let Some(path) = &pid_file {
        pid_file::write(path, created.pid)?;
    }
    let Created { pid, pidfd, console, start, .. } = created;
    let mut relay = match (stays, console) {
        (true, Some(console)) => Some(Relay::new(console)?),
        _ => None,
    };
    trace::execute(&context.log, pid, &process);
    start.start()?;
    match held {
        None => Ok(Exit::SUCCESS),
        Some(held) => held.wait(pid, pidfd.as_fd(), relay.as_mut(), None).map(Exit::Code),
    }
}

/// What is run: from a file, or the container's own process with another command line.
fn process(parsed: &Parsed, spec: &Spec) -> Result<Process, OciError> {
    if let Some(path) = parsed.some("process") {
        return bundle::load_process(path);
    }
    let mut process = spec.process.clone().unwrap_or_default();
    let Some((_, args)) = parsed.args.split_first().filter(|(_, args)| !args.is_empty()) else {
        return Err(OciError::Usage("exec args cannot be empty".into()));
    };
    process.args = args.to_vec();
    if let Some(cwd) = parsed.some("cwd") {
        process.cwd = cwd.to_owned();
    }
    if let Some(profile) = parsed.some("apparmor") {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(label) = parsed.some("process-label") {
        process.selinux_label = Some(label.to_owned());
    }
    process.env.extend(parsed.list("env").map(str::to_owned));
    process.terminal = parsed.is_on("tty");
    if let Some(on) = parsed.switch("no-new-privs") {
        process.no_new_privileges = on;
    }
    add_capabilities(parsed, &mut process);
    set_user(parsed, &mut process)?;
    Ok(process)
}

/// To the sets that make them usable; to the ambient one, which carries them past a change of
/// user, only where the container has inheritable ones, which that needs.
fn add_capabilities(parsed: &Parsed, process: &mut Process) {
    if parsed.text("cap").is_none() {
        return;
    }
    let sets = process.capabilities.get_or_insert_default();
    for name in parsed.list("cap") {
        let add = |set: &mut Vec<String>| set.push(name.to_owned());
        add(&mut sets.bounding);
        add(&mut sets.effective);
        add(&mut sets.permitted);
        if !sets.inheritable.is_empty() {
            add(&mut sets.ambient);
        }
    }
}

fn set_user(parsed: &Parsed, process: &mut Process) -> Result<(), OciError> {
    let number = |text: &str, what: &str| {
        text.parse::<u32>().map_err(|_| OciError::Usage(format!("bad {what}: \"{text}\"")))
    };
    if let Some(user) = parsed.some("user") {
        let (uid, gid) = match user.split_once(':') {
            Some((uid, gid)) => (uid, Some(gid)),
            None => (user, None),
        };
        process.user.uid = number(uid, "uid")?;
        if let Some(gid) = gid {
            process.user.gid = number(gid, "gid")?;
        }
    }
    for gid in parsed.list("additional-gids") {
        process.user.additional_gids.push(number(gid, "gid")?);
    }
    Ok(())
}

/// The container's cgroup, or the ones below it that `--cgroup` names.
fn group(parsed: &Parsed, record: &Record) -> Result<Option<Cgroup>, OciError> {
    let group = cgroup::open(record)?;
    let wanted: Vec<&str> = parsed.list("cgroup").collect();
    if wanted.is_empty() {
        return Ok(group);
    }
    let group = group.ok_or_else(|| OciError::State("cgroup not exist".into()))?;
    let mut parts = Vec::new();
    for (controller, below) in controllers_and_paths(&wanted)? {
        let path = match below.trim_matches('/') {
            "" => group.path().clone(),
            below => group.path().join(below).map_err(|error| {
                OciError::Usage(format!("bad sub cgroup path: {}", crate::error::chain(&error)))
            })?,
        };
        parts.push((controller, path));
    }
    match group.parts(&parts) {
        Ok(group) => Ok(Some(group)),
        Err(error @ CgroupError::UnknownController { .. }) => {
            Err(OciError::Usage(format!("--cgroup: {error}")))
        }
        Err(error) => {
            let text = crate::error::chain(&error);
            Err(OciError::State(format!("adding pid to it: {text}: no such file or directory")))
        }
    }
}

/// `CONTROLLER,...:PATH`, each controller once; or one `PATH` for all.
fn controllers_and_paths<'a>(wanted: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>, OciError> {
    let wrong = |text: String| Err(OciError::Usage(format!("invalid --cgroup argument: {text}")));
    let mut found: Vec<(&str, &str)> = Vec::new();
    for one in wanted {
        let Some((controllers, path)) = one.split_once(':') else {
            match wanted {
                [only] => return Ok(vec![("", *only)]),
                _ => return wrong(format!("{one} (missing <controller>: prefix)")),
            }
        };
        for controller in controllers.split(',') {
            if controller.is_empty() {
                return wrong(format!("{one} (empty <controller> prefix)"));
            }
            if found.iter().any(|(known, _)| *known == controller) {
                return wrong(format!("controller {controller} specified multiple times"));
            }
            found.push((controller, path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_named_by_controller_or_as_a_whole() {
        assert_eq!(controllers_and_paths(&["a/b"]).unwrap(), [("", "a/b")]);
        let two = controllers_and_paths(&["cpu,cpuacct:x", "memory:/"]).unwrap();
        assert_eq!(two, [("cpu", "x"), ("cpuacct", "x"), ("memory", "/")]);
        for bad in [&["a", "b"][..], &["cpu:x", "y"], &[":x"], &["cpu,:x"], &["cpu:x", "cpu:y"]] {
            assert!(controllers_and_paths(bad).is_err(), "{bad:?}");
        }
    }
}
