//! Kills at each call that changes something, by strace's injection of signals: afterwards
//! `delete --force` finds all that is left, and the same command works.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{PATIENCE, needs, wait_until};

use crate::support::{Oci, cgroups_with};

/// Calls that change something outside of the process, or that others wait for.
const CHANGES: &str = "/^(open|openat|openat2|mkdir|mkdirat|rename|renameat|renameat2|unlink|\
    unlinkat|rmdir|write|bind|listen|accept4|connect|sendmsg|sendto|recvmsg|flock|clone|clone3|\
    vfork|execve|execveat|mount|umount2|move_mount|fsmount|fsconfig|open_tree|mount_setattr|\
    pivot_root|setns|unshare|pidfd_open|pidfd_send_signal|kill|prctl|setresuid|capset|\
    close_range|memfd_create|fchmodat|fchownat|mknodat|symlinkat|seccomp)$";

/// `CRASH_STRIDE`: every how manyth call is tried; 1 is all of them.
fn stride() -> usize {
    std::env::var("CRASH_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(7)
}

/// Who is killed at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The command.
    Command,
    /// The command, and each process that it makes at its own count.
    Everyone,
}

/// Kills `words` at its first call and at each after that by [`stride`]. `prepare` makes the container that the command needs.
fn at_each_call(words: &[&str], prepare: &[&[&str]], victim: Victim) {
    let oci = Oci::new();
    let id = &oci.id("c");
    // Of a container with all that a maker may leave behind: a cgroup with limits, mounts, hooks.
    let source = oci.dir().join("source");
    fs::create_dir(&source).unwrap();
    let bundle = oci.bundle(&["sh", "-c", &format!("sleep 1000; : {id}")], |spec| {
        let volume = json!({"destination": "/tmp/volume", "source": source, "options": ["bind"]});
        spec["mounts"].as_array_mut().unwrap().push(volume);
        spec["linux"]["resources"]["pids"] = json!({"limit": 50});
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/null"]}]);
        spec["hooks"] = json!({"createRuntime": hook, "createContainer": hook});
    });
    let bundle = bundle.to_str().unwrap();
    let fill = |words: &[&str]| -> Vec<String> {
        let fill = |word: &&str| word.replace("ID", id).replace("BUNDLE", bundle);
        words.iter().map(fill).collect()
    };
    let run = |words: &[&str]| {
        let words = fill(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        oci.run(&words)
    };
    let ready = || prepare.iter().for_each(|words| drop(run(words).ok()));
    let clean = |what: &str| {
        run(&["delete", "--force", "ID"]).ok();
        settle(&oci, what);
    };
    ready();
    let calls = traced(&oci, &fill(words), None, victim);
    clean("unharmed");
    assert!(calls > 5, "{words:?} makes only {calls} calls");
    for call in (1..=calls).step_by(stride()) {
        ready();
        traced(&oci, &fill(words), Some(call), victim);
        clean(&format!("{words:?}, killed at call {call}"));
    }
    ready();
    run(words).ok();
}

/// Runs a command, killed at a call if one is given; how many calls it, or that of its processes
/// which made most, made.
fn traced(oci: &Oci, words: &[String], call: Option<usize>, victim: Victim) -> usize {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let template = oci.command(&words);
    let log = oci.dir().join("strace.log");
    let mut strace = Command::new("strace");
    if victim == Victim::Everyone {
        strace.arg("-f");
    }
    strace.args(["-q", "-o", log.to_str().unwrap(), "-e"]).arg(format!("trace={CHANGES}"));
    if let Some(call) = call {
        strace.arg("-e").arg(format!("inject={CHANGES}:signal=SIGKILL:when={call}"));
    }
    strace.arg(template.get_program()).args(template.get_args());
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = strace.current_dir(oci.dir()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE * 2;
    while child.try_wait().unwrap().is_none() {
        // strace follows a container that runs until its end: what matters is the command's.
        let own = oci.program().display().to_string();
        let over = !processes_with(oci.dir()).iter().any(|(_, line)| line.starts_with(&own));
        if victim == Victim::Everyone && over {
            oci.run(&["delete", "--force", words.last().unwrap()]);
        }
        assert!(Instant::now() < deadline, "{words:?} hangs when killed at call {call:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = fs::read_to_string(log).unwrap();
    let calls = text.lines().filter(|line| line.contains(" = "));
    if victim == Victim::Command {
        return calls.count();
    }
    let mut counts = BTreeMap::new();
    for line in calls {
        *counts.entry(line.split(' ').next()).or_insert(0) += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

/// Waits until nothing of any container is there: processes end when they find their maker gone.
fn settle(oci: &Oci, what: &str) {
    let left = || {
        let name = oci.dir().file_name().unwrap().to_string_lossy().into_owned();
        let mut left: Vec<String> = processes_with(oci.dir())
            .into_iter()
            .map(|(pid, line)| format!("{pid} {line}"))
            .collect();
        left.extend(cgroups_with(&name).iter().map(|path| path.display().to_string()));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&name)).map(str::to_owned));
        let state = fs::read_dir(oci.root()).into_iter().flatten().flatten();
        left.extend(state.map(|entry| entry.path().display().to_string()));
        left
    };
    let deadline = Instant::now() + PATIENCE;
    while !left().is_empty() {
        assert!(Instant::now() < deadline, "{what}, leaves {:#?}", left());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processes that have the directory's name in their command line: the runtime's, by their
/// arguments, and the container's, by its id.
fn processes_with(dir: &Path) -> Vec<(u32, String)> {
    let name = dir.file_name().unwrap().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&name) && pid != std::process::id() {
            found.push((pid, line));
        }
    }
    found
}

const CREATE: &[&str] = &["create", "--bundle", "BUNDLE", "ID"];
const RUN: &[&str] = &["run", "--detach", "--bundle", "BUNDLE", "ID"];

#[test]
fn create_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call(CREATE, &[], Victim::Command);
}

#[test]
fn run_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call(RUN, &[], Victim::Command);
}

#[test]
fn run_is_done_or_undone_when_its_children_die_too() {
    needs!(Root, Busybox, Strace);
    at_each_call(RUN, &[], Victim::Everyone);
}

#[test]
fn start_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call(&["start", "ID"], &[CREATE], Victim::Command);
}

#[test]
fn exec_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call(&["exec", "ID", "true"], &[RUN], Victim::Command);
}

#[test]
fn delete_is_done_or_undone() {
    needs!(Root, Busybox, Strace);
    at_each_call(&["delete", "--force", "ID"], &[RUN], Victim::Command);
}

/// What was being added ends with who adds it, and the container lives on.
#[test]
fn a_killed_exec_leaves_the_container_alone() {
    needs!(Root, Busybox, Strace);
    let oci = Oci::new();
    let (id, bundle) = (&oci.id("c"), oci.bundle(&["sleep", "1000"], |_| ()));
    oci.create(id, &bundle);
    oci.ok(&["start", id]);
    let count = || oci.ok(&["ps", "--format", "json", id]).matches(',').count() + 1;
    for call in (1..60).step_by(stride()) {
        let words = ["exec".to_owned(), "--detach".into(), id.clone(), "false".into()];
        traced(&oci, &words, Some(call), Victim::Command);
        assert_eq!(oci.status(id), "running");
        wait_until("nobody but the first process", || (count() == 1).then_some(()));
    }
}
