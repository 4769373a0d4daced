//! Attempts to get out that worked on others, each seen to fail here.
//!
//! Targets are canaries beside the root file system, and parameters of a container's own
//! namespaces: an attempt that succeeds changes nothing of the host's. Races go on for two
//! seconds each, or for `ESCAPE_SECONDS`. Each test says where it was seen to bite; where that
//! is Debian's runc or crun, [`crate::differences`] keeps it so.

mod canary;
mod capabilities;
mod cgroup;
mod console;
mod descriptors;
mod links;
mod masks;
mod procfs;
mod program;
mod races;
mod users;

use std::time::Duration;

/// How long a race is run.
fn race_time() -> Duration {
    let seconds = std::env::var("ESCAPE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}
