//! What `--debug` says of a process that comes to be.
//!
//! One line for each step, each in the words by which scripts find the same step in runc's log
//! (`nsexec`, `init`, `setns_init` are parts of runc; here they are what the child does until it
//! executes its program). What each line says has happened, or is about to.

use oci::runtime::Process;
use rustix::process::Pid;
use seccomp::Program;

use crate::log::Log;

/// All has been checked, and the process is to be made.
pub(crate) fn setup(log: &Log, filter: Option<&Program>) {
    log.debug(|| "nsexec container setup".into());
    if let Some(filter) = filter {
        log.debug(|| format!("seccomp filter flags: {}", filter.flags()));
    }
}

/// The process is in its namespaces and waits to become its program.
pub(crate) fn waits(log: &Log, pid: Pid) {
    log.debug(|| format!("child process in init(): {}", pid.as_raw_nonzero()));
}

/// The first process of a container is let go: it waits for `start`, or executes its program.
pub(crate) fn let_go(log: &Log) {
    log.debug(|| "init: closing the pipe to signal completion".into());
}

/// An added process was held to these processors until it was in its cgroup, and is told to
/// execute its program.
pub(crate) fn execute(log: &Log, pid: Pid, process: &Process) {
    let initial = process.exec_cpu_affinity.as_ref().and_then(|cpus| cpus.initial.as_deref());
    if let Some(mask) = initial.and_then(runtime::cpu_mask) {
        log.debug(|| format!("nsexec[{}]: affinity: {mask}", pid.as_raw_nonzero()));
    }
    log.debug(|| "setns_init: about to exec".into());
}
