//! System calls that rustix does not wrap, and file-system helpers that every shelf needs.
//!
//! The only crate in which `unsafe` may stand. No policy is made here.

pub mod arena;
pub mod bpf;
pub mod bulk;
pub mod exe;
pub mod fresh;
pub mod fs;
pub mod fsid;
pub mod inherit;
pub mod loopback;
pub mod mount;
pub mod names;
pub mod namespace;
pub mod netlink;
pub mod notify;
pub mod overlay;
pub mod parallel;
pub mod process;
pub mod procstat;
pub mod schedule;
pub mod seccomp;
pub mod signals;
pub mod socket;
mod spawn;
pub mod trash;
pub mod tree;
pub mod trim;
pub mod usage;
