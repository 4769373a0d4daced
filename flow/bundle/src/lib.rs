//! Image configuration and the user's wishes in, OCI runtime spec out: a pure function.
//!
//! ```text
//! merge(image defaults, wishes) -> ContainerConfig      at create
//! check(config, host, facts)    -> warnings             at create
//! plan_mounts(config, host)     -> [PlannedMount]       at create; the engine makes volumes
//! spec(Inputs)                  -> Bundle               at each start
//! exec_process(Exec)            -> Process              for each exec
//! ```
//!
//! Nothing is read, asked or written here: files of the image, device numbers, paths of volumes
//! and facts about the host come in as values ([`Inputs`]). What the image says is data and never
//! chooses policy: no label, annotation or unknown key of it has any effect on isolation.
//! Texts of errors and warnings are Docker's where scripts may match them.

mod bind;
mod caps;
mod config;
mod csv;
mod devices;
mod env;
mod error;
mod exec;
mod files;
mod inputs;
mod mount_flag;
mod mount_rules;
mod mounts;
mod namespaces;
mod number_list;
mod paths;
mod plan;
mod profile;
mod resources;
mod security;
mod signal;
mod size;
mod spec;
mod sysctl;
#[cfg(test)]
mod test_support;
mod tmpfs;
mod ulimit;
mod user;

pub use bind::{parse_bind, parse_volumes_from};
pub use config::{command, merge};
pub use devices::{parse_device, parse_device_rule};
pub use error::BundleError;
pub use exec::{Exec, exec_process};
pub use files::{
    HostsFile, ResolvConf, hostname_file, hosts_file, parse_extra_host, resolv_conf,
    resolver_servers,
};
pub use inputs::{
    Bundle, CgroupMode, Files, HostDevice, HostFacts, Inputs, Joined, LimitFacts, Needs,
    RootfsFacts, Userns,
};
pub use mount_flag::parse_mount;
pub use namespaces::{has_own_ids, no_own_ids};
pub use plan::{Access, PlannedMount, PlannedSource, Propagation, VolumeWanted, plan_mounts};
pub use profile::Profile;
pub use signal::parse_signal;
pub use size::parse_ram_bytes;
pub use spec::{check, hostname, spec};
pub use ulimit::parse_ulimit;

/// How much of `/etc/passwd` and `/etc/group` is looked at; a larger file is an error.
pub const ACCOUNT_FILE_LIMIT_BYTES: usize = 1 << 20;
