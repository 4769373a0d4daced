//! A process added to a running container.

use dockerapi::{ContainerConfig, HostConfig};
use oci::runtime::{ConsoleSize, Process, Spec};

use crate::{BundleError, HostFacts};

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

/// The process that `exec` adds: as confined as the container's first one.
pub fn exec_process(exec: &Exec<'_>) -> Result<Process, BundleError> {
    let _ = exec;
    Err(BundleError::invalid("no process can be made"))
}
