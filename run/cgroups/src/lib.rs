//! Control groups: limits, statistics, and the boundary within which a container is killed.
//!
//! Stands at the start of a container's life (a group is made and the first process enters it) and
//! at its end (it is emptied and removed). Version 1, version 2 and the hybrid of both are equals
//! here; what a machine has is found out once, by [`Hierarchy::detect`].
//!
//! ```text
//! Hierarchy::detect() -> Hierarchy -- create(path, resources) --> Cgroup -- join_handle() --> JoinHandle
//!                                  -- open(path) -------------->   |                           |
//!                                                     apply, stats, kill, remove      the child enters
//! Systemd::connect() --- create(hierarchy, unit, resources) -------^ settle() after that
//! ```
//!
//! A process enters by itself: the child writes `0` to the `tasks` files that the handle holds
//! (v1), or is born inside by `CLONE_INTO_CGROUP` (v2). The kernel takes a lock over all
//! processes of the machine when somebody else's number is written to `cgroup.procs`, which costs
//! milliseconds; the two ways used here do not take it.
//!
//! What never happens here: nothing is mounted, no process is started, no group is touched that
//! is not at or below a path that the caller named, and no state is kept elsewhere than in the
//! kernel.

mod apply;
mod cgroup;
mod controller;
mod create;
mod delegation;
mod devices;
mod error;
mod events;
mod file;
mod freezer;
mod hierarchy;
mod join;
mod limits;
mod need;
mod path;
mod stats;
mod systemd;

pub use cgroup::Cgroup;
pub use controller::{Controller, Controllers};
pub use delegation::Delegation;
pub use devices::default_rules as default_device_rules;
pub use error::CgroupError;
pub use freezer::FreezerState;
pub use hierarchy::{Hierarchy, Mode, MountPoint, Options, Version};
pub use join::JoinHandle;
pub use path::CgroupPath;
pub use stats::{
    BlkioEntry, BlkioStats, CpuStats, CpusetStats, HugetlbStats, MemoryStats, MiscStats, PidsStats,
    Pressure, PressureLine, RdmaStats, Stats,
};
pub use systemd::{Instance, Systemd, Unit};
