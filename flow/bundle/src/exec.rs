//! A process added to a running container.

use dockerapi::{ContainerConfig, HostConfig};
use oci::runtime::{ConsoleSize, Process, Spec};

use crate::caps::CapSet;
use crate::spec::sets;
use crate::user::Accounts;
use crate::{BundleError, HostFacts, config, env};

/// What `exec` is asked for.
#[derive(Clone, Copy)]
pub struct Exec<'a> {
    /// The spec that the container runs by.
    pub spec: &'a Spec,
    /// The container's merged wishes.
    pub config: &'a ContainerConfig,
    /// The container's wishes that concern the host.
    pub host: &'a HostConfig,
    /// The program and its arguments.
    pub command: &'a [String],
    /// `-u`; the container's user if empty.
    pub user: &'a str,
    /// `-e`: `NAME=value`, or `NAME` to take one away.
    pub env: &'a [String],
    /// `-w`; the container's directory if empty.
    pub working_dir: &'a str,
    /// `-t`.
    pub tty: bool,
    /// `--privileged`: every capability of the host.
    pub privileged: bool,
    /// The terminal's first size.
    pub console_size: Option<ConsoleSize>,
    /// The container's `/etc/passwd` as it is now.
    pub passwd: Option<&'a [u8]>,
    /// The container's `/etc/group` as it is now.
    pub group: Option<&'a [u8]>,
    /// The host.
    pub facts: &'a HostFacts,
}

/// The process that `exec` adds: as confined as the container's first one, but for what the user
/// asks for here.
///
/// Everything that is not named is taken over from the first process's description: limits, labels,
/// no-new-privileges, the OOM score. The system call filter is the container's as well; that, and
/// the cgroup, are the runtime's part.
pub fn exec_process(exec: &Exec<'_>) -> Result<Process, BundleError> {
    let first = exec
        .spec
        .process
        .as_ref()
        .ok_or_else(|| BundleError::invalid("the container's spec has no process"))?;
    if exec.command.iter().all(String::is_empty) {
        return Err(BundleError::invalid("No exec command specified"));
    }
    for word in exec.command {
        config::refuse_nul("argument", word)?;
    }
    for entry in exec.env {
        env::check(entry)?;
    }
    let user = if exec.user.is_empty() { &exec.config.user } else { exec.user };
    let accounts = Accounts::new(exec.passwd, exec.group)?;
    let identity = accounts.identify_on(user, &exec.host.group_add, exec.facts.ids)?;
    let hostname = exec.spec.hostname.as_ref().unwrap_or(&exec.facts.hostname);
    let mut env = env::base(exec.config, hostname, exec.tty);
    env::apply(&mut env, exec.env);
    env::set_home(&mut env, &identity.home);
    let cwd = if exec.working_dir.is_empty() { &exec.config.working_dir } else { exec.working_dir };
    let capabilities = if exec.privileged {
        Some(sets(CapSet::of_host(exec.facts)))
    } else {
        first.capabilities.clone()
    };
    Ok(Process {
        terminal: exec.tty,
        console_size: exec.console_size.filter(|_| exec.tty),
        user: identity.user,
        args: exec.command.to_vec(),
        env,
        cwd: config::working_dir(cwd)?,
        capabilities,
        ..first.clone()
    })
}

#[cfg(test)]
mod tests;
