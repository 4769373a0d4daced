//! What can go wrong with control groups.

use std::io;
use std::path::PathBuf;

/// Why a control group could not be made, changed, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Nothing of the kind is mounted.
    #[error("no control groups are mounted on this machine")]
    NotMounted,
    /// A table of the kernel's has an unexpected form.
    #[error("cannot understand {file}: {line:?}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// The line.
        line: String,
    },
    /// A path that leaves the hierarchy, or names nothing.
    #[error("{path:?} is no path of a control group: {reason}")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A limit was asked for whose controller this machine does not offer.
    #[error("{setting} needs the {controller} controller, which this machine does not offer")]
    NoController {
        /// The controller.
        controller: &'static str,
        /// What was asked for, in the words of the runtime-spec.
        setting: String,
    },
    /// A hierarchy was named that the group is not in.
    #[error("unknown controller {name}")]
    UnknownController {
        /// The name.
        name: String,
    },
    /// The controller is there, but it has no such setting in this version of control groups.
    #[error("{setting} cannot be set here: {reason}")]
    Unsupported {
        /// What was asked for, in the words of the runtime-spec.
        setting: String,
        /// Why not.
        reason: &'static str,
    },
    /// A limit was asked for by a user to whom no part of the tree was delegated.
    #[error("{setting} cannot be set by this user: {reason}")]
    NotDelegated {
        /// What was asked for, in the words of the runtime-spec.
        setting: String,
        /// Why not, and what would help.
        reason: String,
    },
    /// A value that no kernel would take.
    #[error("{setting} cannot be {value}: {reason}")]
    Value {
        /// What was asked for, in the words of the runtime-spec.
        setting: String,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The group exists already.
    #[error("control group {path} exists already")]
    Exists {
        /// The path below the mount point.
        path: String,
    },
    /// There is no such group.
    #[error("no control group {path}")]
    NotFound {
        /// The path below the mount point.
        path: String,
    },
    /// The group still has processes, or groups below it, after the time allowed.
    #[error("control group {path} is still in use", path = path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// systemd does not run, or does not answer, or not us.
    #[error("cannot talk to {at}")]
    NoSystemd {
        /// Which one, and where.
        at: String,
        /// Why not.
        source: io::Error,
    },
    /// systemd refused something.
    #[error("systemd cannot {action} {unit}: {text} ({name})")]
    Unit {
        /// What was asked for.
        action: &'static str,
        /// Of which unit.
        unit: String,
        /// The name of systemd's error.
        name: String,
        /// What it says.
        text: String,
    },
    /// systemd took something on and failed.
    #[error("systemd could not {action} {unit}: its job ended as {result}")]
    Job {
        /// What was asked for.
        action: &'static str,
        /// Of which unit.
        unit: String,
        /// `canceled`, `timeout`, `failed`, `dependency` or `skipped`.
        result: String,
    },
    /// An annotation that asks for a property of the unit.
    #[error("annotation {annotation} cannot be understood: {reason}")]
    Property {
        /// The annotation's key.
        annotation: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting was refused by the kernel.
    #[error("cannot set {setting} to {value} in {path}", path = path.display())]
    Refused {
        /// What was asked for, in the words of the runtime-spec.
        setting: String,
        /// What was written.
        value: String,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Something else about a file.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl CgroupError {
    /// The flag of `run` and `update` by which a user asked for what failed, if there is one.
    pub fn flag(&self) -> Option<&'static str> {
        let setting = match self {
            Self::NoController { setting, .. }
            | Self::NotDelegated { setting, .. }
            | Self::Unsupported { setting, .. }
            | Self::Value { setting, .. }
            | Self::Refused { setting, .. } => setting,
            _ => return None,
        };
        let flag = match setting.as_str() {
            "memory.limit" => "--memory",
            "memory.reservation" => "--memory-reservation",
            "memory.swap" => "--memory-swap",
            "memory.swappiness" => "--memory-swappiness",
            "memory.disableOOMKiller" => "--oom-kill-disable",
            "cpu.shares" => "--cpu-shares",
            "cpu.quota" => "--cpu-quota",
            "cpu.period" => "--cpu-period",
            "cpu.realtimeRuntime" => "--cpu-rt-runtime",
            "cpu.realtimePeriod" => "--cpu-rt-period",
            "cpu.cpus" => "--cpuset-cpus",
            "cpu.mems" => "--cpuset-mems",
            "pids.limit" => "--pids-limit",
            "blockIO.weight" => "--blkio-weight",
            "blockIO.weightDevice" => "--blkio-weight-device",
            "blockIO.throttleReadBpsDevice" => "--device-read-bps",
            "blockIO.throttleWriteBpsDevice" => "--device-write-bps",
            "blockIO.throttleReadIOPSDevice" => "--device-read-iops",
            "blockIO.throttleWriteIOPSDevice" => "--device-write-iops",
            "devices" => "--device",
            _ => return None,
        };
        Some(flag)
    }
}
