//! Containers: what can be asked for and what is answered; the verbs are one file each.

mod commit;
mod create;
mod inspect;
mod list;
mod logs;
mod remove;
mod start;
mod state;
mod stop;
mod top;

use std::collections::BTreeMap;
use std::time::Duration;

use dockerapi::{ContainerConfig, HostConfig, NetworkingConfig};
use oci::{Platform, Timestamp};

pub use commit::CommitContainer;
pub(crate) use commit::squash;
pub use logs::Logs;
pub(crate) use start::not_launched;
pub(crate) use state::{Held, is_up, state_of};
pub use top::Top;

use crate::{Filters, Session};

/// A record as this crate writes it.
pub(crate) type Record = metadata::Record<bundle::PlannedMount>;

/// What a new container is to be.
#[derive(Debug, Clone, Default)]
pub struct CreateContainer {
    /// Its name; one is made up if `None`.
    pub name: Option<String>,
    /// The part that does not depend on the host; `image` names the image.
    pub config: ContainerConfig,
    /// The part that does.
    pub host: HostConfig,
    /// The networks.
    pub networking: NetworkingConfig,
    /// What the image must run on; the machine's own platform if `None`.
    pub platform: Option<Platform>,
    /// What to do about an image that is not here.
    pub pull: PullPolicy,
}

/// What to do about an image that is not here.
///
/// Nothing is fetched in the course of [`Engine::create_container`](crate::Engine::create_container)
/// and of running one: with `Always` the caller pulls before, with `Missing` after
/// [`EngineError::NoLocalImage`](crate::EngineError::NoLocalImage), and then asks again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Fetch it always.
    Always,
    /// Fetch it when it is missing.
    #[default]
    Missing,
    /// Never fetch it.
    Never,
}

/// A container that has come to be.
#[derive(Debug, Clone)]
pub struct CreatedContainer {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A container that runs.
#[derive(Debug)]
pub struct RunningContainer {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// The attached streams, if they were asked for.
    pub session: Option<Session>,
}

/// How long a container may take to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// So long.
    For(Duration),
    /// As long as it takes.
    Forever,
}

/// Asks a container to exit, then insists.
#[derive(Debug, Clone, Default)]
pub struct StopContainer {
    /// A name or the prefix of an id.
    pub container: String,
    /// The signal by name or number; the container's own stop signal if `None`.
    pub signal: Option<String>,
    /// The container's own, or ten seconds, if `None`.
    pub grace: Option<Grace>,
}

/// Removes a container.
#[derive(Debug, Clone, Default)]
pub struct RemoveContainer {
    /// A name or the prefix of an id.
    pub container: String,
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Which containers to list.
#[derive(Debug, Clone, Default)]
pub struct ListContainers {
    /// Those that do not run too.
    pub all: bool,
    /// Only so many, the newest (implies `all`).
    pub last: Option<usize>,
    /// Only those that match; Docker's keys.
    pub filters: Filters,
    /// Also count the bytes written.
    pub size: bool,
}

/// The states of a container, by Docker's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Never started.
    Created,
    /// Its first process runs.
    Running,
    /// Frozen.
    Paused,
    /// Its first process has ended.
    Exited,
    /// Being removed.
    Removing,
    /// Its removal failed half way.
    Dead,
}

/// One line of `ps`.
#[derive(Debug, Clone)]
pub struct ContainerSummary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without a slash.
    pub name: String,
    /// As the user named it.
    pub image: String,
    /// The image's id, with `sha256:`.
    pub image_id: String,
    /// The program and its arguments, joined by spaces.
    pub command: String,
    /// When it was created.
    pub created: Timestamp,
    /// Its state.
    pub state: ContainerState,
    /// Its first process on the host; 0 if it does not run.
    pub pid: i32,
    /// Of the last run.
    pub exit_code: i32,
    /// When it last started.
    pub started: Timestamp,
    /// When it last ended.
    pub finished: Timestamp,
    /// Free key-value pairs.
    pub labels: BTreeMap<String, String>,
    /// Volume names and host paths that are mounted.
    pub mounts: Vec<String>,
    /// Exposed and published ports, as `ps` shows them.
    pub ports: String,
    /// The network mode or the networks' names.
    pub networks: Vec<String>,
    /// Bytes written by the container and bytes in all; only if asked for.
    pub size_bytes: Option<(u64, u64)>,
}
