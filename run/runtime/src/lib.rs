//! From a bundle to a process: namespaces, mounts, limits, identity, execve.
//!
//! ```text
//! Container (spec, rootfs, cgroup, filter) --- create() ---> Created --- start() ---> running
//! Exec (process, of a running container) ----- exec() -----> Created --- start() ---> running
//! ```
//!
//! Stands between `flow::bundle`, which writes the spec, and `shim`, which waits for the process.
//! Everything a container mounts is mounted in its own mount namespace, from mounts that were
//! never attached anywhere else, so the host's table does not change. Paths in the root file
//! system are resolved by the kernel ([`sys::fs::open_in_root`]) and used as descriptors; whatever
//! masks or is written to comes from the host or from a file system that was made here.
//!
//! What never happens here: no thread, no state on disk, no decision about policy, no cgroup is
//! made or limited (`cgroups`), no filter is compiled (`seccomp`).
//!
//! The caller must have one thread, be small (it is copied), and run from an executable that was
//! entered through [`sys::exe::self_exe_readonly`], since the new process still is that program
//! until it executes its own (CVE-2019-5736).

mod aside;
mod bindflags;
mod birth;
mod caps;
mod console;
mod container;
mod copyup;
mod create;
mod crossing;
mod detached;
mod devices;
mod error;
mod exec;
mod home;
pub mod hooks;
mod idmap;
mod init;
mod joined;
mod label;
mod limits;
mod memory;
mod message;
mod mounts;
mod netdevices;
mod notify;
mod options;
mod overlay;
mod plan;
mod process;
mod procfs;
mod program;
mod rtnetlink;
mod source;
mod staged;
mod start;
mod sysctl;
mod target;

pub use aside::{hold_mounts, new_network};
pub use caps::capability_names;
pub use container::{
    Container, Created, Exec, Mover, Options, Parent, Rootfs, Stdio, Target, TerminalSize,
};
pub use create::{check, create, create_in};
pub use detached::mount_detached;
pub use error::{ExecError, ExecErrorKind, RuntimeError};
pub use exec::{exec, exec_notifying};
pub use idmap::write as write_id_maps;
pub use limits::{RESOURCES, cpu_mask};
pub use memory::{MEMORY_FLAGS, MEMORY_MODES};
pub use notify::Listener;
pub use options::MOUNT_OPTIONS;
pub use start::StartHandle;
